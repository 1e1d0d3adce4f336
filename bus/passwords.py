"""Hashing passwords with argon2id: in a thread of low priority, one at a time, and only so many may wait."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import pbkdf2_hmac
from hmac import compare_digest
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from .errors import Unavailable

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")

PASSES, KIBIBYTES, LANES = 5, 7 * 1024, 1  # of what OWASP takes as equal, the one with the least memory
MAX_WAITING = 16  # logins that wait for their turn; one more is refused
NICE = 10  # the printer comes first
MOONRAKERS = "pbkdf2-sha256:"  # before the rounds, salt and digest of a password that came from there
MOONRAKERS_ROUNDS = 100_000


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


def moonrakers_hash(salt: str, digest: str) -> str:
    """What Moonraker knows of a password, both in hex, as a hash; raises ValueError."""
    return f"{MOONRAKERS}{MOONRAKERS_ROUNDS}:{bytes.fromhex(salt).hex()}:{bytes.fromhex(digest).hex()}"


def is_outdated(hashed: str | None) -> TypeGuard[str]:
    """Whether a password should be hashed anew when it is known the next time."""
    return hashed is not None and hashed.startswith(MOONRAKERS)


def _matches_moonrakers(hashed: str, password: str) -> bool:
    rounds, salt, digest = hashed.removeprefix(MOONRAKERS).split(":")
    found = pbkdf2_hmac("sha256", password.encode(), bytes.fromhex(salt), int(rounds))
    return compare_digest(found, bytes.fromhex(digest))


@cache
def _nobody() -> str:
    """A hash that no password has."""
    return _hasher().hash(os.urandom(16))


def _hash(password: str) -> str:
    return _hasher().hash(password)


def _matches(hashed: str | None, password: str) -> bool:
    if is_outdated(hashed):
        return _matches_moonrakers(hashed, password)
    from argon2.exceptions import InvalidHashError, VerificationError

    nobodys = _nobody()  # made before anybody is looked for, so that the first try of all tells nothing either
    try:
        return _hasher().verify(hashed or nobodys, password) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False
