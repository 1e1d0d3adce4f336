"""The running program as a whole: how it restarts in place, and on which ports it answers."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .program_log import ProgramLog

log = logging.getLogger(__name__)

PORTS = "PRINTBUS_PORTS"  # environment variable of a process that has restarted: the ports it had, by listener
SIGNALS = "PRINTBUS_SIGNALS"  # likewise: a pipe with the signals that came too late to keep it from restarting
STOPPING = (signal.SIGTERM, signal.SIGINT)
ANSWER_SECONDS = 0.1  # between the request to restart and the end: the answer may still be on its way to another broker


class Stop(asyncio.Event):
    """Ends the program once it is set; made on its loop."""

    def __init__(self) -> None:
        super().__init__()
        self.signalled = False
        self._loop = asyncio.get_running_loop()

    def heed_signals(self) -> None:
        """From here on the system can end the program, for good.

        Not by the loop's own signal handlers: what comes when the loop has just ended is lost with them.
        """
        for number in STOPPING:
            signal.signal(number, self._signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # a restart leaves them blocked
        late = os.environ.pop(SIGNALS, None)
        if late is not None:
            with os.fdopen(int(late), "rb") as pipe:
                noted = pipe.read()
            for number in STOPPING:
                if number in noted:
                    self._signal(number, None)

    def _signal(self, _number: int, _frame: object) -> None:
        self.signalled = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program is ending
            self._loop.call_soon_threadsafe(self.set)


class Program:
    """What a method may do to the program that it runs in; without a log file it has only standard error."""

    def __init__(self, log_file: ProgramLog | None = None) -> None:
        self.log_file = log_file
        self.stop: Stop | None = None
        self.configuration: Callable[[], Mapping[str, Any]] = dict  # what it runs with, as `server.config` shows it
        self.ready = False
        self.restarting = False
        self.ports: dict[str, int] = {}  # that are listened on, by listener

    @property
    def wants_restart(self) -> bool:
        """Whether it is to begin anew once it has ended."""
        return self.restarting and not (self.stop and self.stop.signalled)

    def restart(self) -> None:
        """Ends everything in order and begins anew, shortly after the caller has been answered."""
        if self.restarting or self.stop is None:
            return
        self.restarting = True
        log.info("the server restarts, as it was asked to")
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, self.stop.set)


def leave_threads(status: int) -> None:
    """Ends the process at once where a thread is busy, such as with TLS: it could crash while all is torn down."""
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # closed
                stream.flush()
        os._exit(status)


def run_again(program: Program) -> None:
    """Replaces the process by a fresh one of itself with the same command line, unless it was told to end meanwhile."""
    late, note = os.pipe()
    os.set_blocking(note, False)
    signal.set_wakeup_fd(note)  # notes each signal that is taken, by whatever thread: not all can be told to block them
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until the new program can heed them
    if not program.wants_restart:
        return
    os.set_inheritable(late, True)
    environment = {**os.environ, PORTS: json.dumps(program.ports), SIGNALS: str(late)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - our own command line


def has_restarted() -> bool:
    """Whether this process goes on with what it did before a restart in place."""
    return PORTS in os.environ


def port_for(listener: str, wanted: int) -> int:
    """The port to listen on: where any will do, the one before a restart, so that clients find it again."""
    earlier = json.loads(os.environ.get(PORTS, "{}"))
    return wanted or int(earlier.get(listener, 0))
