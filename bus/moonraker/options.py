"""Where each option of moonraker.conf stands in printer.yaml and broker.yaml."""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from .conf import Conf, filled

Place = tuple[str, ...]
Secrets = Mapping[str, Mapping[str, object]]

HERE: Final = {"127.0.0.1", "::1", "localhost", "0.0.0.0"}  # noqa: S104 - as a broker's address
MQTT_PORT: Final = "1883"
OTHER_MQTT_PORT: Final = 1884
NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
UPLINK: Final = "moonraker"
NOTHING: Final = "printbus has nothing of this kind"
UNKNOWN: Final = "printbus has no such option"


class To(NamedTuple):
    """Where an option goes in printer.yaml, and what makes of its text what stands there."""

    path: str
    turn: Callable[[str], Any] = str


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line]


def _path(text: str) -> str:
    return os.path.expanduser(text)  # noqa: PTH111 - Path raises for a user whom this machine does not know


def _host(text: str) -> str:
    return "0.0.0.0" if text == "all" else text  # noqa: S104 - what was open before stays open


def _observed(text: str) -> bool:
    return text != "none"


def _provider(text: str) -> str:
    return {"supervisord": "supervisord_cli"}.get(text, text)


def _items(text: str) -> list[str]:
    return [item for item in map(str.strip, text.replace("\n", ",").split(",")) if item]


def _same(agent: str, *options: str) -> dict[str, To]:
    return {option: To(f"{agent}.{option}") for option in options}


OPTIONS: Final[Mapping[str, Mapping[str, To]]] = {
    "server": {
        "host": To("bridge.host", _host),
        "port": To("bridge.port"),
        "ssl_port": To("bridge.ssl_port"),
        "route_prefix": To("bridge.route_prefix"),
        "ssl_certificate_path": To("bridge.ssl_certificate_path", _path),
        "ssl_key_path": To("bridge.ssl_key_path", _path),
        "max_websocket_connections": To("bridge.max_websockets"),
        "max_upload_size": To("filestore.max_upload_size"),
        "klippy_uds_address": To("klippy.socket", _path),
        **_same("datastore", "temperature_store_size", "gcode_store_size"),  # where they stood long ago
    },
    "data_store": _same("datastore", "temperature_store_size", "gcode_store_size"),
    "file_manager": {
        **_same("filestore", "check_klipper_config_path", "enable_object_processing", "enable_config_write_access"),
        **_same("filestore", "queue_gcode_uploads"),
        "file_system_observer": To("filestore.observe", _observed),
        "default_metadata_parser_timeout": To("filestore.metadata_timeout"),
    },
    "machine": {
        **_same("machine", "shutdown_action"),
        "provider": To("machine.provider", _provider),
        "supervisord_config_path": To("machine.supervisord_config_path", _path),
    },
    "authorization": {
        **_same("authorization", "force_logins", "login_timeout", "enable_api_key", "max_login_attempts"),
        "trusted_clients": To("authorization.trusted_clients", _lines),
        "cors_domains": To("bridge.cors_domains", _lines),
    },
    "octoprint_compat": {
        option: To(f"bridge.octoprint.{option}")
        for option in ("enable_ufp", "flip_h", "flip_v", "rotate_90", "stream_url", "webcam_enabled")
    },
    "mqtt": _same(
        "mqtt",
        "enable_moonraker_api",
        "status_objects",
        "status_interval",
        "publish_split_status",
        "default_qos",
        "api_qos",
    ),
    "history": {},
    "database": {},
}
TURNS: Final[Mapping[Place, Callable[[str], Any]]] = {  # in sections that have the same names here
    ("notifiers", "events"): _items,
    ("notifiers", "body_format"): str.lower,
}
DEFAULTS: Final = {  # of Moonraker, where ours are others
    ("server", "host"): "0.0.0.0",  # noqa: S104
    ("server", "klippy_uds_address"): "/tmp/klippy_uds",  # noqa: S108
}
ELSEWHERE: Final = {  # that `_uplink` and `_secret_file` see to
    "mqtt": {"address", "port", "enable_tls", "username", "password", "instance_name"},
    "machine": {"sudo_password"},
}
BROKERS: Final = (  # the second with force_logins
    "[mqtt] address: macros publish on printbus's own broker; 'up' in broker.yaml says what goes on to this one",
    "[mqtt] address: requests from there are refused, as by force_logins, unless broker.yaml gives them a 'role'",
)
REASONS: Final[Mapping[str, str]] = {
    "server enable_debug_logging": "`printbus up --verbose` logs more",
    "file_manager enable_observer_warnings": "front ends are always told when files cannot be observed",
    "machine validate_service": "printbus does not look at its unit file",
    "machine validate_config": "printbus does not look at its unit file",
    "machine force_validation": "printbus does not look at its unit file",
    "mqtt client_id": "printbus names itself on other brokers",
    "mqtt mqtt_protocol": "printbus speaks MQTT 3.1.1 with other brokers",
    "authorization default_source": "printbus has users of its own only",
    "update_manager": "printbus does not update other programs",
}


@dataclass(slots=True)
class Translation:
    """What goes into printer.yaml, broker.yaml and files for secrets, and what has to be said about the rest."""

    printer: dict[str, Any] = field(default_factory=dict)
    broker: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)  # by the name of the file
    lost: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  # what is carried over, but not as it was
    places: dict[Place, str] = field(default_factory=dict)  # what stood there in moonraker.conf


