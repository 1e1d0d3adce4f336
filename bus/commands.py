"""What each subcommand of `printbus` does."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from .agent import Agent, Settings
from .config import ConfigError, PrinterConfig, checked, endpoint, nearest, read_yaml, section, split_sections
from .errors import BusError
from .installation import fault
from .supervisor import agent_class, agent_names

log = logging.getLogger(__name__)

BRIDGE_SECTION = "bridge"
PRINTER_FILE = "printer.yaml"
BROKER_FILE = "broker.yaml"
BESIDE_BROKER = "core"  # the agent that cannot run elsewhere
FAILED_STATUS = 1


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run_until_signal(serve: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Runs a coroutine that ends when the event is set, which SIGTERM and SIGINT do."""

    async def serving() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await serve(stop)

    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(serving())


def _file(given: Path | None, data: Path, name: str) -> tuple[dict[str, Any], str]:
    """The content of a configuration file and how to call it; without one, nothing."""
    path = given or data / "config" / name
    if given is None and not os.path.lexists(path):  # unlike Path.exists, it leaves the reason to the reader
        return {}, str(path)
    return read_yaml(path), str(path)


class Configuration:
    """printer.yaml with the options of the command line laid over it."""

    def __init__(self, options: argparse.Namespace) -> None:
        values, self.source = _file(options.config, options.data, PRINTER_FILE)
        self.kinds: dict[str, type[Agent]] = {}
        for name in agent_names():
            self.kinds[name] = agent_class(name)
        printer, self.sections = split_sections(values, {*self.kinds, BRIDGE_SECTION}, self.source)
        self.printer = self._with_options(printer, options)
        self.http_given = bool(getattr(options, "http", None))
        klippy = section(self.sections.get("klippy"), "klippy", self.source)
        if getattr(options, "klippy", None):
            klippy = {**klippy, "socket": str(options.klippy.absolute()), "virtual": False}
        elif getattr(options, "virtual", False):
            klippy = {**klippy, "virtual": True}
        self.sections["klippy"] = klippy
        self._check_remote()

    def _with_options(self, printer: PrinterConfig, options: argparse.Namespace) -> PrinterConfig:
        if options.instance:
            checked(PrinterConfig, {"instance": options.instance}, "--instance")
        over: dict[str, Any] = {"instance": options.instance, "http": getattr(options, "http", None)}
        return printer.model_copy(update={key: value for key, value in over.items() if value})

    def _check_remote(self) -> None:
        known = [name for name in self.kinds if name != BESIDE_BROKER]
        for name in self.printer.remote_agents:
            if name not in known:
                hint = f"{nearest(name, known)}; known: {', '.join(known)}"
                raise ConfigError(f"{self.source}: 'remote_agents': no agent '{name}' can run elsewhere{hint}")

    def settings(self, kind: type[Agent]) -> Settings:
        """The checked section of an agent; raises ConfigError."""
        options = section(self.sections.get(kind.name), kind.name, self.source)
        return checked(kind.settings_model, options, self.source, prefix=kind.name)

    def agents(self, *, local: bool) -> tuple[list[tuple[type[Agent], Settings]], dict[str, str]]:
        """The agents of this process with their settings, and the optional ones that cannot run, with the reason."""
        wanted = [kind for name, kind in self.kinds.items() if local or name == BESIDE_BROKER]
        found: list[tuple[type[Agent], Settings]] = []
        failed: dict[str, str] = {}
        for kind in wanted:
            if kind.name in self.printer.remote_agents or (kind.optional and kind.name not in self.sections):
                continue
            try:
                found.append((kind, self.settings(kind)))
            except ConfigError as error:
                if not kind.optional:
                    raise
                log.warning("%s", error)
                failed |= dict.fromkeys(kind.components or (kind.name,), str(error))
        return found, failed

    def bridge(self) -> Any:
        """The checked settings of the bridge."""
        from .instance import bridge_part

        host, port = endpoint(self.printer.http)
        address: dict[str, Any] = {"host": host, "port": port}
        options = section(self.sections.get(BRIDGE_SECTION), BRIDGE_SECTION, self.source)
        options = {**options, **address} if self.http_given else {**address, **options}
        return checked(bridge_part("settings"), options, self.source, prefix=BRIDGE_SECTION)


