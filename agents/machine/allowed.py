"""Which services may be managed: the file `moonraker.asvc`, and instances of ourselves and Klipper."""

import re
from dataclasses import dataclass
from pathlib import Path

FILE = "moonraker.asvc"  # in the data folder, one name a line
DEFAULTS = (
    "klipper_mcu",
    "webcamd",
    "MoonCord",
    "KlipperScreen",
    "moonraker-telegram-bot",
    "moonraker-obico",
    "sonar",
    "crowsnest",
    "octoeverywhere",
    "ratos-configurator",
)
STEMS = ("klipper", "moonraker", "printbus")
INSTANCE = re.compile(rf"(?:{'|'.join(STEMS)})(?:[-_@]?\d+|[-_@][A-Za-z0-9_.:-]+)?")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The names on the list; an instance of Klipper or of ourselves needs none."""

    listed: frozenset[str]

    @classmethod
    def load(cls, data: Path) -> "Allowed":
        """Reads the list, which is written with its defaults where there is none; raises OSError and ValueError."""
        path = data / FILE
        if not path.exists():
            path.write_text("".join(f"{name}\n" for name in DEFAULTS))
        return cls(frozenset(filter(None, map(str.strip, path.read_text().splitlines()))))

    def permits(self, name: str) -> bool:
        """Whether a service may be managed; another program whose name only looks like an instance has to be listed."""
        return name in self.listed or (name not in DEFAULTS and INSTANCE.fullmatch(name) is not None)

    def patterns(self) -> list[str]:
        """Globs that match the units of all that may be permitted."""
        return [f"{name}.service" for name in sorted(self.listed)] + [f"{stem}*.service" for stem in STEMS]
