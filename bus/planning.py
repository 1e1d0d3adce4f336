"""What one process is to run: the configuration files, with the options of the command line laid over them."""

import argparse
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .agent import Agent, Settings
from .config import ConfigError, PrinterConfig, checked, endpoint, nearest, read_yaml, section, split_sections
from .supervisor import agent_class, agent_names

log = logging.getLogger(__name__)

BRIDGE_SECTION = "bridge"
PRINTER_FILE = "printer.yaml"
BROKER_FILE = "broker.yaml"


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
        known = [name for name, kind in self.kinds.items() if not kind.beside_broker]
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
        wanted = [kind for kind in self.kinds.values() if local or kind.beside_broker]
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

        return rules_of(*access_section(options), printer.instance, printer.groups)

    return read


def access_section(options: argparse.Namespace) -> tuple[Mapping[str, object] | None, str]:
    """The `access` section of broker.yaml, and that file; one that is there must say something."""
    path = options.broker or options.data / "config" / BROKER_FILE
    settings = _broker_settings(options)
    if not settings.model_fields_set and os.path.lexists(path):
        raise ConfigError(f"{path}: is empty; without the file the defaults are in force")
    return settings.access, str(path)


def planned(options: argparse.Namespace, *, local: bool) -> Any:
    """The plan of a process: with everything in it, or with what stands beside the broker; raises ConfigError."""
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
