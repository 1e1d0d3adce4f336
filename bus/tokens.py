"""JSON web tokens of users: signed with Ed25519, a key for each user, and what has to be true of them."""

import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import Unauthenticated

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "EdDSA"
AUDIENCE = "Moonraker"
ACCESS, REFRESH = "access", "refresh"
ACCESS_SECONDS = 3600.0
CLAIMS = ["iss", "aud", "iat", "exp", "username", "token_type"]
SKEW = 60.0  # seconds that a token may seem to come from the future: a clock without a battery is set after the start
LONGEST = 4096  # characters
KEPT_KEYS = 64


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says once it has been verified."""

    username: str
    expires: float


def new_signing_key() -> str:
    """The secret from which a user's key is made."""
    return secrets.token_hex(32)


def issue(username: str, signing: str, kind: str, *, issuer: str, now: float, life: float) -> str:
    """A token of a user; `kind` is `ACCESS` or `REFRESH`, times are in seconds."""
    import jwt

    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "iat": int(now),
        "exp": int(now + life),
        "username": username,
        "token_type": kind,
    }
    return jwt.encode(claims, _key(signing), ALGORITHM)


def claimed_user(token: str) -> str:
    """Whose token it says it is; nothing of that is verified. Raises Unauthenticated."""
    if len(token) > LONGEST or token.count(".") != 2:
        raise _wrong()
    import jwt

    try:
        name = jwt.decode(token, options={"verify_signature": False}).get("username")
    except jwt.InvalidTokenError:
        raise _wrong() from None
    if not isinstance(name, str):
        raise _wrong()
    return name


def verify(token: str, signing: str, kind: str, *, issuer: str, now: float) -> Claims:
    """The claims of a token of this kind; raises Unauthenticated."""
    import jwt

    options: Any = {"require": CLAIMS, "verify_exp": False, "verify_iat": False}  # by our own clock
    key = _key(signing).public_key()
    try:
        claims = jwt.decode(token, key, [ALGORITHM], options, audience=AUDIENCE, issuer=issuer)
    except jwt.InvalidTokenError:
        raise _wrong() from None
    issued, expires = claims["iat"], claims["exp"]
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        raise _wrong()
    if claims["token_type"] != kind or issued > now + SKEW or expires <= now:
        raise _wrong()
    return Claims(str(claims["username"]), float(expires))


def _wrong() -> Unauthenticated:
    return Unauthenticated("Invalid or expired token")


@lru_cache(KEPT_KEYS)
def _key(signing: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(signing))
