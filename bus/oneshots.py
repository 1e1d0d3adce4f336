"""Tokens that are good for one request within some seconds, from the address that asked for them."""

import secrets
from base64 import b32encode

from .clock import Clock
from .errors import Unauthenticated
from .identity import Principal

SECONDS = 5.0
RANDOM_BYTES = 20  # 32 characters of base32
MAX_KEPT = 1000  # with one more, the oldest goes


class OneShots:
    """Those that were given out and not used."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, tuple[Principal, str, float]] = {}

    def issue(self, who: Principal, address: str) -> str:
        """A token for somebody at an address."""
        now = self._clock.monotonic()
        for token in [token for token, (_, _, until) in self._open.items() if until <= now]:
            del self._open[token]
        if len(self._open) >= MAX_KEPT:
            del self._open[next(iter(self._open))]
        token = b32encode(secrets.token_bytes(RANDOM_BYTES)).decode()
        self._open[token] = who, address, now + SECONDS
        return token

    def forget(self, who: Principal) -> None:
        """Somebody has logged out: what was given to them is void."""
        self._open = {token: known for token, known in self._open.items() if known[0] != who}

    def redeem(self, token: str, address: str) -> Principal:
        """Whose it is; with that it is used up. Raises Unauthenticated."""
        who, asked_from, until = self._open.pop(token, (None, "", 0.0))
        if who is None or asked_from != address or until <= self._clock.monotonic():
            raise Unauthenticated("Invalid oneshot token")
        return who
