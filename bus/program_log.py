"""The program's own log, on standard error and in logs/moonraker.log: off the loop, bounded, without secrets."""

import logging
import platform
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from logging.handlers import QueueHandler, RotatingFileHandler
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from types import TracebackType
from typing import Any, Self, TextIO

from .addresses import HIDDEN
from .clock import SYSTEM, Clock

log = logging.getLogger(__name__)

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
FILE = Path("logs", "moonraker.log")  # in the data folder; front ends offer it under this name
FILE_BYTES = 2 << 20  # of one file; it and the older ones are all that there is
OLD_FILES = 4
WAITING = 2000  # lines on their way to a slow disk or reader; further ones are lost, and counted
STOP_SECONDS = 2.0  # for what still waits when the program ends
MINUTE = 60.0
BYTES_PER_MINUTE = 128 << 10  # that the file takes: a flood of lines must not wear out an SD card

ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
SECRETS = re.compile(
    r"""(?ix) ( (?: passw(?:or)?d | secret | token | api_?key ) (?: ["']? = ["']? | ["']: \s* ["'] ) ) [^\s"'&,;]+"""
)
BEARER = re.compile(r"(?i)\b(bearer )\S+")
USER_INFO = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")


def without_secrets(text: str) -> str:
    """The text with the values of passwords, tokens and keys taken out."""
    for pattern in (SECRETS, BEARER, USER_INFO):
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


class Formatter(logging.Formatter):
    """One line per record, and its traceback: what others have sent can neither add lines nor move the cursor."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Without the traceback, whose line breaks are ours."""
        return super().formatMessage(record).replace("\n", "\\n")

    def format(self, record: logging.LogRecord) -> str:
        """The whole text."""
        return without_secrets(super().format(record).translate(ESCAPES))


class _Queue(QueueHandler):
    """Formats at once and never waits: a record is text from here on."""

    def __init__(self, queue: "Queue[Any]") -> None:
        super().__init__(queue)
        self.setFormatter(Formatter())
        self._lost = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Hands the text on, or counts it as lost."""
        if self._lost:
            record.msg = f"({self._lost} lines were lost here)\n{record.msg}"
        try:
            self.queue.put_nowait(record)
        except Full:
            self._lost += 1
        else:
            self._lost = 0


class _File(RotatingFileHandler):
    """The file, which begins with what it is about; what cannot be written is lost."""

    def __init__(self, path: Path, header: str, clock: Clock) -> None:
        self._header = header
        self._clock = clock
        self._since = clock.monotonic()
        self._bytes = self._skipped = 0
        super().__init__(
            path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8", errors="backslashreplace", delay=True
        )

    def _open(self) -> Any:
        stream = super()._open()
        stream.write(self._header)
        stream.flush()
        return stream

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record, unless this minute has had its share."""
        now = self._clock.monotonic()
        if now - self._since >= MINUTE:
            self._since, self._bytes = now, 0
            if self._skipped:
                record.msg = f"({self._skipped} lines are not in this file: there were too many)\n{record.msg}"
            self._skipped = 0
        self._bytes += len(record.msg)
        if self._bytes > BYTES_PER_MINUTE:
            self._skipped += 1
        else:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk is no reason to say so once a line; standard error has everything."""

    def roll(self) -> None:
        """Begins a new file; raises OSError."""
        self.acquire()
        try:
            self.doRollover()
            self.stream = self._open()
        finally:
            self.release()


class ProgramLog:
    """Takes over the root logger while it is entered; `about` are lines with which each file begins."""

    def __init__(
        self, data: Path, about: Sequence[str] = (), *, stderr: TextIO = sys.stderr, clock: Clock = SYSTEM
    ) -> None:
        self.path = data / FILE
        header = "".join(f"{line}\n" for line in ("---- printbus ----", *map(without_secrets, about)))
        self._stderr = logging.StreamHandler(stderr)
        self._file = _File(self.path, header, clock)
        self._before: list[logging.Handler] = []
        self._queue: Queue[Any] = Queue(WAITING)
        self._writer = Thread(target=self._write, name="program log", daemon=True)

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before, root.handlers = root.handlers, [_Queue(self._queue)]
        self._writer.start()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
        except OSError as error:
            log.warning("nothing can be written to %s: %s", self.path, error.strerror)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().handlers = self._before
        with suppress(Full):
            self._queue.put(None, timeout=STOP_SECONDS)
            self._writer.join(STOP_SECONDS)
        self._file.close()

    def roll(self) -> None:
        """Begins a new file; raises OSError. Not for the loop."""
        self._file.roll()

    def flush(self) -> None:
        """Waits until everything that was said is written."""
        self._queue.join()

    def _write(self) -> None:
        while (record := self._queue.get()) is not None:
            self._stderr.emit(record)
            self._file.handle(record)
            self._queue.task_done()


def machine() -> str:
    """What the program runs on, for the head of its log."""
    return f"Python {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}"
