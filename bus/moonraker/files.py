"""printer.yaml and broker.yaml: sections are added to them, and nothing that stands there is changed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from ..agent import Agent
from ..config import ConfigError, PrinterConfig, as_yaml, parse_yaml
from ..last_working import TEMPLATE
from ..listeners import BrokerSettings
from ..log_files import write_durably
from .fitting import Where, fitted
from .options import Translation

PRINTER, BROKER, BRIDGE = "printer.yaml", "broker.yaml", "bridge"
OWNER_ONLY: Final = 0o600


@dataclass(slots=True)
class Addition:
    """The sections that a file is to get."""

    path: Path
    heading: str
    text: bytes = b""
    there: dict[str, Any] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)  # sections that are there, and are others

    def content(self) -> bytes:
        """The file with them; raises ConfigError where nothing can be written behind what is there."""
        text = self.text.rstrip() + b"\n\n" if self.text.strip() else b""
        made = text + f"# {self.heading}\n".encode() + as_yaml(self.new).encode()
        try:
            fits = parse_yaml(made, str(self.path)) == self.there | self.new
        except ConfigError:
            fits = False
        if not fits:
            raise ConfigError(f"{self.path}: sections cannot be added at its end; move it away, or bring it into order")
        return made

    def write(self, content: bytes) -> None:
        """Replaces the file, through a link if it is one."""
        path = self.path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)


def checked_sections(made: Translation, kinds: Mapping[str, type[Agent]], bridge: type[BaseModel]) -> None:
    """Leaves out what printbus refuses, and says so."""
    models: dict[str, type[BaseModel]] = {name: kind.settings_model for name, kind in kinds.items()}
    models[BRIDGE] = bridge
    core = {name: made.printer.pop(name) for name in [*made.printer] if name not in models}
    fitting = _checked(PrinterConfig, core, (), made)
    for name, values in made.printer.items():
        sound = _checked(models[name], values, (name,), made)
        if sound:
            fitting[name] = sound
    made.printer = fitting
    made.broker, refused = fitted(BrokerSettings, made.broker)
    made.lost += [f"[mqtt] in {'.'.join(map(str, place))}: {reason}" for place, reason in refused.items()]


def _checked(model: type[BaseModel], values: Mapping[str, Any], at: Where, made: Translation) -> dict[str, Any]:
    sound, refused = fitted(model, values)
    for place, reason in refused.items():
        made.lost += [f"{origin}: {reason}" for origin in _origins(made, (*at, *place))]
    return sound


def _origins(made: Translation, place: Where) -> list[str]:
    """What stood in moonraker.conf, for what is refused here."""
    names = tuple(map(str, place))
    above = [origin for path, origin in made.places.items() if names[: len(path)] == path]
    below = [origin.partition("]")[0] + "]" for path, origin in made.places.items() if path[: len(names)] == names]
    return above or [*dict.fromkeys(below)] or [".".join(names)]


def additions(made: Translation, printer: Path, source: Path) -> list[Addition]:
    """What printer.yaml and the broker.yaml beside it do not have; raises ConfigError where one cannot be read."""
    heading = f"From Moonraker, {source}"
    found = []
    for path, sections in ((printer, made.printer), (printer.with_name(BROKER), made.broker)):
        addition = Addition(path, heading)
        if os.path.lexists(path):
            addition.text = _read(path)
            addition.there = parse_yaml(addition.text, str(path))
        elif path == printer:
            addition.text = TEMPLATE.read_bytes()
        there = addition.there
        addition.new = {section: values for section, values in sections.items() if there.get(section) is None}
        addition.kept = [section for section, values in sections.items() if there.get(section) not in (None, values)]
        if sections:
            found.append(addition)
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def write_secret(path: Path, secret: str) -> None:
    """Puts a secret into a file of the owner's, where there is none yet."""
    if path.exists():
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
        file.write(f"{secret}\n")
