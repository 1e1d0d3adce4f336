"""Hashing passwords with argon2id: in a thread of low priority, one at a time, and only so many may wait."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from .errors import Unavailable

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")

PASSES, KIBIBYTES, LANES = 2, 19 * 1024, 1  # what OWASP asks for at least; a small board has one printer to run, too
MAX_WAITING = 16  # logins that wait for their turn; one more is refused
NICE = 10  # the printer comes first


class Passwords:
    """Hashes and checks passwords; raises Unavailable where too many wait."""

    def __init__(self) -> None:
        self._worker: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash of a password, with its salt and parameters."""
        return await self._run(_hash, password)

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Whether a password belongs to a hash; takes as long where there is none, and then it does not."""
        return await self._run(_matches, hashed, password)

    def close(self) -> None:
        """Ends the thread."""
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., T], *given: str | None) -> T:
        if self._waiting >= MAX_WAITING:
            raise Unavailable("Too many logins are waiting")
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "passwords", initializer=_step_back)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work, *given)
        finally:
            self._waiting -= 1


def _step_back() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # of this thread alone


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # 0.5 MB that most installations never need

    return PasswordHasher(PASSES, KIBIBYTES, LANES)


@cache
def _nobody() -> str:
    """A hash that no password has."""
    return _hasher().hash(os.urandom(16))


def _hash(password: str) -> str:
    return _hasher().hash(password)


def _matches(hashed: str | None, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(hashed or _nobody(), password) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False
