"""The configuration files as the program leaves them: their content when it last worked, and a first printer.yaml."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from .whole_file import replace

FILE = Path("printbus", "last_working.json")  # in the data folder
TEMPLATE = Path(__file__).with_name("printer.yaml")

Files = dict[str, dict[str, Any]]  # content by the name of the file


def recall(data: Path) -> Files | None:
    """What was kept, None where nothing usable was."""
    try:
        found: Files = json.loads((data / FILE).read_text())
    except (OSError, ValueError):
        return None
    return found


def keep(data: Path, files: Files) -> None:
    """Keeps the content, where it is another one than before; raises OSError."""
    text = json.dumps(files, default=str)
    path = data / FILE
    if path.exists() and path.read_text() == text:
        return
    replace(path, text.encode())


def offer(config: Path) -> None:
    """Puts a printer.yaml that says what can be said, and nothing yet, where there is none; raises OSError."""
    path = config / TEMPLATE.name
    if path.exists():
        return
    new = config / f".{TEMPLATE.name}.new"
    new.write_text(TEMPLATE.read_text())
    with suppress(FileExistsError):
        os.link(new, path)  # whole at once, and never over what somebody has written meanwhile
    new.unlink()
