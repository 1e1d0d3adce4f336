"""Templates in configuration files: Jinja2 in a sandbox, written as in Klipper, that may call methods."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from configparser import ConfigParser
from configparser import Error as BrokenFile
from contextvars import ContextVar
from pathlib import Path
from traceback import extract_tb
from typing import Any, NoReturn, Self

import jinja2
from jinja2 import nodes
from jinja2.async_utils import auto_aiter, auto_await
from jinja2.sandbox import SandboxedEnvironment

from .agent import Bus, Host
from .config import ConfigError
from .errors import BusError
from .mandate import Mandate

log = logging.getLogger(__name__)

SECRETS_FILE = "moonraker.secrets"  # in the data folder: what `secrets` holds, INI or JSON
MAX_STEPS = 100_000  # turns of loops and calls of functions in one run; one more ends it
GIVE_WAY = 100  # of them between two breaks for everybody else
FILE_NAME = "<template>"  # what Jinja2 calls a template that is not a file

Secrets = Mapping[str, Mapping[str, Any]]


class TemplateError(Exception):
    """A template that cannot be used or has failed; the text names it, the line and the reason."""


class _Raised(Exception):
    """What a template has raised by itself."""


class Templates:
    """Makes templates that call methods over one bus; `secrets` are what all of them may name."""

    def __init__(self, bus: Bus, secrets: Secrets) -> None:
        self._bus = bus
        self._environment = _environment()
        self._environment.globals |= {"secrets": secrets, "raise_error": _raise_error}

    @classmethod
    async def open(cls, bus: Bus, host: Host | None) -> Self:
        """With the secrets of the data folder; a file that is broken is as good as none, and a warning."""
        try:
            secrets, problem = await asyncio.to_thread(read_secrets, bus.data), None
        except ConfigError as error:
            secrets, problem = {}, str(error)
            log.warning("%s", error)
        if host is not None:
            host.warn("secrets", problem)
        return cls(bus, secrets)

    def template(self, text: str, mandate: Mandate) -> "Template":
        """A template with the rights of a mandate, whose name its errors bear; raises TemplateError."""
        try:
            return Template(self._environment.from_string(text), self._bus, mandate)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{mandate.name}, {_syntax(error)}") from None


class Template:
    """One template, ready to be rendered any number of times."""

    def __init__(self, compiled: jinja2.Template, bus: Bus, mandate: Mandate) -> None:
        self._compiled = compiled
        self._bus = bus
        self._mandate = mandate

    async def render(self, **context: Any) -> str:
        """The text that it gives, without white space around; raises TemplateError."""
        _steps.set(_Steps())
        try:
            text = await self._compiled.render_async(context, call_method=self._call_method)
        except Exception as error:  # whatever somebody's template runs into
            raise TemplateError(f"{self._mandate.name}{_line(error)}: {_reason(error)}") from None
        return text.strip()

    async def _call_method(self, method_name: str, /, **params: Any) -> Any:
        """The result of any method, as the mandate allows."""
        try:
            return await self._bus.call(method_name, params, mandate=self._mandate)
        except BusError as error:
            raise _Raised(f"{method_name}: {error.message}") from None
        except TypeError as error:  # an undefined value, a macro
            raise _Raised(f"{method_name}: an argument cannot be sent: {error}") from None


def check_syntax(text: str) -> str:
    """The text of a template; raises ValueError with the line of a mistake."""
    try:
        _environment().parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"not a template: {_syntax(error)}") from None
    return text


def read_secrets(data: Path) -> Secrets:
    """Sections of secrets by name, none where there is no file; raises ConfigError, which never shows the content."""
    path = data / SECRETS_FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', 'not UTF-8')}") from None
    return _sections(text, path)


def _sections(text: str, path: Path) -> Secrets:
    try:
        if text.lstrip().startswith("{"):
            return {str(name): dict(section) for name, section in json.loads(text).items()}
        parser = ConfigParser(interpolation=None)
        parser.read_string(text)
    except (BrokenFile, TypeError, ValueError):
        raise ConfigError(f"{path}: expected sections of options, in INI or JSON format") from None
    return {name: dict(parser[name]) for name in parser.sections()}


# ---- how far a template gets before others have their turn


class _Steps:
    """Counts what a run does."""

    def __init__(self) -> None:
        self._done = 0

    def step(self) -> bool:
        """One more; whether it is time for a break. Raises _Raised at the bound."""
        self._done += 1
        if self._done > MAX_STEPS:
            raise _Raised(f"it does not end: {MAX_STEPS} turns of loops and calls of functions are enough")
        return self._done % GIVE_WAY == 0


_steps: ContextVar[_Steps] = ContextVar("steps of a template")


class _Environment(SandboxedEnvironment):
    """Counts turns and calls, so that a template that goes on for long holds up nobody."""

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        for loop in source.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "paced", [], [], None, None, lineno=loop.lineno)
        return super()._generate(source, name, filename, defer_init)

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Compiled templates await the result of every call."""
        pause = _steps.get().step()
        result = super().call(context, function, *args, **kwargs)
        return _later(result) if pause else result


def _environment() -> _Environment:
    environment = _Environment("{%", "%}", "{", "}", enable_async=True, extensions=["jinja2.ext.do"])
    environment.filters |= {"paced": _paced, "fromjson": json.loads}
    return environment


async def _paced(values: Any) -> AsyncIterator[Any]:
    steps = _steps.get()
    async for value in auto_aiter(values):
        if steps.step():
            await asyncio.sleep(0)
        yield value


async def _later(result: Any) -> Any:
    await asyncio.sleep(0)
    return await auto_await(result)


def _raise_error(message: object, code: int = 400) -> NoReturn:
    raise _Raised(str(message))


# ---- errors in words


def _syntax(error: jinja2.TemplateSyntaxError) -> str:
    return f"line {error.lineno}: {error.message}"


def _line(error: Exception) -> str:
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == FILE_NAME]
    return f", line {lines[-1]}" if lines else ""


def _reason(error: Exception) -> str:
    if isinstance(error, _Raised | jinja2.TemplateError):
        return str(error)
    return f"{type(error).__name__}: {error}"
