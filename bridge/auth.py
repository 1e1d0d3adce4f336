"""Who is let in: trusted addresses, forwarding headers, host names and origins of web pages."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from bus.errors import Forbidden, Unauthenticated

from .settings import BridgeSettings

Address = IPv4Address | IPv6Address
Seen = dict[bytes, bytes]
K = TypeVar("K", str, bytes)

FORWARDING = frozenset(
    (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server", b"x-real-ip", b"forwarded")
)
CREDENTIALS = frozenset((b"x-api-key", b"x-access-token"))
WATCHED = (
    FORWARDING
    | CREDENTIALS
    | {b"authorization", b"host", b"origin", b"referer", b"sec-fetch-site", b"user-agent"}
    | {b"content-type", b"content-length", b"transfer-encoding"}
    | {b"range", b"if-modified-since", b"if-none-match"}
)
# Nobody can register a public name below these, so a page elsewhere cannot make one point here (DNS rebinding).
PRIVATE_SUFFIXES = (".local", ".localhost", ".localdomain", ".lan", ".home", ".internal", ".intranet", ".home.arpa")
PLAIN_URL = re.compile(
    r"https?://[A-Za-z0-9.:\[\]_-]+([/?#][!-~]*)?", re.IGNORECASE
)  # no user, no \\, no control characters
KEPT = 1000  # decisions remembered per kind


def watched(headers: list[tuple[bytes, bytes]]) -> Seen:
    """The headers that matter here, by lower-case name; the last one wins."""
    return {name: value for name, value in headers if name in WATCHED}


def _parsed(text: str) -> Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an address for browsers, which read the same in it; None where that is in doubt."""
    if not PLAIN_URL.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.hostname is None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


class Gate:
    """The decisions for one set of settings; raises Unauthenticated or Forbidden."""

    def __init__(self, settings: BridgeSettings) -> None:
        self._settings = settings
        patterns = [re.escape(domain).replace(r"\*", ".*") for domain in settings.cors_domains]
        self._domains = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
        self._named = frozenset(name.lower() for name in settings.hosts)
        self._trusted: dict[str, bool] = {}
        self._hosts: dict[bytes, bool] = {}

    def admit(self, peer: str, seen: Seen) -> str:
        """The address of a caller who has full rights."""
        if not CREDENTIALS.isdisjoint(seen) or seen.get(b"authorization", b"")[:7].lower() == b"bearer ":
            raise Unauthenticated("Unauthorized")
        address = peer if FORWARDING.isdisjoint(seen) else self._forwarded(peer, seen)
        if not self._is_trusted(address):
            raise Unauthenticated("Unauthorized")
        if not self._is_host(seen.get(b"host", b"")):
            raise Forbidden("This host name is not one of the server's; list it under 'hosts'")
        return address

    def check_page(self, seen: Seen, verb: str) -> None:
        """Refuses a change that a foreign web page asks for; browsers name the page in one of three headers."""
        origin, site = seen.get(b"origin"), seen.get(b"sec-fetch-site")
        if origin is not None:
            allowed = self.is_origin(origin, seen)
        elif site is not None:
            allowed = site != b"cross-site"
        elif verb == "GET" and seen.get(b"user-agent", b"").startswith(b"Mozilla/"):
            allowed = self.is_origin(seen.get(b"referer", b""), seen)
        else:
            allowed = True
        if not allowed:
            raise Forbidden("Web pages from elsewhere may not do this; list their origin under 'cors_domains'")

    def is_origin(self, origin: bytes, seen: Seen) -> bool:
        """Whether a page may use this server: our own host, a loopback or trusted address, or configured."""
        text = "/".join(origin.decode("latin-1").split("/", 3)[:3])  # a referer has a path
        host = _host_of(text)
        if host is None:
            return False
        if host == _host_of("//" + seen.get(b"host", b"").decode("latin-1")):
            return True
        return host == "localhost" or self._is_trusted(host) or self.is_configured(text)

    def shares(self, origin: bytes) -> bool:
        """Whether a page may read answers (CORS): off unless domains are configured."""
        if self._domains is None:
            return False
        text = origin.decode("latin-1")
        return self.is_configured(text) or self._is_trusted(_host_of(text) or "")

    def is_configured(self, origin: str) -> bool:
        """Whether an origin is one of `cors_domains`."""
        return self._domains is not None and self._domains.fullmatch(origin) is not None

    def _forwarded(self, peer: str, seen: Seen) -> str:
        """The nearest address that is not a proxy of ours; what stands left of it could be invented."""
        if not self._is_proxy(peer):
            raise Unauthenticated("Unauthorized")
        named = seen.get(b"x-forwarded-for") or seen.get(b"x-real-ip", b"")
        hops = [hop.strip() for hop in named.decode("latin-1").split(",")]
        return next((hop for hop in reversed(hops) if not self._is_proxy(hop)), hops[0])

    def _is_proxy(self, text: str) -> bool:
        address = _parsed(text)
        return address is not None and any(address in network for network in self._settings.proxies)

    def _is_trusted(self, text: str) -> bool:
        known = self._trusted.get(text)
        if known is None:
            address = _parsed(text)
            known = address is not None and (
                address.is_loopback or any(address in network for network in self._settings.trusted_clients)
            )
            _remember(self._trusted, text, known)
        return known

    def _is_host(self, value: bytes) -> bool:
        known = self._hosts.get(value)
        if known is None:
            host = _host_of("//" + value.decode("latin-1"))
            known = not value or (host is not None and self._is_name(host.rstrip(".")))
            _remember(self._hosts, value, known)
        return known

    def _is_name(self, host: str) -> bool:
        private = "." not in host or host.endswith(PRIVATE_SUFFIXES)
        return private or host in self._named or _parsed(host) is not None


def _remember(known: dict[K, bool], key: K, value: bool) -> None:
    if len(known) >= KEPT:
        known.clear()
    known[key] = value
