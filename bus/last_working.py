"""The configuration files as the program leaves them: their content when it last worked, and a first printer.yaml."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE = Path("printbus", "last_working.json")  # in the data folder
TEMPLATE = Path(__file__).with_name("printer.yaml")
OWNER_ONLY = 0o600

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
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def offer(config: Path) -> None:
    """Puts a printer.yaml that says what can be said, and nothing yet, where there is none; raises OSError."""
    with suppress(FileExistsError), (config / TEMPLATE.name).open("x") as file:
        file.write(TEMPLATE.read_text())
