"""The file usb.ids of the USB ID Repository, as the host's package has it: names of makers, products and classes."""

import re
from pathlib import Path

PLACES = ("usr/share/misc/usb.ids", "usr/share/hwdata/usb.ids", "var/lib/usbutils/usb.ids")
NAMELESS = {"?", "None", "Unused", "(Defined at Interface level)"}


class UsbNames:
    """Searches the file's text, since taking it apart would take longer; without a file there are no names."""

    def __init__(self, root: Path) -> None:
        path = next((root / place for place in PLACES if (root / place).exists()), None)
        self._text = b"\n" + path.read_bytes() + b"\n" if path else b""

    def description(self, vendor: str, product: str) -> str | None:
        """Maker and product in one, as far as they are known."""
        return " ".join(filter(None, (self._name(vendor), self._name(vendor, product)))) or None

    def classes(self, kind: str, subclass: str, protocol: str) -> tuple[str | None, str | None, str | None]:
        """The names of a class, of its subclass, and of the protocol in that."""
        kind = f"C {kind}"
        return self._name(kind), self._name(kind, subclass), self._name(kind, subclass, protocol)

    def _name(self, *identifiers: str) -> str | None:
        """Of the last identifier, which stands, indented one further, below the one before."""
        start, end, name = 0, len(self._text), b""
        for depth, identifier in enumerate(identifiers):
            mark = b"\n" + b"\t" * depth + identifier.encode() + b"  "
            place = self._text.find(mark, start, end)
            if place < 0:
                return None
            start = self._text.index(b"\n", place + len(mark))
            name = self._text[place + len(mark) : start]
            below = re.compile(rb"\n\t{0,%d}(?=[^\t\n])" % depth).search(self._text, start, end)
            end = below.start() if below else end
        told = name.decode(errors="replace").strip()
        return None if told in NAMELESS else told
