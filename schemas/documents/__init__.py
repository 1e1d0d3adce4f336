"""The tables as documents for other people's tools: OpenRPC, OpenAPI, AsyncAPI and JSON Schema.

Nothing here is needed to run: what is served are the files under `schemas/generated/`.
"""

import json
from collections.abc import Callable, Mapping

from ..rpc import GENERATED
from .asyncapi import asyncapi
from .definitions import Json
from .models import models
from .openapi import openapi
from .openrpc import openrpc

DOCUMENTS: Mapping[str, Callable[[], Json]] = {
    "openrpc": openrpc,
    "openapi": openapi,
    "asyncapi": asyncapi,
    "schemas": models,
}


def text_of(name: str) -> str:
    """A document as it is checked in."""
    return json.dumps(DOCUMENTS[name](), indent=1, ensure_ascii=False) + "\n"


__all__ = ["DOCUMENTS", "GENERATED", "Json", "asyncapi", "models", "openapi", "openrpc", "text_of"]
