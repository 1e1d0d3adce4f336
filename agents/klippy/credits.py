"""Remembers who recently asked for what, so that what then happens to a print can be credited to somebody."""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bus.agent import Actor

from .prints import ENDED, PAUSED, RESUMED, STARTED

Answer = asyncio.Future[Any]
WINDOW = 5.0  # seconds after the answer during which an effect is still the caller's
MAX_CREDITS = 256  # the oldest are forgotten
MAX_TEXT = 1024  # characters of a gcode line that are kept to find the file name in

_COMMANDS = {
    "SDCARD_PRINT_FILE": (STARTED,),
    "M24": (STARTED, RESUMED),
    "RESUME": (RESUMED,),
    "PAUSE": (PAUSED,),
    "M25": (PAUSED,),
    "CANCEL_PRINT": (ENDED,),
    "SDCARD_RESET_FILE": (ENDED,),
}
_LINE = re.compile(rf"^[ \t]*({'|'.join(_COMMANDS)})\b(.{{0,{MAX_TEXT}}})", re.IGNORECASE | re.MULTILINE)


@dataclass(slots=True)
class Credit:
    """One effect that a caller asked for; `text` is where its file is named, if it is."""

    effect: str
    text: str
    actor: Actor
    answered: float | None = None


class Credits:
    """Who asked for what; `now` is a clock that only goes forward."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._recent: deque[Credit] = deque(maxlen=MAX_CREDITS)

    def asked(self, effect: str, actor: Actor, answer: Answer, text: str = "") -> None:
        """A caller asks for an effect, with a request that ends with `answer`; it may show a little later."""
        credit = Credit(effect, text, actor)
        self._recent.append(credit)

        def ended(_: Answer) -> None:
            credit.answered = self._now()

        answer.add_done_callback(ended)

    def asked_by_script(self, script: str, actor: Actor, answer: Answer) -> None:
        """The same for all effects that the commands of a script have."""
        for command in islice(_LINE.finditer(script), MAX_CREDITS):
            for effect in _COMMANDS[command[1].upper()]:
                self.asked(effect, actor, answer, command[2])

    def who(self, effect: str, filename: str = "") -> Actor | None:
        """The latest caller who asked for it, within the window."""
        since = self._now() - WINDOW
        for credit in reversed(self._recent):
            fresh = credit.answered is None or credit.answered >= since
            if fresh and credit.effect == effect and _names(credit.text, filename):
                return credit.actor
        return None


def _names(text: str, filename: str) -> bool:
    return "FILENAME" not in text.upper() or filename in text
