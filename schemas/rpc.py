"""The API about itself."""

from pathlib import Path
from typing import Any

from .base import Method, NoParams, Permission

OWNER = "core"
GENERATED = Path(__file__).with_name("generated")  # what `python -m schemas.documents` writes

DISCOVER = Method(
    "rpc.discover",
    NoParams,
    dict[str, Any],
    OWNER,
    Permission.READ,
    ("GET /rpc/discover",),
    summary="All methods, as an OpenRPC document.",
)
