"""The worker process: it scans what it is sent, one file at a time, below everybody else and within bounds."""

import contextlib
import json
import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import ScanError
from .scan import Order, scan

log = logging.getLogger(__name__)

MAX_MESSAGE = 64 << 10  # bytes of an order
PROGRESS_SECONDS = 0.1
OOM_ADJUSTMENT = Path("/proc/self/oom_score_adj")
OOM_SCORE = "800"  # of 1000: when memory runs out, this goes first, not Klipper


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
    try:
        file, folder = descriptors
        metadata, rewritten = scan(Order(file, folder, **wanted), progress)
    except ScanError as error:
        return {"error": type(error).__name__, "text": str(error)}
    except OSError as error:
        return {"error": "Failed", "text": f"The scan failed: {os.strerror(error.errno or 0)}"}
    except MemoryError:
        return {"error": "Failed", "text": "The scan needs too much memory"}
    except Exception:
        log.exception("the scan of %s failed", wanted.get("name"))
        return {"error": "Failed", "text": "The scan failed"}
    return {"metadata": metadata, "rewritten": rewritten}


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
