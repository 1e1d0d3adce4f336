"""Hashes of passwords: right and wrong ones, as much work for nobody, and only so many at once."""

import asyncio
import threading

import pytest

from bus import passwords
from bus.errors import Unavailable
from bus.passwords import MAX_WAITING, Passwords
from tests.conftest import Run


def test_a_password_fits_its_own_hash_only(run: Run[None]) -> None:
    async def main() -> None:
        some = Passwords()
        hashed, again = await some.hash("correct horse"), await some.hash("correct horse")
        assert hashed.startswith("$argon2id$") and hashed != again and "horse" not in hashed
        assert await some.matches(hashed, "correct horse") and await some.matches(again, "correct horse")
        for wrong in ("", "correct", "Correct horse", "correct horse\0"):
            assert not await some.matches(hashed, wrong)
        for broken in ("", "x", hashed[:-5], hashed.replace("argon2id", "argon2x")):
            assert not await some.matches(broken, "correct horse")
        some.close()

    run(main())


def test_nobody_costs_as_much_as_somebody(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        some = Passwords()
        hashed = await some.hash("x")
        verified: list[str] = []
        hasher = passwords._hasher()
        verify = type(hasher).verify

        def noted(self: object, used: str, password: str) -> bool:
            verified.append(used)
            return bool(verify(hasher, used, password))

        monkeypatch.setattr(type(hasher), "verify", noted)
        assert not await some.matches(None, "x") and not await some.matches(hashed, "y")
        nobodys, somebodys = verified
        assert nobodys.split("$")[:4] == somebodys.split("$")[:4] and len(nobodys) == len(somebodys)
        some.close()

    run(main())


def test_only_so_many_wait_and_the_loop_goes_on(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(passwords, "_hash", lambda password: go_on.wait(10) and password)

    async def main() -> None:
        some = Passwords()
        waiting = [asyncio.ensure_future(some.hash(str(number))) for number in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await some.hash("one more")
        go_on.set()
        assert await asyncio.gather(*waiting) == [str(number) for number in range(MAX_WAITING)]
        assert await some.hash("again") == "again"
        some.close()

    run(main())
