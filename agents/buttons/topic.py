"""Topics that say whether a button is pressed."""

import asyncio
from typing import NamedTuple

from bus.calls import Received

from .button import Button, Unusable

OPTION = "state_response_template"
MAX_WAITING = 64  # messages whose template has not been rendered; one more is dropped


class _Said(NamedTuple):
    payload: str
    at: float
    retained: bool


async def follow_topic(button: Button) -> None:
    """Tells a button what its topic says, until cancelled; raises Unusable.

    A retained message is how the button is found. Anything but the two payloads is about something else.
    """
    topic = button.settings.state_topic or ""
    raw: asyncio.Queue[_Said] = asyncio.Queue(MAX_WAITING)
    loop = asyncio.get_running_loop()

    def take(message: Received) -> None:
        said = _Said(message.payload.decode(errors="replace"), loop.time(), message.retain)
        if not button.has(OPTION):
            _tell(button, said)
        elif raw.full():
            button.complain(topic, f"button {button.name}: {MAX_WAITING} messages wait already; what comes is dropped")
        else:
            if raw.empty():
                button.recover(topic)
            raw.put_nowait(said)

    try:
        button.bus.follow(topic, take)
    except PermissionError:
        raise Unusable(f"{topic} is private to somebody else") from None
    while True:
        said = await raw.get()
        payload = await button.render(OPTION, payload=said.payload)
        if payload is not None:
            _tell(button, said._replace(payload=payload))


def _tell(button: Button, said: _Said) -> None:
    pressed, released = button.settings.pressed_payload, button.settings.released_payload
    if said.payload not in (pressed, released):
        return
    if said.retained:
        return button.settle(said.payload == pressed and released is not None)
    button.report(said.payload == pressed, said.at)
    if released is None:  # it is never held
        button.report(False, said.at)
