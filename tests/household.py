"""Users and API keys for tests, with a real directory whose facts are applied as the log would bring them."""

from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from bus import accounts, tokens
from bus.accounts import Accounts
from bus.agent import Actor
from bus.authorization import Authorization
from bus.clock import SYSTEM, Clock
from bus.directory import DIGEST, Directory, digest
from bus.identity import Principal
from bus.log import StoredEvent
from bus.logins import Logins
from bus.vault import Vault

KEY = "the instance's key"


class Household:
    """Whose passwords are their names, backwards."""

    def __init__(self, folder: Path, clock: Clock = SYSTEM, **settings: Any) -> None:
        self.directory = Directory(Authorization.model_validate(settings), "i", Accounts(), Vault(folder), clock)
        self.noted: list[tuple[str | None, str, Actor]] = []
        self.logins = Logins(self.directory, KEY, self._note)
        self._numbers = count(1)

    def _note(self, who: Principal | None, how: str, actor: Actor) -> None:
        self.noted.append((who.name if who else None, how, actor))

    async def user(self, name: str, *roles: str) -> str:
        """A new user, who is logged in; an access token."""
        vault = self.directory.vault
        hashed = await vault.put(await self.directory.passwords.hash(name[::-1]))
        self.happened(accounts.USER_CREATED, username=name, roles=roles, created_on=0.0, password=hashed)
        self.happened(accounts.USER_SIGNED_IN, username=name, signing=await vault.put(tokens.new_signing_key()))
        return self.directory.token(name, tokens.ACCESS)

    async def key(self, name: str, *roles: str) -> str:
        """A new key, whose value is `NAME-value`."""
        value = f"{name}-value"
        secret = await self.directory.vault.put(DIGEST + digest(value))
        self.happened(accounts.KEY_CREATED, name=name, roles=roles, created_on=0.0, secret=secret)
        return value

    def happened(self, kind: str, **data: Any) -> None:
        """A fact has been committed."""
        self.directory.take([StoredEvent(next(self._numbers), 0.0, accounts.STREAM, kind, None, data, uuid4())])
