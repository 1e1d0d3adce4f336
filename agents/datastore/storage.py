"""The file in which the stores outlive a restart: compressed JSON, replaced as a whole."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from bus.whole_file import replace

VERSION = 1
LEVEL = 6  # some 10 ms a minute, in a thread
LARGEST = 32 << 20  # bytes of JSON


class Storage:
    """One file; its methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()  # whoever gave up waiting for a write has not ended it

    def write(self, content: Mapping[str, Any]) -> None:
        """Replaces the file; afterwards either the old or the new one is there, whatever happens. Raises OSError."""
        packed = zlib.compress(orjson.dumps({"version": VERSION, **content}), LEVEL)
        with self._lock:
            replace(self.path, packed)

    def read(self) -> dict[str, Any] | None:
        """What was written last, None where nothing was; raises OSError, and ValueError for a damaged file."""
        try:
            packed = self.path.read_bytes()
        except FileNotFoundError:
            return None
        content = orjson.loads(_unpacked(packed))
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise ValueError("it is of another version")
        return content


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unpacker.eof:
        raise ValueError("it ends too early, or is too large")
    return text
