"""The access agent: users and API keys, their changes as facts, and logins."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Literal

from bus import accounts, tokens
from bus.accounts import FAILED, LOGINS, SUCCEEDED, Accounts
from bus.agent import Actor, Agent, Bus, Call, Host, Settings, implements
from bus.aggregate import Aggregate, Fact
from bus.clock import SYSTEM
from bus.errors import BusError, Forbidden, InvalidParams, Unauthenticated
from bus.identity import ADMIN, Credential, Kind, Principal, Scheme, user
from bus.log import JSON
from bus.passwords import is_outdated
from schemas import NoParams, access

from .keys import DEFAULT, new_key, require_key_name, shown
from .names import PSEUDO_USERS, require_password, require_user_name

log = logging.getLogger(__name__)

MAX_USERS = MAX_KEYS = 200
NO_USER = "No user is logged in"


class Access(Agent):
    """Beside the broker, where the secrets are; what it changes counts through the directory, which follows the log."""

    name = access.OWNER
    components = ("authorization",)
    beside_broker = True
    folds = (Accounts,)

    def __init__(self, bus: Bus, settings: Settings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        if host is None:
            raise ValueError("the access agent runs beside the broker only")
        self._host = host
        self._known = host.directory
        self._accounts = Aggregate(bus, host, Accounts)

    async def run(self) -> None:
        """Forgets secrets that nobody has any more."""
        await self._accounts.restore()
        async with self._accounts.lock:  # who makes a secret holds it until a fact names that
            await self._known.vault.retain(self._accounts.fold.secrets())
        self._known.renew = self._renew
        try:
            await super().run()
        finally:
            self._known.renew = None

    # -- logins

    @implements(access.LOGIN)
    async def login(self, params: access.LoginParams, call: Call) -> access.LoggedIn:
        """Raises Unauthenticated, InvalidParams for pseudo users and unknown sources."""
        _require_source(params.source)
        if params.username in PSEUDO_USERS:
            raise InvalidParams(f"Nobody can log in as {params.username}")
        try:
            who = await self._known.check_password(params.username, params.password, call.actor.source)
        except Unauthenticated as error:
            if not error.data:  # it was judged: so a flood does not fill the log
                await self._note(FAILED, params.username, "password", call)
            raise
        answer = await self._sign_in(params.username, "user_logged_in", call)
        await self._note(SUCCEEDED, params.username, "password", call)
        self._become(call, who)
        return answer

    @implements(access.LOGOUT)
    async def logout(self, params: NoParams, call: Call) -> access.Done:
        """Raises InvalidParams for callers that are no users."""
        async with self._accounts.lock:
            name = await self._caller(call)
            await self._accounts.append([(accounts.USER_LOGGED_OUT, {"username": name})], call.actor)
            await self._known.vault.retain(self._accounts.fold.secrets())
        call.then.append(lambda: self.notify(access.LOGGED_OUT, [{"username": name}]))
        return access.Done(username=name, action="user_logged_out")

    @implements(access.REFRESH)
    async def refresh(self, params: access.RefreshParams, call: Call) -> access.Refreshed:
        """Raises Unauthenticated."""
        try:
            name = self._known.refreshed(params.refresh_token).name or ""
        except Unauthenticated:
            await self._note(FAILED, None, "refresh_token", call)
            raise
        return access.Refreshed(
            username=name, action="user_jwt_refresh", token=self._known.token(name, tokens.ACCESS), source=access.HERE
        )

    @implements(access.ONESHOT)
    def oneshot(self, params: NoParams, call: Call) -> str:
        """For the caller, at the caller's address."""
        return self._known.oneshots.issue(call.actor.principal, call.actor.source)

    @implements(access.VERIFY)
    def verify(self, params: access.VerifyParams, call: Call) -> access.Verified:
        """Raises Unauthenticated."""
        who = self._known.identify(Credential(Scheme(params.scheme), params.value), params.address)
        return access.Verified(user=who.name, kind=who.kind)

    @implements(access.INFO)
    def info(self, params: NoParams, call: Call) -> access.Info:
        """As the caller sees it."""
        actor = call.actor
        addressed = actor.transport in ("http", "websocket", "klippysocket")
        trusted = self._known.trust.trusts(actor.client) if addressed else None
        return access.Info(
            default_source=access.HERE,
            available_sources=[access.HERE],
            login_required=self._known.login_required,
            trusted=trusted,
        )

    # -- users

    @implements(access.GET_USER)
    def get_user(self, params: NoParams, call: Call) -> access.CurrentUser:
        """A trusted caller and a key are shown as Moonraker's pseudo users."""
        who = call.actor.principal
        if who.kind is not Kind.USER:
            name = PSEUDO_USERS[1 if who.kind is Kind.KEY else 0]
            roles = list(self._known.roles(who)) if who.kind is Kind.KEY else self._roles_of(call.actor)
            return access.CurrentUser(username=name, created_on=0.0, source=access.HERE, roles=roles)
        known = self._known.accounts.users[who.name or ""]
        created, roles = known["created_on"], known["roles"]
        return access.CurrentUser(username=who.name, created_on=created, source=access.HERE, roles=roles)

    def _roles_of(self, actor: Actor) -> list[str]:
        """Which roles give what somebody may who has none."""
        if actor.may is None:
            return [ADMIN]
        return [role for role in self._known.role_names if self._known.permissions([role]) == actor.may]

    @implements(access.LIST_USERS)
    async def list_users(self, params: NoParams, call: Call) -> access.Users:
        """By name."""
        known = (await self._accounts.known()).users
        users = [
            access.User(username=name, created_on=each["created_on"], source=access.HERE, roles=each["roles"])
            for name, each in sorted(known.items())
        ]
        return access.Users(users=users)

    @implements(access.POST_USER)
    async def post_user(self, params: access.CreateParams, call: Call) -> access.LoggedIn:
        """Raises InvalidParams, Forbidden for roles that may do more than the caller."""
        _require_source(params.source)
        name = require_user_name(params.username)
        self._require_roles(params.roles, call)
        hashed = await self._known.passwords.hash(require_password(params.password))
        async with self._accounts.lock:
            known = await self._accounts.known()
            if name in known.users:
                raise InvalidParams(f"User {name} already exists")
            if len(known.users) >= MAX_USERS:
                raise InvalidParams(f"There are {MAX_USERS} users already")
            fact: Mapping[str, JSON] = {
                "username": name,
                "roles": params.roles,
                "created_on": SYSTEM.wall(),
                "password": await self._known.vault.put(hashed),
            }
            await self._accounts.append([(accounts.USER_CREATED, fact)], call.actor)
        answer = await self._sign_in(name, "user_created", call)
        call.then.append(lambda: self.notify(access.CREATED, [{"username": name}]))
        return answer

    @implements(access.DELETE_USER)
    async def delete_user(self, params: access.UserParams, call: Call) -> access.Done:
        """Raises InvalidParams for the caller itself and for users that there are not."""
        name = params.username
        async with self._accounts.lock:
            await self._require_other(name, call)
            await self._accounts.append([(accounts.USER_DELETED, {"username": name})], call.actor)
            await self._known.vault.retain(self._accounts.fold.secrets())
        call.then.append(lambda: self.notify(access.DELETED, [{"username": name}]))
        return access.Done(username=name, action="user_deleted")

    @implements(access.PASSWORD)
    async def password(self, params: access.PasswordParams, call: Call) -> access.Done:
        """Raises InvalidParams for callers that are no users, and for a wrong password."""
        name = await self._caller(call)
        try:
            await self._known.check_password(name, params.password, call.actor.source)
        except Unauthenticated as error:
            if error.data:
                raise InvalidParams(error.message) from None
            await self._note(FAILED, name, "password", call)
            raise InvalidParams("The current password is wrong") from None
        await self._set_password(name, params.new_password, call)
        return access.Done(username=name, action="user_password_reset")

    @implements(access.RESET_PASSWORD)
    async def reset_password(self, params: access.ResetParams, call: Call) -> access.Done:
        """Raises InvalidParams, Forbidden for a user who may do more than the caller."""
        name = params.username
        await self._require_other(name, call)
        if not self._known.rights(user(name)) <= call.actor.rights(self._known):
            raise Forbidden("This user may do more than you")
        await self._set_password(name, params.password, call)
        return access.Done(username=name, action="user_password_reset")

    @implements(access.USER_ROLES)
    async def set_roles(self, params: access.RolesParams, call: Call) -> access.Done:
        """Raises InvalidParams, Forbidden for roles that may do more than the caller."""
        self._require_roles(params.roles, call)
        async with self._accounts.lock:
            await self._require_other(params.username, call)
            fact = {"username": params.username, "roles": params.roles}
            await self._accounts.append([(accounts.USER_ROLES, fact)], call.actor)
        return access.Done(username=params.username, action="user_roles_changed")

    # -- API keys

    @implements(access.GET_KEY)
    async def get_api_key(self, params: NoParams, call: Call) -> str:
        """Raises Forbidden for callers that may do less than the key."""
        self._require_roles([ADMIN], call)
        async with self._accounts.lock:
            known = (await self._accounts.known()).keys.get(DEFAULT)
            found = shown(self._known.vault.get(known["secret"])) if known else None
            return found or await self._make_key(DEFAULT, [ADMIN], call)

    @implements(access.POST_KEY)
    async def post_api_key(self, params: NoParams, call: Call) -> str:
        """Raises Forbidden for callers that may do less than the key."""
        self._require_roles([ADMIN], call)
        async with self._accounts.lock:
            return await self._make_key(DEFAULT, [ADMIN], call)

    @implements(access.LIST_KEYS)
    async def list_keys(self, params: NoParams, call: Call) -> access.Keys:
        """By name."""
        known = (await self._accounts.known()).keys
        return access.Keys(
            keys=[
                access.Key(name=name, created_on=each["created_on"], roles=each["roles"])
                for name, each in sorted(known.items())
            ]
        )

    @implements(access.CREATE_KEY)
    async def create_key(self, params: access.NewKeyParams, call: Call) -> access.NewKey:
        """Raises InvalidParams, Forbidden for roles that may do more than the caller."""
        name = require_key_name(params.name)
        self._require_roles(params.roles, call)
        async with self._accounts.lock:
            known = (await self._accounts.known()).keys
            if name in known or len(known) >= MAX_KEYS:
                raise InvalidParams(f"There is an API key called {name} already" if name in known else "Too many keys")
            value = await self._make_key(name, params.roles, call)
            made = self._accounts.fold.keys[name]
        return access.NewKey(name=name, created_on=made["created_on"], roles=made["roles"], key=value)

    @implements(access.REVOKE_KEY)
    async def revoke_key(self, params: access.KeyParams, call: Call) -> access.Revoked:
        """Raises InvalidParams for a key that there is not."""
        async with self._accounts.lock:
            if params.name not in (await self._accounts.known()).keys:
                raise InvalidParams(f"No API key is called {params.name}")
            await self._accounts.append([(accounts.KEY_REVOKED, {"name": params.name})], call.actor)
            await self._known.vault.retain(self._accounts.fold.secrets())
        return access.Revoked(name=params.name, action="key_revoked")

    # -- what they share

    async def _make_key(self, name: str, roles: Sequence[str], call: Call) -> str:
        value, secret = new_key(again=name == DEFAULT)
        fact: Mapping[str, JSON] = {
            "name": name,
            "roles": list(roles),
            "created_on": SYSTEM.wall(),
            "secret": await self._known.vault.put(secret),
        }
        await self._accounts.append([(accounts.KEY_CREATED, fact)], call.actor)
        return value

    async def _sign_in(
        self, name: str, action: Literal["user_logged_in", "user_created"], call: Call
    ) -> access.LoggedIn:
        """Tokens; the first login after a logout makes a new key for them."""
        async with self._accounts.lock:
            known = (await self._accounts.known()).users.get(name)
            if known is None:
                raise Unauthenticated("The user is gone")
            if self._known.vault.get(known["signing"]) is None:
                signing = await self._known.vault.put(tokens.new_signing_key())
                fact: Fact = (accounts.USER_SIGNED_IN, {"username": name, "signing": signing})
                await self._accounts.append([fact], call.actor)
            token, refresh = await asyncio.to_thread(self._tokens, name)
        return access.LoggedIn(username=name, action=action, token=token, refresh_token=refresh, source=access.HERE)

    def _tokens(self, name: str) -> tuple[str, str]:
        """In a thread: the first time this imports the library."""
        return self._known.token(name, tokens.ACCESS), self._known.token(name, tokens.REFRESH)

    async def _renew(self, name: str, password: str) -> None:
        """Hashes a password anew that was hashed by another program; who is logged in stays so."""
        vault, known = self._known.vault, self._accounts.fold.users.get(name, {})
        old = known.get("password")
        try:
            hashed = await self._known.passwords.hash(password)
            async with self._accounts.lock:
                if known.get("password") == old and is_outdated(vault.get(old)):
                    fact = {"username": name, "password": await vault.put(hashed)}
                    await self._accounts.append([(accounts.USER_REHASHED, fact)])
                    await vault.retain(self._accounts.fold.secrets())
        except BusError as error:  # it will be tried at the next login
            log.warning("the password of %s was not hashed anew: %s", name, error)

    async def _set_password(self, name: str, password: str, call: Call) -> None:
        hashed = await self._known.passwords.hash(require_password(password))
        async with self._accounts.lock:
            if name not in (await self._accounts.known()).users:
                raise InvalidParams(f"User {name} does not exist")
            kept = await self._known.vault.put(hashed)
            await self._accounts.append([(accounts.USER_PASSWORD, {"username": name, "password": kept})], call.actor)
            await self._known.vault.retain(self._accounts.fold.secrets())

    async def _caller(self, call: Call) -> str:
        """The name of the user that calls."""
        who, known = call.actor.principal, await self._accounts.known()
        if who.kind is not Kind.USER or who.name not in known.users:
            raise InvalidParams(NO_USER)
        return who.name

    async def _require_other(self, name: str, call: Call) -> None:
        if call.actor.principal == user(name):
            raise InvalidParams("Nobody can do that to the own account")
        if name not in (await self._accounts.known()).users:
            raise InvalidParams(f"User {name} does not exist")

    def _require_roles(self, roles: Sequence[str], call: Call) -> None:
        """Nobody gives away more than they have."""
        unknown = [role for role in roles if role not in self._known.role_names]
        if unknown:
            raise InvalidParams(f"Unknown role '{unknown[0]}'; known: {', '.join(self._known.role_names)}")
        if not self._known.permissions(roles) <= call.actor.rights(self._known):
            raise Forbidden("These roles may do more than you")

    async def _note(self, kind: str, name: str | None, how: str, call: Call) -> None:
        """Who logged in and who could not; a name that nobody has is left out, as it may be a password."""
        known = name if name in (await self._accounts.known()).users else None
        self._host.record(LOGINS, kind, {"username": known, "how": how}, call.actor)

    def _become(self, call: Call, who: Principal) -> None:
        if call.connection is not None:
            self._host.become(call.connection, who)


def _require_source(source: str | None) -> None:
    if source not in (None, access.HERE):
        raise InvalidParams(f"Users of the source '{source}' are not known here")