def _broker_settings(options: argparse.Namespace) -> Any:
    from .listeners import BrokerSettings

    values, source = _file(options.broker, options.data, BROKER_FILE)
    settings = checked(BrokerSettings, values, source)
    if options.mqtt is None:
        return settings
    return _listening_at(settings, *endpoint(options.mqtt))


def _listening_at(settings: Any, host: str, port: int) -> Any:
    """The settings with their first tcp listener moved; without one, it is added in front."""
    from .listeners import Listener

    listeners = settings.listeners
    name = next((name for name, listener in listeners.items() if listener.type == "tcp"), "--mqtt")
    moved = listeners.get(name, Listener()).model_copy(update={"host": host, "port": port})
    rest = {key: listener for key, listener in listeners.items() if key != name}
    return settings.model_copy(update={"listeners": {name: moved, **rest}})


def _rules_reader(options: argparse.Namespace, printer: PrinterConfig) -> Callable[[], Any]:
    """What reads the access rules as they stand in the files when it is called; it raises ConfigError."""

    def read() -> Any:
        from .rules import rules_of

        return rules_of(*_access(options), printer.instance, printer.groups)

    return read


def _access(options: argparse.Namespace) -> tuple[Mapping[str, object] | None, str]:
    """The `access` section of broker.yaml, and that file; one that is there must say something."""
    path = options.broker or options.data / "config" / BROKER_FILE
    settings = _broker_settings(options)
    if not settings.model_fields_set and os.path.lexists(path):
        raise ConfigError(f"{path}: is empty; without the file the defaults are in force")
    return settings.access, str(path)


def _plan(options: argparse.Namespace, *, local: bool) -> Any:
    from .instance import Plan

    configuration = Configuration(options)
    agents, failed = configuration.agents(local=local)
    away = configuration.printer.remote_agents if local else {*configuration.kinds} - {kind.name for kind, _ in agents}
    read_rules = _rules_reader(options, configuration.printer)
    return Plan(
        data=options.data,
        config=configuration.printer,
        broker=_broker_settings(options),
        rules=read_rules(),
        read_rules=read_rules,
        agents=agents,
        failed=failed,
        remote={name: kind.components for name, kind in configuration.kinds.items() if name in away},
        folds={fold: kind.name for kind in configuration.kinds.values() for fold in kind.folds},
        bridge=configuration.bridge() if local else None,
    )


def _serve(plan: Any) -> int:
    from .instance import running

    async def serve(stop: asyncio.Event) -> int:
        async with running(plan) as ready:
            print(ready, flush=True)
            await stop.wait()
        return 0

    return _run(serve)


def _run(serve: Callable[[asyncio.Event], Coroutine[Any, Any, int]], *refusals: type[Exception]) -> int:
    """Runs until a signal; what the machine or the broker refuses is one line on standard error and status 1."""
    expected: tuple[type[Exception], ...] = (OSError, BusError, *refusals)
    try:
        return run_until_signal(serve)
    except* expected as refused:
        log.debug("refused", exc_info=refused)
        for error in _leaves(refused):
            print(f"printbus: {reason(error)}", file=sys.stderr)
    return FAILED_STATUS


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        yield from _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]


