"""Which addresses are trusted: this machine's, and those that are configured, by range or by name."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from .web_pages import Address, address_of

log = logging.getLogger(__name__)

KNOWN_ADDRESSES = 1000
LOOK_EVERY = 60.0  # seconds between two looks at what names stand for


class Trust:
    """One list of trusted clients; names count from the first `look` on."""

    def __init__(self, clients: Sequence[IPv4Network | IPv6Network | str] = ()) -> None:
        self._networks = [client for client in clients if not isinstance(client, str)]
        self._names = [client for client in clients if isinstance(client, str)]
        self._named: frozenset[Address] = frozenset()
        self.trusts = lru_cache(KNOWN_ADDRESSES)(self._judge)

    def _judge(self, text: str) -> bool:
        """Whether this is the text of a trusted address."""
        address = address_of(text)
        if address is None:
            return False
        ours = address.is_loopback or address in self._named
        return ours or any(address in network for network in self._networks)

    async def keep(self) -> None:
        """Looks again and again, until cancelled, what the names stand for."""
        while self._names:
            found = await asyncio.to_thread(_addresses, self._names)
            if found != self._named:
                self._named = found
                self.trusts.cache_clear()
            await asyncio.sleep(LOOK_EVERY)


def _addresses(names: Sequence[str]) -> frozenset[Address]:
    found: set[Address] = set()
    for name in names:
        try:
            texts = [str(each[4][0]) for each in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
        except OSError as error:
            log.debug("%s has no address now: %s", name, error)
            continue
        found |= {address for address in map(address_of, texts) if address is not None}
    return frozenset(found)
