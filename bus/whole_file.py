"""Replaces small files as a whole, so that after a crash either the old or the new content is there."""

import os
from pathlib import Path

OWNER_ONLY = 0o600


def replace(path: Path, content: bytes) -> None:
    """The content is on the disk when this returns; it blocks. Raises OSError."""
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
