"""What one process is to run: the configuration files, with the options of the command line laid over them."""

import argparse
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .agent import Agent, Settings
from .config import ConfigError, PrinterConfig, checked, endpoint, nearest, read_yaml, section, split_sections
from .last_working import Files, recall
from .program import has_restarted, port_for
from .supervisor import agent_class, agent_names

log = logging.getLogger(__name__)

BRIDGE_SECTION = "bridge"
PRINTER_FILE = "printer.yaml"
BROKER_FILE = "broker.yaml"


class ConfigFiles:
    """printer.yaml and broker.yaml as they are, or `instead` the content that they had when they last worked."""

    def __init__(self, options: argparse.Namespace, instead: Files | None = None) -> None:
        self._folder = folder = options.data / "config"
        broker = getattr(options, "broker", None)
        self._paths: dict[str, Path] = {PRINTER_FILE: options.config or folder / PRINTER_FILE}
        self._paths[BROKER_FILE] = broker if isinstance(broker, Path) else folder / BROKER_FILE
        self._named = {name for name, path in self._paths.items() if path != folder / name}
        self._known: Files = {} if instead is None else instead
        self._instead = instead is not None

    def path(self, name: str) -> Path:
        """Where a file is, or would be."""
        return self._paths[name]

    def names(self) -> dict[str, str]:
        """Where they are, as seen from the config folder."""
        inside = {name: path.is_relative_to(self._folder) for name, path in self._paths.items()}
        return {
            name: str(path.relative_to(self._folder) if inside[name] else path.absolute())
            for name, path in self._paths.items()
        }

    def required(self, name: str) -> bool:
        """Whether a file was named or is there; unlike Path.exists this leaves what is wrong with it to the reader."""
        return not self._instead and (name in self._named or os.path.lexists(self._paths[name]))

    def read(self, name: str) -> dict[str, Any]:
        """The content of a file, as it was at the first time; without one, nothing. Raises ConfigError."""
        if name not in self._known:
            self._known[name] = read_yaml(self._paths[name]) if self.required(name) else {}
        return self._known[name]


class Configuration:
    """printer.yaml with the options of the command line laid over it."""

    def __init__(self, options: argparse.Namespace, files: ConfigFiles | None = None) -> None:
        files = files or ConfigFiles(options)
        values, self.source = files.read(PRINTER_FILE), str(files.path(PRINTER_FILE))
        self.values = values
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
                settings = self.settings(kind)
                if reason := kind.lacks():
                    raise ConfigError(f"{self.source}: '{kind.name}': {reason}")
                found.append((kind, settings))
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
        settings = checked(bridge_part("settings"), options, self.source, prefix=BRIDGE_SECTION)
        ports = {"port": port_for("http", settings.port), "ssl_port": port_for("https", settings.ssl_port)}
        return settings.model_copy(update=ports)


def _broker_settings(options: argparse.Namespace, files: ConfigFiles) -> Any:
    from .listeners import BrokerSettings

    settings = checked(BrokerSettings, files.read(BROKER_FILE), str(files.path(BROKER_FILE)))
    if options.mqtt is not None:
        settings = _listening_at(settings, *endpoint(options.mqtt))
    listeners = {
        name: listener.model_copy(update={"port": port_for(f"mqtt {name}", listener.port)})
        for name, listener in settings.listeners.items()
    }
    return settings.model_copy(update={"listeners": listeners})


def _listening_at(settings: Any, host: str, port: int) -> Any:
    """The settings with their first tcp listener moved; without one, it is added in front."""
    from .listeners import Listener

    listeners = settings.listeners
    name = next((name for name, listener in listeners.items() if listener.type == "tcp"), "--mqtt")
    moved = listeners.get(name, Listener()).model_copy(update={"host": host, "port": port})
    rest = {key: listener for key, listener in listeners.items() if key != name}
    return settings.model_copy(update={"listeners": {name: moved, **rest}})


def _rules_reader(
    options: argparse.Namespace, printer: PrinterConfig, files: ConfigFiles | None = None
) -> Callable[[], Any]:
    """What reads the access rules as they stand in the files when it is called; it raises ConfigError."""

    def read() -> Any:
        from .rules import rules_of

        return rules_of(*access_section(options, files), printer.instance, printer.groups)

    return read


def access_section(
    options: argparse.Namespace, files: ConfigFiles | None = None
) -> tuple[Mapping[str, object] | None, str]:
    """The `access` section of broker.yaml, and that file; one that is there must say something."""
    files = files or ConfigFiles(options)
    settings, path = _broker_settings(options, files), files.path(BROKER_FILE)
    says_something = any(value is not None for value in files.read(BROKER_FILE).values())
    if not says_something and files.required(BROKER_FILE):
        raise ConfigError(f"{path}: is empty; without the file the defaults are in force")
    return settings.access, str(path)


def _to_keep(configuration: Configuration, files: ConfigFiles) -> Files:
    """The content of the files, with that of the file of access rules in its place."""
    return {PRINTER_FILE: configuration.values, BROKER_FILE: _with_access(files.read(BROKER_FILE), files)}


def _with_access(broker: Mapping[str, Any], files: ConfigFiles) -> dict[str, Any]:
    """The content of a broker.yaml with the access rules of the files."""
    access = files.read(BROKER_FILE).get("access")
    rules = (access or {}).get("rules")
    if isinstance(rules, str):
        access = read_yaml(files.path(BROKER_FILE).parent / rules)
    others = {key: value for key, value in broker.items() if key != "access"}
    return others if access is None else {**others, "access": access}


def _kept_anew(options: argparse.Namespace, kept: Files) -> Files:
    """What is in force once the access rules have been read again: the rest of the files counts after a restart."""
    return {**kept, BROKER_FILE: _with_access(kept[BROKER_FILE], ConfigFiles(options))}


def planned(options: argparse.Namespace, *, local: bool) -> Any:
    """The plan of a process: with everything in it, or with what stands beside the broker; raises ConfigError."""
    return _planned(options, ConfigFiles(options), local=local)


def planned_before(options: argparse.Namespace, problem: str, *, local: bool) -> Any:
    """The plan with the files as they were when they last worked, which says so; None where there is none.

    Only a restart takes it up: a start with broken files, access rules among them, is refused.
    """
    kept = recall(options.data) if has_restarted() else None
    if kept is None:
        return None
    warning = f"The configuration cannot be used; the last one that worked is in force: {problem}"
    try:
        return _planned(options, ConfigFiles(options, kept), local=local, warnings=(warning,))
    except ConfigError as error:
        log.error("the configuration that last worked cannot be used either: %s", error)
        return None


def _planned(options: argparse.Namespace, files: ConfigFiles, *, local: bool, warnings: tuple[str, ...] = ()) -> Any:
    from .instance import Plan

    configuration = Configuration(options, files)
    agents, failed = configuration.agents(local=local)
    away = configuration.printer.remote_agents if local else {*configuration.kinds} - {kind.name for kind, _ in agents}
    rules = _rules_reader(options, configuration.printer, files if warnings else None)()
    kept = _to_keep(configuration, files)
    return Plan(
        data=options.data,
        config=configuration.printer,
        broker=_broker_settings(options, files),
        rules=rules,
        read_rules=_rules_reader(options, configuration.printer),
        agents=agents,
        failed=failed,
        remote={name: kind.components for name, kind in configuration.kinds.items() if name in away},
        folds={fold: kind.name for kind in configuration.kinds.values() for fold in kind.folds},
        bridge=configuration.bridge() if local else None,
        files=kept,
        read_files=partial(_kept_anew, options, kept),
        names=files.names(),
        warnings=warnings,
    )
