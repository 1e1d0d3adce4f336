"""All transfers over topics: whose they are, how much room they share, which of them go on and which are given up."""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from secrets import token_hex
from typing import Any

from pydantic import ValidationError

from bus.agent import Bus, Call, Connection
from bus.envelope import dumps, loads
from bus.errors import BusError, Conflict, Forbidden, InvalidParams, NotFound, Timeout, Unavailable
from schemas import files

from .chunks import AHEAD_BYTES, OFFSET_BYTES, WINDOW, Incoming, Outgoing, Owner, Say, Transfer
from .disk import Disk
from .roots import Location
from .transfer import Download, Upload

MAX_TRANSFERS = 64  # of either kind; one more is refused, to a bridge where so many are its own
MAX_OF_CLIENT = 8  # of either kind
IDLE_SECONDS = 60.0  # without a sign of the client, until a transfer is given up
PROGRESS_SECONDS = 0.5  # between two reports of uploads under way
KEY_DIGITS = 32
UPLINK = "uplink."  # what ids of clients of other brokers begin with


def owner_of(call: Call) -> Owner:
    """Whose a transfer is that a call begins."""
    return call.client, call.actor.user


def resumption_key(call: Call, asked: files.UploadParams) -> str | None:
    """By what the same upload is known when it is asked for again; None where its content is not known beforehand."""
    if asked.size is None or asked.checksum is None:
        return None
    said = [*owner_of(call), asked.root, asked.path, asked.filename, asked.size, asked.checksum.strip().lower()]
    return hashlib.sha256(dumps(said)).hexdigest()[:KEY_DIGITS]


def _require_topics(call: Call) -> None:
    """Raises InvalidParams and Forbidden for clients without topics here."""
    if "/" in call.client:
        raise InvalidParams("Transfers need topics; over a websocket, use HTTP")
    if call.client.startswith(UPLINK):
        raise Forbidden("Files go through the printer's own broker only")


def _require_room(call: Call, opened: Collection[Transfer]) -> None:
    """Raises Unavailable where too many transfers of a kind are open; a bridge opens them for many."""
    own = sum(each.client == call.client for each in opened)
    many = call.actor.transport == "http"
    if own >= (MAX_TRANSFERS if many else MAX_OF_CLIENT) or (len(opened) >= MAX_TRANSFERS and not many):
        raise Unavailable("Too many file transfers are open")


