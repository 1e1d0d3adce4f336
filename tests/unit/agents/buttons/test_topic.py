"""Topics of buttons: which messages press and release, and which only say how a button is found."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agents.buttons.button import Button, Unusable
from agents.buttons.settings import ButtonSettings
from agents.buttons.topic import MAX_WAITING, follow_topic
from bus.access import Identity, Role
from bus.calls import Received
from bus.message import Message
from bus.templates import Templates
from tests.agent_bus import RecordingBus
from tests.conftest import Run
from tests.unit.agents.buttons.test_button import Gated

OTHER = Identity("somebody", Role.CLIENT)
TOPIC = "home/desk"
ACTION = "{% set said = payload | replace('\"', '') %}{ 'on' if 'single' in said else raise_error('what?') }"


class Desk:
    """A button at a topic; what it takes for news is in `seen`."""

    def __init__(self, **options: Any) -> None:
        self.bus = Gated()
        settings = ButtonSettings(type="mqtt", state_topic=TOPIC, on_press="{% do send_notification() %}", **options)
        self.button = Button("desk", settings, self.bus, Templates(self.bus, {}), self._changed)
        self.seen: list[bool | None] = []
        self._more = asyncio.Event()

    def _changed(self) -> None:
        self.seen.append(self.button.pressed)
        self._more.set()

    async def until(self, changes: int) -> None:
        """Waits for as many."""
        async with asyncio.timeout(20):
            while len(self.seen) < changes:
                self._more.clear()
                await self._more.wait()

    def say(self, payload: bytes, *, retain: bool = False) -> None:
        """A message on the topic."""
        self.bus.deliver(Message(TOPIC, payload, 0, retain, False, OTHER))


@asynccontextmanager
async def desk(**options: Any) -> AsyncIterator[Desk]:
    made = Desk(**options)
    task = asyncio.create_task(follow_topic(made.button), name="topic")
    await asyncio.sleep(0)
    yield made
    assert not task.done()
    task.cancel()


def test_two_payloads_count_and_nothing_else(run: Run[None]) -> None:
    async def scenario() -> None:
        async with desk(pressed_payload="ON", released_payload="OFF") as made:
            for payload in (b"OFF", b"ON", b"ON", b"on", b"", b"\xff\xfe", b"ON ", b"OFF"):
                made.say(payload)
            assert made.seen == [False, True, False]

    run(scenario())


def test_a_retained_message_is_how_it_is_found(run: Run[None]) -> None:
    async def scenario() -> None:
        async with desk() as made:
            made.say(b"pressed", retain=True)
            made.say(b"pressed")
            assert made.seen == [True] and made.button.pressed

    run(scenario())


def test_a_button_that_is_never_held_is_pressed_by_each_message(run: Run[None]) -> None:
    async def scenario() -> None:
        async with desk(pressed_payload="single", released_payload=None) as made:
            made.say(b"single", retain=True)
            made.say(b"single")
            made.say(b"double")
            made.say(b"single")
            assert made.seen == [False, *[True, False] * 2]

    run(scenario())


def test_a_template_makes_a_payload_of_what_comes(run: Run[None], caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with desk(state_response_template=ACTION, pressed_payload="on", released_payload=None) as made:
            for payload in (b'{"action": "single"}', b"{}", b'{"action": "single"}'):
                made.say(payload)
            await made.until(4)

    run(scenario())
    assert "button desk state_response_template, line 1: what?" in caplog.text


def test_messages_that_are_too_many_for_the_template_are_dropped(
    run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with desk(state_response_template="{payload}", released_payload=None) as made:
            for _ in range(3 * MAX_WAITING):
                made.say(b"pressed")
            await made.until(2 * MAX_WAITING)
            await asyncio.sleep(0.01)
            assert len(made.seen) == 2 * MAX_WAITING

    run(scenario())
    assert caplog.text.count(f"{MAX_WAITING} messages wait already") == 1


def test_a_topic_that_may_not_be_received_makes_it_unusable(run: Run[None]) -> None:
    class Refusing(RecordingBus):
        def follow(self, topic_filter: str, handler: Callable[[Received], None]) -> None:
            """As the access rules do."""
            raise PermissionError(topic_filter)

    async def scenario() -> None:
        made = Desk()
        made.button.bus = Refusing(made.bus.data)
        with pytest.raises(Unusable, match="home/desk is private to somebody else"):
            await follow_topic(made.button)

    run(scenario())
