"""Many websockets and MQTT clients that follow all printer objects, and how the status updates reach them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from .load import MqttClient, Run, WebSocketClient

UPDATE = b"notify_status_update"
TICK = 0.1  # seconds without any arrival, after which the next one belongs to another update of Klipper's
SETTLE = 1.0  # seconds for what the subscribing has caused


@dataclass(frozen=True, slots=True)
class Fanout:
    """Seconds until all follow; updates a second; from first to last client in ms (p99); processor time a second."""

    connected: float
    updates: float
    spread: float
    cpu: float


class Subscriber(WebSocketClient):
    """Subscribes once and then reports when status updates have arrived."""

    def __init__(self, run: Run, objects: object, arrived: Callable[[float], None]) -> None:
        super().__init__(run, 1, "printer.objects.subscribe", {"objects": objects})
        self._arrived = arrived

    def take(self, data: bytes) -> bytes:
        """Looks for updates on the way."""
        now = perf_counter()
        if self._open:
            for _ in range(data.count(UPDATE)):
                self._arrived(now)
        return super().take(data)

    def answer(self, number: int, good: bool) -> None:
        """Subscribed: that is all it asks for."""
        if good:
            self._run.done.set_result(None)
        else:
            self._run.failed("the subscription was refused")


class Listener(MqttClient):
    """Subscribes to the topic of all changes and then reports when they have arrived."""

    def __init__(self, run: Run, instance: str, name: str, arrived: Callable[[float], None]) -> None:
        super().__init__(run, 1, instance, b"", name=name)
        self._answers = f"{instance}/klipper/status".encode()
        self._arrived = arrived

    def begin(self) -> None:
        """Subscribed: that is all it asks for."""
        self._run.done.set_result(None)

    def rpc_answer(self, body: bytes) -> None:
        """An update."""
        self._arrived(perf_counter())


@dataclass(frozen=True, slots=True)
class Crowd:
    """Whom to connect to, and how many."""

    host: str
    http: int
    websockets: int
    mqtt: int = 0
    listeners: int = 0
    instance: str = ""

    def makers(
        self, objects: object, arrived: Callable[[float], None]
    ) -> Iterator[tuple[int, Run, partial[Subscriber] | partial[Listener]]]:
        """Port, run and protocol of each client."""
        for _ in range(self.websockets):
            run = Run(0.0)
            yield self.http, run, partial(Subscriber, run, objects, arrived)
        for number in range(self.listeners):
            run = Run(0.0)
            yield self.mqtt, run, partial(Listener, run, self.instance, f"listener-{number}", arrived)


async def follow(crowd: Crowd, objects: object, seconds: float, cpu: Callable[[], float]) -> Fanout:
    """Lets the crowd follow the printer; `cpu` is what the server has used so far."""
    began, loop, arrivals = perf_counter(), asyncio.get_running_loop(), list[float]()
    opened, runs = [], []
    try:
        for port, run, make in crowd.makers(objects, arrivals.append):
            transport, _ = await loop.create_connection(make, crowd.host, port)
            opened.append(transport)
            runs.append(run)
        await asyncio.gather(*(run.done for run in runs))
        took = perf_counter() - began
        await asyncio.sleep(SETTLE)
        arrivals.clear()
        used, start = cpu(), perf_counter()
        await asyncio.sleep(seconds)
        share = (cpu() - used) / (perf_counter() - start)
        return Fanout(took, len(arrivals) / seconds, spread(arrivals, len(opened)), share)
    finally:
        for transport in opened:
            transport.abort()


def spread(arrivals: Sequence[float], clients: int) -> float:
    """From the first to the last client in milliseconds, p99 over those updates that all of them got."""
    times = sorted(arrivals)
    cuts = [at for at in range(1, len(times)) if times[at] - times[at - 1] > TICK]
    ticks = [times[first:last] for first, last in zip([0, *cuts], [*cuts, len(times)], strict=True)]
    whole = sorted(tick[-1] - tick[0] for tick in ticks if len(tick) == clients)
    return whole[int(len(whole) * 0.99)] * 1000 if whole else float("nan")
