"""Plays what a real Klipper sent (tests/data/klippy) through the scripted Klipper, as fast as it is read."""

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from tests.klipper_wire import INFO, KlipperWire, Message

FOLDER = Path(__file__).parent / "data" / "klippy"
Shown = Callable[[str], Awaitable[None]]  # waits until the agent shows a state


def read(name: str) -> list[list[Message]]:
    """The messages that Klipper sent, one list per connection."""
    connections: list[list[Message]] = []
    for line in (FOLDER / name).read_text().splitlines():
        entry = json.loads(line)
        if entry.get("event", "").startswith("connected"):
            connections.append([])
        elif entry["dir"] == "recv":
            connections[-1].append(entry["msg"])
    return connections


def console_lines(name: str) -> list[str]:
    """All console lines of a recording."""
    messages = [message for connection in read(name) for message in connection]
    return [message["params"]["response"] for message in messages if message.get("method") == "process_gcode_response"]


async def play(wire: KlipperWire, name: str, shown: Shown) -> None:
    """Each connection of a recording from its beginning to its end."""
    for messages in read(name):
        wire.become(**_saying(next(_said(messages), INFO)), tick=False)
        for message in messages:
            status = _result(message).get("status", {})
            if "webhooks" in status and "print_stats" in status:  # the full state, not a query's answer
                wire.status.update(status)
        await wire.listen()
        await shown(wire.info["state"])
        await _play_connection(wire, messages, shown)
        await wire.stop()
        await shown("disconnected")


async def _play_connection(wire: KlipperWire, messages: list[Message], shown: Shown) -> None:
    for at, message in enumerate(messages):
        if "method" in message or "k" in message:
            if message.get("params", {}).get("response") == "// Klipper state: Shutdown":
                wire.info |= next(info for info in _infos(messages[at:]) if info["state"] == "shutdown")
            for connection in wire.connections:
                connection.send(message)
        elif "klipper_path" in (info := _result(message)):
            if info["state"] != wire.info["state"]:
                wire.become(**_saying(info), tick=False)
            await shown(info["state"])


def _infos(messages: list[Message]) -> Iterator[Message]:
    return (result for result in map(_result, messages) if "klipper_path" in result)


def _said(messages: list[Message]) -> Iterator[Message]:
    """What Klipper said of itself, in `info` or in a status."""
    for result in map(_result, messages):
        found = result if "klipper_path" in result else result.get("status", {}).get("webhooks")
        if found:
            yield found


def _result(message: Message) -> Message:
    result: Any = message.get("result")
    return result if isinstance(result, dict) else {}


def _saying(info: Message) -> dict[str, str]:
    return {"state": info["state"], "message": info["state_message"]}
