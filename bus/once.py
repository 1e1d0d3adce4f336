"""At most once: recognises a request that was already accepted (design.md "The router")."""

import re
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from .errors import Duplicate

REMEMBERED = 4096  # requests; the oldest is forgotten first
ANSWER_BYTES = 65_536  # a longer answer is not kept
UUID = re.compile(rb'"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"')


class Once:
    """Keys of recent requests, and the first answers to those whose id is a UUID."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._answers: OrderedDict[tuple[str, bytes], bytes | None] = OrderedDict()

    def delivery(self, client: str, payload: bytes, *, again: bool) -> bool:
        """Whether a message of QoS 1 or 2 is to be run; `again` is its DUP flag."""
        fresh = self._remember((client, hash(payload), len(payload)))
        return fresh or not again

    def timestamp(self, client: str, params: dict[str, Any], payload: bytes) -> None:
        """Takes `mqtt_timestamp` out of the params; raises Duplicate if the same request had it before."""
        stamp = params.pop("mqtt_timestamp", None)
        if stamp is None:
            return
        if not self._remember((client, str(stamp), hash(payload))):
            raise Duplicate("Duplicate request: this mqtt_timestamp was already accepted")

    def claim(self, client: str, request_id: bytes) -> tuple[bool, bytes | None]:
        """Whether a request with this id is new and, if not, its first answer (None while that is pending)."""
        if not UUID.fullmatch(request_id):
            return True, None
        key = (client, request_id)
        if key in self._answers:
            return False, self._answers[key]
        self._answers[key] = None
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        return True, None

    def answered(self, client: str, request_id: bytes, answer: bytes) -> None:
        """Keeps the first answer for repeats of its request."""
        key = (client, request_id)
        if key in self._answers and len(answer) <= ANSWER_BYTES:
            self._answers[key] = answer

    def _remember(self, key: Hashable) -> bool:
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True
