"""The file that is being printed, and printing another one: now, or when its turn comes."""

import asyncio
import logging
from typing import NamedTuple

from bus.agent import Bus
from bus.errors import BusError, Conflict, MethodNotFound, Unavailable
from bus.mandate import Mandate
from schemas import files, job_queue, klippy, printer

from .roots import Location, Roots

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds within which Klipper's agent has to say what is being printed
AGAIN = 0.1  # seconds after which it is asked again


class Begun(NamedTuple):
    """What has become of a wish to print; `refusal` says why it is neither."""

    started: bool = False
    queued: bool = False
    refusal: BusError | None = None


class Prints:
    """Asks for prints of files; with `queues`, those that cannot start wait in the job queue."""

    def __init__(self, bus: Bus, roots: Roots, *, queues: bool) -> None:
        self._bus = bus
        self._roots = roots
        self._queues = queues

    async def loaded(self) -> Location | None:
        """The file that is being printed, or could go on to be; raises Unavailable where nobody says whether one is."""
        try:
            async with asyncio.timeout(PATIENCE):
                name = await self._loaded()
        except TimeoutError:
            raise Unavailable("Klipper's agent does not say what is being printed") from None
        return None if name is None else self._roots.within(files.GCODES, name)

    async def _loaded(self) -> str | None:
        """Asks until it is told: while Klipper's agent starts anew, or connects, a print may well be going on."""
        while True:
            try:
                return klippy.LoadedFile.model_validate(await self._bus.call(klippy.LOADED_FILE.name)).filename
            except BusError as error:
                if error.code == MethodNotFound.code:  # there is no such agent
                    return None
            await asyncio.sleep(AGAIN)

    async def begin(self, path: str, mandate: Mandate) -> Begun:
        """Starts the print of a file of the gcodes root, or lets it wait; raises nothing that keeps it from that."""
        refusal = await self._start(path, mandate)
        if refusal is None:
            return Begun(started=True)
        if not self._queues:
            log.info("%s is not printed yet: %s", path, refusal)
            return Begun(refusal=refusal)
        try:
            await self._bus.call(job_queue.ADD.name, {"filenames": [path]}, mandate=mandate)
        except BusError as error:
            log.warning("%s is not queued: %s", path, error)
            return Begun(refusal=error)
        return Begun(queued=True)

    async def _start(self, path: str, mandate: Mandate) -> BusError | None:
        try:
            if await self.loaded() is not None:
                return Conflict("Another file is being printed")
            await self._bus.call(printer.PRINT_START.name, {"filename": path}, mandate=mandate)
        except BusError as error:
            return error
        return None
