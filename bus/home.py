"""What an uplink needs of the instance that it belongs to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas import Permission

from .exchange import Exchange
from .router import Router
from .topics import Topics


@dataclass(frozen=True, slots=True)
class Home:
    """`warn` shows a text in server.info under a name, or takes it back; `given` is what roles may do, if anything."""

    exchange: Exchange
    router: Router
    topics: Topics
    groups: Sequence[str]
    boot: str
    warn: Callable[[str, str | None], None]
    given: Callable[[Sequence[str]], frozenset[Permission] | None] = lambda _: None
