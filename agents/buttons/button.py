"""One button: how it is, and the templates that its presses and releases run."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from bus.agent import Bus
from bus.envelope import notification
from bus.mandate import Mandate
from bus.templates import TemplateError, Templates
from schemas.buttons import BUTTON_EVENT, ButtonEvent, Pressing

from .settings import ButtonSettings

log = logging.getLogger(__name__)

FULL = "full"
MAX_WAITING = 16  # presses and releases whose templates have not begun; one more runs none


class Unusable(Exception):
    """What tells of a button is out of reach; the text says why."""


class _Change(NamedTuple):
    pressed: bool
    elapsed: float
    at: float


class Button:
    """A button's state, and its templates, which run one after the other; `changed` is called when the state has."""

    def __init__(
        self, name: str, settings: ButtonSettings, bus: Bus, templates: Templates, changed: Callable[[], None]
    ) -> None:
        self.name = name
        self.settings = settings
        self.bus = bus
        self.pressed: bool | None = None  # not known
        self.fault: str | None = None
        self._changed = changed
        self._since = asyncio.get_running_loop().time()
        self._waiting: asyncio.Queue[_Change] = asyncio.Queue(MAX_WAITING)
        self._complaints: dict[str, str] = {}
        self._user_data: dict[str, Any] = {}
        self._templates = {
            option: templates.template(text, Mandate(f"button {name} {option}", settings.permissions))
            for option, text in settings.templates().items()
        }

    def has(self, option: str) -> bool:
        """Whether an option holds a template."""
        return option in self._templates

    async def render(self, option: str, **context: Any) -> str | None:
        """What the template of an option gives; None where it fails, which is logged."""
        try:
            text = await self._templates[option].render(**context)
        except TemplateError as error:
            self.complain(option, str(error))
            return None
        self.recover(option)
        return text

    def settle(self, pressed: bool) -> None:
        """How it is found; that runs nothing."""
        if self.fault is not None:
            log.info("button %s can be used", self.name)
        if pressed != self.pressed or self.fault is not None:
            self.pressed, self.fault = pressed, None
            self._changed()

    def fail(self, reason: str) -> None:
        """It cannot be used at the moment; that is logged once."""
        if reason != self.fault:
            log.warning("button %s: %s", self.name, reason)
            self.pressed, self.fault = None, reason
            self._changed()

    def report(self, pressed: bool, at: float) -> None:
        """What has been seen, and when on the loop's clock; the same as before is no news."""
        if pressed == self.pressed:
            return
        if self.pressed is None and not pressed:
            return self.settle(pressed)
        change = _Change(pressed, max(at - self._since, 0.0), at)
        self.pressed, self._since = pressed, at
        self._changed()
        if change.elapsed >= self.settings.minimum_event_time and self.has(_option(pressed)):
            self._put(change)
        return None

    def _put(self, change: _Change) -> None:
        if self._waiting.full():
            return self.complain(FULL, f"button {self.name}: {MAX_WAITING} templates wait; what comes now runs none")
        if self._waiting.empty():
            self.recover(FULL)
        return self._waiting.put_nowait(change)

    async def run(self) -> None:
        """Runs templates until cancelled."""
        while True:
            change = await self._waiting.get()
            await self._run(change)

    async def _run(self, change: _Change) -> None:
        begun = max(asyncio.get_running_loop().time(), change.at)
        event = Pressing(
            elapsed_time=change.elapsed, received_time=change.at, render_time=begun, pressed=change.pressed
        )
        notice = _Notice(self, event)
        await self.render(
            _option(change.pressed),
            event=event.model_dump(),
            user_data=self._user_data,
            send_notification=notice.send,
        )

    def complain(self, about: str, text: str) -> None:
        """Logs what has gone wrong, once until something else does."""
        if text != self._complaints.get(about):
            log.warning("%s", text)
        self._complaints[about] = text

    def recover(self, about: str) -> None:
        """It goes well again."""
        self._complaints.pop(about, None)

    def tell(self, event: Pressing, aux: Any) -> None:
        """Tells all clients."""
        told = ButtonEvent(name=self.name, type=self.settings.type, event=event, aux=aux)
        self.bus.publish(self.bus.topics.notify(BUTTON_EVENT.name), notification(BUTTON_EVENT.name, [told]))


def _option(pressed: bool) -> str:
    return "on_press" if pressed else "on_release"


class _Notice:
    """The one notification of one run."""

    def __init__(self, button: Button, event: Pressing) -> None:
        self._button = button
        self._event = event
        self._sent = False

    def send(self, result: Any = None) -> None:
        """Tells all clients of the event, with anything that is JSON; raises ValueError the second time."""
        if self._sent:
            raise ValueError("send_notification is for once in a run")
        self._button.tell(self._event, result)
        self._sent = True
