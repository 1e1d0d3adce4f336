"""The notifier agent: tells people what happens to prints, and what gcode macros want them to know."""

import asyncio
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bus.addresses import scheme_of
from bus.agent import Agent, Bus, Call, Host, implements
from bus.envelope import dumps
from bus.errors import InvalidParams, NotFound, Unavailable
from bus.macros import Macros
from bus.program_log import without_secrets
from bus.router import explain
from schemas import NoParams, notifiers

from .prints import Occasion, Prints
from .settings import NotifierSettings, NotifiersSettings

if TYPE_CHECKING:
    from .delivery import Deliveries
    from .notifier import Notifier

log = logging.getLogger(__name__)

LIBRARY = "apprise"
NO_LIBRARY = "messaging services need the package apprise: install printbus with its extra 'notify'"
DOCUMENT = "notifiers"  # the state document
REMOTE_METHOD = "notify"
TEST = "test"


class Notifiers(Agent):
    """Notifiers of the configuration."""

    name = notifiers.OWNER
    components = ("notifier",)
    optional = True
    settings_model = NotifiersSettings
    settings: NotifiersSettings

    @classmethod
    def lacks(cls) -> str | None:
        """The library that knows the services."""
        return None if find_spec(LIBRARY) else NO_LIBRARY

    def __init__(self, bus: Bus, settings: NotifiersSettings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        self._notifiers: dict[str, Notifier] = {}
        self._prints = Prints(bus)
        self._ready = asyncio.Event()
        self._shown = b""

    async def run(self) -> None:
        """Tells until cancelled."""
        from bus.templates import Templates  # with jinja2, which only those pay for who have notifiers

        from .delivery import Deliveries
        from .notifier import Notifier

        templates, deliveries = await Templates.open(self.bus, self.host), Deliveries()
        for name, settings in self.settings.notifiers.items():
            self._notifiers[name] = Notifier(name, settings, templates, deliveries, self._show)
        self._show()
        self._ready.set()
        async with Macros(self.bus, self.name) as macros, asyncio.TaskGroup() as tasks:
            macros.offer(REMOTE_METHOD, self._notify_from_macro)
            for notifier in self._notifiers.values():
                tasks.create_task(notifier.run(), name=f"notifier {notifier.name}")
            tasks.create_task(self._look_at_addresses(deliveries), name="notifiers: addresses")
            tasks.create_task(self._follow(), name="notifiers: prints")

    @implements(notifiers.LIST)
    def list_notifiers(self, params: NoParams, call: Call) -> notifiers.Notifiers:
        """As they are configured, without secrets."""
        return notifiers.Notifiers(notifiers=[_listed(*each) for each in self.settings.notifiers.items()])

    @implements(notifiers.TEST)
    async def test(self, params: notifiers.NameParams, call: Call) -> notifiers.Tested:
        """One attempt; raises NotFound, InvalidParams for what its templates run into, and Unavailable."""
        from bus.templates import TemplateError

        from .delivery import Undelivered

        notifier, stats = await self._notifier(params.name), await self._prints.stats()
        try:
            await notifier.try_once(Occasion(TEST, (stats, stats)))
        except TemplateError as error:
            raise InvalidParams(str(error)) from None
        except Undelivered as error:
            raise Unavailable(f"Notifier {params.name}: {error}") from None
        return notifiers.Tested(status="success", stats=stats)

    async def _notifier(self, name: str) -> "Notifier":
        await self._ready.wait()
        if name not in self._notifiers:
            raise NotFound(f"No notifier is called '{name}'; known: {', '.join(self._notifiers)}")
        return self._notifiers[name]

    async def _notify_from_macro(self, arguments: dict[str, Any]) -> None:
        try:
            given = notifiers.MacroParams.model_validate(arguments)
        except ValidationError as error:
            raise InvalidParams(explain(error)) from None
        (await self._notifier(given.name)).tell(Occasion("gcode", message=given.message))

    async def _follow(self) -> None:
        await self._prints.start()
        async for event, occasion in self._prints.occasions():
            for notifier in self._notifiers.values():
                if notifier.settings.wants(event):
                    notifier.tell(occasion)

    async def _look_at_addresses(self, deliveries: "Deliveries") -> None:
        """Says at the start what could never be delivered."""
        from bus.templates import TemplateError

        from .delivery import Undelivered

        urls: dict[str, str] = {}
        for name, notifier in self._notifiers.items():
            try:
                urls[name] = await notifier.address()
            except TemplateError as error:
                notifier.fail(str(error))
        try:
            for name, fault in (await deliveries.faults(urls)).items():
                self._notifiers[name].fail(fault)
        except Undelivered as error:
            log.warning("whether the notifiers' addresses can be used is not known: %s", error)
        self._show()

    def _show(self) -> None:
        """What has changed."""
        outcomes = {
            name: notifiers.Outcome(events=each.settings.events, waiting=each.waiting, fault=each.fault)
            for name, each in self._notifiers.items()
        }
        shown = dumps(notifiers.Outcomes(notifiers=outcomes))
        if shown == self._shown:
            return
        self._shown = shown
        self.bus.publish(self.bus.topics.state(self.name, DOCUMENT), shown, retain=True)
        for name, notifier in self._notifiers.items():
            if self.host is not None:
                self.host.warn(f"notifier {name}", notifier.fault and f"Notifier {name}: {notifier.fault}")


def _listed(name: str, settings: NotifierSettings) -> notifiers.Notifier:
    return notifiers.Notifier(
        name=name,
        url=scheme_of(settings.url),
        events=settings.events,
        body=settings.body,
        title=settings.title,
        attach=settings.attach and without_secrets(settings.attach),
    )
