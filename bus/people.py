"""Clients of the broker as the directory knows them at this moment, and what becomes of them when that changes."""

from schemas import Permission

from .access import Identity, Role
from .directory import Directory
from .exchange import Exchange
from .identity import TRUSTED, Kind, Principal

LOCAL = "local"
NAMED = (Kind.USER, Kind.KEY)


def principal_of(who: Identity) -> Principal:
    """Whose rights a client has."""
    return Principal(who.kind, who.user if who.kind in NAMED else None)


class KnownPeople:
    """What `AccessRules.people` asks."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def knows(self, who: Identity) -> bool:
        """Whether the user or key is still there, or addresses still are trusted; the owner's uplinks always are."""
        if who.transport == LOCAL:
            return True
        if who.kind is Kind.TRUSTED:
            return not self._directory.login_required or self._directory.given(who.roles) is not None
        return self._directory.knows(principal_of(who))

    def roles(self, who: Identity) -> tuple[str, ...]:
        """Those of the user or key, and that of an uplink."""
        return (*who.roles, *self._directory.roles(principal_of(who)))

    def may(self, who: Identity, permission: Permission) -> bool:
        """Whether a client has a permission; what the owner has mirrored is read, and no more."""
        if who.transport == LOCAL:
            return permission is Permission.READ
        given = self._directory.given(who.roles)
        return permission in (self._directory.rights(principal_of(who)) if given is None else given)


class Revocation:
    """Puts changes of users, keys and roles in force at once, on open connections, in sessions and for what waits."""

    def __init__(self, exchange: Exchange, directory: Directory) -> None:
        self._exchange = exchange
        self._directory = directory

    def changed(self, changed: frozenset[Principal], ended: frozenset[Principal]) -> None:
        """Cuts those whose login has ended; what others may do is judged anew; who is gone leaves nothing behind."""
        self._exchange.judge_anew()
        gone = {who for who in changed if not self._is_there(who)}
        sessions = self._exchange.sessions
        for session in sessions.all():
            who = principal_of(session.identity)
            if session.identity.role is not Role.CLIENT or who not in changed | ended:
                continue
            if who in gone:
                sessions.expel(session)
            elif who in ended and session.link is not None:
                session.link.cut("the login has ended")

    def sweep(self) -> None:
        """Expels the sessions of those who went while this was not running."""
        people = {principal_of(session.identity) for session in self._exchange.sessions.all()}
        self.changed(frozenset(people), frozenset())

    def _is_there(self, who: Principal) -> bool:
        return not self._directory.login_required if who == TRUSTED else self._directory.knows(who)
