"""The broker's own store on disk: records in one LMDB file, checked when it is opened, written in whole batches."""

import logging
from collections.abc import Callable, Mapping
from errno import EIO
from pathlib import Path
from typing import Final
from uuid import uuid4

import lmdb
import orjson

from .errors import OutOfSpace, Unavailable
from .lmdb_segment import environment, structure_problem
from .log_check import run_child
from .log_files import FULL, is_full, make_directory, sync_directory, write_durably
from .log_record import DamagedRecord
from .stored_records import unseal

Changes = Mapping[bytes, Callable[[], bytes] | None]
"""Records to write, made when they are written, and None for those to remove."""

FILE: Final = "store.mdb"
CLOSED: Final = "closed.json"
"""Says what the file looked like when it was closed properly; while it is open there is none."""
PROBE_SLACK: Final = 64 << 10

log = logging.getLogger(__name__)


class LmdbStore:
    """Records by key, made by `open`. `found` is what was stored; only one thread may write."""

    def __init__(self, path: Path, map_bytes: int) -> None:
        self._path = path
        self._stopped: str | None = None
        # One process opens it (the event log's lock sees to that), and nobody reads while it is written.
        self._env = environment(path, map_size=map_bytes, lock=False)
        try:
            self.found = _verified(self._env)
        except BaseException:
            self._env.close()
            raise

    @classmethod
    def open(cls, directory: Path, map_bytes: int) -> "LmdbStore":
        """Open or make the store in a directory; a damaged one is set aside, loudly, and an empty one begun.

        Blocks: what was not closed properly is read by a child process first.
        """
        make_directory(directory)
        path, closed = directory / FILE, directory / CLOSED
        problem = None if _was_closed(path, closed) else run_child("store", path, 0).problem
        closed.unlink(missing_ok=True)
        sync_directory(directory)
        if problem is None:
            try:
                return cls(path, map_bytes)
            except (DamagedRecord, ValueError, lmdb.Error) as error:
                problem = str(error)
        _set_aside(path, problem)
        return cls(path, map_bytes)

    def write(self, changes: Changes) -> None:
        """Write a batch durably; OutOfSpace may be tried again, Unavailable says that the store has stopped."""
        if self._stopped:
            raise Unavailable(self._stopped)
        size = 0
        try:
            with self._env.begin(write=True) as txn:
                for key, make in changes.items():
                    if make is None:
                        txn.delete(key)
                    else:
                        record = make()
                        size += len(record)
                        txn.put(key, record)
        except (lmdb.Error, OSError) as error:
            raise self._failure(error, size) from error

    def _failure(self, error: Exception, size: int) -> OutOfSpace | Unavailable:
        if isinstance(error, lmdb.MapFullError):
            return OutOfSpace("the broker's store has reached its largest size")
        code = error.code if isinstance(error, lmdb.Error) else getattr(error, "errno", 0)
        if code in FULL or (code == EIO and is_full(self._path.parent, self._used(), size + PROBE_SLACK)):
            return OutOfSpace("the disk is full: nothing can be added to the broker's store")
        # After a failed fsync nobody knows what is on the disk: a second attempt may succeed without having written.
        self._stopped = f"the broker's store stopped: {error}"
        return Unavailable(self._stopped)

    def _used(self) -> int:
        return int(self._env.info()["last_pgno"] + 1) * int(self._env.stat()["psize"])

    def close(self) -> None:
        """Close, and say so for the next start unless something was amiss."""
        self._env.close()
        if not self._stopped:
            try:
                write_durably(self._path.parent / CLOSED, orjson.dumps(_shape(self._path)))
            except OSError as error:
                log.warning("the broker's store will be checked at the next start: %s", error)


def _verified(env: lmdb.Environment) -> list[tuple[bytes, bytes]]:
    with env.begin() as txn:
        found = [(bytes(key), bytes(record)) for key, record in txn.cursor()]
    for key, record in found:
        unseal(key, record)
    return found


def inspect(path: Path) -> str | None:
    """Read everything and rehearse a write: what is wrong with a file, if that does not kill the process."""
    if not path.exists():
        return None
    if problem := structure_problem(path):
        return problem
    env = environment(path, map_size=2 * path.stat().st_size + (1 << 20), lock=False)
    try:
        _verified(env)
        with env.begin(write=True) as txn:
            txn.put(b"\xff", b"")
            txn.abort()
    except (DamagedRecord, ValueError, lmdb.Error) as error:
        return str(error)
    finally:
        env.close()
    return None


def _shape(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _was_closed(path: Path, closed: Path) -> bool:
    """Whether the file is as it was left, or there is none yet."""
    if not path.exists():
        return True
    try:
        return bool(orjson.loads(closed.read_bytes()) == _shape(path))
    except (OSError, ValueError):
        return False


def _set_aside(path: Path, problem: str) -> None:
    aside = path.parent / "damaged"
    aside.mkdir(exist_ok=True)
    kept = aside / f"{path.stem}-{uuid4().hex[:8]}.mdb"
    path.replace(kept)
    sync_directory(path.parent)
    log.error(
        "BROKER STORE DAMAGED: %s. Retained messages and sessions of clients are lost; the damaged file is kept as %s",
        problem,
        kept,
    )
