"""Whose a credential is: tokens, keys and one-shot tokens, good ones and every kind of bad one."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bus import tokens
from bus.accounts import STREAM, Accounts
from bus.authorization import Authorization
from bus.clock import Clock
from bus.directory import DIGEST, PLAIN, Directory, digest
from bus.errors import Unauthenticated
from bus.identity import EVERYTHING, NOBODY, ONLY_OPEN, OWNER, TRUSTED, Credential, Principal, Scheme, key, user
from bus.log import StoredEvent
from bus.vault import Vault
from schemas import Permission
from tests.conftest import Run

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
HOUR = 3600.0


class MovedClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class People:
    """A directory with two users and two keys."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = MovedClock()
        self.vault = Vault(folder)
        self.told: list[tuple[frozenset[Principal], frozenset[Principal]]] = []
        self.directory = Directory(Authorization.model_validate(settings), "voron", Accounts(), self.vault, self.clock)
        self.directory.watch(lambda changed, ended: self.told.append((changed, ended)))
        self._number = 0

    async def fill(self) -> "People":
        for name, role in (("anna", "admin"), ("ben", "viewer")):
            self.note("user.created.1", username=name, roles=[role], created_on=0.0, password="none")
            await self.sign_in(name)
        for name, secret in (("default", PLAIN + "0" * 32), ("panel", DIGEST + digest("1" * 32))):
            kept = await self.vault.put(secret)
            self.note("key.created.1", name=name, roles=["operator"], created_on=0.0, secret=kept)
        return self

    async def sign_in(self, name: str) -> None:
        self.note("user.signed_in.1", username=name, signing=await self.vault.put(tokens.new_signing_key()))

    def note(self, kind: str, **data: Any) -> None:
        self._number += 1
        self.directory.take([StoredEvent(self._number, 0.0, STREAM, kind, None, data, UUID(int=0))])

    def signing(self, name: str) -> str:
        return self.vault.get(self.directory.accounts.users[name]["signing"]) or ""

    def who(self, scheme: Scheme, value: str, address: str = HERE) -> Principal:
        return self.directory.identify(Credential(scheme, value), address)


def forged(people: People, *, signing: str | None = None, algorithm: str = "EdDSA", **claims: Any) -> str:
    """A token like those of anna, except for what is said."""
    now = people.clock.wall()
    usual = {
        "iss": "voron",
        "aud": "Moonraker",
        "iat": int(now),
        "exp": int(now + HOUR),
        "username": "anna",
        "token_type": "access",
    }
    made = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(signing or people.signing("anna")))
    said = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(said, made if algorithm == "EdDSA" else "x" * 64, algorithm)


def without_signature(token: str) -> str:
    return token.rpartition(".")[0] + "."


def alg_none(people: People) -> str:
    body = forged(people).split(".")[1]
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    return f"{head}.{body}."


