"""Wrong passwords: who has to wait, for how long, and who does not."""

import asyncio
import re

import pytest

from bus import guessing
from bus.clock import Clock
from bus.errors import Unauthenticated, Unavailable
from bus.guessing import FORGET, FREE, LONGEST, Allowance, Guesses
from tests.conftest import Run

HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "HOLD", 0.0)


class Tried(Clock):
    """Guesses with a clock that is set by hand."""

    def __init__(self, lockout: int | None = None) -> None:
        self.now = 1000.0
        self.checked = 0
        self.guesses = Guesses(lockout, self)

    def monotonic(self) -> float:
        return self.now

    async def attempt(self, right: bool = False, account: str = "ann", address: str = HERE) -> bool | int | None:
        """What came of it: right or not, the seconds to wait, or None for a lock-out."""

        async def check() -> bool:
            self.checked += 1
            await asyncio.sleep(0)
            return right

        try:
            return await self.guesses.judge(account, address, check)
        except Unauthenticated as error:
            found = re.search(r"try again in (\d+) s", error.message)
            return int(found[1]) if found else None

    async def wrong(self, count: int = FREE, account: str = "ann", address: str = HERE) -> None:
        for _ in range(count):
            assert await self.attempt(account=account, address=address) is False


def test_the_delay_grows_to_a_minute_and_is_forgotten(run: Run[None]) -> None:
    async def main() -> None:
        tried = Tried()
        await tried.wrong()
        for delay in (1, 2, 4, 8, 16, 32, 60, 60):
            assert await tried.attempt(right=True) == delay, "not judged, and so not found to be right"
            tried.now += delay - 0.5
            assert await tried.attempt(right=True) == 1
            tried.now += 0.5
            assert await tried.attempt() is False
        assert tried.checked == FREE + 8
        tried.now += FORGET
        await tried.wrong()

    run(main())


def test_the_right_one_clears_what_was_wrong(run: Run[None]) -> None:
    async def main() -> None:
        tried = Tried()
        for _ in range(3):
            await tried.wrong(FREE - 1)
            assert await tried.attempt(right=True) is True

    run(main())


@pytest.mark.parametrize("other", [HERE, "::ffff:192.0.2.1"])
def test_an_address_waits_whatever_the_account(run: Run[None], other: str) -> None:
    async def main() -> None:
        tried = Tried()
        for number in range(FREE):
            await tried.wrong(1, account=f"u{number}")
        assert await tried.attempt(account="never tried", address=other) == 1
        assert await tried.attempt(right=True, account="never tried", address=THERE) is True

    run(main())


def test_whoever_has_one_ipv6_address_has_many(run: Run[None]) -> None:
    async def main() -> None:
        tried = Tried()
        for number in range(FREE):
            await tried.wrong(1, account=f"u{number}", address=f"2001:db8::{number}")
        assert await tried.attempt(account="another", address="2001:db8::ffff") == 1
        assert await tried.attempt(account="another", address="2001:db8:0:1::1") is False

    run(main())


def test_an_account_waits_when_many_addresses_try(run: Run[None]) -> None:
    async def main() -> None:
        tried = Tried()
        assert await tried.attempt(right=True, address=THERE) is True
        for number in range(FREE + 6):
            await tried.attempt(address=f"198.51.100.{number}")
            tried.now += LONGEST
        await tried.attempt(address="198.51.100.200")
        assert await tried.attempt(address="203.0.113.1") == LONGEST
        assert await tried.attempt(right=True, address=THERE) is True, "where ann was before she is not locked out"

    run(main())


def test_a_forgotten_device_does_not_keep_anybody_out(run: Run[None]) -> None:
    async def main() -> None:
        tried = Tried()
        for _ in range(100):
            await tried.attempt()
            tried.now += 5
        assert await tried.attempt(right=True, address=THERE) is True

    run(main())


def test_lockout_lasts(run: Run[None]) -> None:
    async def main() -> None:
        tried = Tried(lockout=2)
        await tried.wrong(1)
        assert await tried.attempt(right=True) is True
        await tried.wrong(2)
        tried.now += 1e6
        assert await tried.attempt(right=True) is None
        assert await tried.attempt(right=True, address=THERE) is True

    run(main())


def test_many_at_once_are_no_way_round_and_devices_behind_one_address_are_not_held_up(run: Run[None]) -> None:
    async def main() -> None:
        tried = Tried()
        found = await asyncio.gather(*(tried.attempt() for _ in range(40)))
        assert found.count(False) == FREE == tried.checked
        devices = await asyncio.gather(
            *(tried.attempt(right=True, account=f"device {number}", address=THERE) for number in range(40))
        )
        assert all(each is True for each in devices)

    run(main())


def test_who_gives_up_meanwhile_has_tried(run: Run[None]) -> None:
    async def main() -> None:
        tried, held = Tried(), asyncio.Event()

        async def hold() -> bool:
            return await held.wait()

        for _ in range(FREE):
            attempt = asyncio.create_task(tried.guesses.judge("ann", HERE, hold))
            await asyncio.sleep(0)
            attempt.cancel()
            await asyncio.wait([attempt])
        assert await tried.attempt(right=True) == 1

    run(main())


def test_an_allowance_is_renewed_every_minute() -> None:
    tried = Tried()
    allowance = Allowance(3, tried)
    for _ in range(2):
        assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
        tried.now += 60


def test_no_more_wait_than_can(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "WAITING", 3)

    async def main() -> None:
        tried, held = Tried(), asyncio.Event()

        async def hold() -> bool:
            return await held.wait()

        waiting = [asyncio.create_task(tried.guesses.judge("ann", HERE, hold)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await tried.attempt()
        held.set()
        assert await asyncio.gather(*waiting) == [True] * 3

    run(main())


def test_what_is_not_judged_is_answered_late(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "HOLD", 0.2)
    monkeypatch.setattr(guessing, "HELD", 3)

    async def main() -> None:
        tried, loop = Tried(), asyncio.get_running_loop()
        await tried.wrong()
        begun = loop.time()
        tries = [asyncio.create_task(tried.attempt()) for _ in range(4)]
        await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
        assert [each.done() for each in tries] == [False, False, False, True]
        await asyncio.wait(tries)
        assert loop.time() - begun >= 0.19

    run(main())


def test_what_is_remembered_is_bounded(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "KEPT", 10)

    async def main() -> None:
        tried = Tried()
        for number in range(50):
            address = f"10.0.0.{number}"
            await tried.attempt(account="x" * 10_000 + str(number), address=address)
            await tried.attempt(right=True, account=f"a{number}", address=address)
            await tried.attempt(account=f"b{number}", address=address)
        assert len(tried.guesses) == 30

    run(main())
