"""The console's lines: order, bounds, count."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.datastore import console
from agents.datastore.agent import DAMAGED
from agents.datastore.console import ConsoleLog


def texts(log: ConsoleLog, count: int | None = None) -> list[str]:
    return [text for _, _, text in log.newest(count)]


def filled(size: int, count: int) -> ConsoleLog:
    log = ConsoleLog(size)
    for number in range(count):
        log.add(float(number), "response", str(number))
    return log


@given(st.integers(0, 8), st.integers(0, 20), st.none() | st.integers(0, 12))
def test_the_newest_lines_are_kept(size: int, added: int, count: int | None) -> None:
    kept = [str(number) for number in range(added)][max(added - size, 0) :]
    assert texts(filled(size, added), count) == (kept if count is None else kept[max(len(kept) - count, 0) :])


def test_long_lines_are_cut_and_many_of_them_push_the_oldest_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "MAX_LINE", 10)
    monkeypatch.setattr(console, "MAX_TEXT", 25)
    log = ConsoleLog(100)
    for letter in "abc":
        log.add(0.0, "response", letter * 12)
    assert texts(log) == ["b" * 10, "c" * 10]


def test_what_was_saved_goes_before_what_has_come_meanwhile() -> None:
    log = filled(4, 2)
    log.restore([(-3.0, "command", "G28"), (-2.0, "response", "ok"), (-1.0, "response", "done")])
    assert list(log.newest()) == [
        (-2.0, "response", "ok"),
        (-1.0, "response", "done"),
        (0.0, "response", "0"),
        (1.0, "response", "1"),
    ]


@pytest.mark.parametrize("lines", [5, [5], [["now", "command", "x"]], [[1.0, "command"]]])
def test_what_cannot_have_been_saved_is_refused(lines: Any) -> None:
    with pytest.raises(DAMAGED):
        ConsoleLog(5).restore(lines)
