"""Users and API keys as the log tells of them; their secrets are in the vault, and facts only name those."""

from collections.abc import Mapping
from typing import Any, Self

from .fold import Fold
from .log import StoredEvent

STREAM = "access"
USER_CREATED, USER_DELETED = "user.created.1", "user.deleted.1"
USER_PASSWORD, USER_REHASHED, USER_ROLES = "user.password.1", "user.rehashed.1", "user.roles.1"
USER_SIGNED_IN, USER_LOGGED_OUT = "user.signed_in.1", "user.logged_out.1"
KEY_CREATED, KEY_REVOKED = "key.created.1", "key.revoked.1"

LOGINS = "logins"
"""The stream of who logged in and who could not."""
SUCCEEDED, FAILED = "login.succeeded.1", "login.failed.1"

CONFIDENTIAL = frozenset({STREAM, LOGINS})
"""Streams that only admins read."""

Record = dict[str, Any]


class Accounts(Fold):
    """Users and keys by name, each with `roles`, `created_on` and the names of its secrets."""

    name = "accounts"
    version = 1
    streams = frozenset((STREAM,))
    published = False

    def __init__(self) -> None:
        self.users: dict[str, Record] = {}
        self.keys: dict[str, Record] = {}

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact about a user or a key."""
        data: Mapping[str, Any] = event.data
        match event.type:
            case "user.created.1":
                kept = ("roles", "created_on", "password")
                self.users[data["username"]] = {"signing": None, **{name: data[name] for name in kept}}
            case "user.deleted.1":
                self.users.pop(data["username"], None)
            case "key.created.1":
                self.keys[data["name"]] = {name: data[name] for name in ("roles", "created_on", "secret")}
            case "key.revoked.1":
                self.keys.pop(data["name"], None)
            case _:
                self._change(event.type, data)

    def _change(self, kind: str, data: Mapping[str, Any]) -> None:
        known = self.users.get(data["username"], {})
        if kind == USER_PASSWORD:
            known |= {"password": data["password"], "signing": None}
        elif kind == USER_REHASHED:
            known["password"] = data["password"]
        elif kind == USER_ROLES:
            known["roles"] = data["roles"]
        elif kind == USER_SIGNED_IN:
            known["signing"] = data["signing"]
        elif kind == USER_LOGGED_OUT:
            known["signing"] = None

    def secrets(self) -> set[str]:
        """The names of all secrets that are in use."""
        of_users = {user[name] for user in self.users.values() for name in ("password", "signing") if user[name]}
        return of_users | {key["secret"] for key in self.keys.values()}

    def state(self) -> Any:
        """Users and keys by name."""
        return {"users": self.users, "keys": self.keys}

    @classmethod
    def restored(cls, state: Any) -> Self:
        """With these users and keys."""
        made = cls()
        made.users = {name: dict(user) for name, user in state["users"].items()}
        made.keys = {name: dict(key) for name, key in state["keys"].items()}
        return made
