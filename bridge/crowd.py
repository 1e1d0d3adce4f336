"""How many HTTP connections an address may have open: one more ends the oldest that nothing is being answered on."""

import asyncio
from collections import Counter
from typing import Any


class Crowd:
    """Connections by address, in the order in which they came."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.counters: Counter[str] = Counter()
        self._open: dict[str, dict[Any, None]] = {}
        self._addresses: dict[Any, str] = {}

    def enter(self, connection: Any, transport: asyncio.BaseTransport) -> None:
        """One more; where none of the others is idle, it is the one that ends."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        there = self._open.setdefault(address, {})
        there[connection] = None
        self._addresses[connection] = address
        if len(there) > self._limit:
            surplus = next((each for each in there if is_idle(each)), connection)
            self.counters["connections_cut"] += 1
            self.leave(surplus)
            surplus.transport.close()

    def leave(self, connection: Any) -> None:
        """It has ended, or become a websocket."""
        address = self._addresses.pop(connection, None)
        if address is not None:
            del self._open[address][connection]
            if not self._open[address]:
                del self._open[address]

    def counted(self, kind: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
        """One of uvicorn's protocols, whose connections are counted."""
        crowd, base = self, kind

        class Counted(base):  # type: ignore[misc, valid-type]
            """As its base."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                crowd.enter(self, transport)

            def connection_lost(self, exc: Exception | None) -> None:
                crowd.leave(self)
                super().connection_lost(exc)

            def handle_websocket_upgrade(self, *given: Any) -> None:
                crowd.leave(self)
                super().handle_websocket_upgrade(*given)

        return Counted


def is_idle(connection: Any) -> bool:
    """Whether nothing is being answered on one of uvicorn's connections."""
    cycle = getattr(connection, "cycle", None)
    return cycle is None or bool(cycle.response_complete)
