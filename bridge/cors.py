"""Headers for browsers: which pages may read an answer, and what no answer should be taken for."""

from bus.web_pages import WebPages

from .answers import Header
from .auth import Seen

SAFE_ANSWER: tuple[Header, ...] = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
NOT_KEPT: Header = (b"cache-control", b"no-store")  # answers are as old as their request, and some hold tokens
ALLOW_ORIGIN = b"access-control-allow-origin"
VARY: Header = (b"vary", b"Origin")
PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Origin, Accept, Content-Type, X-Requested-With, X-CRSF-Token, Authorization, X-Access-Token, X-Api-Key",
    ),
    (b"access-control-max-age", b"600"),
)
ASKS_FOR_NETWORK = b"access-control-request-private-network"
ALLOW_NETWORK: Header = (b"access-control-allow-private-network", b"true")


def sharing(pages: WebPages, seen: Seen) -> tuple[Header, ...]:
    """What lets the page that asks read the answer; nothing where it may not."""
    if not pages.is_sharing:
        return ()
    origin = seen.get(b"origin")
    return (VARY,) if origin is None or not pages.shares(origin) else ((ALLOW_ORIGIN, origin), VARY)


def permission(shared: tuple[Header, ...], seen: Seen) -> tuple[Header, ...] | None:
    """The headers that answer a preflight; None where the page gets no permission."""
    if not shared or shared[0][0] != ALLOW_ORIGIN:
        return None
    # Chromium asks pages of the internet for it before they may reach a printer's network.
    network = (ALLOW_NETWORK,) if seen.get(ASKS_FOR_NETWORK) == b"true" else ()
    return (*shared, *PREFLIGHT, *network)
