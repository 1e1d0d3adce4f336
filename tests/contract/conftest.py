"""Says at the end which kinds of broker the contract could not be held to, because they are not installed."""

from collections.abc import Callable
from typing import Protocol

from tests.foreign_brokers import MISSING


class Terminal(Protocol):
    """The part of pytest's terminal that is used."""

    section: Callable[[str], None]
    line: Callable[[str], None]


def pytest_terminal_summary(terminalreporter: Terminal) -> None:
    """Lists them."""
    if MISSING:
        terminalreporter.section("not installed, so uplinks to them were not tried")
        terminalreporter.line(", ".join(MISSING))
