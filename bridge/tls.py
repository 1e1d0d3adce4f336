"""The certificate of HTTPS: where it is, and what is made of it."""

import ssl
from pathlib import Path

from .settings import BridgeSettings

CERTIFICATE, KEY = Path("certs", "moonraker.cert"), Path("certs", "moonraker.key")  # in the data folder


def certificate(settings: BridgeSettings, data: Path | None) -> tuple[Path, Path] | None:
    """Certificate and key: the configured ones, or those in the data folder where both are there."""
    if settings.ssl_certificate_path is not None and settings.ssl_key_path is not None:
        return settings.ssl_certificate_path, settings.ssl_key_path
    if data is None or not (data / CERTIFICATE).exists() or not (data / KEY).exists():
        return None
    return data / CERTIFICATE, data / KEY


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What serves a certificate, from TLS 1.2 on; raises OSError that names the file."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for path in (certificate, key):
        path.open("rb").close()  # OpenSSL does not say which of them is missing
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        detail = getattr(error, "reason", None) or error
        raise OSError(f"{certificate} and {key} cannot be used: {detail}") from None
    return made


def _no_password() -> str:
    """Instead of asking whoever sits at the terminal."""
    raise ValueError("the key has a password")
