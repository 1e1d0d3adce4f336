"""Files of backups: what is in them comes back, and what is not whole, not ours or not there is refused."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.database.backups import HEADER, Backups, differences
from agents.database.chronicle import Namespaces
from bus.errors import InvalidParams, NotFound
from bus.log import StoredEvent

from .test_chronicle import NOBODY, SPACES
from .test_tree import PATHS, VALUES

WRITES = st.lists(st.tuples(SPACES, PATHS, VALUES), max_size=8)


def holding(writes: list[tuple[str, list[str], object]]) -> Namespaces:
    found = Namespaces()
    for namespace, path, value in writes:
        found.put(namespace, path, orjson.dumps(value))
    return found


@given(WRITES, WRITES)
def test_the_facts_of_a_restoration_make_the_one_into_the_other(now: list[object], wanted: list[object]) -> None:
    ours, theirs = holding(now), holding(wanted)  # type: ignore[arg-type]
    facts = [fact for batch in differences(ours, theirs) for fact in batch]
    for number, fact in enumerate(facts, 1):
        ours.apply(StoredEvent(number, 0.0, "database", fact.type, None, fact.data, NOBODY))
    assert ours.state() == theirs.state()
    assert list(differences(ours, theirs)) == []


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    kept = holding([("one", ["a", "b.c"], {"d": [None, "é\n", 1.5]}), ("two", ["x"], 1)])
    backups = Backups(tmp_path / "new" / "folder")
    assert backups.names() == []
    path = backups.write(["mine.db"], kept.pieces())
    assert backups.read("mine.db").state() == kept.state()
    assert (backups.names(), list(path.parent.iterdir())) == (["mine.db"], [path])
    with pytest.raises(InvalidParams, match="already"):
        backups.write(["mine.db"], [])
    assert backups.read("mine.db").state() == kept.state()
    assert backups.delete("mine.db") == path
    with pytest.raises(NotFound):
        backups.delete("mine.db")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: HEADER,
        lambda content: content[:-1],
        lambda content: content[:-70],
        lambda content: content.replace(b"database 1", b"database 2"),
        lambda content: content.replace(b'"x"', b'"y"'),
        lambda content: content + b"\n",
        lambda content: b"SQLite format 3\0" + bytes(4000),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    backups = Backups(tmp_path)
    path = backups.write(["mine.db"], holding([("two", ["x"], 1)]).pieces())
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InvalidParams, match="damaged"):
        backups.read("mine.db")


def test_only_plain_files_of_the_folder_are_backups(tmp_path: Path) -> None:
    (tmp_path / "outside.db").write_bytes(b"")
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "link.db").symlink_to(tmp_path / "outside.db")
    (folder / "folder.db").mkdir()
    (folder / ".mine.db.new").write_bytes(b"")
    backups = Backups(folder)
    assert backups.names() == []
    for name in ("link.db", "folder.db"):
        with pytest.raises(InvalidParams):
            backups.read(name)
        with pytest.raises(NotFound):
            backups.delete(name)
    for name in ("", ".", "..", "../outside.db", "a/b", str(tmp_path / "outside.db"), "a\0b", ".hidden", "x" * 201):
        with pytest.raises(InvalidParams):
            backups.path(name)
