"""Websockets on which nobody is logged in: how many an address may have, and for how long."""

import asyncio
from collections import Counter

from .socket import WebSocket


class Strangers:
    """Who logs in is none any more; the oldest of an address goes when there are too many, all of them in time."""

    def __init__(self, limit: int, seconds: float, counters: Counter[str]) -> None:
        self._limit = limit
        self._seconds = seconds
        self._counters = counters
        self._waiting: dict[str, dict[WebSocket, asyncio.TimerHandle]] = {}

    def note(self, wire: WebSocket, address: str, known: bool) -> None:
        """Somebody is logged in on a websocket, or nobody is."""
        if known:
            return self.forget(wire, address)
        waiting = self._waiting.setdefault(address, {})
        if wire in waiting:
            return None
        waiting[wire] = asyncio.get_running_loop().call_later(self._seconds, self._cut, wire, address)
        if len(waiting) > self._limit:
            self._cut(next(iter(waiting)), address)
        return None

    def forget(self, wire: WebSocket, address: str) -> None:
        """It has ended, or somebody has logged in."""
        waiting = self._waiting.get(address, {})
        timer = waiting.pop(wire, None)
        if timer is not None:
            timer.cancel()
        if not waiting:
            self._waiting.pop(address, None)

    def _cut(self, wire: WebSocket, address: str) -> None:
        self._counters["strangers_cut"] += 1
        self.forget(wire, address)
        wire.drop()
