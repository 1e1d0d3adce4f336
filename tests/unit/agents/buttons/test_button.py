"""One button: what counts as news, what its templates see, and what happens when they fail or are many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agents.buttons.button import MAX_WAITING, Button
from agents.buttons.settings import ButtonSettings, ButtonsSettings
from bus.config import checked, read_yaml
from bus.errors import Refused
from bus.mandate import Mandate
from bus.templates import Templates
from schemas import Permission
from tests.agent_bus import RecordingBus
from tests.conftest import Run

DOCUMENT = Path(__file__).parents[4] / "docs" / "templates.md"
TELL = "{% do send_notification([event.elapsed_time, event.pressed]) %}"


class Gated(RecordingBus):
    """Calls wait until `gate` is open; `refusal` is then their answer."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls: list[tuple[str, Any, Mandate | None]] = []
        self.refusal = ""

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """Nothing but the answer's time."""
        self.calls.append((method, params, mandate))
        self._changed.set()
        await self.gate.wait()
        if self.refusal:
            raise Refused(self.refusal)

    def has_been_called(self, times: int) -> bool:
        """Whether there were so many calls."""
        return len(self.calls) == times

    def told(self) -> list[Any]:
        """What templates have told, in order."""
        return [params[0]["aux"] for _, params in self.notifications()]


class Desk:
    """A button whose presses are told from here."""

    def __init__(self, **options: Any) -> None:
        self.bus = Gated()
        self.changes = 0
        settings = ButtonSettings(type="mqtt", state_topic="home/desk", **options)
        self.button = Button("desk", settings, self.bus, Templates(self.bus, {}), self._changed)
        self.start = asyncio.get_running_loop().time()

    def _changed(self) -> None:
        self.changes += 1

    def report(self, *reports: tuple[bool, float]) -> None:
        """Presses and releases, at seconds since the start."""
        for pressed, at in reports:
            self.button.report(pressed, self.start + at)

    def has_told(self, times: int) -> bool:
        """Whether templates have told so much."""
        return len(self.bus.told()) == times


@asynccontextmanager
async def desk(**options: Any) -> AsyncIterator[Desk]:
    made = Desk(**options)
    task = asyncio.create_task(made.button.run(), name="button")
    yield made
    assert not task.done()
    task.cancel()


def test_only_changes_are_news_and_time_counts_from_the_last(run: Run[None]) -> None:
    async def scenario() -> None:
        async with desk(on_press=TELL, on_release=TELL) as made:
            made.report((False, 1), (True, 2), (True, 3), (False, 3.5), (False, 4), (True, 10))
            await made.bus.until(lambda: len(made.bus.told()) == 3)
            first, *others = made.bus.told()
            assert first == [pytest.approx(2, abs=1), True] and others == [
                [pytest.approx(1.5), False],
                [pytest.approx(6.5), True],
            ]
            assert made.changes == 4

    run(scenario())


def test_how_it_is_found_runs_nothing(run: Run[None]) -> None:
    async def scenario() -> None:
        async with desk(on_press=TELL, on_release=TELL) as made:
            made.button.settle(True)
            made.report((True, 1), (False, 2))
            await made.bus.until(lambda: made.bus.told())
            assert [pressed for _, pressed in made.bus.told()] == [False] and not made.button.pressed

    run(scenario())


def test_what_follows_too_quickly_changes_the_state_and_runs_nothing(run: Run[None]) -> None:
    async def scenario() -> None:
        async with desk(on_press=TELL, on_release=TELL, minimum_event_time=1) as made:
            made.report((True, 5), (False, 5.2), (True, 5.4), (False, 7))
            await made.bus.until(lambda: len(made.bus.told()) == 2)
            assert made.bus.told() == [[pytest.approx(5, abs=1), True], [pytest.approx(1.6), False]]
            assert made.changes == 4

    run(scenario())


def test_templates_of_a_button_run_in_order_and_one_at_a_time(run: Run[None]) -> None:
    async def scenario() -> None:
        wait = '{% do call_method("wait") %}' + TELL
        async with desk(on_press=wait, on_release=wait, permissions=[Permission.READ]) as made:
            made.bus.gate.clear()
            made.report((True, 1), (False, 2))
            await made.bus.until(lambda: made.bus.calls)
            await asyncio.sleep(0.01)
            assert made.bus.calls == [("wait", {}, Mandate("button desk on_press", frozenset({Permission.READ})))]
            made.bus.gate.set()
            await made.bus.until(lambda: len(made.bus.told()) == 2)
            assert [pressed for _, pressed in made.bus.told()] == [True, False]
            event = made.bus.notifications()[1][1][0]["event"]
            assert event["render_time"] >= event["received_time"] and not event["pressed"]

    run(scenario())


