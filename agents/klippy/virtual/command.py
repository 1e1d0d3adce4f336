"""One line of g-code as Klipper reads it: its name, its parameters by type, and the errors about them."""

import math
import re
from collections.abc import Callable
from typing import TypeVar

TRADITIONAL = re.compile(
    r"(?:N\d+\s*)?([A-Z]\d+(?:\.\d+)?)(?=$|[\s*]|[A-Z](?:[-+.\d\s]|$))",
    re.IGNORECASE,
)
WORD = re.compile(r"([A-Z])\s*([^A-Z*]*)")
PAIR = re.compile(r"""\s*(\w+)=("(?:[^"\\]|\\.)*"|'[^']*'|[^\s;#"']*)(?=\s|$|;|\#)""")
COMMENT = re.compile(r"\s*(?:[;#].*)?$")
ESCAPED = re.compile(r'\\(["\\])')
TEXT_COMMANDS = frozenset({"M117", "M118", "M23", "ECHO"})
"""Commands whose rest of the line is text, not parameters."""

N = TypeVar("N", int, float)


class CommandError(Exception):
    """A command failed; its text is what clients are told."""


def finite(text: str) -> float:
    """A number; ValueError for anything else, infinities included."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


class Command:
    """One parsed line: `name` and parameter names in capitals, `line` as written, `rest` what follows the name."""

    __slots__ = ("line", "name", "params", "rest", "well_formed")

    def __init__(self, name: str, params: dict[str, str], line: str, rest: str, well_formed: bool = True) -> None:
        self.name = name
        self.params = params
        self.line = line
        self.rest = rest
        self.well_formed = well_formed

    def text(self, name: str, default: str | None = None) -> str:
        """A parameter as text; without a default it must be there."""
        value = self.params.get(name, default)
        if value is None:
            raise self.error(f"missing {name}")
        return value

    def number(
        self, name: str, default: float | None = None, *, minimum: float | None = None, maximum: float | None = None
    ) -> float:
        """A parameter as a float within the bounds; without a default it must be there."""
        if default is not None and name not in self.params:
            return default
        return self._bounded(name, self._parsed(name, finite), minimum, maximum)

    def optional(self, name: str) -> float | None:
        """A float parameter, or None where it is absent."""
        return self._parsed(name, finite) if name in self.params else None

    def integer(self, name: str, default: int | None = None, *, minimum: int | None = None) -> int:
        """A parameter as an int; without a default it must be there."""
        if default is not None and name not in self.params:
            return default
        return self._bounded(name, self._parsed(name, int), minimum, None)

    def error(self, problem: str) -> CommandError:
        """An error that names this line, worded as Klipper words it."""
        return CommandError(f"Error on '{self.line}': {problem}")

    def unknown_value(self, name: str) -> CommandError:
        """The error for a parameter that names something that does not exist."""
        return CommandError(f"The value '{self.params.get(name)}' is not valid for {name}")

    def _parsed(self, name: str, kind: Callable[[str], N]) -> N:
        text = self.text(name)
        try:
            return kind(text)
        except ValueError:
            raise self.error(f"unable to parse {text}") from None

    def _bounded(self, name: str, value: N, minimum: float | None, maximum: float | None) -> N:
        if minimum is not None and value < minimum:
            raise self.error(f"{name} must have minimum of {minimum}")
        if maximum is not None and value > maximum:
            raise self.error(f"{name} must have maximum of {maximum}")
        return value


def parse(line: str) -> Command | None:
    """Read one line; None if it holds nothing but blanks or a comment."""
    line = line.strip()
    code = line.partition(";")[0].rstrip()
    if not code:
        return None
    match = TRADITIONAL.match(code)
    if match is None:
        return _extended(line, code)
    name = match[1].upper()
    if name in TEXT_COMMANDS:
        return Command(name, {}, line, code[match.end() :].strip())
    rest = code[match.end() :]
    return Command(name, {letter: value.strip() for letter, value in WORD.findall(rest.upper())}, line, rest)


def _extended(line: str, code: str) -> Command:
    name = code.split(None, 1)[0]
    rest = line[len(name) :]
    name = name.upper()
    if name in TEXT_COMMANDS:
        return Command(name, {}, line, rest.strip())
    params: dict[str, str] = {}
    position = 0
    while match := PAIR.match(rest, position):
        params[match[1].upper()] = _unquoted(match[2])
        position = match.end()
    return Command(name, params, line, rest, COMMENT.match(rest, position) is not None)


def _unquoted(value: str) -> str:
    if value[:1] == '"':
        return ESCAPED.sub(r"\1", value[1:-1])
    return value[1:-1] if value[:1] == "'" else value
