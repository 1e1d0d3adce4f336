"""Reverse proxies: whose forwarding headers are believed, and which address a request then comes from."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from bus.web_pages import Headers, address_of

FORWARDING = frozenset(
    (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server", b"x-real-ip", b"forwarded")
)


class Proxies:
    """Those that are configured; whoever else sends forwarding headers is nobody we know."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)

    def caller(self, peer: str, headers: Headers) -> str:
        """The nearest address that is not a proxy of ours; what stands left of it could be invented.

        Where a stranger says for whom it speaks that is no address, and so nothing that anybody trusts.
        """
        if FORWARDING.isdisjoint(headers):
            return peer
        if not self._is_ours(peer):
            return f"via {peer}"
        named = headers.get(b"x-forwarded-for") or headers.get(b"x-real-ip", b"")
        hops = [hop.strip() for hop in named.decode("latin-1").split(",")]
        return next((hop for hop in reversed(hops) if not self._is_ours(hop)), hops[0])

    def _is_ours(self, text: str) -> bool:
        address = address_of(text)
        return address is not None and any(address in network for network in self._networks)
