"""In whose name an agent calls, for what somebody has configured or has asked it for, and how far that goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator

from schemas import Permission

from .envelope import dumps
from .identity import EVERYTHING


def _ours(permissions: frozenset[Permission]) -> frozenset[Permission]:
    if Permission.AGENT in permissions:
        raise ValueError("the permission 'agent' is only for parts of the printer host")
    return permissions


Permissions = Annotated[frozenset[Permission], AfterValidator(_ours)]
"""An option of a configuration: what may be done in its name."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """On whose behalf calls are made - the record of commands shows that name - and what they may do.

    With an `actor` (as events or requests keep it) the record shows that one, who has asked the agent for what it now
    does; without `permissions` they may what the actor may.
    """

    name: str
    permissions: frozenset[Permission] | None = EVERYTHING
    actor: Mapping[str, Any] | None = None

    def as_json(self) -> bytes:
        """The form in which it goes with a request."""
        may = None if self.permissions is None else sorted(self.permissions)
        return dumps({"name": self.name, "permissions": may, "actor": self.actor})
