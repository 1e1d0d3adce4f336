"""Deliveries against services that are slow, refuse or come back: what is tried again, dropped, and in which order."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.notifiers.delivery import Deliveries, Message, Undelivered
from agents.notifiers.notifier import MAX_WAITING, Notifier
from agents.notifiers.prints import Occasion
from agents.notifiers.settings import NotifierSettings
from bus.templates import Templates
from tests.agent_bus import RecordingBus
from tests.conftest import Run
from tests.e2e.test_print import until
from tests.http_script import Scripted, scripted

WAIT = 20.0  # seconds
ONCE = (0.0,)  # the pauses of a single attempt


@pytest.fixture
def bus(tmp_path: Path) -> RecordingBus:
    return RecordingBus(tmp_path)


class Desk:
    """A notifier whose bodies are the event's message."""

    def __init__(self, bus: RecordingBus, host: str, deliveries: Deliveries, pauses: Sequence[float]) -> None:
        settings = NotifierSettings.model_validate(
            {"url": f"json://{host}/in", "events": "*", "body": "{event_message}", "title": "{event_name}"}
        )
        self._changed = asyncio.Event()
        self.notifier = Notifier("desk", settings, Templates(bus, {}), deliveries, self._changed.set, pauses)

    def tell(self, *messages: str) -> None:
        for message in messages:
            self.notifier.tell(Occasion("gcode", message=message))

    async def idle(self) -> None:
        """Waits until nothing waits."""
        async with asyncio.timeout(WAIT):
            while self.notifier.waiting:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def desk(
    bus: RecordingBus, host: str, *, seconds: float = WAIT, pauses: Sequence[float] = ()
) -> AsyncIterator[Desk]:
    made = Desk(bus, host, Deliveries(seconds), pauses or ONCE)
    task = asyncio.create_task(made.notifier.run(), name="notifier")
    yield made
    assert not task.done()
    task.cancel()


def said(service: Scripted) -> list[str]:
    return [json.loads(asked.body)["message"] for asked in service.heard]


@contextmanager
def silent() -> Iterator[str]:
    """The address of a service that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_messages_come_in_order_and_what_fails_is_tried_again(run: Run[None], bus: RecordingBus) -> None:
    async def scenario() -> None:
        with scripted() as service:
            async with desk(bus, service.url.removeprefix("http://"), pauses=(0.0, 0.05, 0.05)) as made:
                service.say("/in", b"", status=500)
                made.tell("one")
                await asyncio.to_thread(until, lambda: bool(service.heard))
                service.say("/in", b"")
                made.tell("two", "three")
                await made.idle()
                assert made.notifier.fault is None
                assert [*dict.fromkeys(said(service))] == ["one", "two", "three"]
                assert said(service).count("one") >= 2 and said(service)[-2:] == ["two", "three"]

    run(scenario())


def test_what_cannot_be_delivered_is_dropped_after_the_last_attempt(run: Run[None], bus: RecordingBus) -> None:
    async def scenario() -> None:
        with scripted() as service:
            service.say("/in", b"", status=404)
            async with desk(bus, service.url.removeprefix("http://"), pauses=(0.0, 0.01)) as made:
                made.tell("lost")
                await made.idle()
                assert len(service.heard) == 2
                fault = made.notifier.fault or ""
                assert fault.startswith("a message (gcode) was dropped: ") and "404" in fault

    run(scenario())


def test_a_service_that_says_nothing_is_left_in_time(run: Run[None], bus: RecordingBus) -> None:
    async def scenario() -> None:
        with silent() as service:
            async with desk(bus, service, seconds=1.0) as made:
                made.tell("lost")
                await made.idle()
                assert "did not answer within 1 s" in (made.notifier.fault or "")

    run(scenario())


def test_one_that_is_slow_holds_up_no_other(run: Run[None], bus: RecordingBus) -> None:
    async def scenario() -> None:
        with silent() as slow, scripted() as service:
            service.say("/in", b"")
            deliveries = Deliveries(WAIT)
            stuck = Desk(bus, slow, deliveries, ONCE)
            quick = Desk(bus, service.url.removeprefix("http://"), deliveries, ONCE)
            tasks = [asyncio.create_task(each.notifier.run(), name="notifier") for each in (stuck, quick)]
            stuck.tell("never")
            quick.tell("now")
            await quick.idle()
            assert said(service) == ["now"] and stuck.notifier.waiting == 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(scenario())


def test_of_too_many_the_oldest_are_dropped(run: Run[None], bus: RecordingBus) -> None:
    async def scenario() -> None:
        made = Desk(bus, "127.0.0.1:1", Deliveries(), ONCE)
        made.tell(*(str(number) for number in range(MAX_WAITING + 5)))
        assert made.notifier.waiting == MAX_WAITING

    run(scenario())


@pytest.mark.parametrize(("url", "final"), [("nosuch://a", True), ("json://127.0.0.1:1/x", False)])
def test_a_wrong_address_is_final_and_one_out_of_reach_is_not(run: Run[None], url: str, final: bool) -> None:
    async def scenario() -> None:
        message = Message(url, "body", "", "text", "info", ())
        with pytest.raises(Undelivered) as raised:
            await Deliveries(WAIT).deliver(message)
        assert raised.value.final is final and "127" not in str(raised.value)

    run(scenario())


def test_kinds_and_formats_reach_the_service(run: Run[None], bus: RecordingBus) -> None:
    async def scenario() -> None:
        with scripted() as service:
            service.say("/in", b"")
            async with desk(bus, service.url.removeprefix("http://")) as made:
                made.notifier.tell(Occasion("error", message="broken"))
                await made.idle()
            told: dict[str, Any] = json.loads(service.heard[0].body)
            assert (told["type"], told["title"], told["message"]) == ("failure", "error", "broken")

    run(scenario())