def test_what_one_run_keeps_the_next_one_sees(run: Run[None]) -> None:
    async def scenario() -> None:
        count = '{% do user_data.update(n=user_data.get("n", 0) + 1) %}{% do send_notification(user_data.n) %}'
        async with desk(on_press=count, on_release=count) as made:
            made.report((True, 1), (False, 2), (True, 3))
            await made.bus.until(lambda: made.bus.told() == [1, 2, 3])

    run(scenario())


def test_a_run_tells_at_most_once(run: Run[None], caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with desk(
            on_press="{% do send_notification() %}\n{% do send_notification(2) %}", on_release=TELL
        ) as made:
            made.report((True, 1), (False, 2))
            await made.bus.until(lambda: len(made.bus.told()) == 2)
            assert made.bus.told()[0] is None

    run(scenario())
    assert "button desk on_press, line 2: ValueError: send_notification is for once in a run" in caplog.text


def test_what_cannot_be_told_is_an_error_of_the_template(run: Run[None], caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with desk(on_press="{% do send_notification(call_method) %}", on_release=TELL) as made:
            made.report((True, 1), (False, 2))
            await made.bus.until(lambda: len(made.bus.told()) == 1)

    run(scenario())
    assert "button desk on_press, line 1: " in caplog.text and "not JSON serializable" in caplog.text


def test_an_error_is_logged_once_until_it_goes_well_or_differently(
    run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with desk(on_press='{% do call_method("m") %}' + TELL, on_release=TELL) as made:
            at = 0
            for refusal in ("busy", "busy", "gone", "gone", "", "gone"):
                made.bus.refusal, at = refusal, at + 2
                told = len(made.bus.told())
                made.report((True, at), (False, at + 1))
                await made.bus.until(partial(made.has_told, told + (1 if refusal else 2)))

    run(scenario())
    assert [line.getMessage().rpartition(": ")[2] for line in caplog.records] == ["busy", "gone", "gone"]


def test_what_is_too_much_is_dropped_and_said_once(run: Run[None], caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with desk(on_press='{% do call_method("wait") %}' + TELL) as made:
            made.bus.gate.clear()
            made.report((True, 0.1))
            await made.bus.until(lambda: made.bus.calls)
            for at in range(1, 3 * MAX_WAITING):
                made.report((False, at), (True, at + 0.5))
            made.bus.gate.set()
            await made.bus.until(lambda: len(made.bus.told()) == 1 + MAX_WAITING)
            made.report((False, 1000), (True, 1001))
            await made.bus.until(lambda: len(made.bus.told()) == 2 + MAX_WAITING)

    run(scenario())
    assert len(caplog.records) == 1 and f"{MAX_WAITING} templates wait" in caplog.text


def test_a_fault_is_shown_until_it_can_be_used(run: Run[None], caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with desk(on_press=TELL) as made:
            for _ in range(3):
                made.button.fail("no such chip")
            assert (made.button.fault, made.changes) == ("no such chip", 1)
            made.button.settle(False)
            assert (made.button.fault, made.changes) == (None, 2)

    run(scenario())
    assert caplog.text.count("no such chip") == 1


def test_the_example_of_the_documentation_does_what_it_says(run: Run[None], tmp_path: Path) -> None:
    (tmp_path / "printer.yaml").write_text(DOCUMENT.read_text().split("```yaml\n")[1].split("```")[0])
    section = read_yaml(tmp_path / "printer.yaml")["buttons"]
    examples = checked(ButtonsSettings, section, "docs", prefix="buttons").buttons

    async def scenario() -> None:
        bus = Gated()
        for name, settings in examples.items():
            button = Button(name, settings, bus, Templates(bus, {}), lambda: None)
            task = asyncio.create_task(button.run(), name=name)
            for at in range(2):
                button.report(True, at)
                button.report(False, at)
            before = len(bus.calls)
            await bus.until(partial(bus.has_been_called, before + 2))
            task.cancel()
        light = "SET_PIN PIN=light VALUE="
        assert [(method, params.get("script")) for method, params, _ in bus.calls] == [
            *[("printer.emergency_stop", None)] * 2,
            ("printer.gcode.script", light + "1"),
            ("printer.gcode.script", light + "0"),
        ]

    run(scenario())
