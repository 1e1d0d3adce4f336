"""Where a broker is, as a URL says it."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker is: mqtt://[user[:password]@]host[:port], or mqtts:// for TLS."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> "BrokerUrl":
        """Raises ValueError for anything that is not such a URL."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"broker URL {url!r}: expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(parts.hostname, parts.port or PORTS[parts.scheme], user, password, parts.scheme == "mqtts")