def translated(conf: Conf, agents: Collection[str], source: Path, own: Path, secrets: Secrets) -> Translation:
    """The whole configuration, unchecked; files for secrets are to be in the folder `own`."""
    made = Translation(lost=list(conf.faults))
    sections = {name: _filled(name, options, source, secrets, made) for name, options in conf.sections.items()}
    for (section, option), default in DEFAULTS.items():
        sections.setdefault(section, {}).setdefault(option, default)
    for section, options in sorted(sections.items(), key=_rank):
        _section(section, conf.places.get(section, ""), options, agents, made)
    if "mqtt" in sections:
        _uplink(sections["mqtt"], own, made)
        if made.broker:
            made.other += BROKERS if _true(sections.get("authorization", {}).get("force_logins", "")) else BROKERS[:1]
            for sensor in made.printer.get("sensors", {}).values():
                sensor["uplink"] = UPLINK
    if "sudo_password" in sections.get("machine", {}):
        _put(made.printer, ("machine", "sudo_password"), _secret_file("sudo", sections["machine"], own, made))
    return made


def _rank(item: tuple[str, object]) -> bool:
    """What stands in `server` since long ago gives way to what stands elsewhere."""
    return item[0] != "server"


def _filled(
    section: str, options: Mapping[str, str], source: Path, secrets: Secrets, made: Translation
) -> dict[str, str]:
    found: dict[str, str] = {}
    for option, text in options.items():
        try:
            found[option] = filled(text, source, secrets) if section in OPTIONS else text
        except ValueError as error:
            made.lost.append(f"[{section}] {option}: {error}")
    return found


def _section(section: str, place: str, options: Mapping[str, str], agents: Collection[str], made: Translation) -> None:
    into = _section_here(section, agents)
    if section not in OPTIONS and into is None:
        reason = REASONS.get(section.partition(" ")[0], NOTHING)
        made.lost.append(f"[{section}] ({place}): {reason}")
        return
    for option, text in options.items():
        origin = f"[{section}] {option}" + (f" ({place})" if place else "")
        found = _placed(section, option, text, into)
        if found is not None:
            _take(*found, origin, made)
        elif option not in ELSEWHERE.get(section, ()):
            made.lost.append(f"{origin}: {REASONS.get(f'{section} {option}', UNKNOWN)}")


def _placed(section: str, option: str, text: str, into: Place | None) -> tuple[Place, Any] | None:
    """Where an option goes, and what it is there."""
    to = OPTIONS.get(section, {}).get(option)
    if to is not None:
        return tuple(to.path.split(".")), to.turn(text)
    if into is None or section in OPTIONS:
        return None
    return (*into, option), TURNS.get((into[0], option), str)(text.strip())


def _take(path: Place, value: Any, origin: str, made: Translation) -> None:
    if path in made.places:
        made.lost.append(f"{made.places[path]}: {origin} counts")
    _put(made.printer, path, value)
    made.places[path] = origin


def _section_here(section: str, agents: Collection[str]) -> Place | None:
    """The section of an agent that has the same name, or, for `[x name]`, of `x` or `xs`."""
    kind, _, name = section.partition(" ")
    if not name:
        return (kind,) if kind in agents else None
    return next(((agent, name) for agent in (f"{kind}s", kind) if agent in agents), None)


def _uplink(options: Mapping[str, str], own: Path, made: Translation) -> None:
    """The broker that Moonraker was a client of."""
    if "instance_name" in options:
        name = NOT_A_NAME.sub("_", options["instance_name"])
        made.printer["instance"] = name
        if name != options["instance_name"]:
            made.other.append(f"[mqtt] instance_name: topics begin with '{name}', of letters, digits, '_' and '-' only")
    if "address" not in options:
        made.lost.append("[mqtt] address: is missing, so no broker is joined")
        return
    port = options.get("port", MQTT_PORT)
    uplink: dict[str, Any] = {"url": f"mqtt{'s' * _true(options.get('enable_tls', ''))}://{options['address']}:{port}"}
    if "username" in options:
        uplink["user"] = options["username"]
    if "password" in options:
        uplink["password"] = _secret_file("mqtt", options, own, made)
    if {options.get("default_qos"), options.get("api_qos")} & {"1", "2"}:
        uplink["qos"] = 1  # the most that an uplink has
    uplink["up"] = _up(options, made)
    _put(made.broker, ("uplinks", UPLINK), uplink)
    if options["address"] in HERE and port == MQTT_PORT:
        _put(made.broker, ("listeners", "default", "port"), OTHER_MQTT_PORT)
        made.other.append(f"[mqtt] address: printbus's own broker listens on port {OTHER_MQTT_PORT}; {port} is taken")


def _up(options: Mapping[str, str], made: Translation) -> list[str]:
    """What that broker is told as it was before, besides the server's status and answers."""
    if not options.get("status_objects", "").strip():
        return []
    if not _true(options.get("publish_split_status", "")):
        return ["{i}/klipper/status"]
    made.printer["mqtt"].setdefault("status_interval", 0)
    return ["{i}/klipper/state/#"]


def _true(text: str) -> bool:
    return text.lower() in ("true", "yes", "on", "1")


def _secret_file(name: str, options: Mapping[str, str], own: Path, made: Translation) -> dict[str, str]:
    file = f"{name}.password"
    made.secrets[file] = options.get("password") or options["sudo_password"]
    return {"file": str(own / file)}


def _put(values: dict[str, Any], path: Place, value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value
