"""Which web pages and host names may use a server, so that a stranger's page in a browser cannot drive the printer."""

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator

from .errors import Forbidden

Address = IPv4Address | IPv6Address
Headers = Mapping[bytes, bytes]
"""By lower-case name; what came more than once is joined by commas, and so no valid host or origin."""
K = TypeVar("K", str, bytes)

# Nobody can register a public name below these, so a page elsewhere cannot make one point here (DNS rebinding).
PRIVATE_SUFFIXES = (".local", ".localhost", ".localdomain", ".lan", ".home", ".internal", ".intranet", ".home.arpa")
HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")
AUTHORITY = re.compile(rf"(?P<host>{HOST.pattern})(:[0-9]{{1,5}})?")
PLAIN_URL = re.compile(
    rf"https?://{AUTHORITY.pattern}([/?#][!-~]*)?", re.IGNORECASE
)  # no user, no \\, no control characters
ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://{AUTHORITY.pattern}", re.IGNORECASE)
PATTERN = re.compile(r"([A-Za-z*][A-Za-z0-9+.*-]*://|\*)[A-Za-z0-9.:*\[\]_-]+")
SAFE = frozenset(("GET", "HEAD"))
KEPT = 1000  # decisions remembered per kind

NO_HOST = "This host name is not one of the server's; list it under 'hosts'"
NO_PAGE = "Web pages from elsewhere may not do this; list their origin under 'cors_domains'"


def address_of(text: str) -> Address | None:
    """An address without its zone, the IPv4 one where it is mapped; None for anything else."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_loopback(text: str) -> bool:
    """Whether an address is this machine's own."""
    address = address_of(text)
    return address is not None and address.is_loopback


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


def domain_fault(pattern: str) -> str | None:
    """Why a pattern of origins cannot be used, or None; `*` alone stands for all."""
    if pattern == "*":
        return None
    if pattern.endswith("/"):
        return "an origin has no slash at its end"
    if not PATTERN.fullmatch(pattern):
        return "expected an origin such as http://*.local or *://my.mainsail.xyz:8080"
    host = pattern.rpartition("//")[2].partition(":")[0]
    if "*" in host.rpartition(".")[2]:
        return "a '*' in the top level would let in the pages of strangers"
    return None


def _domain(pattern: str) -> str:
    fault = domain_fault(pattern)
    if fault is not None:
        raise ValueError(fault)
    return pattern


Domain = Annotated[str, AfterValidator(_domain)]
"""A pattern of origins in a configuration."""


class WebPages:
    """The decisions for patterns of origins, names of the server, and addresses whose pages are trusted."""

    def __init__(self, domains: Sequence[str], hosts: Sequence[str], trusts: Callable[[str], bool]) -> None:
        patterns = [re.escape(domain).replace(r"\*", ".*") for domain in domains]
        self._domains = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
        self._named = frozenset(name.lower().rstrip(".") for name in hosts)
        self._trusts = trusts
        self._hosts: dict[bytes, bool] = {}

    def check_host(self, headers: Headers) -> None:
        """Refuses a request under a name that anybody can make point here; addresses and private names are fine."""
        value = headers.get(b"host", b"")
        known = self._hosts.get(value)
        if known is None:
            known = not value or self._is_name(host_of(value))
            _remember(self._hosts, value, known)
        if not known:
            raise Forbidden(NO_HOST)

    def check_change(self, headers: Headers, verb: str) -> None:
        """Refuses a change that a foreign web page asks for; browsers name the page in one of three headers."""
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin is not None:
            allowed = self.is_origin(origin, headers)
        elif site is not None:
            allowed = site in (b"same-origin", b"same-site", b"none")
        elif verb in SAFE and headers.get(b"user-agent", b"").startswith(b"Mozilla/"):
            allowed = self.is_origin(headers.get(b"referer", b""), headers)
        else:
            allowed = True
        if not allowed:
            raise Forbidden(NO_PAGE)

    def check_socket(self, headers: Headers) -> None:
        """Refuses a websocket that a foreign web page opens: browsers let every page try, and always name it."""
        self.check_host(headers)
        origin = headers.get(b"origin")
        if origin is not None and not self.is_origin(origin, headers):
            raise Forbidden(NO_PAGE)

    def is_origin(self, url: bytes, headers: Headers) -> bool:
        """Whether a page may use this server: our own host, a loopback or trusted address, or configured."""
        origin = "/".join(url.decode("latin-1").split("/", 3)[:3])  # a referer has a path
        host = _page_host(origin)
        if host is not None and (host in ("localhost", host_of(headers.get(b"host", b""))) or self._trusts(host)):
            return True
        return self.is_configured(origin)

    def shares(self, origin: bytes) -> bool:
        """Whether a page may read answers (CORS): off unless domains are configured."""
        if self._domains is None:
            return False
        text = origin.decode("latin-1")
        return self.is_configured(text) or self._trusts(_page_host(text) or "")

    @property
    def is_sharing(self) -> bool:
        """Whether answers differ by origin."""
        return self._domains is not None

    def is_configured(self, origin: str) -> bool:
        """Whether an origin is one of the configured ones; `null` is nobody's, whatever is configured."""
        wanted = self._domains is not None and self._domains.fullmatch(origin) is not None
        return wanted and ORIGIN.fullmatch(origin) is not None

    def _is_name(self, host: str | None) -> bool:
        if host is None:
            return False
        private = "." not in host or host.endswith(PRIVATE_SUFFIXES)
        return private or host in self._named or address_of(host) is not None


def host_of(value: bytes) -> str | None:
    """The name in a Host header, in lower case, without port, brackets and final dot; None where it is none."""
    found = AUTHORITY.fullmatch(value.decode("latin-1"))
    return None if found is None else found["host"].strip("[]").lower().rstrip(".")


def _page_host(origin: str) -> str | None:
    """The host that a page comes from, None where it comes from none."""
    found = PLAIN_URL.fullmatch(origin)
    return None if found is None else found["host"].strip("[]").lower().rstrip(".")


def _remember(known: dict[K, bool], key: K, value: bool) -> None:
    if len(known) >= KEPT:
        known.clear()
    known[key] = value
