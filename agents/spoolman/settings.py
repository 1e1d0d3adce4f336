"""The section `spoolman` of printer.yaml."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from bus.agent import Settings


def _server(url: str) -> str:
    """Without a slash at its end, as what is proxied is put behind it; over HTTP where nothing else is said."""
    url = url if "://" in url or not url else f"http://{url}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("expected the address of a server, such as http://192.168.1.5:7912")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("an address holds neither spaces nor other than ASCII characters")
    if parts.port == 0:
        raise ValueError("no server has the port 0")
    return url.rstrip("/")


class SpoolmanSettings(Settings):
    """Where Spoolman is, and how often it is told."""

    server: Annotated[str, AfterValidator(_server), Field(max_length=2048)]
    sync_rate: float = Field(5.0, ge=0.1, le=3600, description="Seconds between two reports of a spool.")
