"""Reads the small files in which the kernel and others tell things."""

from pathlib import Path


def text(path: Path) -> str:
    """A small file of the kernel's, without its end; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n\t")
    except OSError:
        return ""
