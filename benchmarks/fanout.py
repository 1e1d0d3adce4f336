"""Many websockets that subscribe to the printer's objects, and the status updates that reach them."""

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter

from .load import Run, WebSocketClient

UPDATE = b"notify_status_update"


class Subscriber(WebSocketClient):
    """Subscribes once and then counts status updates."""

    def __init__(self, run: Run, objects: object, updated: Callable[[int], None]) -> None:
        super().__init__(run, 1, "printer.objects.subscribe", {"objects": objects})
        self._updated = updated

    def take(self, data: bytes) -> bytes:
        """Counts updates on the way."""
        if self._open:
            self._updated(data.count(UPDATE))
        return super().take(data)

    def answer(self, number: int, good: bool) -> None:
        """Subscribed: that is all it asks for."""
        if good:
            self._run.done.set_result(None)
        else:
            self._run.failed("the subscription was refused")


async def subscribers(
    host: str, port: int, clients: int, objects: object, seconds: float, cpu: Callable[[], float]
) -> tuple[float, float, float]:
    """Seconds until all clients follow; then updates received a second, and what `cpu` has grown by in a second."""
    began, loop, received = perf_counter(), asyncio.get_running_loop(), list[int]()
    runs = [Run(0.0) for _ in range(clients)]
    opened = [
        await loop.create_connection(partial(Subscriber, run, objects, received.append), host, port) for run in runs
    ]
    try:
        await asyncio.gather(*(run.done for run in runs))
        took, used, before = perf_counter() - began, cpu(), sum(received)
        await asyncio.sleep(seconds)
        return took, (sum(received) - before) / seconds, (cpu() - used) / seconds
    finally:
        for transport, _ in opened:
            transport.abort()
