"""How a method is declared: one row per API method, with its models, permission, deadline and flags."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Model(BaseModel):
    """What we produce: frozen, and nothing that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Params(BaseModel):
    """What we accept: unknown members are ignored, coercion is explicit per field."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)


class NoParams(Params):
    """A method without parameters."""


def _to_bool(value: object) -> object:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value


def _to_int(value: object) -> object:
    if isinstance(value, float) and value.is_integer():  # as languages without whole numbers write them
        return int(value)
    try:
        return int(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _to_float(value: object) -> object:
    try:
        return float(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else value
    except ValueError:
        return value


def _to_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


# Query strings arrive as text; these accept the text form as well (behaviours.md section 2).
Bool = Annotated[bool, BeforeValidator(_to_bool)]
Int = Annotated[int, BeforeValidator(_to_int)]
Float = Annotated[float, BeforeValidator(_to_float)]
# The other way round, for names that are numbers to some clients.
Text = Annotated[str, BeforeValidator(_to_text)]


class Permission(StrEnum):
    """What a caller must be allowed to do; roles are sets of these."""

    OPEN = "open"  # everybody, without credentials
    READ = "read"
    CONTROL = "control"
    FILES = "files"
    ADMIN = "admin"
    HOST = "host"
    AGENT = "agent"  # only the bus's own agents


class Arguments(StrEnum):
    """How the arguments of an HTTP request become params."""

    NAMED = "named"
    OBJECTS = "objects"  # every query key is a printer object (behaviours.md section 2)


P = TypeVar("P", bound=Params)
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What is special about a method."""

    changes: bool = False  # leaves a record of who did what
    secret: bool = False  # private topics only, and nothing of it is recorded
    urgent: bool = False  # overtakes everything, recorded afterwards
    told_elsewhere: tuple[str, ...] = ()  # params that the record of a command leaves out: its own facts hold them
    connection: bool = False  # bound to a connection: not over plain HTTP
    arguments: Arguments = Arguments.NAMED


DEFAULT = Flags()
CHANGES = Flags(changes=True)
DEADLINE = 30.0  # seconds


@dataclass(frozen=True)
class Method(Generic[P, R]):
    """One API method: the same row serves HTTP, websocket and MQTT.

    `http` is a list of "VERB /path", `owner` the agent that answers, `deadline` seconds or None for no limit.
    """

    name: str
    params: type[P]
    result: type[R]
    owner: str
    needs: Permission
    http: tuple[str, ...] = ()
    deadline: float | None = DEADLINE
    flags: Flags = DEFAULT
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """A `notify_*`: its name, what it is sent for, and the type of its positional params (None: it has no params).

    All clients get it, or, where it is `private`, one connection.
    """

    name: str
    when: str
    params: Any = None
    private: bool = False


AnyMethod = Method[Any, Any]


class Table(Mapping[str, AnyMethod]):
    """Rows by name. A row whose name ends in a `{place}` stands for all other names of its namespace."""

    def __init__(self, rows: Iterable[AnyMethod]) -> None:
        self._rows = {row.name: row for row in rows}
        self._open = {stem(name): row for name, row in self._rows.items() if is_open(name)}

    def __getitem__(self, name: str) -> AnyMethod:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, name: str) -> AnyMethod | None:
        """The row that answers calls of a name: its own, or that of its namespace."""
        row = self._rows.get(name)
        if row is not None:
            return row
        namespace, dot, rest = name.partition(".")
        return self._open.get(namespace + dot) if rest else None


def is_open(pattern: str) -> bool:
    """Whether a name or path of the table stands for many."""
    return pattern.endswith("}")


def stem(pattern: str) -> str:
    """What all names or paths that it stands for begin with."""
    return pattern.partition("{")[0]


def table(*modules: object) -> Table:
    """All rows of the given modules by name; two rows with one name, or one verb and path, are an error."""
    rows: dict[str, AnyMethod] = {}
    routes: dict[str, str] = {}
    for row in (value for module in modules for value in vars(module).values() if isinstance(value, Method)):
        if rows.setdefault(row.name, row) is not row:
            raise ValueError(f"two methods are called {row.name}")
        for route in row.http:
            if routes.setdefault(route, row.name) != row.name:
                raise ValueError(f"{route} belongs to both {routes[route]} and {row.name}")
    return Table(rows.values())
