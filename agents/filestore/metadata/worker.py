"""The worker process: it scans what it is sent, one file at a time, below everybody else and within bounds."""

import contextlib
import errno
import json
import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from . import thumbnails
from .errors import Failed, NoSpace, ScanError
from .names import gcode_name
from .scan import Order, scan

log = logging.getLogger(__name__)

MAX_MESSAGE = 64 << 10  # bytes of an order
PROGRESS_SECONDS = 0.1
OOM_ADJUSTMENT = Path("/proc/self/oom_score_adj")
OOM_SCORE = "800"  # of 1000: when memory runs out, this goes first, not Klipper
FULL = (errno.ENOSPC, errno.EDQUOT)


def main(channel: int, memory: int, niceness: int) -> None:
    """Serves a socket of packets until its other end is closed. `memory` bounds the address space, bytes."""
    logging.basicConfig(level=logging.WARNING)
    step_back(memory, niceness)
    with socket.socket(fileno=channel) as served, contextlib.suppress(ConnectionError):
        while serve(served):
            pass


def step_back(memory: int, niceness: int) -> None:
    """Lets every other process go first.

    Not SCHED_IDLE: on a busy machine an upload would then wait for its answer for ever.
    """
    os.nice(niceness)  # the kernel derives the priority of disk accesses from it
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with contextlib.suppress(OSError):
        OOM_ADJUSTMENT.write_text(OOM_SCORE)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def serve(served: socket.socket) -> bool:
    """Answers one order; False where there will be no more."""
    message, descriptors, _, _ = socket.recv_fds(served, MAX_MESSAGE, 2)
    try:
        if not message:
            return False
        served.sendall(json.dumps(answer(json.loads(message), descriptors, reporter(served))).encode())
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return True


def answer(wanted: Mapping[str, Any], descriptors: list[int], progress: Callable[[float], None]) -> dict[str, object]:
    """The answer to an order: metadata, or the kind of error and its text."""
    file, folder = descriptors
    order = Order(file, folder, **wanted)
    try:
        metadata, rewritten = scan(order, progress)
    except Exception as error:
        failure = _explained(error, order)
        return _unread(order) or {"error": type(failure).__name__, "text": str(failure)}
    former = thumbnails.former(folder, gcode_name(order.name)) if order.pictures is not None else []
    return {"metadata": metadata, "rewritten": rewritten, "former": former}


def _explained(error: Exception, order: Order) -> ScanError:
    if isinstance(error, ScanError):
        return error
    if isinstance(error, OSError):
        kind = NoSpace if error.errno in FULL else Failed
        return kind(f"The scan failed: {os.strerror(error.errno or 0)}")
    if isinstance(error, MemoryError):
        return Failed("The scan needs too much memory")
    log.error("the scan of %s failed", order.name, exc_info=error)
    return Failed("The scan failed")


def _unread(order: Order) -> dict[str, object] | None:
    """The answer about contents that were written whole and could not be read then; None where there are none."""
    if order.output is None:
        return None
    try:
        found = os.lstat(order.output, dir_fd=order.folder)
    except FileNotFoundError:
        return None
    return {
        "metadata": {"size": found.st_size, "modified": found.st_mtime, "uuid": str(uuid4())},
        "rewritten": True,
        "former": [],
    }


def reporter(served: socket.socket) -> Callable[[float], None]:
    """Tells the other end how far a scan has come, now and then."""
    told = time.monotonic()

    def tell(share: float) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= PROGRESS_SECONDS:
            told = now
            served.sendall(json.dumps({"progress": share}).encode())

    return tell
