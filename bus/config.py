"""Configuration files: loaded once, checked against models, and every mistake named with its file and key."""

import re
import socket
from collections.abc import Hashable, Iterator, Mapping
from inspect import get_annotations
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from .addresses import SECRET, without_addresses
from .authorization import Authorization
from .mqtt_settings import MqttSettings
from .topics import INSTANCE

M = TypeVar("M", bound=BaseModel)

DEFAULT_HTTP = "127.0.0.1:7125"
MERGE_TAG, TEXT_TAG = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"
NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


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
    segments: int = Field(16, ge=2, description="How many stay; the oldest is dropped.")
    keep: list[str] = Field(["print"], description="Streams that are carried forward out of dropped segments.")


class PrinterConfig(BaseModel):
    """printer.yaml: what this printer is. Agents' sections are checked by the agents' own models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance: InstanceName = Field(default_factory=host_name)
    groups: list[InstanceName] = []
    http: Address = DEFAULT_HTTP
    log: LogSettings = LogSettings()
    mqtt: MqttSettings = MqttSettings()
    authorization: Authorization = Authorization()
    remote_agents: list[str] = Field([], description="Agents that run in a process of their own.")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises ConfigError."""
    try:
        return parse_yaml(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def parse_yaml(text: bytes, path: str) -> dict[str, Any]:
    """The mapping in the content of a file; raises ConfigError."""
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {_fault(error, text)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid YAML: nested too deeply") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, found {type(content).__name__}")
    return content


def _fault(error: Exception, text: bytes) -> str:
    """What is wrong and where; what stands there only where no secret can."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return without_addresses(" ".join(str(error).split()))
    last = error.problem_mark.line
    first = last if error.context_mark is None else error.context_mark.line
    lines = text.decode(errors="replace").splitlines()
    if any(SECRET.search(line) for line in lines[max(first - 1, 0) : last + 2]):
        return f"something is wrong about line {first + 1}, or what is open there"
    said = ", ".join(filter(None, (error.context, error.problem)))
    return without_addresses(f"{said}, line {last + 1}, column {error.problem_mark.column + 1}")


def as_yaml(values: Mapping[str, Any]) -> str:
    """Values as they stand in a file, in their order."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes texts of several lines as such."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key that stands twice, and to which `16:9` is a text: YAML 1.1 counts in sixties."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return TEXT_TAG if tag in NUMBER_TAGS and value is not None and ":" in value else tag

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE_TAG:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                break  # SafeLoader itself says so
            if key in seen:
                raise yaml.YAMLError(f"the key '{key}' stands twice, line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def checked(
    model: type[M], values: Mapping[str, Any], source: str, *, prefix: str = "", also: tuple[str, ...] = ()
) -> M:
    """A model made of values; raises ConfigError with a line per mistake: source, key, expectation, nearest known key.

    A section without content is as good as none. `also` are keys that are known elsewhere.
    """
    given = {key: value for key, value in values.items() if value is not None or not _is_section(model, key)}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        mistakes = [_explain(each, model, prefix, also) for each in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{source}: {mistake}" for mistake in mistakes)) from None


def _is_section(model: type[BaseModel], key: str) -> bool:
    field = model.model_fields.get(key)
    return field is not None and (_is_model(field.annotation) or get_origin(field.annotation) is dict)


def _explain(error: ErrorDetails, model: type[BaseModel], prefix: str, also: tuple[str, ...]) -> str:
    where = [str(part) for part in error["loc"]]
    key = ".".join(filter(None, [prefix, *where]))
    if error["type"] == "extra_forbidden":
        known = [*_fields_at(model, where[:-1]), *(also if len(where) == 1 else ())]
        return f"unknown key '{key}'{nearest(where[-1], known)}; known: {', '.join(sorted(known)) or 'none'}"
    if error["type"] == "missing":
        return f"'{key}': is required"
    expected = without_addresses(error["msg"].removeprefix("Value error, "))
    said = f"'{key}': {expected[:1].lower()}{expected[1:]}"
    return said + _found(said, error["input"])


def _found(said: str, value: Any) -> str:
    """What stands where something else was expected, unless that or what is said of it names a secret."""
    shown = without_addresses(repr(value))
    return "" if SECRET.search(said) or SECRET.search(shown) else f", found {shown:.80}"


def nearest(word: str, known: list[str]) -> str:
    """A hint at the known word most like this one, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean '{close[0]}'?" if close else ""


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    kinds: list[Any] = [model]
    for part in path:
        kinds = [member for kind in kinds for member in _members(_inner(kind, part))]
    return [name for kind in kinds if _is_model(kind) for name in (*kind.model_fields, *_families(kind))]


def _inner(kind: Any, part: str) -> Any:
    """What stands at one part of a path: a field of a model, a value of a mapping, an item of a list."""
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return field.annotation if field else _family(kind, part) or _inner(_extra(kind), part)
    inner = get_args(kind)
    return inner[-1 if get_origin(kind) is dict else 0] if inner else None


def _families(kind: Any) -> list[str]:
    """What options whose names begin alike are called, where a model has any (bus/options.py)."""
    return [f"{start}NAME" for start in getattr(kind, "families", ())]


def _family(kind: Any, part: str) -> Any:
    return next((model for start, model in getattr(kind, "families", {}).items() if part.startswith(start)), None)


def _extra(kind: Any) -> Any:
    """The annotation of the keys that a model does not name itself."""
    return get_annotations(kind).get("__pydantic_extra__")


def _members(kind: Any) -> Iterator[Any]:
    """The members of a union; anything else is its own only one."""
    if get_origin(kind) in (Union, UnionType):
        yield from get_args(kind)
    else:
        yield kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def split_sections(values: Mapping[str, Any], sections: set[str], source: str) -> tuple[PrinterConfig, dict[str, Any]]:
    """The core of printer.yaml, and the unchecked sections of others by name; raises ConfigError."""
    own = {key: value for key, value in values.items() if key not in sections}
    theirs = {key: values[key] for key in sections if key in values}
    return checked(PrinterConfig, own, source, also=tuple(sections)), theirs


def section(value: Any, name: str, source: str) -> dict[str, Any]:
    """The options in a section, none where it has no content; raises ConfigError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: '{name}': expected a mapping of options{_found(name, value)}")
    return value


def endpoint(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
