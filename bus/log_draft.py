"""A copy of the event log that takes its place when it is finished: many steps that count together, or not at all."""

import ctypes
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .errors import Unavailable
from .lmdb_log import SEGMENT_BYTES, LmdbLog
from .log_files import WriterLock, make_directory, segment_paths, sync_directory
from .log_tool import log_directory

AT_CWD: Final = -100  # AT_FDCWD: paths are as usual
EXCHANGE: Final = 2  # RENAME_EXCHANGE
OF_A_PROCESS: Final = ("lock", "reserve", "probe.tmp")


class LogDraft:
    """The log of a data folder that nobody writes meanwhile; `log` may be appended to, `finish` makes it the real one.

    Unavailable on entering while another process writes the log. Whatever a crash leaves is removed the next time.
    """

    log: LmdbLog

    def __init__(self, data: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = log_directory(data)
        self._draft = self._directory.with_name("log.draft")
        self._segment_bytes = segment_bytes

    def __enter__(self) -> Self:
        make_directory(self._directory)
        self._lock = WriterLock(self._directory)
        try:
            _copy(self._directory, self._draft)
            self.log = LmdbLog.open(self._draft, segment_bytes=self._segment_bytes, reserve_bytes=0)
        except BaseException:
            self._lock.release()
            raise
        return self

    def finish(self) -> None:
        """Puts the draft where the log is, in one step; raises Unavailable where the file system cannot do that."""
        self.log.close()
        _exchange(self._draft, self._directory)
        sync_directory(self._directory.parent)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.log.close()
        shutil.rmtree(self._draft, ignore_errors=True)
        self._lock.release()


def _copy(log: Path, draft: Path) -> None:
    """Segments that are not written any more are linked, not copied."""
    with suppress(FileNotFoundError):
        shutil.rmtree(draft)
    draft.mkdir()
    last = [path for _, path in segment_paths(log)][-1:]
    for path in log.iterdir():
        if path.is_dir():
            shutil.copytree(path, draft / path.name, copy_function=_link)
        elif path in last:
            shutil.copy2(path, draft / path.name)
        elif path.name not in OF_A_PROCESS and not path.name.endswith("-lock"):
            _link(path, draft / path.name)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _exchange(draft: Path, log: Path) -> None:
    paths = AT_CWD, os.fsencode(draft), AT_CWD, os.fsencode(log)
    try:
        failed = ctypes.CDLL(None, use_errno=True).renameat2(*paths, EXCHANGE)
    except AttributeError:  # a C library without it
        failed = -1
    if failed:
        raise Unavailable(f"{log} cannot be exchanged: {os.strerror(ctypes.get_errno())}")
