"""Transfers over topics: chunks with their offset, and no more of them than the receiver has asked for."""

import asyncio
import logging
from collections.abc import Callable
from secrets import token_hex
from typing import Any

from pydantic import ValidationError

from bus.agent import Bus
from bus.envelope import dumps, loads
from bus.errors import BusError, Conflict, InvalidParams, NotFound, Timeout, Unavailable, to_rpc
from schemas import files

from .disk import Disk
from .transfer import Download, Upload

log = logging.getLogger(__name__)

WINDOW = 8  # chunks on their way to the disk, or to the client
MAX_CHUNK = 512 << 10  # bytes; it has to fit into a packet
MAX_TRANSFERS = 64  # of either kind; one more is refused
IDLE_SECONDS = 60.0  # without a sign of the client, until a transfer is given up
PROGRESS_SECONDS = 0.5  # between two reports of uploads under way
OFFSET_BYTES = 8

Say = Callable[[str, bytes], None]  # what kind of message, and its content


class Transfer:
    """What uploads and downloads have in common; `say` publishes on the transfer's topics."""

    def __init__(self, client: str, say: Say, chunk: int, now: float) -> None:
        self.client = client
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
    """An upload; chunks wait in memory, at most a window of them, until they are written."""

    def __init__(
        self, client: str, say: Say, chunk: int, now: float, upload: Upload, name: str, size: int | None
    ) -> None:
        super().__init__(client, say, chunk, now)
        self.upload = upload
        self.about = {"client": client, "name": name, "size": size}
        self.arrived = 0  # bytes, written or not
        self.waiting: list[memoryview] = []
        self.granted = WINDOW * self.chunk  # bytes that may come

    def ask(self) -> None:
        """Says how much there is room for, from where on."""
        self.granted = self.upload.received + WINDOW * self.chunk
        self._say("want", dumps({"start": self.arrived, "end": self.granted}))

    def take(self, payload: bytes) -> None:
        """A chunk; one that has come before is ignored, one that is missing is asked for."""
        start, part = int.from_bytes(payload[:OFFSET_BYTES]), memoryview(payload)[OFFSET_BYTES:]
        if self.error is not None or start < self.arrived:
            return
        if start > self.arrived:
            return self.ask()
        if start + len(part) > self.granted:
            return self.fail(InvalidParams("More was sent than was asked for"))
        self.arrived += len(part)
        self.waiting.append(part)
        self.news.set()
        return None

    async def write(self, disk: Disk) -> None:
        """Writes what has arrived, until nothing waits."""
        while self.waiting and self.error is None:
            parts, self.waiting = self.waiting, []
            try:
                await disk.run(self.upload.write, parts)
                self.ask()
            except (BusError, OSError) as error:
                self.fail(_shown(error))
            self.news.set()

    async def complete(self, size: int) -> None:
        """Waits until so many bytes are written; raises what kept them away."""
        while self.upload.received != size or self.busy:
            if self.error is not None:
                raise self.error
            if self.arrived > size:
                raise InvalidParams(f"The upload is longer than {size} bytes")
            self.news.clear()
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self.news.wait()
            except TimeoutError:
                raise Timeout("The rest of the upload has not arrived") from None
        if self.error is not None:
            raise self.error


class Outgoing(Transfer):
    """A download; it reads what the client has asked for, one chunk after the other."""

    def __init__(self, client: str, say: Say, chunk: int, now: float, download: Download) -> None:
        super().__init__(client, say, chunk, now)
        self.download = download
        self._at = self._end = 0

    def want(self, wanted: files.Want) -> None:
        """What the client has room for."""
        if wanted.start is not None:
            self._at = wanted.start
        self._end = min(wanted.end, self._at + 2 * WINDOW * self.chunk, self.download.size)
        self.news.set()

    async def write(self, disk: Disk) -> None:
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


