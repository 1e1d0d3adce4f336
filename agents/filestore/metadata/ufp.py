"""Unpacks UFP archives, in which Cura uploads gcode together with a picture."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from .errors import NotGcode

GCODE = "3D/model.gcode"
PICTURE = "Metadata/thumbnail.png"
MAX_ENTRIES = 64
MAX_RATIO = 200  # gcode compresses to a tenth
MAX_GCODE = 4 << 30  # bytes
BLOCK = 1 << 20
ENCRYPTED = 0x1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BROKEN = (  # all that zipfile raises for archives that are not what they say
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def unpack(source: BinaryIO, target: BinaryIO, progress: Callable[[float], None]) -> None:
    """Writes the gcode of an archive; raises NotGcode where it is broken, a bomb, or has none, and OSError."""
    try:
        with zipfile.ZipFile(source) as archive:
            entry = _entry(archive, GCODE, MAX_GCODE)
            if entry is None:
                raise NotGcode("The archive has no gcode in it")
            for written, block in _blocks(archive, entry):
                target.write(block)
                progress(written / max(entry.file_size, 1))
    except BROKEN as error:
        raise NotGcode("The archive is broken") from error


def picture(source: BinaryIO, limit: int) -> bytes:
    """The picture of an archive that was unpacked; empty where it has none of at most so many bytes."""
    try:
        with zipfile.ZipFile(source) as archive:
            entry = _entry(archive, PICTURE, limit)
            return archive.read(entry) if entry else b""
    except (*BROKEN, NotGcode):
        return b""


def _entry(archive: zipfile.ZipFile, name: str, limit: int) -> zipfile.ZipInfo | None:
    if len(archive.infolist()) > MAX_ENTRIES:
        raise NotGcode("The archive has too many entries")
    found = next((entry for entry in archive.infolist() if entry.filename.lstrip("/") == name), None)
    if found is None or found.flag_bits & ENCRYPTED or found.compress_type not in METHODS:
        return None
    if found.file_size > min(limit, MAX_RATIO * max(found.compress_size, 1)):
        raise NotGcode("The archive unpacks to too much")
    return found


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[tuple[int, bytes]]:
    written = 0
    with archive.open(entry) as file:
        while block := file.read(BLOCK):
            written += len(block)
            if written > entry.file_size:
                raise NotGcode("The archive unpacks to too much")
            yield written, block
