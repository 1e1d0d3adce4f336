"""One notifier: what its templates make of an event, and the messages that wait for being delivered, in order."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from bus.mandate import Mandate
from bus.templates import TemplateError, Templates
from schemas import Permission

from .delivery import Deliveries, Message, Undelivered
from .prints import Occasion
from .settings import NotifierSettings

log = logging.getLogger(__name__)

MAX_WAITING = 20  # messages; with one more, the oldest is dropped
PAUSES = (0.0, 5.0, 30.0)  # seconds before each attempt; after the last one a message is dropped
MAX_BODY, MAX_TITLE = 16_000, 1_000  # characters; the rest is cut
MAX_ATTACHMENTS = 10
TEMPLATES = ("url", "body", "title", "attach")
KINDS: Mapping[str, Literal["success", "warning", "failure"]] = {
    "complete": "success",
    "cancelled": "warning",
    "paused": "warning",
    "error": "failure",
}


class Notifier:
    """Delivers messages one after the other; `changed` is called when its state has."""

    def __init__(
        self,
        name: str,
        settings: NotifierSettings,
        templates: Templates,
        deliveries: Deliveries,
        changed: Callable[[], None],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.name = name
        self.settings = settings
        self.fault: str | None = None
        self._deliveries = deliveries
        self._changed = changed
        self._pauses = pauses
        self._waiting: deque[Occasion] = deque()
        self._came = asyncio.Event()
        self._templates = {
            option: templates.template(text, Mandate(f"notifier {name} {option}", frozenset({Permission.READ})))
            for option in TEMPLATES
            if (text := getattr(settings, option)) is not None
        }

    @property
    def waiting(self) -> int:
        """Messages that are not delivered yet."""
        return len(self._waiting)

    def tell(self, occasion: Occasion) -> None:
        """Has it tell, as soon as what waits before is delivered or dropped."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            log.warning("notifier %s: %d messages wait; the oldest is dropped", self.name, MAX_WAITING)
        self._waiting.append(occasion)
        self._came.set()
        self._changed()

    async def run(self) -> None:
        """Delivers until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                occasion = self._waiting[0]
                await self._send(occasion)
                if self._waiting and self._waiting[0] is occasion:  # else it was dropped meanwhile
                    self._waiting.popleft()
                self._changed()

    async def address(self) -> str:
        """Where its messages go; raises TemplateError."""
        return await self._templates["url"].render(event_name="", event_args=[], event_message="")

    async def try_once(self, occasion: Occasion) -> None:
        """Delivers now; raises TemplateError and Undelivered."""
        await self._deliver(await self._message(occasion))

    def fail(self, reason: str | None) -> None:
        """Why it does not work, which is logged once; None: it does."""
        fault = reason and reason.removeprefix(f"notifier {self.name} ")  # what templates' errors begin with
        if fault is not None and fault != self.fault:
            log.warning("notifier %s: %s", self.name, fault)
        self.fault = fault
        self._changed()

    async def _send(self, occasion: Occasion) -> None:
        try:
            message = await self._message(occasion)
        except TemplateError as error:
            return self.fail(str(error))
        reason = ""
        for pause in self._pauses:
            await asyncio.sleep(pause)
            try:
                return await self._deliver(message)
            except Undelivered as error:
                reason = str(error)
                if error.final:
                    break
        return self.fail(f"a message ({occasion.event}) was dropped: {reason}")

    async def _deliver(self, message: Message) -> None:
        missing = await self._deliveries.deliver(message)
        self.fail(f"{missing} attachments could not be had; the message was sent without them" if missing else None)

    async def _message(self, occasion: Occasion) -> Message:
        rendered = {option: await self._render(option, occasion) for option in self._templates}
        places = [line.strip() for line in rendered.get("attach", "").splitlines() if line.strip()]
        return Message(
            url=rendered["url"],
            body=(rendered.get("body") or self.name)[:MAX_BODY],
            title=rendered.get("title", "")[:MAX_TITLE],
            format=self.settings.body_format,
            kind=KINDS.get(occasion.event, "info"),
            attach=tuple(places[:MAX_ATTACHMENTS]),
        )

    async def _render(self, option: str, occasion: Occasion) -> str:
        return await self._templates[option].render(
            event_name=occasion.event, event_args=list(occasion.args), event_message=occasion.message
        )
