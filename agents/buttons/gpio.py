"""Pins of the host, through the library of those who maintain the kernel's GPIO interface."""

import asyncio
from datetime import timedelta

import gpiod
from gpiod import EdgeEvent, LineRequest, LineSettings
from gpiod.line import Bias, Direction, Edge, Value

from .button import Button, Unusable
from .settings import Pin

PULLS = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "": Bias.AS_IS}
NANOSECONDS = 1e9


async def follow_pin(button: Button) -> None:
    """Tells a button what its pin does, until cancelled; raises Unusable.

    The kernel waits until the pin is steady, and stamps each edge with the clock that is the loop's too.
    """
    pin = button.settings.pin
    assert pin is not None  # noqa: S101
    try:
        with await asyncio.to_thread(_request, pin, button.settings.debounce_period) as line:
            button.settle(line.get_value(pin.line) is Value.ACTIVE)
            await _until_lost(line, button)
    except (OSError, ValueError) as error:
        raise Unusable(f"{pin}: {getattr(error, 'strerror', None) or error}") from None


def _request(pin: Pin, debounce: float) -> LineRequest:
    settings = LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edge.BOTH,
        bias=PULLS[pin.pull],
        active_low=pin.inverted,
        debounce_period=timedelta(seconds=debounce),
    )
    return gpiod.request_lines(f"/dev/{pin.chip}", consumer="printbus", config={pin.line: settings})


async def _until_lost(line: LineRequest, button: Button) -> None:
    """Reads edges; raises OSError when the chip has gone."""
    loop = asyncio.get_running_loop()
    lost: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        try:
            events = line.read_edge_events()
        except OSError as error:
            loop.remove_reader(line.fd)
            lost.set_exception(error)
            return
        for event in events:
            button.report(event.event_type is EdgeEvent.Type.RISING_EDGE, event.timestamp_ns / NANOSECONDS)

    loop.add_reader(line.fd, read)
    try:
        await lost
    finally:
        loop.remove_reader(line.fd)