class Transfers:
    """All transfers of the agent, by id."""

    def __init__(self, bus: Bus, disk: Disk) -> None:
        self._bus = bus
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self._incoming: dict[str, Incoming] = {}
        self._outgoing: dict[str, Outgoing] = {}
        self._opening = asyncio.Lock()
        self._open = asyncio.Event()  # whether there are any
        self._shown: list[dict[str, Any]] = []
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serves transfers until cancelled, then gives all up."""
        topics = self._bus.topics
        self._bus.subscribe(topics.upload_data("+", "+"), self._on_data)
        self._bus.subscribe(topics.download_want("+", "+"), self._on_want)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    await self._open.wait()
                    await asyncio.sleep(PROGRESS_SECONDS)
                    self._sweep()
                    self._report()
        finally:
            self._tasks = None
            for transfer in (*self._incoming.values(), *self._outgoing.values()):
                transfer.fail(Unavailable("The file manager has stopped"))
            await self._disk.run(self._close_all)

    async def open_upload(self, call: Call, asked: files.UploadParams, near: Location, limit: int) -> dict[str, Any]:
        """Begins to receive, or goes on; what the client must know. Raises TooLarge and OutOfSpace."""
        owner, key = owner_of(call), resumption_key(call, asked)
        async with self._opening:
            number = await self._resumed(key) if key else None
            if number is None:
                _require_topics(call)
                _require_room(call, self._incoming.values())
                upload = await self._disk.run(Upload, near, size=asked.size, limit=limit, key=key)
                number = token_hex(8)
                say = self._speaker(self._upload_topics(owner[0], number))
                self._incoming[number] = Incoming(owner, say, asked, self._loop.time(), upload, key)
                self._open.set()
        incoming = self._incoming[number]
        incoming.grant(self._ahead())
        names = self._upload_topics(owner[0], number)
        return {"id": number, **names, "chunk": incoming.chunk, "start": incoming.arrived, "end": incoming.granted}

    async def _resumed(self, key: str) -> str | None:
        """The upload that a call continues; one that has failed is dropped first."""
        for number, incoming in list(self._incoming.items()):
            if incoming.key == key:
                incoming.heard = self._loop.time()
                if incoming.error is None:
                    return number
                await self.end_upload(number)
        return None

    async def open_download(self, call: Call, opening: Callable[[], Awaitable[Download]], chunk: int) -> dict[str, Any]:
        """Begins to serve; what the client must know. Raises what opening the file raises."""
        owner = owner_of(call)
        _require_topics(call)
        opened = await opening()
        try:
            _require_room(call, self._outgoing.values())
        except Unavailable:
            await self._disk.run(opened.close)
            raise
        number = token_hex(8)
        names = self._download_topics(owner[0], number)
        outgoing = Outgoing(owner, self._speaker(names), chunk, self._loop.time(), opened)
        self._outgoing[number] = outgoing
        self._open.set()
        sharing = sum(each.client == outgoing.client for each in self._outgoing.values())
        window = max(outgoing.chunk, min(WINDOW * outgoing.chunk, AHEAD_BYTES // sharing))
        about = {"size": opened.size, "modified": opened.modified}
        return {"id": number, **names, "chunk": outgoing.chunk, "window": window, **about}

    def _upload_topics(self, *whose: str) -> dict[str, str]:
        names = self._bus.topics
        return {
            "data": names.upload_data(*whose),
            "want": names.upload_want(*whose),
            "failed": names.upload_failed(*whose),
        }

    def _download_topics(self, *whose: str) -> dict[str, str]:
        names = self._bus.topics
        return {
            "data": names.download_data(*whose),
            "want": names.download_want(*whose),
            "failed": names.download_failed(*whose),
        }

    def _speaker(self, topics: dict[str, str]) -> Say:
        def say(what: str, payload: bytes) -> None:
            self._bus.publish(topics[what], payload)

        return say

    def _ahead(self) -> int:
        return AHEAD_BYTES // max(1, len(self._incoming))

    def take_upload(self, number: str, call: Call) -> Incoming:
        """An upload of a client, to end it: that is done once. Raises NotFound and Conflict."""
        found = self._incoming.get(number)
        if found is None or found.owner != owner_of(call):
            raise NotFound("No such transfer")
        if found.ending:
            raise Conflict("The upload is being finished")
        found.ending = True
        return found

    async def end_upload(self, number: str, *, keep: bool = False) -> None:
        """Drops an upload, and its temporary file unless that has become a file; with `keep`, or can be continued."""
        incoming = self._incoming.pop(number, None)
        if incoming is not None:
            await self._settled(incoming)
            await self._disk.run(incoming.upload.leave if keep and incoming.key else incoming.upload.close)

    def _download(self, number: str, owner: Owner) -> Outgoing:
        found = self._outgoing.get(number)
        if found is None or found.owner != owner:
            raise NotFound("No such transfer")
        found.heard = self._loop.time()
        return found

    async def checksum(self, number: str, call: Call) -> str:
        """Of the whole file of a download; raises NotFound and Conflict."""
        found = self._download(number, owner_of(call))
        await self._idle(found)
        found.busy = True
        try:
            return await self._disk.run(found.download.checksum)
        finally:
            found.busy = False
            found.heard = self._loop.time()
            found.news.set()

    async def end_download(self, number: str, owner: Owner) -> None:
        """Drops a download; raises NotFound."""
        self._download(number, owner)
        await self._drop(number)

    async def _drop(self, number: str) -> None:
        found = self._outgoing.pop(number, None)
        if found is not None:
            await self._settled(found)
            await self._disk.run(found.download.close)

    # -- what happens to connections

    def identified(self, connection: Connection) -> None:
        """It does not matter who they are."""

    def answered(self, connection: Connection, answer: Mapping[str, Any]) -> None:
        """Nothing is asked of them."""

    def left(self, connection: Connection) -> None:
        """Downloads end soon after their client; uploads wait for it to come back."""
        for outgoing in self._outgoing.values():
            if outgoing.client == connection.client:
                outgoing.heard = -math.inf

    # -- what goes on

    async def _settled(self, transfer: Incoming | Outgoing) -> None:
        transfer.error = transfer.error or Unavailable("The transfer has ended")
        await self._idle(transfer)

    async def _idle(self, transfer: Incoming | Outgoing) -> None:
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
            await transfer.write(self._disk, self._ahead)
        finally:
            transfer.busy = False
            transfer.news.set()

    def _sweep(self) -> None:
        late = self._loop.time() - IDLE_SECONDS
        for number, incoming in list(self._incoming.items()):
            if incoming.heard < late and not incoming.busy and not incoming.ending and self._tasks is not None:
                incoming.fail(Timeout("Nothing was heard of the client for too long"))
                ending = self.end_upload(number, keep=True)
                self._tasks.create_task(ending, name="filestore: late upload")
        for number, outgoing in self._outgoing.items():
            if outgoing.heard < late and not outgoing.busy and self._tasks is not None:
                self._tasks.create_task(self._drop(number), name="filestore: late download")
        if not self._incoming and not self._outgoing:
            self._open.clear()

    def _report(self) -> None:
        """Shows how far uploads are, when that has changed."""
        shown = [each.shown() for each in self._incoming.values()]
        if shown != self._shown:
            self._shown = shown
            topic = self._bus.topics.state(files.OWNER, "uploads")
            self._bus.publish(topic, dumps({"uploads": shown}), retain=True)

    def _close_all(self) -> None:
        for incoming in self._incoming.values():
            if not incoming.ending:  # else whoever ends it does that
                incoming.upload.leave() if incoming.key else incoming.upload.close()
        for outgoing in self._outgoing.values():
            outgoing.download.close()
