"""Has files scanned by a worker process: one at a time, each within its time, the worker started when it is needed."""

import asyncio
import contextlib
import json
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from schemas.gcode_metadata import GcodeMetadata

from . import errors
from .errors import Busy, Failed, TimedOut
from .folder import discard, is_plain

log = logging.getLogger(__name__)

Progress = Callable[[float], None]

BOOT = Path(__file__).with_name("boot.py")
MAX_WAITING = 64
MAX_REPLY = 256 << 10  # bytes
STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scan may take."""

    timeout: float = 20.0  # seconds without progress
    memory: int = 512 << 20  # bytes of address space
    niceness: int = 10
    idle: float = 60.0  # seconds after which a worker without work goes


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be scanned. The descriptors stay the caller's; the read position of `file` moves.

    `name` is what the file is or will be called in `folder`; one that ends in .ufp is an archive to unpack. Contents
    that have to be rewritten go to a new file `output` of the folder (called `output` and .part until it is whole);
    None: they are left as they are. `objects`: definitions of objects are added where they are missing. `pictures`:
    what thumbnails are called after that are written into the folder; None: there are none. `replaces`: a picture of an
    archive that is there already is another file's.
    """

    file: int
    folder: int
    name: str
    output: str | None = None
    objects: bool = False
    pictures: str | None = None
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """The metadata of a file; where its output was written, of that, which is durable and takes the file's place.

    `former` are the pictures of the name that the file has or will have, of whatever had it until now.
    """

    metadata: GcodeMetadata
    rewritten: bool
    former: Sequence[str]


class Scanner:
    """Scans files; a context manager that ends its worker."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self._limits = limits
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._worker: _Worker | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._dismiss()

    async def prepare(self) -> None:
        """Starts the worker, for those who know that they will soon have something to scan."""
        async with self._turn:
            with contextlib.suppress(OSError):
                self._rest(await self._ready())

    async def scan(self, job: Job, progress: Progress | None = None) -> Scan:
        """The metadata of a file; `progress` is told of 0 to 1 during long work.

        Raises ScanError. After an error, and when cancelled, the output does not exist; thumbnails may, but no more
        are written.
        """
        if not all(is_plain(name) for name in (job.name, job.output, job.pictures) if name is not None):
            raise ValueError("names are single components of a path")
        if self._waiting >= MAX_WAITING:
            raise Busy("Too many files wait to be scanned")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._scan(job, progress)
        finally:
            self._waiting -= 1

    async def _scan(self, job: Job, progress: Progress | None) -> Scan:
        try:
            reply = await self._ask(job, progress)
            return Scan(GcodeMetadata.model_validate(reply["metadata"]), reply["rewritten"], reply["former"])
        except BaseException as error:
            if not isinstance(error, errors.ScanError) or isinstance(error, TimedOut):
                await self._dismiss()
            if job.output is not None:
                with contextlib.suppress(OSError):
                    discard(job.folder, job.output)
            raise

    async def _ask(self, job: Job, progress: Progress | None) -> dict[str, Any]:
        try:
            worker = await self._ready()
            worker.send(job)
            while "progress" in (reply := await self._reply(worker)):
                if progress is not None:
                    progress(reply["progress"])
        except TimeoutError:
            raise TimedOut("The scan took too long") from None
        except OSError as error:
            log.warning("the worker that scans gcode ended during %s", job.name)
            await self._dismiss()
            raise Failed("The scan failed") from error
        self._rest(worker)
        if "error" in reply:
            raise getattr(errors, reply["error"])(reply["text"])
        return reply

    async def _reply(self, worker: "_Worker") -> dict[str, Any]:
        async with asyncio.timeout(self._limits.timeout):
            return await worker.receive()

    async def _ready(self) -> "_Worker":
        if self._idle is not None:
            self._idle.cancel()
        if self._worker is None or not self._worker.serves:
            await self._dismiss()
            self._worker = await _Worker.start(self._limits)
        return self._worker

    def _rest(self, worker: "_Worker") -> None:
        """Lets the worker go unless it is needed again in time."""
        self._idle = asyncio.get_running_loop().call_later(self._limits.idle, worker.release)

    async def _dismiss(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()


class _Worker:
    """The process and the socket to it."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self._process = process
        self._channel = channel

    @classmethod
    async def start(cls, limits: Limits) -> Self:
        """Starts a process; raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        arguments = [str(theirs.fileno()), str(limits.memory), str(limits.niceness)]
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(BOOT),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours)

    @property
    def serves(self) -> bool:
        """Whether it can be sent work."""
        if self._process.returncode is not None or self._channel.fileno() < 0:
            return False
        try:
            return bool(self._channel.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def send(self, job: Job) -> None:
        """Sends it a file; raises OSError."""
        order = {name: getattr(job, name) for name in ("name", "output", "objects", "pictures", "replaces")}
        socket.send_fds(self._channel, [json.dumps(order).encode()], [job.file, job.folder])

    async def receive(self) -> dict[str, Any]:
        """What it says next; raises OSError where it has gone."""
        packet = await asyncio.get_running_loop().sock_recv(self._channel, MAX_REPLY)
        if not packet:
            raise ConnectionResetError("the worker has gone")
        reply: dict[str, Any] = json.loads(packet)
        return reply

    def release(self) -> None:
        """Lets it go when it has done its work."""
        self._channel.close()

    async def end(self) -> None:
        """Ends it now, whatever it does."""
        self._channel.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
