"""The last lines of the console: commands that came through the API, and what Klipper said."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

MAX_LINE = 64 << 10  # characters; the rest of a longer text is not kept
MAX_TEXT = 1 << 20  # characters of all entries; over it the oldest go

Kind = Literal["command", "response"]
Line = tuple[float, Kind, str]


class ConsoleLog:
    """Entries in the order in which they came, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lines: deque[Line] = deque()
        self._text = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, time: float, kind: Kind, text: str) -> None:
        """A new line."""
        kept = text[:MAX_LINE]
        self._lines.append((time, kind, kept))
        self._text += len(kept)
        while len(self._lines) > self._size or self._text > MAX_TEXT:
            self._text -= len(self._lines.popleft()[2])

    def newest(self, count: int | None = None) -> Iterator[Line]:
        """Oldest first."""
        first = 0 if count is None else max(len(self._lines) - count, 0)
        return (line for number, line in enumerate(self._lines) if number >= first)

    def restore(self, lines: Iterable[Line]) -> None:
        """What was saved goes before what is there; raises whatever wrong content makes it raise."""
        now = list(self._lines)
        self._lines.clear()
        self._text = 0
        for time, kind, text in (*lines, *now):
            self.add(float(time), "command" if kind == "command" else "response", str(text))
