"""Who asks: an address and what it shows, and whose that is, which the bus knows."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl

import orjson

from bus.calls import Caller as Calls
from bus.calls import CallFailed
from bus.envelope import NULL, dumps
from bus.errors import BusError, Unauthenticated
from bus.identity import NOBODY, OWNER, TRUSTED, Credential, Kind, Principal, Scheme
from schemas.access import VERIFY

from .auth import CREDENTIALS, Gate, Seen

SHOWN = CREDENTIALS | {b"authorization"}  # headers that may hold credentials
BEARER = b"bearer "
TOKEN_ARGUMENTS = ("access_token", "token")
KEPT = 1000  # callers without credentials that are remembered


class Caller(NamedTuple):
    """Who asks over one transport; `actor` says it to the bus, as JSON."""

    address: str
    actor: bytes
    known: bool  # with a credential, or by address


Found = Callable[[Caller | BusError], None]


def actor(transport: str, address: str, who: Principal) -> bytes:
    """Who asks, as JSON."""
    return dumps({"user": who.name, "kind": who.kind, "transport": transport, "client": address})


def caller(transport: str, address: str, who: Principal) -> Caller:
    """Somebody who is known to be that."""
    return Caller(address, actor(transport, address, who), who.kind is not Kind.NOBODY)


def owner(transport: str, address: str) -> Caller:
    """The owner of the host."""
    return caller(transport, address, OWNER)


def credentials_of(seen: Seen, query: bytes) -> list[Credential]:
    """What a request shows, in the order in which it counts (behaviours.md section 7)."""
    asked = dict(parse_qsl(query.decode("latin-1"))) if b"token=" in query else {}
    token = _token(seen) or asked.get("access_token")
    if token:
        return [Credential(Scheme.TOKEN if "." in token else Scheme.KEY, token)]
    shown = [(Scheme.ONESHOT, asked.get("token")), (Scheme.KEY, seen.get(b"x-api-key", b"").decode("latin-1").strip())]
    return [Credential(scheme, value) for scheme, value in shown if value]


def _token(seen: Seen) -> str | None:
    """Of the headers; an Authorization of another kind, as web servers ask for, ends the search."""
    header = seen.get(b"authorization")
    if header is None:
        return seen.get(b"x-access-token", b"").decode("latin-1")
    return header[len(BEARER) :].decode("latin-1").strip() if header[: len(BEARER)].lower() == BEARER else None


class Callers:
    """Judges who asks: by credentials where there are any, by address otherwise."""

    def __init__(self, gate: Gate, calls: Calls) -> None:
        self._gate = gate
        self._calls = calls
        self._addressed: dict[tuple[str, str, bool], Caller] = {}

    def at_once(self, transport: str, peer: str, seen: Seen, query: bytes) -> Caller | None:
        """Who asks without credentials; None where there are some."""
        if not (SHOWN.isdisjoint(seen) and b"token=" not in query) and credentials_of(seen, query):
            return None
        return self._by_address(transport, self._gate.address_of(peer, seen))

    def _by_address(self, transport: str, address: str) -> Caller:
        trusted = self._gate.trusts(address)  # names come to stand for other addresses
        found = self._addressed.get((transport, address, trusted))
        if found is None:
            if len(self._addressed) >= KEPT:
                self._addressed.clear()
            who = TRUSTED if trusted else NOBODY
            found = self._addressed[transport, address, trusted] = caller(transport, address, who)
        return found

    def ask(self, transport: str, peer: str, seen: Seen, query: bytes, found: Found) -> None:
        """Whose the credentials of a request are, or why they are nobody's; an old oneshot token is as good as none."""
        address, shown = self._gate.address_of(peer, seen), credentials_of(seen, query)

        def ask() -> None:
            credential = shown[0]
            params = {"scheme": credential.scheme, "value": credential.value, "address": address}
            self._calls.start(VERIFY.name, dumps(params), NULL, answered)

        def answered(success: bool, body: bytes) -> None:
            said, credential = orjson.loads(body), shown.pop(0)
            if success:
                return found(caller(transport, address, Principal(Kind(said["kind"]), said["user"])))
            if credential.scheme is not Scheme.ONESHOT or said["code"] != Unauthenticated.code:
                return found(_failed(CallFailed(said)))
            return ask() if shown else found(self._by_address(transport, address))

        ask()

    async def of(self, peer: str, seen: Seen, query: bytes) -> Caller:
        """Who asks over HTTP; raises Unauthenticated and Unavailable."""
        known = self.at_once("http", peer, seen, query)
        if known is not None:
            return known
        waiting: asyncio.Future[Caller | BusError] = asyncio.get_running_loop().create_future()
        self.ask("http", peer, seen, query, lambda found: None if waiting.done() else waiting.set_result(found))
        found = await waiting
        if isinstance(found, BusError):
            raise found
        return found


def _failed(error: CallFailed) -> BusError:
    return Unauthenticated(error.message) if error.code == Unauthenticated.code else error
