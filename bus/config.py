"""Configuration files: loaded once, checked against models, and every mistake named with its file and key."""

import re
import socket
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .topics import INSTANCE

M = TypeVar("M", bound=BaseModel)

DEFAULT_HTTP = "127.0.0.1:7125"
DEFAULT_MQTT = "127.0.0.1:1883"


class ConfigError(Exception):
    """A configuration that cannot be used; the text names file, key, what was expected and the nearest known key."""


def _instance(name: str) -> str:
    if not INSTANCE.fullmatch(name):
        raise ValueError("expected letters, digits, '_' and '-'")
    return name


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("expected HOST:PORT")
    return text


InstanceName = Annotated[str, AfterValidator(_instance)]
Address = Annotated[str, AfterValidator(_address)]


class Section(BaseModel):
    """Base of all sections: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def host_name() -> str:
    """The default instance: the host's name, reduced to what a topic level may hold."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname()) or "printer"


class LogSettings(Section):
    """The event log."""

    segment_bytes: int = Field(64 << 20, ge=1 << 20, le=1 << 30, description="Size at which a segment is sealed.")


class PrinterConfig(BaseModel):
    """printer.yaml: what this printer is. Agents' sections are checked by the agents' own models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance: InstanceName = Field(default_factory=host_name)
    groups: list[InstanceName] = []
    http: Address = DEFAULT_HTTP
    log: LogSettings = LogSettings()
    remote_agents: list[str] = Field([], description="Agents that run in a process of their own.")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises ConfigError."""
    try:
        content = yaml.load(path.read_bytes(), _Loader)  # noqa: S506 - a subclass of SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, found {type(content).__name__}")
    return content


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.YAMLError(f"the key '{key}' stands twice, line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def checked(
    model: type[M], values: Mapping[str, Any], source: str, *, prefix: str = "", also: tuple[str, ...] = ()
) -> M:
    """A model made of values; raises ConfigError that names source, key, expectation and the nearest known key."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error, model, prefix, also)}") from None


def _explain(error: ValidationError, model: type[BaseModel], prefix: str, also: tuple[str, ...]) -> str:
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    key = ".".join(filter(None, [prefix, *where]))
    if first["type"] != "extra_forbidden":
        expected = first["msg"].removeprefix("Value error, ")
        return f"'{key}': {expected[:1].lower()}{expected[1:]}, found {first['input']!r:.80}"
    known = [*_fields_at(model, where[:-1]), *(also if len(where) == 1 else ())]
    return f"unknown key '{key}'{nearest(where[-1], known)}; known: {', '.join(sorted(known)) or 'none'}"


def nearest(word: str, known: list[str]) -> str:
    """A hint at the known word most like this one, or nothing."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean '{close[0]}'?" if close else ""


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def split_sections(
    values: Mapping[str, Any], sections: set[str], source: str
) -> tuple[PrinterConfig, dict[str, dict[str, Any]]]:
    """The core of printer.yaml, and the sections of agents by name; raises ConfigError."""
    own = {key: value for key, value in values.items() if key not in sections}
    theirs = {key: {} if values[key] is None else values[key] for key in sections if key in values}
    return checked(PrinterConfig, own, source, also=tuple(sections)), theirs


def endpoint(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