class Transfers:
    """All transfers of the agent, by id."""

    def __init__(self, bus: Bus, disk: Disk) -> None:
        self._bus = bus
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self._incoming: dict[str, Incoming] = {}
        self._outgoing: dict[str, Outgoing] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._shown: list[dict[str, Any]] = []

    async def run(self) -> None:
        """Serves transfers until cancelled, then gives all up."""
        topics = self._bus.topics
        self._bus.subscribe(topics.upload_data("+", "+"), self._on_data)
        self._bus.subscribe(topics.download_want("+", "+"), self._on_want)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    await asyncio.sleep(PROGRESS_SECONDS)
                    self._sweep()
                    self._report()
        finally:
            self._tasks = None
            for transfer in (*self._incoming.values(), *self._outgoing.values()):
                transfer.fail(Unavailable("The file manager has stopped"))
            await self._disk.run(self._close_all)

    def add_upload(self, client: str, upload: Upload, chunk: int, *, name: str, size: int | None) -> dict[str, Any]:
        """Begins to receive; what the client must know."""
        number, names = token_hex(8), self._bus.topics
        topics = {
            "data": names.upload_data(client, number),
            "want": names.upload_want(client, number),
            "failed": names.upload_failed(client, number),
        }
        incoming = Incoming(client, self._speaker(topics), chunk, self._loop.time(), upload, name, size)
        self._incoming[number] = incoming
        return {"id": number, **topics, "chunk": incoming.chunk, "end": incoming.granted}

    def add_download(self, client: str, download: Download, chunk: int) -> dict[str, Any]:
        """Begins to serve; what the client must know."""
        number, names = token_hex(8), self._bus.topics
        topics = {
            "data": names.download_data(client, number),
            "want": names.download_want(client, number),
            "failed": names.download_failed(client, number),
        }
        outgoing = Outgoing(client, self._speaker(topics), chunk, self._loop.time(), download)
        self._outgoing[number] = outgoing
        return {"id": number, **topics, "chunk": outgoing.chunk}

    def _speaker(self, topics: dict[str, str]) -> Say:
        def say(what: str, payload: bytes) -> None:
            self._bus.publish(topics[what], payload)

        return say

    def require_room(self, client: str) -> None:
        """Raises Unavailable where too many transfers are open, and InvalidParams for clients without topics."""
        if "/" in client:
            raise InvalidParams("Transfers need topics; over a websocket, use HTTP")
        if len(self._incoming) >= MAX_TRANSFERS or len(self._outgoing) >= MAX_TRANSFERS:
            raise Unavailable("Too many file transfers are open")

    def upload(self, number: str, client: str) -> Incoming:
        """An upload of a client; raises NotFound."""
        found = self._incoming.get(number)
        if found is None or found.client != client:
            raise NotFound("No such transfer")
        found.heard = self._loop.time()
        return found

    async def end_upload(self, number: str) -> None:
        """Drops an upload, and its temporary file where that has not become a file."""
        incoming = self._incoming.pop(number, None)
        if incoming is not None:
            await self._settled(incoming)
            await self._disk.run(incoming.upload.close)

    async def end_download(self, number: str, client: str) -> None:
        """Drops a download; raises NotFound."""
        found = self._outgoing.get(number)
        if found is None or found.client != client:
            raise NotFound("No such transfer")
        del self._outgoing[number]
        await self._settled(found)
        await self._disk.run(found.download.close)

    async def _settled(self, transfer: Incoming | Outgoing) -> None:
        transfer.error = transfer.error or Unavailable("The transfer has ended")
        while transfer.busy:
            transfer.news.clear()
            await transfer.news.wait()

    def _on_data(self, topic: str, payload: bytes) -> None:
        client, number = topic.split("/")[-3:-1]
        incoming = self._incoming.get(number)
        if incoming is not None and incoming.client == client and len(payload) > OFFSET_BYTES:
            incoming.heard = self._loop.time()
            incoming.take(payload)
            self._work(incoming)

    def _on_want(self, topic: str, payload: bytes) -> None:
        client, number = topic.split("/")[-3:-1]
        outgoing = self._outgoing.get(number)
        if outgoing is None or outgoing.client != client:
            return
        outgoing.heard = self._loop.time()
        try:
            outgoing.want(files.Want.model_validate(loads(payload)))
        except (BusError, ValidationError):
            return outgoing.fail(InvalidParams("Expected start and end"))
        self._work(outgoing)

    def _work(self, transfer: Incoming | Outgoing) -> None:
        if self._tasks is not None and not transfer.busy and transfer.waiting:
            transfer.busy = True
            self._tasks.create_task(self._run(transfer), name=f"filestore: transfer of {transfer.client}")

    async def _run(self, transfer: Incoming | Outgoing) -> None:
        try:
            await transfer.write(self._disk)
        finally:
            transfer.busy = False
            transfer.news.set()

    def _sweep(self) -> None:
        late = self._loop.time() - IDLE_SECONDS
        for number, incoming in list(self._incoming.items()):
            if incoming.heard < late and not incoming.busy and self._tasks is not None:
                incoming.fail(Timeout("Nothing was heard of the client for too long"))
                self._tasks.create_task(self.end_upload(number), name="filestore: late upload")
        for number, outgoing in list(self._outgoing.items()):
            if outgoing.heard < late and not outgoing.busy and self._tasks is not None:
                self._tasks.create_task(self.end_download(number, outgoing.client), name="filestore: late download")

    def _report(self) -> None:
        """Shows how far uploads are, when that has changed."""
        shown = [{**each.about, "received": each.upload.received} for each in self._incoming.values()]
        if shown != self._shown:
            self._shown = shown
            topic = self._bus.topics.state(files.OWNER, "uploads")
            self._bus.publish(topic, dumps({"uploads": shown}), retain=True)

    def _close_all(self) -> None:
        for incoming in self._incoming.values():
            incoming.upload.close()
        for outgoing in self._outgoing.values():
            outgoing.download.close()
