"""What all tests share: running coroutines, and a word at the end about what could not be tried."""

import asyncio
import gc
import shutil
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import settings

# A machine that does other things as well is slow at times: examples have no deadline.
settings.register_profile("quick", deadline=None)
settings.register_profile("campaign", deadline=None, max_examples=2000)
settings.load_profile("quick")

# A shell gives its background jobs an ignored SIGINT, which programs that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture
def run() -> Run[Any]:
    """Runs one coroutine on a fresh loop, in debug-free mode, and answers its result."""

    def runner(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    return runner


def pytest_runtest_teardown() -> None:
    """Commands that tests run in this process switch collections off for the short life of a program."""
    gc.enable()


class Terminal(Protocol):
    """The part of pytest's terminal that is used."""

    section: Callable[[str], None]
    line: Callable[[str], None]


def pytest_terminal_summary(terminalreporter: Terminal) -> None:
    """Says to which kinds of broker uplinks could not be tried, and what else could not."""
    from tests import hardware
    from tests.fault.test_log_full_disk import mountable
    from tests.foreign_brokers import MISSING
    from tests.gpio_sim import missing

    if shutil.which("dbus-daemon") is None:
        terminalreporter.section("no dbus-daemon, so services by systemd over D-Bus were not tried")
    if not mountable():
        terminalreporter.section("nothing can be mounted, so small disks and sticks were not tried")
    if reason := missing():
        terminalreporter.section("no simulated GPIO chip, so buttons on pins were not tried")
        terminalreporter.line(reason)
    if lacking := hardware.missing():
        terminalreporter.section("not tried on real devices")
        for what in lacking:
            terminalreporter.line(what)
    if MISSING:
        terminalreporter.section("not installed, so uplinks to them were not tried")
        terminalreporter.line(", ".join(MISSING))
