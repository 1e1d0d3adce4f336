"""The client's half of file transfers: chunks on topics, and no more of them than the receiver has asked for."""

import asyncio
from collections import deque
from typing import Any

import orjson

from bus.calls import CallFailed, Received, Session
from bus.envelope import dumps
from bus.errors import BusError, Timeout, Unavailable
from bus.topics import Topics
from schemas.files import DOWNLOAD_CLOSE, DOWNLOAD_OPEN, OWNER, UPLOAD_ABORT, UPLOAD_COMMIT, UPLOAD_OPEN

from .commands import Commands

CHUNK = 512 << 10  # bytes
WINDOW = 4  # chunks of a download on their way
PATIENCE = 60.0  # seconds for the disk to take or give the next chunk
OFFSET_BYTES = 8


class Transfer:
    """One transfer; `news` is set whenever something has arrived for it."""

    def __init__(self, opened: dict[str, Any]) -> None:
        self.id: str = opened["id"]
        self.chunk: int = opened["chunk"]
        self.topics: dict[str, str] = {name: opened[name] for name in ("data", "want", "failed")}
        self.error: BusError | None = None
        self._news = asyncio.Event()

    def fail(self, error: BusError) -> None:
        """The other side, or the way there, has failed."""
        self.error = error
        self._news.set()

    def told(self, what: str, payload: bytes) -> None:
        """A message of the agent's."""
        if what == "failed":
            self.fail(CallFailed(orjson.loads(payload)))
        else:
            self._take(payload)
            self._news.set()

    def _take(self, payload: bytes) -> None:
        raise NotImplementedError

    async def _wait(self) -> None:
        """Until something has arrived; raises the error that ends the transfer."""
        if self.error is None:
            self._news.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._news.wait()
            except TimeoutError:
                raise Timeout("The disk does not keep up") from None
        if self.error is not None:
            raise self.error


class Upload(Transfer):
    """Sends contents in chunks, as far as they are wanted."""

    def __init__(self, session: Session, opened: dict[str, Any]) -> None:
        super().__init__(opened)
        self._session = session
        self._parts: deque[memoryview] = deque()
        self._waiting = 0
        self._granted: int = opened["end"]
        self.size = 0  # bytes that were sent

    def add(self, part: memoryview) -> None:
        """Takes a part of the content; `flush` sends it."""
        self._parts.append(part)
        self._waiting += len(part)

    async def flush(self, *, end: bool = False) -> None:
        """Sends whole chunks, at the end all; waits while nothing more is wanted."""
        while self._waiting >= self.chunk or (end and self._waiting):
            length = min(self.chunk, self._waiting)
            while self._granted < self.size + length:
                await self._wait()
            if self.error is not None:
                raise self.error
            chunk = b"".join((self.size.to_bytes(OFFSET_BYTES), *self._cut(length)))
            self._session.publish(self.topics["data"], chunk)
            self.size += length
            self._waiting -= length

    def _cut(self, length: int) -> list[memoryview]:
        """The first parts, of that length together."""
        found: list[memoryview] = []
        while length:
            part = self._parts.popleft()
            if len(part) > length:
                self._parts.appendleft(part[length:])
                part = part[:length]
            found.append(part)
            length -= len(part)
        return found

    def _take(self, payload: bytes) -> None:
        self._granted = orjson.loads(payload)["end"]


class Download(Transfer):
    """Receives contents in chunks; it asks for as much as is taken."""

    def __init__(self, session: Session, opened: dict[str, Any]) -> None:
        super().__init__(opened)
        self._session = session
        self._arrived: deque[bytes] = deque()
        self.name: str = opened["name"]
        self.size: int = opened["size"]
        self.modified: float = opened["modified"]
        self.window = WINDOW * self.chunk

    def want(self, end: int, *, start: int | None = None) -> None:
        """Asks for the bytes up to `end`, from `start` on or from where it is."""
        self._session.publish(self.topics["want"], dumps({"start": start, "end": end}))

    async def next(self) -> memoryview:
        """The next bytes of what was asked for."""
        while not self._arrived:
            await self._wait()
        return memoryview(self._arrived.popleft())[OFFSET_BYTES:]

    def _take(self, payload: bytes) -> None:
        self._arrived.append(payload)


class Transfers:
    """All transfers of this bridge."""

    def __init__(self, session: Session, topics: Topics, client_id: str, commands: Commands) -> None:
        self._session = session
        self._topics = topics
        self._id = client_id
        self._commands = commands
        self._open: dict[str, Transfer] = {}

    def start(self) -> None:
        """Subscribes to what concerns transfers."""
        names, mine = self._topics, (self._id, "+")
        for topic in (names.upload_want(*mine), names.upload_failed(*mine)):
            self._session.subscribe(topic, self._on_message)
        for topic in (names.download_data(*mine), names.download_failed(*mine)):
            self._session.subscribe(topic, self._on_message)
        self._session.subscribe(self._topics.agent(OWNER), self._on_agent)

    def lost(self) -> None:
        """The link to the broker, or the agent, is gone."""
        for transfer in self._open.values():
            transfer.fail(Unavailable("The file manager is gone"))

    async def open_upload(self, actor: bytes, **known: Any) -> Upload:
        """Begins an upload; raises CallFailed."""
        upload = Upload(self._session, await self._call(UPLOAD_OPEN.name, {"chunk": CHUNK, **known}, actor))
        self._open[upload.id] = upload
        return upload

    async def commit(self, actor: bytes, upload: Upload, **what: Any) -> bytes:
        """Makes an upload a file; the answer as JSON. Raises CallFailed."""
        self._open.pop(upload.id, None)
        params = dumps({"id": upload.id, "size": upload.size, **what})
        return await self._commands.run(UPLOAD_COMMIT.name, params, actor)

    async def abort(self, actor: bytes, upload: Upload) -> None:
        """Gives an upload up."""
        self._open.pop(upload.id, None)
        await self._end(UPLOAD_ABORT.name, upload, actor)

    async def open_download(self, actor: bytes, path: str) -> Download:
        """Begins a download; raises CallFailed."""
        opened = await self._call(DOWNLOAD_OPEN.name, {"path": path, "chunk": CHUNK}, actor)
        download = Download(self._session, opened)
        self._open[download.id] = download
        return download

    async def close(self, actor: bytes, download: Download) -> None:
        """Ends a download."""
        self._open.pop(download.id, None)
        await self._end(DOWNLOAD_CLOSE.name, download, actor)

    async def _end(self, method: str, transfer: Transfer, actor: bytes) -> None:
        try:
            await self._call(method, {"id": transfer.id}, actor)
        except BusError:
            return  # it is over already, or its agent is

    async def _call(self, method: str, params: dict[str, Any], actor: bytes) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(await self._commands.run(method, dumps(params), actor))
        return found

    def _on_message(self, message: Received) -> None:
        *_, number, what = message.topic.split("/")
        transfer = self._open.get(number)
        if transfer is not None:
            transfer.told(what, message.payload)

    def _on_agent(self, message: Received) -> None:
        if not message.payload or not orjson.loads(message.payload)["alive"]:
            self.lost()
