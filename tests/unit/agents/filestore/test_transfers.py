"""Whose transfers are, and what becomes of those whose client is silent."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from agents.filestore.disk import Disk
from agents.filestore.roots import Location, Roots
from agents.filestore.transfer import Download
from agents.filestore.transfers import IDLE_SECONDS, MAX_OF_CLIENT, MAX_TRANSFERS, PROGRESS_SECONDS, Transfers
from bus.agent import Actor, Call, Connection
from bus.errors import BusError, Conflict, Forbidden, InvalidParams, NotFound, Unavailable
from schemas.files import UPLOAD_OPEN, UploadParams
from tests.agent_bus import RecordingBus
from tests.conftest import Run

CONTENT = os.urandom(5000)
ASKED = UploadParams(filename="x.gcode", size=5000, checksum=sha256(CONTENT).hexdigest(), chunk=1024)
UNKNOWN = UploadParams(filename="x.gcode")  # what cannot be continued
LIMIT = 1 << 20
BROWSER = Call(UPLOAD_OPEN, None, Actor(None, "http", "10.0.0.7"), client="bridge")


def call(client: str, user: str | None = None) -> Call:
    return Call(UPLOAD_OPEN, None, Actor(user, "mqtt", client), client=client)


class Place:
    """Transfers of one root, and the bus that they are on."""

    def __init__(self, folder: Path) -> None:
        self.bus, self.disk, self.roots, self.folder = RecordingBus(folder), Disk(), Roots(), folder
        self.transfers = Transfers(self.bus, self.disk)
        self.near = Location(self.roots.add("gcodes", folder, writable=True), "x.gcode")

    async def open(self, whose: Call, asked: UploadParams = ASKED) -> tuple[str, int]:
        found = await self.transfers.open_upload(whose, asked, self.near, LIMIT)
        return found["id"], found["start"]

    async def download(self, whose: Call) -> str:
        async def opening() -> Download:
            return await self.disk.run(Download, self.roots, self.near)

        return str((await self.transfers.open_download(whose, opening, 1024))["id"])

    def parts(self) -> list[int]:
        return sorted(path.stat().st_size for path in self.folder.iterdir())

    def send(self, client: str, number: str, start: int, part: bytes) -> None:
        handler = self.bus.handlers[self.bus.topics.upload_data("+", "+")]
        handler(self.bus.topics.upload_data(client, number), start.to_bytes(8) + part)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Place]:
    place = Place(folder)
    running = asyncio.create_task(place.transfers.run(), name="transfers")
    await asyncio.sleep(0)
    try:
        yield place
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        place.disk.close()
        place.roots.close()


@pytest.mark.parametrize(("client", "error"), [("bridge/7", InvalidParams), ("uplink.farm.desk", Forbidden)])
def test_clients_without_topics_here_are_refused(
    tmp_path: Path, run: Run[None], client: str, error: type[BusError]
) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as place:
            with pytest.raises(error):
                await place.open(call(client))
        assert not place.parts()

    run(scenario())


def test_it_goes_on_for_the_same_client_and_user_only(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as place:
            number, _ = await place.open(call("desk", "ann"))
            others = {(await place.open(call(*who)))[0] for who in (("desk", None), ("desk", "bob"), ("lamp", "ann"))}
            assert number not in others and len(others) == 3
            assert (await place.open(call("desk", "ann")))[0] == number
            with pytest.raises(NotFound):
                place.transfers.take_upload(number, call("desk", "bob"))
            place.transfers.take_upload(number, call("desk", "ann"))
            with pytest.raises(Conflict):
                place.transfers.take_upload(number, call("desk", "ann"))

    run(scenario())


def test_a_silent_client_finds_what_it_has_sent(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as place:
            known, _ = await place.open(call("desk"))
            unknown, _ = await place.open(call("desk"), UploadParams(filename="x.gcode", chunk=1024))
            for number in (known, unknown):
                place.send("desk", number, 0, CONTENT[:1000])
            async with asyncio.timeout(10):
                while place.parts() != [1000, 1000]:  # noqa: ASYNC110 - threads write
                    await asyncio.sleep(0.01)
                for transfer in place.transfers._incoming.values():
                    transfer.heard -= IDLE_SECONDS
                while len(place.parts()) > 1:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(PROGRESS_SECONDS / 4)
            told = [
                topic for topic, payload, _ in place.bus.published if topic.endswith("/failed") and b"504" in payload
            ]
            assert sorted(told) == sorted(place.bus.topics.upload_failed("desk", each) for each in (known, unknown))
            again, start = await place.open(call("desk"))
            assert again != known and start == 1000
        assert place.parts() == [1000]  # the program may come back, too

    run(scenario())


def test_a_client_has_room_for_a_few_and_never_that_of_others(tmp_path: Path, run: Run[None]) -> None:
    (tmp_path / "x.gcode").write_bytes(CONTENT)

    async def scenario() -> None:
        async with serving(tmp_path) as place:
            for number in range(MAX_TRANSFERS // MAX_OF_CLIENT):
                for _ in range(MAX_OF_CLIENT):
                    await place.open(call(f"desk{number}"), UNKNOWN)
                with pytest.raises(Unavailable):
                    await place.open(call(f"desk{number}"), UNKNOWN)
            with pytest.raises(Unavailable):
                await place.open(call("lamp"), UNKNOWN)
            await place.download(call("desk0"))
            for _ in range(MAX_TRANSFERS):
                await place.open(BROWSER, UNKNOWN)
            with pytest.raises(Unavailable):
                await place.open(BROWSER, UNKNOWN)

    run(scenario())


def test_the_downloads_of_a_client_go_with_it(tmp_path: Path, run: Run[None]) -> None:
    (tmp_path / "x.gcode").write_bytes(CONTENT)

    async def scenario() -> None:
        async with serving(tmp_path) as place:
            for client in ("desk", "lamp"):
                await place.open(call(client))
                await asyncio.gather(*(place.download(call(client)) for _ in range(MAX_OF_CLIENT)))
            refused = await asyncio.gather(*(place.download(call("desk")) for _ in range(2)), return_exceptions=True)
            assert [type(each) for each in refused] == [Unavailable] * 2
            place.transfers.left(Connection(1, "desk", call("desk").actor))
            async with asyncio.timeout(10):
                while len(place.transfers._outgoing) > MAX_OF_CLIENT:  # noqa: ASYNC110 - a sweep, which tells nobody
                    await asyncio.sleep(PROGRESS_SECONDS / 4)
            await place.download(call("desk"))
            assert len(place.transfers._incoming) == 2

    run(scenario())
