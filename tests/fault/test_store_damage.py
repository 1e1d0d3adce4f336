"""A damaged store of the broker: set aside with a loud report and begun anew, and never a process that dies of it."""

import asyncio
import logging
import os
import random
import shutil
from functools import partial
from pathlib import Path

import pytest

from bus.limits import Limits
from bus.lmdb_store import CLOSED, FILE, LmdbStore
from bus.session_store import map_bytes
from bus.stored_records import RETAINED, key, seal
from tests.brokers import play, running

from .log_trials import DAMAGES

MAP_BYTES = map_bytes(Limits())
TRIALS = 40 if os.environ.get("PRINTBUS_CAMPAIGN") else 3


def filled(folder: Path) -> dict[bytes, bytes]:
    """Make a store of many records, as a killed process leaves it; all records that were ever in it."""
    written: dict[bytes, bytes] = {}
    source, store = random.Random(1), LmdbStore.open(folder, MAP_BYTES)  # noqa: S311
    for start in range(1, 301, 30):
        names = [key(RETAINED, number) for number in range(start, start + 30)]
        contents = [seal(name, ["topic", 1], source.randbytes(source.choice([20, 300, 9000]))) for name in names]
        written.update(zip(names, contents, strict=True))
        store.write({name: partial(written.__getitem__, name) for name in names})
        if start > 100:
            store.write({key(RETAINED, start - 60 + offset): None for offset in range(10)})
    store.close()
    (folder / CLOSED).unlink()
    return written


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_and_set_aside(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    template = tmp_path / "template"
    written = filled(template)
    for seed in range(TRIALS):
        place = shutil.copytree(template, tmp_path / str(seed))
        DAMAGES[kind](place / FILE, random.Random(seed))  # noqa: S311
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            store = LmdbStore.open(place, MAP_BYTES)
        found = dict(store.found)
        aside = list(place.glob("damaged/*.mdb"))
        assert len(aside) == ("BROKER STORE DAMAGED" in caplog.text)
        assert found == {} if aside else found.items() <= written.items()
        store.write({b"r": lambda: seal(b"r", [])})
        store.close()
        again = dict(_found(place))
        assert again == {**found, b"r": seal(b"r", [])}


def _found(folder: Path) -> list[tuple[bytes, bytes]]:
    store = LmdbStore.open(folder, MAP_BYTES)
    store.close()
    return store.found


def test_file_that_was_closed_is_not_checked_by_a_child_but_its_records_are(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, MAP_BYTES)
    store.write({key(RETAINED, 1): lambda: seal(key(RETAINED, 2), ["written under another key"])})
    store.close()
    assert (tmp_path / CLOSED).exists()
    again = LmdbStore.open(tmp_path, MAP_BYTES)
    assert again.found == [] and len(list(tmp_path.glob("damaged/*.mdb"))) == 1
    again.close()


def test_broker_starts_with_a_damaged_store_and_keeps_what_comes(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"rubbish" * 1000)

    async def scenario(topics: int) -> None:
        async with running(folder=tmp_path) as broker:
            assert len(broker.exchange.retained_store) == topics
            client = await broker.client("one")
            await client.publish(f"t/{topics}", b"x", qos=1, retain=True)

    for topics in range(2):
        play(scenario(topics), asyncio.new_event_loop)
