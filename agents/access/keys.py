"""API keys: what they look like, and what is kept of them."""

import re
import secrets

from bus.directory import DIGEST, PLAIN, digest
from bus.errors import InvalidParams

DEFAULT = "default"  # the one of Moonraker's API, which can be asked for again
KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,62}")
RANDOM_BYTES = 16  # 32 hex digits, as clients expect


def require_key_name(name: str) -> str:
    """The name; raises InvalidParams."""
    if not KEY_NAME.fullmatch(name):
        raise InvalidParams("The name of a key has 1 to 63 letters, digits, blanks and . _ -")
    return name


def new_key(*, again: bool) -> tuple[str, str]:
    """A key, and what is kept of it: enough to show it `again`, or only to know it."""
    value = secrets.token_hex(RANDOM_BYTES)
    return value, PLAIN + value if again else DIGEST + digest(value)


def shown(secret: str | None) -> str | None:
    """The key, where it was kept for that."""
    return secret.removeprefix(PLAIN) if secret is not None and secret.startswith(PLAIN) else None
