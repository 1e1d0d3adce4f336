"""An instance `test` whose uplink leads to another broker, with one agent that can say who asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import orjson

from bus.access import AccessRules
from bus.agent import Agent, Call, implements
from bus.claims import keep_name
from bus.home import Home
from bus.uplink import Uplink
from bus.uplink_settings import Secret, UplinkSettings
from schemas.base import Flags, Method, NoParams, Params, Permission
from tests.bus_rig import Rig, bus_with
from tests.foreign_brokers import Foreign

UP_SECONDS = 20.0


class Words(Params):
    """Anything."""

    text: str = ""


WHO = Method("lab.who", Words, dict, "lab", Permission.READ)
SECRET = Method("lab.secret", NoParams, str, "lab", Permission.READ, flags=Flags(secret=True))
LARGE = Method("lab.large", NoParams, str, "lab", Permission.READ)
ROWS = {row.name: row for row in (WHO, SECRET, LARGE)}


class Lab(Agent):
    """Answers who asks."""

    name = "lab"

    @implements(WHO)
    def who(self, params: Words, call: Call) -> dict[str, Any]:
        """The actor as the agent sees it."""
        return {**call.actor.as_dict(), "connected": call.connection is not None, "text": params.text}

    @implements(SECRET)
    def secret(self, params: NoParams, call: Call) -> str:
        """Nothing for strangers."""
        return "hunter2"

    @implements(LARGE)
    def large(self, params: NoParams, call: Call) -> str:
        """More than brokers carry."""
        return "x" * 1_500_000


class Joined:
    """What `joined` yields: the local side, and what the uplink complains about."""

    def __init__(self, rig: Rig, settings: UplinkSettings, boot: str) -> None:
        self.rig = rig
        self.warnings: dict[str, str] = {}
        self.ups = 0
        home = Home(rig.exchange, rig.router, rig.topics, ["farm-group"], boot, self._warn)
        self.uplink = Uplink("yard", settings, home)
        self.task: asyncio.Task[None] | None = None

    def _warn(self, about: str, text: str | None) -> None:
        if text is None:
            self.warnings.pop(about, None)
        else:
            self.warnings[about] = text

    async def is_up(self, seconds: float = UP_SECONDS) -> None:
        """Waits until the uplink has begun to mirror."""
        async with asyncio.timeout(seconds):
            while not self.uplink.is_up:  # noqa: ASYNC110 - it tells nobody but the log and server.info
                await asyncio.sleep(0.01)

    async def is_down(self, seconds: float = UP_SECONDS) -> None:
        """Waits until the uplink knows that its link is lost."""
        async with asyncio.timeout(seconds):
            while self.uplink.is_up:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def state(self, topic: str, value: Any) -> None:
        """Publishes a state document of the instance."""
        payload = value if isinstance(value, bytes) else orjson.dumps(value)
        self.rig.bus.publish(f"test/{topic}", payload, retain=True)

    def pass_on(self, topic: str, value: Any) -> None:
        """Publishes something that passes."""
        self.rig.bus.publish(f"test/{topic}", orjson.dumps(value))

    async def stop(self) -> None:
        """Ends the uplink as the end of the program does."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


def settings_for(broker: Foreign, **options: Any) -> UplinkSettings:
    """An uplink to a broker, its kind given."""
    given: dict[str, Any] = {"url": broker.url, "kind": broker.kind}
    if broker.password:
        given["password"] = Secret(env="PRINTBUS_TEST_PASSWORD")
    return UplinkSettings.model_validate({**given, **options})


@asynccontextmanager
async def joined(
    settings: UplinkSettings, *, rules: AccessRules | None = None, boot: str | None = None, wait: bool = True
) -> AsyncIterator[Joined]:
    """An instance that is joined to another broker."""
    boot = boot or uuid4().hex
    async with bus_with(ROWS, Lab) as rig:
        if rules is not None:
            rig.exchange.set_rules(rules)
        rig.bus.publish("test/moonraker/status", b'{"server":"online"}', retain=True)
        keep_name(rig.exchange, rig.topics, boot)
        here = Joined(rig, settings, boot)
        here.task = asyncio.create_task(here.uplink.run(), name="uplink")
        try:
            if wait:
                await here.is_up()
            yield here
        finally:
            await here.stop()
