"""What a request says about where it comes from, and which addresses are trusted."""

from bus.trust import Trust
from bus.web_pages import WebPages

from .proxies import FORWARDING, Proxies
from .settings import BridgeSettings

Seen = dict[bytes, bytes]

CREDENTIALS = frozenset((b"x-api-key", b"x-access-token"))
WATCHED = (
    FORWARDING
    | CREDENTIALS
    | {b"authorization", b"host", b"origin", b"referer", b"sec-fetch-site", b"user-agent"}
    | {b"content-type", b"content-length", b"transfer-encoding", b"access-control-request-private-network"}
    | {b"range", b"if-range", b"if-modified-since", b"if-none-match"}
)


def watched(headers: list[tuple[bytes, bytes]]) -> Seen:
    """The headers that matter here, by lower-case name; what comes more than once is joined, as RFC 9110 has it."""
    found: Seen = {}
    for name, value in headers:
        if name in WATCHED:
            found[name] = found[name] + b", " + value if name in found else value
    return found


def has_body(seen: Seen) -> bool:
    """Whether a request says that a body comes with it."""
    return b"content-length" in seen or b"transfer-encoding" in seen


class Gate:
    """The decisions for one set of settings; `pages` has those about web pages and host names."""

    def __init__(self, settings: BridgeSettings, trust: Trust) -> None:
        self._proxies = Proxies(settings.proxies)
        self.trusts = trust.trusts
        self.pages = WebPages(settings.cors_domains, settings.hosts, self.trusts)

    def address_of(self, peer: str, seen: Seen) -> str:
        """From where a request comes; through a proxy that is not ours that is nothing to be trusted."""
        return self._proxies.caller(peer, seen)
