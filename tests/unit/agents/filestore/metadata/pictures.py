"""Pictures as slicers put them into gcode, drawn for the tests."""

import base64
import io
from pathlib import Path

from PIL import Image

Colour = tuple[int, int, int]

ORANGE: Colour = (200, 80, 10)


def picture(width: int, height: int, kind: str = "PNG", colour: Colour = ORANGE) -> bytes:
    """The bytes of a picture of one colour."""
    target = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(target, kind)
    return target.getvalue()


def colour_of(path: Path) -> Colour:
    """The colour of a picture."""
    with Image.open(path) as image:
        found = image.convert("RGB").getpixel((0, 0))
    assert isinstance(found, tuple)
    red, green, blue = found
    return (red, green, blue)


def block(data: bytes, size: str, tag: str = "thumbnail") -> str:
    """The comment lines in which a slicer hides a picture."""
    encoded = base64.b64encode(data).decode()
    lines = [f"; {encoded[at : at + 78]}\n" for at in range(0, len(encoded), 78)]
    return f";\n; {tag} begin {size} {len(encoded)}\n{''.join(lines)}; {tag} end\n;\n"
