"""Who may connect over MQTT: users, API keys, bearers of certificates, trusted addresses, and parts of the host."""

import secrets
from collections.abc import Awaitable, Callable

from .access import UNIX, Identity, Login, Refusal, Role, client_id_fault, role_of
from .agent import Actor
from .directory import Directory
from .errors import Unauthenticated, Unavailable
from .identity import KEY_PREFIX, TRUSTED, Credential, Kind, Principal, Scheme, user

MQTT = "mqtt"
Note = Callable[[Principal | None, str, Actor], None]
"""Keeps that somebody has logged in (None: could not), and how that was tried."""


class Logins:
    """The authenticator of an instance; `key` is known to its agents and bridges in other processes.

    Credentials that are wrong are refused from trusted addresses as well, and the name of a user is only for those who
    can prove it.
    """

    def __init__(self, directory: Directory, key: str, note: Note) -> None:
        self._directory = directory
        self._key = key.encode()
        self._note = note

    def authenticate(self, login: Login) -> Identity | Refusal | Awaitable[Identity | Refusal]:
        """An identity, or why not; where a password has to be checked, later."""
        role = role_of(login)
        if role is not Role.CLIENT:
            right = secrets.compare_digest(login.password or b"", self._key)
            return _identity(login, TRUSTED, login.user, role) if right else Refusal.CREDENTIALS
        if client_id_fault(login.client_id):
            return Refusal.CLIENT_ID
        if login.password:
            return self._by_secret(login, login.password)
        certified = login.tls.name if login.tls else None
        if certified in self._directory.accounts.users:
            return self._by_certificate(login, user(certified))
        return self._by_address(login)

    def _by_secret(self, login: Login, password: bytes) -> Identity | Refusal | Awaitable[Identity | Refusal]:
        """An API key under any name, a token under its user's or none, or the password of a user."""
        try:
            secret = password.decode()
        except UnicodeDecodeError:
            return self._refused(login, "password")
        if secret.count(".") == 2 and secret.startswith("ey"):
            return self._by_token(login, Credential(Scheme.TOKEN, secret))
        try:
            return self._welcome(login, self._directory.identify(Credential(Scheme.KEY, secret), login.address), "key")
        except Unauthenticated:
            return self._by_password(login, secret) if login.user else self._refused(login, "key")

    def _by_token(self, login: Login, token: Credential) -> Identity | Refusal:
        try:
            who = self._directory.identify(token, login.address)
        except Unauthenticated:
            return self._refused(login, "token")
        return self._welcome(login, who, "token") if login.user in (None, "", who.name) else Refusal.CREDENTIALS

    async def _by_password(self, login: Login, password: str) -> Identity | Refusal:
        try:
            who = await self._directory.check_password(login.user or "", password, login.address)
        except Unauthenticated as error:
            return Refusal.CREDENTIALS if error.data else self._refused(login, "password")
        except Unavailable:
            return Refusal.UNAVAILABLE
        return self._welcome(login, who, "password")

    def _by_certificate(self, login: Login, who: Principal) -> Identity | Refusal:
        named = login.user in (None, "", who.name)
        return self._welcome(login, who, "certificate") if named else self._refused(login, "certificate")

    def _by_address(self, login: Login) -> Identity | Refusal:
        """The name that somebody from a trusted address gives is not verified, so it may be no user's."""
        trusted = login.address == UNIX or self._directory.trust.trusts(login.address)
        if not trusted or self._directory.login_required:
            return Refusal.NOT_AUTHORIZED
        name = login.user or ""
        if name in self._directory.accounts.users or name.startswith(KEY_PREFIX):
            return Refusal.CREDENTIALS
        return _identity(login, TRUSTED, login.user)

    def _welcome(self, login: Login, who: Principal, how: str) -> Identity:
        self._note(who, how, Actor(who.name, MQTT, login.client_id, who.kind, login.address))
        return _identity(login, who, who.name)

    def _refused(self, login: Login, how: str) -> Refusal:
        self._note(None, how, Actor(None, MQTT, login.client_id, Kind.NOBODY, login.address))
        return Refusal.CREDENTIALS


def _identity(login: Login, who: Principal, name: str | None, role: Role = Role.CLIENT) -> Identity:
    return Identity(
        login.client_id,
        role,
        name,
        login.address,
        login.transport,
        confided=login.confided,
        kind=who.kind,
    )
