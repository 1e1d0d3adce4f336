"""What each subcommand of `printbus` does."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from .agent import Agent, Settings
from .config import ConfigError, PrinterConfig, checked, endpoint, nearest, read_yaml, split_sections
from .supervisor import agent_class, agent_names

log = logging.getLogger(__name__)

BRIDGE_SECTION = "bridge"
PRINTER_FILE = "printer.yaml"
BROKER_FILE = "broker.yaml"


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
    if given is None and not path.exists():
        return {}, name
    return read_yaml(path), str(path)


class Configuration:
    """printer.yaml with the options of the command line laid over it."""

    def __init__(self, options: argparse.Namespace) -> None:
        values, self.source = _file(options.config, options.data, PRINTER_FILE)
        self.kinds: dict[str, type[Agent]] = {}
        for name in agent_names():
            self.kinds[name] = agent_class(name)
        printer, self.sections = split_sections(values, {*self.kinds, BRIDGE_SECTION}, self.source)
        over: dict[str, Any] = {"instance": options.instance, "http": getattr(options, "http", None)}
        self.printer: PrinterConfig = printer.model_copy(update={key: value for key, value in over.items() if value})
        if options.instance:
            checked(PrinterConfig, {"instance": options.instance}, "--instance")
        klippy = dict(self.sections.get("klippy", {}))
        if getattr(options, "klippy", None):
            klippy = {**klippy, "socket": str(options.klippy.absolute()), "virtual": False}
        elif getattr(options, "virtual", False):
            klippy = {**klippy, "virtual": True}
        self.sections["klippy"] = klippy
        for name in self.printer.remote_agents:
            if name not in self.kinds:
                raise ConfigError(
                    f"{self.source}: 'remote_agents': no agent is called '{name}'{nearest(name, list(self.kinds))}"
                )

    def settings(self, kind: type[Agent]) -> Settings:
        """The checked section of an agent; raises ConfigError."""
        section = self.sections.get(kind.name, {})
        if not isinstance(section, Mapping):
            raise ConfigError(f"{self.source}: '{kind.name}': expected a mapping of options")
        return checked(kind.settings_model, section, self.source, prefix=kind.name)

    def agents(self, *, local: bool) -> tuple[list[tuple[type[Agent], Settings]], dict[str, str]]:
        """The agents of this process with their settings, and the optional ones that cannot run, with the reason."""
        wanted = [kind for name, kind in self.kinds.items() if local or name == "core"]
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
                failed |= dict.fromkeys(kind.components, str(error))
        return found, failed

    def bridge(self) -> Any:
        """The checked settings of the bridge."""
        from .instance import bridge_part

        host, port = endpoint(self.printer.http)
        section = {"host": host, "port": port, **self.sections.get(BRIDGE_SECTION, {})}
        return checked(bridge_part("settings"), section, self.source, prefix=BRIDGE_SECTION)


def _broker_settings(options: argparse.Namespace) -> Any:
    from .listeners import BrokerSettings

    values, source = _file(options.broker, options.data, BROKER_FILE)
    settings = checked(BrokerSettings, values, source)
    if options.mqtt is None:
        return settings
    host, port = endpoint(options.mqtt)
    listeners = settings.listeners
    name = "default" if "default" in listeners else next(iter(listeners))
    changed = listeners[name].model_copy(update={"type": "tcp", "host": host, "port": port})
    return settings.model_copy(update={"listeners": {**listeners, name: changed}})


def _plan(options: argparse.Namespace, *, local: bool) -> Any:
    from .instance import Plan

    configuration = Configuration(options)
    agents, failed = configuration.agents(local=local)
    away = configuration.printer.remote_agents if local else {*configuration.kinds} - {kind.name for kind, _ in agents}
    return Plan(
        data=options.data,
        config=configuration.printer,
        broker=_broker_settings(options),
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

    try:
        return run_until_signal(serve)
    except OSError as error:
        print(f"printbus: {error}", file=sys.stderr)
        return 1


def up(options: argparse.Namespace) -> int:
    """Everything in one process."""
    return _serve(_plan(options, local=True))


def broker(options: argparse.Namespace) -> int:
    """Broker, log and router; agents and bridge connect to it."""
    return _serve(_plan(options, local=False))


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
    if kind is None or kind.name == "core":
        known = [name for name in configuration.kinds if name != "core"]
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

    try:
        return run_until_signal(serve)
    except* Refused as refused:
        reason = refused.exceptions[0]
        print(f"printbus: agent {kind.name} is refused by {options.broker}: {reason}", file=sys.stderr)
    return 1


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> int:
    """Runs work until the event is set."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stop.wait())
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
    from .client import RemoteSession
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

    return run_until_signal(serve)


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


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "up": up,
    "broker": broker,
    "bridge": bridge,
    "agent": agent,
    "log": log_command,
    "config": config,
}
