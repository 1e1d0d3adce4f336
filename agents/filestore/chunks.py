"""One transfer over topics: chunks with their offset, and no more of them than the receiver has asked for."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from bus.envelope import dumps
from bus.errors import BusError, Conflict, InvalidParams, Timeout, Unavailable, to_rpc
from schemas import files

from .disk import Disk
from .transfer import Download, Upload

log = logging.getLogger(__name__)

WINDOW = 8  # chunks on their way to the disk, or to the client, at most
AHEAD_BYTES = 3 << 20  # of all uploads, or all of a client's downloads, together: brokers cut who is behind by more
MAX_CHUNK = 512 << 10  # bytes; it has to fit into a packet
REST_SECONDS = 10.0  # without progress, once a client has said that all was sent
ASK_SECONDS = 1.0  # the same until what is missing is asked for again
OFFSET_BYTES = 8

Say = Callable[[str, bytes], None]  # what kind of message, and its content
Owner = tuple[str, str | None]  # a client id, and the user who has logged in with it


class Transfer:
    """What uploads and downloads have in common; `say` publishes on the transfer's topics."""

    def __init__(self, owner: Owner, say: Say, chunk: int, now: float) -> None:
        self.owner = owner
        self.client = owner[0]
        self.chunk = min(chunk, MAX_CHUNK)
        self.heard = now
        self.busy = False  # work on the disk is under way
        self.error: BusError | None = None
        self._say = say
        self.news = asyncio.Event()

    def fail(self, error: BusError) -> None:
        """Tells the client why it ends."""
        self.error = error
        self._say("failed", dumps(to_rpc(error)))
        self.news.set()


class Incoming(Transfer):
    """An upload; chunks wait in memory, at most a window of them, until they are written.

    With a key it can be continued: by the same call while it is here, and from its file afterwards.
    """

    def __init__(
        self, owner: Owner, say: Say, asked: files.UploadParams, now: float, upload: Upload, key: str | None
    ) -> None:
        super().__init__(owner, say, asked.chunk, now)
        self.upload = upload
        self.asked = asked
        self.key = key
        self.arrived = upload.received  # bytes, written or not
        self.waiting: list[memoryview] = []
        self.granted = 0  # bytes that may come
        self.ending = False  # it is becoming a file
        self._missed = self._beyond = -1  # where a gap was told of, and the last chunk that came from behind it

    def shown(self) -> dict[str, Any]:
        """How far it is, for everybody."""
        name = self.asked.filename or self.asked.path
        return {"client": self.client, "name": name, "size": self.asked.size, "received": self.upload.received}

    def grant(self, ahead: int) -> None:
        """There is room for so much more than what is written."""
        end = self.upload.received + max(self.chunk, min(ahead, WINDOW * self.chunk))
        self.granted = max(self.granted, end if self.asked.size is None else min(end, self.asked.size))

    def ask(self, *, again: bool = False) -> None:
        """Says how far the client may go on, and with `again` that it has to go back for that."""
        self._say("want", dumps({"start": self.arrived, "end": self.granted} if again else {"end": self.granted}))

    def take(self, payload: bytes) -> None:
        """A chunk; what has come before is ignored, and what is missing is asked for."""
        start, part = int.from_bytes(payload[:OFFSET_BYTES]), memoryview(payload)[OFFSET_BYTES:]
        if self.error is not None:
            return
        if start > self.arrived:
            return self._miss(start)
        part = part[self.arrived - start :]
        if self.arrived + len(part) > self.granted:
            return self.fail(InvalidParams("More was sent than was asked for"))
        if part:
            self.arrived += len(part)
            self.waiting.append(part)
            self.news.set()

    def _miss(self, start: int) -> None:
        """Tells of a gap once, and once more when what was sent again is lost too."""
        if self._missed != self.arrived or start <= self._beyond:
            self._missed = self.arrived
            self.ask(again=True)
        self._beyond = start

    async def write(self, disk: Disk, ahead: Callable[[], int]) -> None:
        """Writes what has arrived, until nothing waits."""
        while self.waiting and self.error is None:
            parts, self.waiting = self.waiting, []
            try:
                await disk.run(self.upload.write, parts)
                self.grant(ahead())
                self.ask()
            except (BusError, OSError) as error:
                self.fail(_shown(error))
            self.news.set()

    async def complete(self, size: int) -> None:
        """Waits until so many bytes are written; raises what kept them away."""
        silent = 0.0
        while self.upload.received != size or self.busy:
            if self.error is not None:
                raise self.error
            if self.arrived > size or (self.asked.size or size) < size:
                raise InvalidParams(f"The upload is not of {size} bytes")
            if silent >= REST_SECONDS:
                raise Timeout("The rest of the upload has not arrived")
            silent = 0.0 if await self._heard() or self.busy else silent + ASK_SECONDS
            if silent:
                self.ask(again=True)
        if self.error is not None:
            raise self.error

    async def _heard(self) -> bool:
        """Whether something happens soon."""
        self.news.clear()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self.news.wait()
        except TimeoutError:
            return False
        return True


class Outgoing(Transfer):
    """A download; it reads what the client has asked for, one chunk after the other."""

    def __init__(self, owner: Owner, say: Say, chunk: int, now: float, download: Download) -> None:
        super().__init__(owner, say, chunk, now)
        self.download = download
        self._at = self._end = 0

    def want(self, wanted: files.Want) -> None:
        """What the client has room for."""
        if wanted.start is not None:
            self._at = wanted.start
        self._end = min(wanted.end, self._at + AHEAD_BYTES, self.download.size)
        self.news.set()

    async def write(self, disk: Disk, _ahead: Callable[[], int]) -> None:
        """Sends up to where the client wants it."""
        while self._at < self._end and self.error is None:
            start = self._at
            try:
                part = await disk.run(self.download.read, start, min(self.chunk, self._end - start))
            except OSError as error:
                return self.fail(_shown(error))
            if not part:
                return self.fail(Conflict("The file has become shorter meanwhile"))
            if self._at == start:  # and the client has not changed its mind
                self._at += len(part)
                self._say("data", start.to_bytes(OFFSET_BYTES) + part)
        return None

    @property
    def waiting(self) -> bool:
        """Whether something is to be sent."""
        return self._at < self._end


def _shown(error: Exception) -> BusError:
    if isinstance(error, BusError):
        return error
    log.error("a transfer failed", exc_info=error)
    return Unavailable("The disk does not work")
