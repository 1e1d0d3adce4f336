"""Who is let in: trusted addresses, and nobody else."""

from bus.errors import Unauthenticated
from bus.web_pages import WebPages, address_of, is_loopback

from .proxies import FORWARDING, Proxies
from .settings import BridgeSettings

Seen = dict[bytes, bytes]

CREDENTIALS = frozenset((b"x-api-key", b"x-access-token"))
WATCHED = (
    FORWARDING
    | CREDENTIALS
    | {b"authorization", b"host", b"origin", b"referer", b"sec-fetch-site", b"user-agent"}
    | {b"content-type", b"content-length", b"transfer-encoding", b"access-control-request-private-network"}
    | {b"range", b"if-modified-since", b"if-none-match"}
)
KEPT = 1000  # decisions remembered


def watched(headers: list[tuple[bytes, bytes]]) -> Seen:
    """The headers that matter here, by lower-case name; what comes more than once is joined, as RFC 9110 has it."""
    found: Seen = {}
    for name, value in headers:
        if name in WATCHED:
            found[name] = found[name] + b", " + value if name in found else value
    return found


class Gate:
    """The decisions for one set of settings; `pages` has those about web pages and host names."""

    def __init__(self, settings: BridgeSettings) -> None:
        self._settings = settings
        self._proxies = Proxies(settings.proxies)
        self._trusted: dict[str, bool] = {}
        self.pages = WebPages(settings.cors_domains, settings.hosts, self.trusts)

    def admit(self, peer: str, seen: Seen) -> str:
        """The address of a caller who has full rights; raises Unauthenticated."""
        if not CREDENTIALS.isdisjoint(seen) or seen.get(b"authorization", b"")[:7].lower() == b"bearer ":
            raise Unauthenticated("Unauthorized")
        address = self._proxies.caller(peer, seen)
        if not self.trusts(address):
            raise Unauthenticated("Unauthorized")
        return address

    def trusts(self, text: str) -> bool:
        """Whether an address has full rights without credentials."""
        known = self._trusted.get(text)
        if known is None:
            address = address_of(text)
            known = is_loopback(text) or (
                address is not None and any(address in network for network in self._settings.trusted_clients)
            )
            if len(self._trusted) >= KEPT:
                self._trusted.clear()
            self._trusted[text] = known
        return known
