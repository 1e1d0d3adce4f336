"""moonraker.conf as Moonraker reads it: sections and options, with the files that it includes."""

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..config import ConfigError

INCLUDE: Final = "include "
ESCAPED: Final = re.compile(r"(?m)(^|\s)\\([#;])")
SECRET: Final = re.compile(r"\{\s*secrets\.(\w+)\.(\w+)\s*\}")


@dataclass(frozen=True, slots=True)
class Conf:
    """Options by section, both as they are written there; of what stands in several files, the last counts."""

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)  # of sections: the last file that names it
    files: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_conf(path: Path) -> Conf:
    """The configuration that begins with a file; raises ConfigError where one cannot be read."""
    found = Conf()
    _read(path, path.parent, found, ())
    return found


def _read(path: Path, base: Path, found: Conf, within: tuple[Path, ...]) -> None:
    shown, parser = _shown(path, base), _parser()
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), shown)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a configuration of Moonraker: {' '.join(str(error).split())}") from None
    found.files.append(path)
    for section in parser.sections():
        if section.startswith(INCLUDE):
            _include(section.removeprefix(INCLUDE).strip(), path, base, found, (*within, path.resolve()))
        else:
            options = {name: ESCAPED.sub(r"\1\2", value) for name, value in parser[section].items()}
            found.sections.setdefault(section, {}).update(options)
            found.places[section] = shown


def _include(pattern: str, path: Path, base: Path, found: Conf, within: tuple[Path, ...]) -> None:
    parts = Path(os.path.expanduser(pattern))  # noqa: PTH111 - Path raises for a user whom this machine does not know
    root, rest = (Path(parts.anchor), parts.relative_to(parts.anchor)) if parts.is_absolute() else (path.parent, parts)
    files = sorted(each for each in root.glob(str(rest)) if each.is_file()) if rest.name else []
    if not files:
        found.faults.append(f"{_shown(path, base)} includes '{pattern}', which is no file")
    for each in files:
        if each.resolve() in within:
            found.faults.append(f"{_shown(path, base)} includes {_shown(each, base)}, which includes it")
        else:
            _read(each, base, found, within)


def _parser() -> configparser.RawConfigParser:
    return configparser.RawConfigParser(
        comment_prefixes=("#", ";"),
        inline_comment_prefixes=("#", ";"),
        default_section="",  # [DEFAULT] means nothing
        empty_lines_in_values=True,
    )


def _shown(path: Path, base: Path) -> str:
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def filled(text: str, data: Path, secrets: Mapping[str, Mapping[str, object]]) -> str:
    """An option with its `{data_path}` and `{secrets.x.y}` filled in; ValueError where a secret is not there."""

    def secret(match: re.Match[str]) -> str:
        try:
            return str(secrets[match[1]][match[2].lower()])
        except KeyError:
            raise ValueError(f"the secret {match[1]}.{match[2]} is not in moonraker.secrets") from None

    return SECRET.sub(secret, re.sub(r"\{\s*data_path\s*\}", lambda _: str(data), text))
