"""The machine agent: services of the host, its power, and sudo."""

import asyncio
import logging
import os
from contextlib import aclosing, suppress
from functools import partial

import orjson

from bus.agent import Agent, Bus, Call, Host, implements
from bus.errors import BusError, Conflict, HostError, Refused, Unavailable
from bus.macros import Arguments, Macros
from bus.system_users import user_name
from schemas import NoParams, machine, printer, services
from schemas.machine import Virtualization

from .allowed import Allowed
from .board import Board
from .choice import choose
from .provider import Power, Provider, States, Unreachable, Verb
from .settings import MachineSettings
from .sudo import Request, Sudo

log = logging.getLogger(__name__)

OK = "ok"
RETRY_FIRST, RETRY_LAST = 1.0, 30.0  # seconds
WANTED = "Sudo password required to manage services and to shut down the host"
BUSY = ("printing", "paused")
SERVICES = "services"  # what a warning is about


class Machine(Agent):
    """Whoever may manage this host's services from here manages those of the allow list."""

    name = services.OWNER
    components = ("machine",)
    settings_model = MachineSettings
    settings: MachineSettings

    def __init__(self, bus: Bus, settings: MachineSettings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        self._board = Board(bus, self.notify)
        self._sudo = Sudo(self._alert)
        self._provider: Provider | None = None
        self._fault: str | None = None  # why there is no provider, or it does not answer
        self._known = asyncio.Event()  # the first look is over
        self._virtualization: Virtualization | None = None
        self._klipper_came = asyncio.Event()
        self._us: str | None = None  # the service that we are
        self._allowed = Allowed(frozenset())
        self._work = asyncio.TaskGroup()

    async def run(self) -> None:
        """Follows services until cancelled."""
        await self._read()
        self._provider, self._fault = await choose(self.settings, self._allowed, self._sudo)
        async with Macros(self.bus, self.name) as macros, self._work:
            macros.offer("shutdown_machine", partial(self._power_by_macro, self._off))
            macros.offer("reboot_machine", partial(self._power_by_macro, Power.REBOOT))
            self.bus.subscribe(self.bus.topics.state(machine.SYSINFO, "system_info"), self._on_system_info)
            self.bus.subscribe(self.bus.topics.state(printer.OWNER, "server"), self._on_printer)
            if self._provider is None:
                self._lose(self._fault or "")
                await super().run()
            else:
                self._board.chosen(self._provider.name)
                self._work.create_task(self._name_klipper(self._provider), name="machine: klipper")
                await self._follow(self._provider)

    @property
    def _off(self) -> Power:
        return Power(self.settings.shutdown_action)

    async def _read(self) -> None:
        """The allow list, and the password where one is configured; what cannot be read allows nothing."""
        try:
            self._allowed = await asyncio.to_thread(Allowed.load, self.bus.data)
            if self.settings.sudo_password is not None:
                self._sudo.preset(await asyncio.to_thread(self.settings.sudo_password.read))
        except (OSError, ValueError) as error:
            log.warning("services: %s", error)
            self._warn("allow list", str(error))

    # -- services

    async def _follow(self, provider: Provider) -> None:
        """Tries again for as long as it takes."""
        delay = RETRY_FIRST
        while True:
            try:
                async with aclosing(provider.states()) as changes:
                    async for states in changes:
                        if self._fault is not None or not self._known.is_set():
                            await self._meet(provider, states)
                            delay = RETRY_FIRST
                        self._board.changed(states)
                        self._known.set()
            except (Unreachable, Unavailable) as gone:
                self._lose(str(gone))
            await asyncio.sleep(delay)
            delay = min(2 * delay, RETRY_LAST)

    async def _meet(self, provider: Provider, states: States) -> None:
        """Finds out who we are to it, and what we may do."""
        self._us = await provider.unit_of(os.getpid())
        if self._us is not None and self._us in states:
            self._board.named(moonraker=self._us)
        await self._find_rights(provider)
        self._fault = None
        self._warn(SERVICES, None)

    async def _find_rights(self, provider: Provider) -> None:
        rights = await provider.rights()
        self._board.may(rights)
        if rights.sudo:
            self._sudo.ask(Request(WANTED, partial(self._regain, provider)))
        else:
            self._sudo.withdraw(WANTED)

    async def _regain(self, provider: Provider) -> str:
        await self._find_rights(provider)
        if self._board.rights.services is not None:
            raise HostError(self._board.rights.services)
        return "Services can be managed."

    def _lose(self, reason: str) -> None:
        if reason != self._fault or not self._known.is_set():
            log.log(logging.INFO if self.settings.provider == "auto" else logging.WARNING, "services: %s", reason)
        self._fault = reason
        self._board.lost(reason)
        self._known.set()
        if self._provider is not None:
            self._warn(SERVICES, f"Services cannot be managed: {reason}")

    def _warn(self, about: str, text: str | None) -> None:
        if self.host is not None:
            self.host.warn(f"{self.name}: {about}", text)

    async def _name_klipper(self, provider: Provider) -> None:
        """Looks which service Klipper is, whenever it has come."""
        while True:
            await self._klipper_came.wait()
            self._klipper_came.clear()
            await self._known.wait()
            with suppress(BusError):
                process = (await self.bus.call(printer.INFO.name)).get("process_id")
                unit = await provider.unit_of(process) if isinstance(process, int) else None
                if unit in self._board.available and unit != self._us:
                    self._board.named(klipper=unit)

    def _on_printer(self, _topic: str, payload: bytes) -> None:
        if payload and orjson.loads(payload)["klippy_connected"]:
            self._klipper_came.set()

    def _on_system_info(self, _topic: str, payload: bytes) -> None:
        if payload:
            self._virtualization = Virtualization.model_validate(orjson.loads(payload)["virtualization"])
            contained = self._virtualization.virt_type == "container"
            self._board.contained(self._virtualization.virt_identifier if contained else None)

    async def _ready(self) -> Provider:
        await self._known.wait()
        if self._provider is None:
            raise Unavailable(f"Nothing manages services here: {self._fault}")
        if self._fault is not None:
            raise Unavailable(self._fault)
        return self._provider

    @implements(services.START)
    async def start(self, params: services.ServiceParams, call: Call) -> str:
        """Answers when it has started."""
        return await self._act(Verb.START, params.service, call)

    @implements(services.STOP)
    async def stop(self, params: services.ServiceParams, call: Call) -> str:
        """Answers when it has stopped."""
        return await self._act(Verb.STOP, params.service, call)

    @implements(services.RESTART)
    async def restart(self, params: services.ServiceParams, call: Call) -> str:
        """Answers when it has started again, or, where we are it, before."""
        return await self._act(Verb.RESTART, params.service, call)

    async def _act(self, verb: Verb, unit: str, call: Call) -> str:
        provider = await self._ready()
        if not self._allowed.permits(unit):
            raise Refused(f"Service '{unit}' is not on the list of services that may be managed")
        if unit not in self._board.available:
            raise Refused(f"Service '{unit}' is not installed")
        if unit != self._us:
            await provider.act(verb, unit)
        elif verb is not Verb.RESTART:
            raise Refused(f"Service '{unit}' is this server, which can only be restarted")
        elif self._board.rights.services is not None:
            raise HostError(self._board.rights.services)
        else:
            call.then.append(partial(self._restart_us, provider, unit))
        return OK

    def _restart_us(self, provider: Provider, unit: str) -> None:
        """The answer has left."""
        if provider.restarts_us or self.host is None:
            self._work.create_task(self._restart_unit(provider, unit), name=f"machine: restart {unit}")
        else:
            self.host.restart()

    async def _restart_unit(self, provider: Provider, unit: str) -> None:
        try:
            await provider.act(Verb.RESTART, unit, wait=False)
        except BusError as error:
            log.error("the restart of %s failed: %s", unit, error.message)
            self._warn("restart", f"The restart of {unit} failed: {error.message}")

    # -- power

    @implements(services.SHUTDOWN)
    async def shutdown(self, params: NoParams, call: Call) -> str:
        """Answers once it has begun."""
        return await self._power(self._off)

    @implements(services.REBOOT)
    async def reboot(self, params: NoParams, call: Call) -> str:
        """Answers once it has begun."""
        return await self._power(Power.REBOOT)

    async def _power(self, action: Power) -> str:
        if self._virtualization is None:
            raise Unavailable("It is not known yet whether this host is a container")
        if self._virtualization.virt_type == "container":
            raise Refused(f"This host is a container ({self._virtualization.virt_identifier}): no power")
        provider = await self._ready()
        if not provider.has_power:
            raise Unavailable(f"The provider '{provider.name}' has no power over the host")
        if self.settings.refuse_while_printing and await self._is_printing():
            raise Conflict("A print is under way")
        await provider.power(action)
        return OK

    async def _is_printing(self) -> bool:
        """A printer that is not there does not print."""
        try:
            found = await self.bus.call(printer.OBJECTS_QUERY.name, {"objects": {"print_stats": ["state"]}})
        except BusError:
            return False
        return found["status"].get("print_stats", {}).get("state") in BUSY

    async def _power_by_macro(self, action: Power, _arguments: Arguments) -> None:
        await self._power(action)

    # -- sudo

    @implements(services.SUDO_INFO)
    async def sudo_info(self, params: services.SudoInfoParams, call: Call) -> services.SudoInfo:
        """Runs something only if asked to."""
        access = await self._sudo.allowed() if params.check_access else None
        messages = self._sudo.messages
        return services.SudoInfo(
            sudo_access=access, linux_user=user_name(), sudo_requested=bool(messages), request_messages=messages
        )

    @implements(services.SUDO_PASSWORD)
    async def sudo_password(self, params: services.PasswordParams, call: Call) -> services.SudoResponses:
        """Keeps it in memory."""
        said, restarts = await self._sudo.enter(params.password)
        return services.SudoResponses(sudo_responses=said, is_restarting=restarts)

    def _alert(self) -> None:
        messages = self._sudo.messages
        alert = services.SudoAlert(sudo_requested=bool(messages), sudo_messages=messages, request_messages=messages)
        self.notify(services.SUDO_ALERT, [alert])
