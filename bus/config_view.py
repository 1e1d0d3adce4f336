"""The configuration as `server.config` answers it: under Moonraker's section names, without secrets."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .addresses import HIDDEN, SECRET, scheme_of, without_addresses
from .program_log import without_secrets

if TYPE_CHECKING:
    from .instance import Plan

PRINTER_FILE, BROKER_FILE = "printer.yaml", "broker.yaml"
BRIDGE, SERVER, AUTHORIZATION, MQTT = "bridge", "server", "authorization", "mqtt"
OF_AUTHORIZATION = {"cors_domains", "proxies", "hosts"}  # options of the bridge
RENAMED = {"max_websockets": "max_websocket_connections", "instance": "instance_name"}
OF_MQTT = {"instance", "groups"}  # options outside any section
OF_BROKER = {"listeners": "mqtt_listener", "uplinks": "mqtt_uplink", "limits": "mqtt_limits"}
NOTIFIERS, NOTIFIER = "notifiers", "notifier "  # addresses of messaging services are keys to them
OF_SERVER = {("klippy", "socket"): "klippy_uds_address"}  # options of agents

Sections = dict[str, dict[str, Any]]
Placed = Iterator[tuple[str, str, Any]]


def shown_configuration(plan: "Plan") -> dict[str, Any]:
    """What is in force with its defaults, what the files say as they say it, and which file says what."""
    names = {kind.name: _section_of(kind.name, kind.components) for kind, _ in plan.agents}
    written = {
        PRINTER_FILE: _gathered(_printer(plan.files.get(PRINTER_FILE, {}), names)),
        BROKER_FILE: _gathered(_broker(plan.files.get(BROKER_FILE, {}))),
    }
    orig: Sections = {"DEFAULT": {}}
    for sections in written.values():
        for section, options in sections.items():
            orig.setdefault(section, {}).update({option: _text(value) for option, value in options.items()})
    return {
        "config": _in_force(plan, names),
        "orig": orig,
        "files": [
            {"filename": plan.names.get(name, name), "sections": list(sections)}
            for name, sections in written.items()
            if sections
        ],
    }


def _section_of(agent: str, components: tuple[str, ...]) -> str:
    return components[0] if components else agent


def _in_force(plan: "Plan", names: Mapping[str, str]) -> Sections:
    printer = plan.config.model_dump(mode="json", exclude={"http"})
    printer |= {kind.name: settings.model_dump(mode="json") for kind, settings in plan.agents}
    if plan.bridge is not None:
        printer[BRIDGE] = plan.bridge.model_dump(mode="json")
    found = _gathered(_printer(printer, names))
    for section, options in _gathered(_broker(plan.broker.model_dump(mode="json"))).items():
        found.setdefault(section, {}).update(options)
    parts = [kind.components or (kind.name,) for kind, _ in plan.agents]
    for component in (part for components in (*parts, *plan.remote.values()) for part in components):
        found.setdefault(component, {})
    return found


def _printer(values: Mapping[str, Any], names: Mapping[str, str]) -> Placed:
    """Where each option of a printer.yaml belongs."""
    for key, value in values.items():
        if key == BRIDGE and isinstance(value, dict):
            for option, given in value.items():
                section = AUTHORIZATION if option in OF_AUTHORIZATION else SERVER
                yield section, str(RENAMED.get(option, option)), given
        elif key == "http" and isinstance(value, str):
            host, _, port = value.rpartition(":")
            yield from ((SERVER, "host", host.strip("[]")), (SERVER, "port", int(port)))
        elif isinstance(value, dict):
            ours = {option: given for option, given in value.items() if (key, option) not in OF_SERVER}
            if key in names:
                yield from _options(names[key], ours)
            else:
                yield from ((key, option, given) for option, given in ours.items())
            for option in value.keys() - ours.keys():
                yield SERVER, OF_SERVER[key, option], value[option]
        elif value is not None or key not in names:
            yield (MQTT if key in OF_MQTT else SERVER), str(RENAMED.get(key, key)), value


def _broker(values: Mapping[str, Any]) -> Placed:
    """The same for a broker.yaml; its access rules stay where they are."""
    for key, value in values.items():
        if key in OF_BROKER and isinstance(value, dict):
            yield from _options(OF_BROKER[key], value)


def _options(section: str, values: Mapping[str, Any]) -> Placed:
    """The options of a section; a mapping of named sections is that many sections."""
    if values and all(isinstance(value, dict) for value in values.values()):
        for name, options in values.items():
            yield from ((f"{section} {name}", option, value) for option, value in options.items())
    else:
        yield from ((section, option, value) for option, value in values.items())


def _gathered(placed: Placed) -> Sections:
    found: Sections = {}
    for section, option, value in placed:
        found.setdefault(section, {})[option] = _masked(option, value, section)
    return found


def _masked(option: str, value: Any, section: str = "") -> Any:
    """The value; where it is a secret itself, rather than the place of one, only that there is one."""
    if isinstance(value, dict):
        return {key: _masked(key, each, section) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(option, each, section) for each in value]
    if not isinstance(value, str):
        return value
    if section == NOTIFIERS:  # which cannot be used as it is
        return without_addresses(value)
    if section.startswith(NOTIFIER) and option == "url":
        return scheme_of(value)
    return HIDDEN if SECRET.search(option) and value else without_secrets(value)


def _text(value: Any) -> str:
    """A value as it would stand in a file of Moonraker's kind."""
    if isinstance(value, list):
        return "".join(f"\n{_text(each)}" for each in value)
    if isinstance(value, dict):
        return "".join(f"\n{key}={_text(each)}" for key, each in value.items())
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
