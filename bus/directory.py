"""Who is known and what they may do, as it is now: users, API keys and roles, and whose a credential is."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial

from schemas import Permission

from . import accounts, tokens
from .accounts import Accounts
from .authorization import Authorization
from .clock import SYSTEM, Clock
from .errors import Unauthenticated
from .guessing import Guesses
from .identity import (
    EVERYTHING,
    KEY_PREFIX,
    ONLY_OPEN,
    ROLES,
    TRUSTED,
    Credential,
    Kind,
    Principal,
    Scheme,
    key,
    user,
)
from .log import StoredEvent
from .oneshots import OneShots
from .passwords import Passwords, is_outdated
from .trust import Trust
from .vault import Vault

DAY = 86_400.0
KEPT_TOKENS = 1000
PLAIN = "plain:"  # before the secret of a key that can be shown again
DIGEST = "sha256:"  # before that of one that cannot

Watcher = Callable[[frozenset[Principal], frozenset[Principal]], None]
"""Is told whose rights have changed, and whose open sessions have to lose their login."""

_ENDING = {accounts.USER_DELETED, accounts.USER_PASSWORD, accounts.USER_LOGGED_OUT, accounts.KEY_REVOKED}


class Directory:
    """One for an instance; it follows the log, so it answers whether or not the access agent runs."""

    def __init__(
        self, settings: Authorization, instance: str, known: Accounts, vault: Vault, clock: Clock = SYSTEM
    ) -> None:
        self.settings = settings
        self.accounts = known
        self.vault = vault
        self.oneshots = OneShots(clock)
        self.passwords = Passwords()
        self.renew: Callable[[str, str], Awaitable[None]] | None = None
        """Is told a user and a password that should be hashed anew, while somebody can do that."""
        self.guesses = Guesses(settings.max_login_attempts, clock)
        self.trust = Trust(settings.trusted_clients)
        self._issuer = instance
        self._clock = clock
        self._roles = {**ROLES, **settings.roles}
        self._watchers: list[Watcher] = []
        self._digests: dict[str, str] | None = None  # of keys: their names
        self._verified = lru_cache(KEPT_TOKENS)(self._verify)
        self.rights = lru_cache(KEPT_TOKENS)(self._rights)

    # -- what is known

    @property
    def login_required(self) -> bool:
        """Whether addresses are not trusted any more."""
        return self.settings.force_logins and bool(self.accounts.users)

    @property
    def role_names(self) -> list[str]:
        """Those that can be given."""
        return list(self._roles)

    def roles(self, who: Principal) -> tuple[str, ...]:
        """The roles of a user or key; nobody else has any."""
        known = self._record(who)
        return tuple(known["roles"]) if known else ()

    def knows(self, who: Principal) -> bool:
        """Whether there is such a user or key; others always are."""
        return who.kind not in (Kind.USER, Kind.KEY) or self._record(who) is not None

    def permissions(self, roles: Sequence[str]) -> frozenset[Permission]:
        """What these roles may do together; a role that is not configured any more gives nothing."""
        return ONLY_OPEN.union(*(self._roles.get(role, ONLY_OPEN) for role in roles))

    def given(self, roles: Sequence[str]) -> frozenset[Permission] | None:
        """What these roles may do; None where all of them are about topics only."""
        known = [role for role in roles if role in self._roles]
        return self.permissions(known) if known else None

    def _rights(self, who: Principal) -> frozenset[Permission]:
        """What somebody may do at this moment."""
        if who.kind is Kind.OWNER:
            return EVERYTHING
        if who.kind is Kind.TRUSTED:
            return ONLY_OPEN if self.login_required else EVERYTHING
        if who.kind is Kind.KEY and not self.settings.enable_api_key:
            return ONLY_OPEN
        return self.permissions(self.roles(who))

    def _record(self, who: Principal) -> accounts.Record | None:
        if who.kind is Kind.USER:
            return self.accounts.users.get(who.name or "")
        if who.kind is Kind.KEY:
            return self.accounts.keys.get((who.name or "").removeprefix(KEY_PREFIX))
        return None

    # -- whose a credential is

    def identify(self, credential: Credential, address: str) -> Principal:
        """Whose a credential is that comes from an address; raises Unauthenticated. A oneshot token is then used up."""
        if credential.scheme is Scheme.ONESHOT:
            return self.oneshots.redeem(credential.value, address)
        if credential.scheme is Scheme.KEY:
            return self._holder(credential.value)
        return self._bearer(credential.value, tokens.ACCESS)

    async def check_password(self, username: str, password: str, address: str) -> Principal:
        """The user with this password; raises Unauthenticated, which takes as long for one that there is not."""
        known = self.accounts.users.get(username)
        hashed = self.vault.get(known["password"]) if known else None
        if not await self.guesses.judge(username, address, partial(self.passwords.matches, hashed, password)):
            raise Unauthenticated("Invalid username or password")
        if is_outdated(hashed) and self.renew is not None:
            await self.renew(username, password)
        return user(username)

    def refreshed(self, token: str) -> Principal:
        """The user whose refresh token this is; raises Unauthenticated."""
        return self._bearer(token, tokens.REFRESH)

    def token(self, username: str, kind: str) -> str:
        """A new token for a user that is signed in; raises Unauthenticated."""
        signing = self.vault.get(self.accounts.users[username]["signing"])
        if signing is None:
            raise Unauthenticated("The user is logged out")
        life = tokens.ACCESS_SECONDS if kind == tokens.ACCESS else self.settings.login_timeout * DAY
        return tokens.issue(username, signing, kind, issuer=self._issuer, now=self._clock.wall(), life=life)

    def _bearer(self, token: str, kind: str) -> Principal:
        claims = self._verified(token, kind)
        if claims.expires <= self._clock.wall():
            raise Unauthenticated("Invalid or expired token")
        return user(claims.username)

    def _verify(self, token: str, kind: str) -> tokens.Claims:
        known = self.accounts.users.get(tokens.claimed_user(token))
        signing = self.vault.get(known["signing"]) if known else None
        if signing is None:
            raise Unauthenticated("Invalid or expired token")
        return tokens.verify(token, signing, kind, issuer=self._issuer, now=self._clock.wall())

    def _holder(self, value: str) -> Principal:
        if self._digests is None:
            self._digests = {}
            for name, known in self.accounts.keys.items():
                secret = self.vault.get(known["secret"])
                if secret is not None:
                    self._digests[digest_of(secret)] = name
        holder = self._digests.get(digest(value)) if self.settings.enable_api_key else None
        if holder is None:
            raise Unauthenticated("Invalid API Key")
        return key(holder)

    # -- what changes

    def watch(self, watcher: Watcher) -> None:
        """Tells somebody of changes, once they are durable and before whoever made them is answered."""
        self._watchers.append(watcher)

    def take(self, events: Sequence[StoredEvent]) -> None:
        """Follows committed events."""
        for event in events:
            if event.stream == accounts.STREAM:
                self._apply(event)

    def _apply(self, event: StoredEvent) -> None:
        insisted = self.login_required
        self.accounts.apply(event)
        self._digests = None
        self._verified.cache_clear()
        self.rights.cache_clear()
        name = str(event.data["username" if event.type.startswith("user.") else "name"])
        who = user(name) if event.type.startswith("user.") else key(name)
        changed = {who} | ({TRUSTED} if insisted != self.login_required else set())
        ended = frozenset({who} if event.type in _ENDING else ())
        if ended:
            self.oneshots.forget(who)
        for watcher in self._watchers:
            watcher(frozenset(changed), ended)

    def close(self) -> None:
        """Ends the thread that hashes."""
        self.passwords.close()


def digest(value: str) -> str:
    """By what an API key is known; keys are long and random, so nothing slower is needed."""
    return hashlib.sha256(value.encode()).hexdigest()


def digest_of(secret: str) -> str:
    """The same of what is kept of a key."""
    return secret.removeprefix(DIGEST) if secret.startswith(DIGEST) else digest(secret.removeprefix(PLAIN))
