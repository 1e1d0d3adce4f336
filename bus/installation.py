"""Whether the four packages in use are those of one printbus: other distributions may bring the same names."""

import hashlib
import sys
from base64 import urlsafe_b64encode
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("agents", "bridge", "bus", "schemas")
DISTRIBUTION = "printbus"
REMEDY = "another distribution has a package of this name: give printbus a virtual environment of its own"


def fault() -> str | None:
    """What is wrong, or nothing: a package from elsewhere, or one that another distribution has written over."""
    home = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        spec = find_spec(name)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parents[1] != home:
            return f"the package '{name}' comes from {origin or 'nowhere'}, not from {home}: {REMEDY}"
    return _overwritten(home)


def _overwritten(home: Path) -> str | None:
    """As `fault`, from the hashes that an installer left; an editable install has none of our files in them."""
    try:
        record = distribution(DISTRIBUTION).read_text("RECORD") or ""
    except PackageNotFoundError:
        return f"{DISTRIBUTION} is not installed for {sys.executable}; scripts/run does that"
    written = dict(line.split(",", 2)[:2] for line in record.splitlines())
    for name in PACKAGES:
        file = f"{name}/__init__.py"
        if file in written and written[file] != _digest(home / file):
            return f"{home / file} is not the one of {DISTRIBUTION}: {REMEDY}"
    return None


def _digest(path: Path) -> str:
    """As RECORD has it (PEP 376)."""
    return "sha256=" + urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
