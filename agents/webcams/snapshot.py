"""Where a webcam's addresses lead, and whether a snapshot can be had there."""

from urllib.parse import urljoin

HERE = "http://127.0.0.1:80/"  # the web server of a front end, which relative addresses are meant for
TIMEOUT = 5.0  # seconds


def resolved(url: str) -> str:
    """The address as this host would use it; what is none stays what it is."""
    try:
        return urljoin(HERE, url) if url else ""
    except ValueError:
        return url


async def is_reachable(url: str) -> bool:
    """Whether a GET is answered well; cameras are near, so no proxy is asked."""
    from bus.fetch import Unreachable, fetch  # with the HTTP client, which most never need

    if not url.startswith(("http://", "https://")):
        return False
    try:
        return await fetch(url, lambda _: True, TIMEOUT, proxies=False)
    except Unreachable:
        return False
