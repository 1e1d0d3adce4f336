"""The file of the stores: whole or not at all."""

import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.datastore.storage import LARGEST, VERSION, Storage

CONTENT: dict[str, Any] = {"sampled": 5.5, "sensors": {"x": {"temperature": [1, -2, 0]}}, "console": []}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "store")
    assert storage.read() is None
    storage.write({"first": 1})
    storage.write(CONTENT)
    assert storage.read() == {"version": VERSION, **CONTENT}
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_damaged_file_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "store")
    storage.write(CONTENT)
    whole = storage.path.read_bytes()
    for end in range(len(whole)):
        storage.path.write_bytes(whole[:end])
        with pytest.raises(ValueError):
            storage.read()
    for place in range(len(whole)):
        storage.path.write_bytes(whole[:place] + bytes((whole[place] ^ 0x10,)) + whole[place + 1 :])
        try:
            assert storage.read() == {"version": VERSION, **CONTENT}
        except ValueError:
            continue


@pytest.mark.parametrize("content", [[], {"version": VERSION + 1}, {}, "text"])
def test_another_version_is_refused(tmp_path: Path, content: Any) -> None:
    storage = Storage(tmp_path / "store")
    storage.path.write_bytes(zlib.compress(orjson.dumps(content)))
    with pytest.raises(ValueError, match="version"):
        storage.read()


def test_a_file_that_would_grow_without_end_is_refused(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "store")
    storage.path.write_bytes(zlib.compress(b" " * (LARGEST + 1)))
    with pytest.raises(ValueError, match="too large"):
        storage.read()