BAD: dict[str, Callable[[People], str]] = {
    "alg none": alg_none,
    "no signature": lambda people: without_signature(forged(people)),
    "another algorithm": lambda people: forged(people, algorithm="HS256"),
    "a wrong key": lambda people: forged(people, signing=tokens.new_signing_key()),
    "the key of another user": lambda people: forged(people, signing=people.signing("ben")),
    "expired": lambda people: forged(people, exp=int(people.clock.wall())),
    "from the future": lambda people: forged(people, iat=int(people.clock.wall() + HOUR)),
    "another issuer": lambda people: forged(people, iss="prusa"),
    "another audience": lambda people: forged(people, aud="OctoPrint"),
    "an unknown user": lambda people: forged(people, username="carl"),
    "no user": lambda people: forged(people, username=None),
    "a user that is no text": lambda people: forged(people, username=["anna"]),
    "no end": lambda people: forged(people, exp=None),
    "an end that is no number": lambda people: forged(people, exp="soon"),
    "a refresh token": lambda people: people.directory.token("anna", tokens.REFRESH),
    "no kind": lambda people: forged(people, token_type=None),
    "truncated": lambda people: forged(people)[:-10],
    "one character changed": lambda people: forged(people).replace(".", ".A", 1),
    "not a token": lambda people: "a.b.c",
    "too long": lambda people: "a" * 5000 + ".b.c",
    "empty": lambda people: "",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_token_that_is_not_right_in_every_way_is_nobodys(run: Run[None], tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        people = await People(tmp_path).fill()
        assert people.who(Scheme.TOKEN, forged(people)) == user("anna")
        with pytest.raises(Unauthenticated):
            people.who(Scheme.TOKEN, BAD[kind](people))

    run(main())


def test_the_claims_and_lives_of_tokens(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        people = await People(tmp_path, login_timeout=2).fill()
        now = people.clock.wall()
        for kind, life in ((tokens.ACCESS, HOUR), (tokens.REFRESH, 2 * 24 * HOUR)):
            token = people.directory.token("anna", kind)
            said = jwt.decode(token, options={"verify_signature": False})
            assert said == {
                "iss": "voron",
                "aud": "Moonraker",
                "iat": now,
                "exp": now + life,
                "username": "anna",
                "token_type": kind,
            }
            assert jwt.get_unverified_header(token)["alg"] == "EdDSA"
        token, refresh = people.directory.token("anna", tokens.ACCESS), people.directory.token("anna", tokens.REFRESH)
        with pytest.raises(Unauthenticated):
            people.directory.refreshed(token)
        people.clock.now += HOUR - 1
        assert people.who(Scheme.TOKEN, token) == user("anna")
        people.clock.now += 1
        with pytest.raises(Unauthenticated):  # although it was looked at before
            people.who(Scheme.TOKEN, token)
        assert people.directory.refreshed(refresh) == user("anna")
        people.clock.now += 2 * 24 * HOUR
        with pytest.raises(Unauthenticated):
            people.directory.refreshed(refresh)

    run(main())


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("user.deleted.1", {}),
        ("user.logged_out.1", {}),
        ("user.password.1", {"password": "another"}),
    ],
)
def test_what_ends_logins(run: Run[None], tmp_path: Path, kind: str, data: dict[str, str]) -> None:
    async def main() -> None:
        people = await People(tmp_path).fill()
        mine, others = people.directory.token("anna", tokens.ACCESS), people.directory.token("ben", tokens.ACCESS)
        refresh = people.directory.token("anna", tokens.REFRESH)
        once = people.directory.oneshots.issue(user("anna"), HERE)
        assert people.who(Scheme.TOKEN, mine) == user("anna")
        people.note(kind, username="anna", **data)
        assert people.told[-1] == (frozenset({user("anna")}), frozenset({user("anna")}))
        with pytest.raises(Unauthenticated):
            people.who(Scheme.TOKEN, mine)
        with pytest.raises(Unauthenticated):
            people.directory.refreshed(refresh)
        with pytest.raises(Unauthenticated):
            people.who(Scheme.ONESHOT, once)
        assert people.who(Scheme.TOKEN, others) == user("ben")
        if kind != "user.deleted.1":
            await people.sign_in("anna")
            with pytest.raises(Unauthenticated):
                people.who(Scheme.TOKEN, mine)

    run(main())


def test_a_oneshot_token_is_for_one_request_within_five_seconds_from_one_address(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        people = await People(tmp_path).fill()
        shots = people.directory.oneshots
        token = shots.issue(user("ben"), HERE)
        assert len(token) == 32 and set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
        assert people.who(Scheme.ONESHOT, token) == user("ben")
        late, moved = shots.issue(user("ben"), HERE), shots.issue(user("ben"), HERE)
        for bad, address in ((token, HERE), (moved, ELSEWHERE), (moved, HERE), ("A" * 32, HERE), ("", HERE)):
            with pytest.raises(Unauthenticated):
                people.who(Scheme.ONESHOT, bad, address)
        people.clock.now += 5
        with pytest.raises(Unauthenticated):
            people.who(Scheme.ONESHOT, late)
        many = [shots.issue(user("ben"), HERE) for _ in range(1001)]
        with pytest.raises(Unauthenticated):
            people.who(Scheme.ONESHOT, many[0])
        assert people.who(Scheme.ONESHOT, many[1]) == user("ben")

    run(main())


def test_keys(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        people = await People(tmp_path).fill()
        assert people.who(Scheme.KEY, "0" * 32) == key("default")
        assert people.who(Scheme.KEY, "1" * 32) == key("panel")
        for bad in ("2" * 32, "", "1" * 31, DIGEST + digest("1" * 32), digest("1" * 32), PLAIN + "0" * 32):
            with pytest.raises(Unauthenticated):
                people.who(Scheme.KEY, bad)
        assert "1" * 32 not in (tmp_path / "secrets.json").read_text()
        people.note("key.revoked.1", name="panel")
        assert people.told[-1] == (frozenset({key("panel")}), frozenset({key("panel")}))
        assert people.directory.rights(key("panel")) == ONLY_OPEN
        with pytest.raises(Unauthenticated):
            people.who(Scheme.KEY, "1" * 32)
        kept = await people.vault.put(PLAIN + "3" * 32)
        people.note("key.created.1", name="default", roles=["admin"], created_on=0.0, secret=kept)
        assert people.told[-1][1] == frozenset()  # connections stay
        assert people.who(Scheme.KEY, "3" * 32) == key("default")
        with pytest.raises(Unauthenticated):
            people.who(Scheme.KEY, "0" * 32)

    run(main())


def test_keys_can_be_switched_off(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        people = await People(tmp_path, enable_api_key=False).fill()
        with pytest.raises(Unauthenticated):
            people.who(Scheme.KEY, "0" * 32)
        assert people.directory.rights(key("default")) == ONLY_OPEN

    run(main())


def test_rights_follow_roles(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        people = await People(tmp_path, roles={"presser": ["control"]}).fill()
        rights = people.directory.rights
        assert rights(OWNER) == rights(TRUSTED) == rights(user("anna")) == EVERYTHING
        assert rights(user("ben")) == {Permission.OPEN, Permission.READ}
        assert rights(NOBODY) == rights(user("carl")) == rights(key("carl")) == ONLY_OPEN
        people.note("user.roles.1", username="ben", roles=["viewer", "presser"])
        assert people.told[-1] == (frozenset({user("ben")}), frozenset())
        assert rights(user("ben")) == {Permission.OPEN, Permission.READ, Permission.CONTROL}
        people.note("user.roles.1", username="ben", roles=["not configured any more"])
        assert rights(user("ben")) == ONLY_OPEN

    run(main())


def test_force_logins_counts_once_there_is_a_user(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        people = People(tmp_path, force_logins=True)
        assert not people.directory.login_required and people.directory.rights(TRUSTED) == EVERYTHING
        await people.fill()
        assert people.told[0][0] == {user("anna"), TRUSTED}
        assert people.directory.login_required and people.directory.rights(TRUSTED) == ONLY_OPEN
        people.note("user.deleted.1", username="anna")
        people.note("user.deleted.1", username="ben")
        assert people.told[-1] == ({user("ben"), TRUSTED}, {user("ben")})
        assert people.directory.rights(TRUSTED) == EVERYTHING

    run(main())