def reason(error: BaseException) -> str:
    """An error for people: a system error without its number, and with its file."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return ": ".join(str(part) for part in (error.filename, error.strerror) if part)


def up(options: argparse.Namespace) -> int:
    """Everything in one process."""
    return _serve(_plan(options, local=True))


def broker(options: argparse.Namespace) -> int:
    """Broker, log and router; agents and bridge connect to it. Or what its access rules mean."""
    if options.action == "check":
        return _check_access(options)
    if options.who or options.topic is not None:
        options.parser.error("--as and --topic belong to 'printbus broker check'")
    return _serve(_plan(options, local=False))


def _check_access(options: argparse.Namespace) -> int:
    from .access_report import report
    from .rule_file import read_rules

    printer = Configuration(options).printer
    access, source = _access(options)
    found = read_rules(access, source)
    for line in report(found, printer.instance, printer.groups, options.who, options.topic):
        print(line)
    return 0


def _broker_url(options: argparse.Namespace, role: str) -> Any:
    from dataclasses import replace

    from .client import BrokerUrl
    from .instance import agent_key, make_folders

    try:
        url = BrokerUrl.parse(options.broker)
    except ValueError as error:
        raise ConfigError(f"--broker: {error}") from None
    make_folders(options.data)
    return replace(url, user=f"{role}:{uuid4().hex}", password=url.password or agent_key(options.data))


def agent(options: argparse.Namespace) -> int:
    """One agent in a process of its own."""
    configuration = Configuration(options)
    kind = configuration.kinds.get(options.name)
    if kind is None or kind.name == BESIDE_BROKER:
        known = [name for name in configuration.kinds if name != BESIDE_BROKER]
        raise ConfigError(
            f"no agent is called '{options.name}'{nearest(options.name, known)}; known: {', '.join(known)}"
        )
    settings = configuration.settings(kind)
    from .client import Refused
    from .remote import RemoteAgent
    from .topics import Topics

    url = _broker_url(options, "agent")

    async def serve(stop: asyncio.Event) -> int:
        boot = url.user.partition(":")[2]
        remote = RemoteAgent(kind, settings, url, Topics(configuration.printer.instance), options.data, boot)
        ready = f"printbus agent {kind.name} ready {options.broker}"
        return await _until(stop, remote.run(lambda: print(ready, flush=True)))

    return _run(serve, Refused)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> int:
    """Runs work until the event is set."""
    task = asyncio.create_task(work, name="work")
    waiter = asyncio.create_task(stop.wait(), name="signal")
    try:
        await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for each in (task, waiter):
            each.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)
    return 0


def bridge(options: argparse.Namespace) -> int:
    """HTTP and websocket against a broker elsewhere."""
    configuration = Configuration(options)
    settings = configuration.bridge()
    from .client import Refused, RemoteSession
    from .instance import BRIDGE, bridge_part
    from .topics import Topics

    url = _broker_url(options, "bridge")

    async def serve(stop: asyncio.Event) -> int:
        link: list[Any] = []
        session = RemoteSession(url, BRIDGE, connected=lambda: link[0].restored(), lost=lambda: link[0].lost())
        made = bridge_part("class")(session, Topics(configuration.printer.instance), BRIDGE, settings)
        link.append(made)
        made.lost()  # until the first connect
        await made.start()
        print(f"printbus ready {made.url}", flush=True)
        try:
            return await _until(stop, session.run())
        finally:
            await made.stop()

    return _run(serve, Refused)


def config(options: argparse.Namespace) -> int:
    """Says what is wrong with the configuration."""
    plan = _plan(options, local=True)
    for name, reason in plan.failed.items():
        print(f"{name}: {reason}")
    print("ok" if not plan.failed else "usable, without the components above")
    return 0


def log_command(options: argparse.Namespace) -> int:
    """Looks at the event log."""
    from .log_report import run

    return run(options)


def execute(options: argparse.Namespace) -> int:
    """Does what a command line asks for; answers the exit status, raises ConfigError."""
    if options.command in SERVING and (wrong := fault()):
        print(f"printbus: {wrong}", file=sys.stderr)
        return FAILED_STATUS
    try:
        return COMMANDS[options.command](options)
    except OSError as error:  # such as a data folder that cannot be made
        print(f"printbus: {reason(error)}", file=sys.stderr)
        return FAILED_STATUS


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "up": up,
    "broker": broker,
    "bridge": bridge,
    "agent": agent,
    "log": log_command,
    "config": config,
}
SERVING = {"up", "broker", "bridge", "agent"}
