"""Who asks, as addresses and names come to be trusted."""

import asyncio
import socket
from typing import Any, cast

import pytest

from bridge.auth import Gate
from bridge.callers import Callers
from bridge.settings import BridgeSettings
from bus.calls import Caller as Calls
from bus.trust import Trust
from tests.conftest import Run


def test_an_address_that_a_trusted_name_comes_to_stand_for_is_let_in(
    run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: resolved)
    monkeypatch.setattr("bus.trust.LOOK_EVERY", 0.01)
    trust = Trust(["tablet.lan"])
    callers = Callers(Gate(BridgeSettings(), trust), cast(Calls, None))  # nothing is asked without a credential

    def known(address: str) -> bool:
        found = callers.at_once("http", address, {}, b"")
        assert found is not None
        return found.known

    async def until(address: str, expected: bool) -> None:
        for _ in range(2000):
            if known(address) is expected:
                return
            await asyncio.sleep(0.005)
        raise TimeoutError

    async def body() -> None:
        looking = asyncio.create_task(trust.keep(), name="looking")
        assert not known("10.0.0.9")
        resolved.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.9", 0)))
        await until("10.0.0.9", True)
        resolved[:] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.10", 0))]
        await until("10.0.0.9", False)
        looking.cancel()

    run(body())
