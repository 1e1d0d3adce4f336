"""Pictures are those of their file, whatever many clients do at once."""

import asyncio
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bus.errors import BusError
from schemas import files
from tests.conftest import Run
from tests.file_agent import FileAgent, serving
from tests.unit.agents.filestore.metadata.pictures import Colour, colour_of
from tests.unit.agents.filestore.test_pictures import CURA, archive, plain, sliced, task

ROUNDS = 40
AT_A_TIME = 4


class Clients:
    """Many, who upload, move, copy, delete and scan files of a few names."""

    NAMES = ("a", "b", "sub/c")

    def __init__(self, server: FileAgent, chance: random.Random) -> None:
        self.server, self.chance = server, chance
        self.colours: Iterator[Colour] = ((number % 256, number // 256, 77) for number in count(1))

    def act(self) -> "asyncio.Future[Any]":
        """Something that may fail."""
        name, other = (f"{self.chance.choice(self.NAMES)}.gcode" for _ in range(2))
        match self.chance.choice(("upload", "upload", "archive", "plain", "move", "move", "copy", "delete", "scan")):
            case "upload":
                content = sliced(next(self.colours), self.chance.choice((48, 64)))
                return task(self.server.upload(name, content))
            case "archive":
                return task(self.server.upload(name.replace(".gcode", ".ufp"), archive(next(self.colours))))
            case "plain":
                return task(self.server.upload(name, plain(next(self.colours))))
            case "move":
                return self.server.send(files.MOVE, source=f"gcodes/{name}", dest=f"gcodes/{other}")
            case "copy":
                return self.server.send(files.COPY, source=f"gcodes/{name}", dest=f"gcodes/{other}")
            case "delete":
                return self.server.send(files.DELETE_FILE, path=f"gcodes/{name}")
        return self.server.send(files.METASCAN, filename=name)

    async def check(self) -> None:
        """Each file has its own pictures and metadata, and there are no other pictures."""
        listed = set()
        for each in await self.server.ask(files.LIST):
            path = self.server.gcodes / each["path"]
            said, *rest = path.read_text().splitlines()
            known = await self.server.ask(files.METADATA, filename=each["path"])
            assert known["size"] == path.stat().st_size
            found = known.get("thumbnails", [])
            for thumbnail in found:
                place = path.parent / thumbnail["relative_path"]
                assert (f"; {colour_of(place)}", place.stat().st_size) == (said, thumbnail["size"])
                listed.add(place)
            assert len(found) == 2 or f"{rest[0]}\n" == CURA  # with a picture of its own, if it came as an archive
        assert set(self.server.gcodes.rglob("*.png")) == listed
        assert not [path for path in self.server.gcodes.rglob("*") if path.name.startswith(".printbus-")]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("observe", [False, True])
def test_every_file_has_its_own_pictures_whatever_happens_at_once(
    tmp_path: Path, run: Run[None], seed: int, observe: bool
) -> None:
    (tmp_path / "gcodes" / "sub").mkdir(parents=True)

    async def scenario() -> None:
        async with serving(tmp_path, observe=observe) as server:
            clients = Clients(server, random.Random(seed))  # noqa: S311 - a seed to repeat it with
            for _ in range(ROUNDS // AT_A_TIME):
                acts = [clients.act() for _ in range(AT_A_TIME)]
                async with asyncio.timeout(60):
                    for outcome in await asyncio.gather(*acts, return_exceptions=True):
                        assert not isinstance(outcome, BaseException) or isinstance(outcome, BusError), outcome
                await clients.check()

    run(scenario())
