"""Takes the pictures out of gcode and keeps them in `.thumbs`, where the front ends look for them."""

import base64
import binascii
import contextlib
import io
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import PurePosixPath
from types import ModuleType
from typing import NamedTuple

from .excerpt import PictureBlock
from .folder import make, new_file, subfolder
from .names import THUMBS

log = logging.getLogger(__name__)

SMALL = 32  # pixels of either side that the front ends' lists show
MAX_BYTES = 4 << 20  # of one picture
MAX_FORMER = 32  # pictures of an earlier version that are replaced at a time
MAX_SIDE = 4096  # pixels
MAX_PIXELS = 4 << 20
SIZE = re.compile(rb"[ \t]+(\d{1,5})[ x*X](\d{1,5})")
SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"qoif": "qoi"}
PNG_HEADER = 24  # bytes, at whose end are width and height


class Picture(NamedTuple):
    """One picture: its size in pixels, its kind (png, jpg) and its bytes."""

    width: int
    height: int
    kind: str
    data: bytes


def pictures(blocks: Iterable[PictureBlock]) -> Iterator[Picture]:
    """The pictures in a gcode file; broken and monstrous ones are left out."""
    return filter(None, map(_decode, blocks))


def _decode(block: PictureBlock) -> Picture | None:
    encoded = block.lines.translate(None, b"; \t\r\n")
    if len(encoded) > MAX_BYTES:
        return None
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    stated = SIZE.match(block.stated)
    return picture_of(data, (int(stated[1]), int(stated[2])) if stated else (0, 0))


def picture_of(data: bytes, stated: tuple[int, int] = (0, 0)) -> Picture | None:
    """The picture that some bytes are; None if they are none, or too big. `stated`: its size, for want of better."""
    kind = next((kind for signature, kind in SIGNATURES.items() if data.startswith(signature)), "")
    width, height = _measure(data, kind) or stated
    if not kind or not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE or width * height > MAX_PIXELS:
        return None
    picture = Picture(width, height, kind, data)
    return picture if kind != "qoi" else _drawn(picture)


def _measure(data: bytes, kind: str) -> tuple[int, int] | None:
    if kind == "png" and len(data) > PNG_HEADER:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if kind == "qoi" and len(data) > 12:
        return int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    pillow = _pillow()
    if pillow is None:
        return None
    with (
        contextlib.suppress(OSError, ValueError, SyntaxError),
        pillow.open(io.BytesIO(data), formats=["JPEG"]) as image,
    ):
        return image.size[0], image.size[1]
    return 0, 0


def _pillow() -> ModuleType | None:
    """Pillow, imported when a picture has to be drawn; there are no wheels of it for 32-bit ARM."""
    try:
        import PIL.Image
    except ImportError:
        return None
    return PIL.Image


def _drawn(picture: Picture, side: int = MAX_SIDE) -> Picture | None:
    """The picture as a PNG that fits into a square; None where it is broken."""
    pillow = _pillow()
    if pillow is None:
        return None
    target = io.BytesIO()
    try:
        with pillow.open(io.BytesIO(picture.data), formats=["PNG", "JPEG", "QOI"]) as image:
            image.thumbnail((side, side))
            image.save(target, "PNG")
            return Picture(image.width, image.height, "png", target.getvalue())
    except (OSError, ValueError, SyntaxError, IndexError, KeyError, OverflowError, pillow.DecompressionBombError):
        return None


def with_small(found: Iterable[Picture]) -> list[tuple[str, Picture]]:
    """The pictures by the ending of their names, each size once; a missing small one is made of the largest."""
    named: dict[str, Picture] = {}
    for picture in found:
        named.setdefault(f"-{picture.width}x{picture.height}.{picture.kind}", picture)
    return list(_small(named.values())) + list(named.items())


def _small(found: Collection[Picture]) -> Iterator[tuple[str, Picture]]:
    largest = max(found, key=lambda picture: picture.width * picture.height, default=None)
    if largest is None or any((picture.width, picture.height) == (SMALL, SMALL) for picture in found):
        return
    small = _drawn(largest, SMALL)
    if small is not None:
        yield f"-{SMALL}x{SMALL}.png", small


def beside(picture: Picture) -> list[tuple[str, Picture]]:
    """The one picture of a UFP archive, under its own name, and the small one made of it."""
    drawn = picture if picture.kind == "png" else _drawn(picture)
    return [*_small([drawn]), (".png", drawn)] if drawn else []


def save(folder: int, stem: str, found: Iterable[tuple[str, Picture]]) -> list[dict[str, object]]:
    """Writes pictures into `.thumbs` of a folder, under a stem that is new there, and says how metadata lists them.

    A folder that takes none (it is full, or `.thumbs` is a link) is no reason to refuse the file.
    """
    listed: list[dict[str, object]] = []
    try:
        make(folder, THUMBS)
        with subfolder(folder, THUMBS) as thumbs:
            for ending, picture in found:
                with new_file(thumbs, stem + ending) as file:
                    file.write(picture.data)
                listed.append(_entry(stem + ending, picture))
    except OSError as error:
        log.warning("no thumbnails as %s: %s", stem, error)
    return listed


def _entry(name: str, picture: Picture) -> dict[str, object]:
    size = {"width": picture.width, "height": picture.height, "size": len(picture.data)}
    return {**size, "relative_path": f"{THUMBS}/{name}"}


def kept(folder: int, name: str) -> Picture | None:
    """The picture that came beside the gcode, in a UFP archive, and was kept."""
    with contextlib.suppress(OSError), subfolder(folder, THUMBS) as thumbs:
        path = PurePosixPath(name).stem + ".png"
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=thumbs)
        with os.fdopen(descriptor, "rb") as file:
            return picture_of(file.read(MAX_BYTES))
    return None


def former(folder: int, name: str) -> list[str]:
    """The pictures of a gcode file that are there already, but for one that came beside it; of very many, some."""
    stem = re.escape(PurePosixPath(name).stem)
    with contextlib.suppress(OSError), subfolder(folder, THUMBS) as thumbs, os.scandir(thumbs) as there:
        called = (each.name for each in there if re.fullmatch(rf"{stem}-\d+x\d+\.(?:png|jpg)", each.name))
        return [f"{THUMBS}/{each}" for each in islice(called, MAX_FORMER)]
    return []
