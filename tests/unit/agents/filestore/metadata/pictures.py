"""Pictures as slicers put them into gcode, drawn for the tests."""

import base64
import io

from PIL import Image


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    """The bytes of a picture of one colour."""
    target = io.BytesIO()
    Image.new("RGB", (width, height), (200, 80, 10)).save(target, kind)
    return target.getvalue()


def block(data: bytes, size: str, tag: str = "thumbnail") -> str:
    """The comment lines in which a slicer hides a picture."""
    encoded = base64.b64encode(data).decode()
    lines = [f"; {encoded[at : at + 78]}\n" for at in range(0, len(encoded), 78)]
    return f";\n; {tag} begin {size} {len(encoded)}\n{''.join(lines)}; {tag} end\n;\n"
