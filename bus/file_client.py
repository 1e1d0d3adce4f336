"""Files to and from a printer over its broker: the client's half of transfers, whose contents are files here."""

import asyncio
import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID, uuid4, uuid5

from schemas.files import DOWNLOAD_CHECKSUM, DOWNLOAD_CLOSE, DOWNLOAD_OPEN, UPLOAD_COMMIT, UPLOAD_OPEN

from .calls import CallFailed
from .client import LinkLost
from .config import ConfigError
from .courier import Line, Watcher, beside
from .envelope import dumps, loads
from .errors import BusError, Conflict, Unprocessable

CHUNK = 256 << 10  # bytes
OFFSET_BYTES = 8
QUIET_SECONDS = 10.0  # without the other side wanting or sending anything, until it is asked anew
COMMITS = UUID("5b1c6f0e-6a0f-4b64-9a53-0d8f1b8d3a52")  # namespace of the ids by which repeated commits are known


class Transfer:
    """One file on its way, whatever happens to the link; `done` bytes have arrived."""

    def __init__(self, watcher: Watcher) -> None:
        self.done = 0
        self.begun = False
        self._watcher = watcher
        self._error: BusError | None = None
        self._news = asyncio.Event()

    def _told(self, what: str, payload: bytes) -> None:
        if what == "failed":
            self._error = CallFailed(loads(payload))
        else:
            self._take(payload)
        self._news.set()

    def _take(self, payload: bytes) -> None:
        raise NotImplementedError

    async def _hear(self) -> None:
        """Waits until something was said; raises what has ended the transfer."""
        self._news.clear()
        if self._error is None:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                raise LinkLost("nothing is heard of the transfer") from None
        if self._error is not None:
            raise self._error

    def _progress(self, done: int, size: int) -> None:
        self.done = max(self.done, done)
        self._watcher.at(done, size)


class Put(Transfer):
    """A file that goes to `root/path/name` of the printer."""

    def __init__(self, source: Path, target: PurePosixPath, watcher: Watcher, *, start_print: bool = False) -> None:
        super().__init__(watcher)
        self._source = source
        self._print = start_print
        self._size = source.stat().st_size
        self._where = {"root": target.parts[0], "path": "/".join(target.parts[1:-1]), "filename": target.name}
        self._checksum = ""
        self._at = self._end = 0
        self._sent = asyncio.Event()

    async def carry(self, line: Line) -> Any:
        """What the printer says about the new file."""
        self._checksum = self._checksum or await asyncio.to_thread(_checksum, self._source)
        asked = {**self._where, "size": self._size, "checksum": self._checksum, "chunk": CHUNK}
        self._error = None
        opened = await line.ask(UPLOAD_OPEN.name, asked)
        line.follow(opened["id"], self._told)
        self.begun = True
        self._at, self._end = opened["start"], opened["end"]
        self._sent.clear()
        return await beside(self._commit(line, opened["id"]), self._send(line, opened["data"], opened["chunk"]))

    async def _commit(self, line: Line, number: str) -> Any:
        await self._sent.wait()
        what = {"id": number, **self._where, "size": self._size, "checksum": self._checksum, "print": self._print}
        return await line.finish(UPLOAD_COMMIT.name, what, str(uuid5(COMMITS, number)))

    async def _send(self, line: Line, topic: str, chunk: int) -> None:
        with self._source.open("rb") as file:
            while True:
                while self._at < min(self._end, self._size):
                    at, length = self._at, min(chunk, self._end - self._at)
                    part = await asyncio.to_thread(os.pread, file.fileno(), length, at)
                    if not part:
                        raise Conflict("The file has become shorter meanwhile")
                    await line.say(topic, at.to_bytes(OFFSET_BYTES) + part)
                    if self._at == at:  # it has not been told to go back
                        self._at += len(part)
                    self._progress(self._at, self._size)
                if self._at == self._size:
                    self._sent.set()
                    self._news.clear()
                    await self._news.wait()
                else:
                    await self._hear()

    def _take(self, payload: bytes) -> None:
        wanted = loads(payload)
        self._end = wanted["end"]
        if wanted.get("start") is not None:
            self._at = wanted["start"]


class Get(Transfer):
    """The printer's file `path` (with its root), which becomes the file `target` here."""

    def __init__(self, path: str, target: Path, watcher: Watcher) -> None:
        """Raises ConfigError for a target that is no file."""
        super().__init__(watcher)
        if target.exists() and not target.is_file():
            raise ConfigError(f"{target}: this is not a file that could be replaced")
        self._path = path
        self._target = target
        self._arrived: list[bytes] = []

    async def carry(self, line: Line) -> Any:
        """Size and time of the file."""
        self._error = None
        self._arrived.clear()
        opened = await line.ask(DOWNLOAD_OPEN.name, {"path": self._path, "chunk": CHUNK})
        line.follow(opened["id"], self._told)
        self.begun = True
        part = self._part(opened)
        await self._receive(line, part, opened)
        mine, theirs = await asyncio.gather(
            asyncio.to_thread(_checksum, part),
            line.finish(DOWNLOAD_CHECKSUM.name, {"id": opened["id"]}, str(uuid4())),
        )
        if mine != theirs["checksum"]:
            part.unlink()
            raise Unprocessable("What has arrived is not what the printer has")
        await asyncio.to_thread(_place, part, self._target)
        await line.ask(DOWNLOAD_CLOSE.name, {"id": opened["id"]})
        return {"size": opened["size"], "modified": opened["modified"]}

    def _part(self, opened: dict[str, Any]) -> Path:
        """Where that file arrives, this version of it; what is there of another version is deleted."""
        version = hashlib.sha256(dumps([self._path, opened["size"], opened["modified"]])).hexdigest()[:8]
        part = self._target.with_name(f".{self._target.name}.{version}.part")
        for other in self._target.parent.glob(f".{_literal(self._target.name)}.????????.part"):
            if other != part:
                other.unlink()
        return part

    async def _receive(self, line: Line, part: Path, opened: dict[str, Any]) -> None:
        size, window, topic = opened["size"], opened["window"], opened["want"]
        with part.open("ab") as file:
            at = file.tell()
            if at > size:
                file.truncate(at := 0)
            await line.say(topic, dumps({"start": at, "end": at + window}))
            while at < size:
                self._progress(at, size)
                if not self._arrived:
                    await self._hear()
                came, self._arrived = self._arrived, []
                fresh, lost = _in_order(came, at)
                await asyncio.to_thread(file.writelines, fresh)
                at += sum(map(len, fresh))
                wanted = {"start": at, "end": at + window} if lost else {"end": at + window}
                await line.say(topic, dumps(wanted))
        self._progress(size, size)

    def _take(self, payload: bytes) -> None:
        self._arrived.append(payload)


def _in_order(chunks: list[bytes], at: int) -> tuple[list[memoryview], bool]:
    """What follows a position without a gap, and whether something is missing; what came twice is left out."""
    fresh: list[memoryview] = []
    for chunk in chunks:
        start = int.from_bytes(chunk[:OFFSET_BYTES])
        if start > at:
            return fresh, True
        part = memoryview(chunk)[OFFSET_BYTES + at - start :]
        fresh.append(part)
        at += len(part)
    return fresh, False


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(part: Path, target: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def _literal(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
