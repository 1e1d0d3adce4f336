"""At most once: recognises a request that was already accepted, also by an earlier run (design.md "The router")."""

import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

from orjson import JSONEncodeError

from .calls import CallFailed
from .envelope import dumps, failure, result
from .errors import Conflict, Duplicate
from .log import StoredEvent
from .message import Message

REMEMBERED = 4096  # requests; the oldest is forgotten first
ANSWER_BYTES = 65_536  # a longer answer is not kept
UUID = re.compile(rb'"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"')

Key = dict[str, Any]  # what the record of a command keeps, so that a repeat is known after a restart
Claim = tuple[str, str, int | None]  # client, id, and a digest of what is asked for


class Once:
    """Keys of recent requests, and the first answers to those whose id is a UUID."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._answers: OrderedDict[Claim, bytes | None] = OrderedDict()

    def delivery(self, client: str, message: Message) -> bool:
        """Whether a message of QoS 1 or 2 is to be run: one that says it may be a repeat is one if its packet was here.

        That its content was here is not enough: buttons send the same again and again.
        """
        fresh = self._remember((client, message.packet_id, message.topic, hash(message.payload), len(message.payload)))
        return fresh or not message.dup

    def timestamp(self, client: str, stamp: object, asked: Sequence[object]) -> Key:
        """The key of a request with an `mqtt_timestamp`; raises Duplicate if the same request had it before."""
        key = {"client": client, "stamp": str(stamp), "digest": _digest(asked)}
        if not self._remember(tuple(key.values())):
            raise Duplicate("Duplicate request: this mqtt_timestamp was already accepted")
        return key

    def claim(
        self, client: str, request_id: bytes, name: str, params: dict[str, Any] | None
    ) -> tuple[Key | None, bool, bytes | None]:
        """The key of a request with a UUID as id, whether it is a repeat, and then its first answer (None: pending).

        A repeat asks for the same: some clients have one UUID for all that they ask for. Secret params are left out.
        """
        if not UUID.fullmatch(request_id):
            return None, False, None
        key = {"client": client, "id": request_id[1:-1].decode(), "digest": _digest([name, params])}
        claim = _claim(key)
        if claim in self._answers:
            return None, True, self._answers[claim]
        self._keep(claim, None)
        return key, False, None

    def answered(self, key: Mapping[str, Any], answer: bytes) -> None:
        """Keeps the first answer for repeats of its request."""
        if "id" in key and len(answer) <= ANSWER_BYTES and (claim := _claim(key)) in self._answers:
            self._answers[claim] = answer

    def recover(self, commands: Iterable[StoredEvent]) -> None:
        """Learns from the records of an earlier run; what has no recorded end is unknown, and not repeated."""
        begun: dict[int, Claim] = {}
        for event in commands:
            once: Any = event.data.get("once")
            if once and "stamp" in once:
                self._remember((once["client"], once["stamp"], once["digest"]))
            elif once:
                claim = begun[event.seq] = _claim(once)
                lost = failure(Conflict("Accepted before a restart; how it ended is not known"), dumps(claim[1]))
                self._keep(claim, lost)
            elif event.data.get("command") in begun:
                claim = begun[event.data["command"]]  # type: ignore[index]
                self._answers[claim] = _recorded(dict(event.data), dumps(claim[1])) or self._answers[claim]

    def _keep(self, claim: Claim, answer: bytes | None) -> None:
        self._answers[claim] = answer
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def _remember(self, key: Hashable) -> bool:
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _digest(asked: Sequence[object]) -> int:
    """Of what is asked for; 0 where that is nested deeper than any method takes."""
    try:
        return crc32(dumps(asked))
    except JSONEncodeError:
        return 0


def _claim(key: Mapping[str, Any]) -> Claim:
    return key["client"], key["id"], key.get("digest")


def _recorded(ended: dict[str, Any], request_id: bytes) -> bytes | None:
    """The answer that the record of an end allows to give again."""
    if ended["outcome"] == "error":
        return failure(CallFailed(ended), request_id)
    return result(dumps(ended["result"]), request_id) if "result" in ended else None
