"""How often passwords may be tried: a delay that grows with each wrong one, for the address and for the account."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_network

from .clock import SYSTEM, Clock
from .errors import Unauthenticated, Unavailable
from .web_pages import address_of

FREE = 5
"""Wrong passwords in a row before there is a delay."""
LONGEST = 60.0
"""Seconds that a delay grows to."""
FORGET = 900.0
"""Seconds after which wrong passwords are forgotten."""
KEPT = 4096
"""Addresses, accounts and good pairs of both that are remembered; the oldest go first."""
NAME = 256
"""Characters of a name that are remembered."""
WAITING = 64
"""Passwords that wait to be checked; more are refused."""
HOLD = 1.0
"""Seconds after which a try that is not judged is answered, so that a flood of them costs others little."""
HELD = 1000
"""Tries that are held at once; more are answered at once."""
SITE_BITS = 64
"""Of an IPv6 address: whoever has one has all that begin alike."""


class Allowance:
    """So many in a minute, and no more until the next one begins."""

    def __init__(self, count: int, clock: Clock = SYSTEM) -> None:
        self._count = count
        self._clock = clock
        self._begun = self._used = 0

    def take(self) -> bool:
        """Whether there is one left, which is used up."""
        minute = int(self._clock.monotonic() // 60)
        if minute != self._begun:
            self._begun, self._used = minute, 0
        self._used += 1
        return self._used <= self._count


class _Tries:
    """Wrong tries in a row, by the name of an account or of an address."""

    def __init__(self, clock: Clock, forget: float) -> None:
        self._clock = clock
        self._forget = forget
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wrong(self, name: str) -> int:
        """How many there were lately."""
        count, last = self._wrong.get(name, (0, 0.0))
        return count if self._clock.monotonic() - last < self._forget else 0

    def wait(self, name: str) -> float:
        """Seconds until the next may be judged."""
        count = self.wrong(name)
        if count < FREE:
            return 0.0
        return max(0.0, self._wrong[name][1] + min(2.0 ** min(count - FREE, NAME), LONGEST) - self._clock.monotonic())

    def add(self, name: str) -> int:
        """One more; how many there are."""
        count = self.wrong(name) + 1
        self._wrong[name] = (count, self._clock.monotonic())
        self._wrong.move_to_end(name)
        if len(self._wrong) > KEPT:
            self._wrong.popitem(last=False)
        return count

    def __len__(self) -> int:
        return len(self._wrong)

    def clear(self, name: str) -> None:
        """It was the right one."""
        self._wrong.pop(name, None)


class Guesses:
    """One for all transports; `lockout` is the number of wrong tries after which an address may try no more.

    An account's delay does not hold up addresses from which its password was right before, and an address that is
    being delayed adds nothing to it: so neither a stranger nor a forgotten device locks anybody out.
    """

    def __init__(self, lockout: int | None = None, clock: Clock = SYSTEM) -> None:
        self._lockout = lockout
        self._accounts = _Tries(clock, FORGET)
        self._addresses = _Tries(clock, FORGET if lockout is None else math.inf)
        self._good: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._held = 0

    def __len__(self) -> int:
        """How much is remembered."""
        return len(self._accounts) + len(self._addresses) + len(self._good)

    async def judge(self, account: str, address: str, check: Callable[[], Awaitable[bool]]) -> bool:
        """Whether a password is right, as `check` finds; one at a time, so that many at once are no way round.

        Raises Unauthenticated with `data`, without a look at the password, while there is a delay; Unavailable when
        too many wait.
        """
        name, site = account[:NAME], _site(address)
        await self._require(name, site)
        if self._waiting >= WAITING:
            raise Unavailable("Too many logins wait to be checked")
        self._waiting += 1
        right = False
        try:
            async with self._turn:
                self._refuse(name, site)
                try:
                    right = await check()
                finally:
                    self._note(name, site, right)
        finally:
            self._waiting -= 1
        return right

    async def _require(self, account: str, address: str) -> None:
        try:
            self._refuse(account, address)
        except Unauthenticated:
            if self._held < HELD:
                self._held += 1
                try:
                    await asyncio.sleep(HOLD)
                finally:
                    self._held -= 1
            raise

    def _refuse(self, account: str, address: str) -> None:
        if self._lockout is not None and self._addresses.wrong(address) >= self._lockout:
            raise _not_judged("this address is locked out until the server restarts", None)
        seconds = self._addresses.wait(address)
        if (account, address) not in self._good:
            seconds = max(seconds, self._accounts.wait(account))
        if seconds > 0:
            raise _not_judged(f"try again in {math.ceil(seconds)} s", math.ceil(seconds))

    def _note(self, account: str, address: str, right: bool) -> None:
        if not right:
            if self._addresses.add(address) <= FREE:
                self._accounts.add(account)
            return
        self._addresses.clear(address)
        self._accounts.clear(account)
        self._good[account, address] = None
        self._good.move_to_end((account, address))
        if len(self._good) > KEPT:
            self._good.popitem(last=False)


def _not_judged(when: str, seconds: int | None) -> Unauthenticated:
    return Unauthenticated(f"Too many wrong logins; {when}", data={"retry_after": seconds})


def _site(address: str) -> str:
    found = address_of(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, SITE_BITS), strict=False))
    return str(found) if found is not None else address[:NAME]
