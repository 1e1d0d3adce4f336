"""Logging in over MQTT, and what becomes of connections, sessions and messages when users and keys change."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bus import accounts
from bus.access import AccessRules, Identity, Login, Refusal, Tls
from bus.guessing import FREE
from bus.identity import Kind
from bus.limits import Limits
from bus.people import KnownPeople, Revocation, principal_of
from bus.rule_file import RuleSet
from bus.rules import FileRules
from tests.brokers import Running, play, running, until
from tests.household import KEY, Household
from tests.mqtt_wire import Refused, Will

AWAY = "192.0.2.7"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


async def tried(home: Household, login: Login) -> Identity | Refusal:
    found = home.logins.authenticate(login)
    return await found if isinstance(found, Awaitable) else found


def came(user: str | None, password: str | None = None, *, address: str = AWAY, name: str | None = None) -> Login:
    tls = Tls(name) if name else None
    return Login("panel", user, password.encode() if password is not None else None, address, "mqtt", tls)


def shown(found: Identity | Refusal) -> tuple[Kind, str | None] | Refusal:
    return found if isinstance(found, Refusal) else (found.kind, found.user)


def test_who_is_let_in_as_whom(folder: Path) -> None:
    async def scenario() -> None:
        home = Household(folder, trusted_clients=["10.0.0.0/8"])
        token, key = await home.user("anna", "viewer"), await home.key("ha", "operator")
        other = await home.user("ben", "admin")
        anna, ha, wrong = (Kind.USER, "anna"), (Kind.KEY, "key:ha"), Refusal.CREDENTIALS
        for login, expected in (
            (came("anna", "anna"[::-1]), anna),
            (came("anna", token), anna),
            (came(None, token), anna),
            (came("", token), anna),
            (came("ben", token), wrong),
            (came("anna", other), wrong),
            (came("anna", token[:-2]), wrong),
            (came("anna", "wrong"), wrong),
            (came("anna", ""), Refusal.NOT_AUTHORIZED),
            (came("nobody", "wrong"), wrong),
            (came("ha", key), ha),
            (came("anything", key), ha),
            (came(None, key), ha),
            (came(None, key + "x"), wrong),
            (came(None, "annas"), wrong),
            (came("anna", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")), wrong),
            (came(None), Refusal.NOT_AUTHORIZED),
            (came("anna"), Refusal.NOT_AUTHORIZED),
            (came(None, name="anna"), anna),
            (came("anna", name="anna"), anna),
            (came("ben", name="anna"), wrong),
            (came("ben", "neb", name="anna"), (Kind.USER, "ben")),
            (came(None, name="stranger"), Refusal.NOT_AUTHORIZED),
            (came(None, address="127.0.0.1"), (Kind.TRUSTED, None)),
            (came(None, address="10.1.1.1"), (Kind.TRUSTED, None)),
            (came(None, address="unix"), (Kind.TRUSTED, None)),
            (came(None, address=""), Refusal.NOT_AUTHORIZED),
            (came("sensor", address="127.0.0.1"), (Kind.TRUSTED, "sensor")),
            (came("anna", address="127.0.0.1"), wrong),
            (came("key:ha", address="127.0.0.1"), wrong),
            (came("sensor", "unknown", address="127.0.0.1"), wrong),
        ):
            assert shown(await tried(home, login)) == expected, login
        assert not any("annas" in str(each) or key in str(each) or token in str(each) for each in home.noted)
        assert {how for who, how, _ in home.noted if who is None} == {"password", "token", "key", "certificate"}
        assert all(actor.address == AWAY or actor.address == "127.0.0.1" for _, _, actor in home.noted)
        home.directory.close()

    play(scenario())


def test_forced_logins_end_trust(folder: Path) -> None:
    async def scenario() -> None:
        home = Household(folder, force_logins=True)
        assert shown(await tried(home, came(None, address="127.0.0.1"))) == (Kind.TRUSTED, None)
        await home.user("anna", "viewer")
        for address in ("127.0.0.1", "unix"):
            assert await tried(home, came(None, address=address)) is Refusal.NOT_AUTHORIZED
        home.directory.close()

    play(scenario())


def test_parts_of_the_host_know_its_key_wherever_they_are(folder: Path) -> None:
    async def scenario() -> None:
        home = Household(folder, force_logins=True)
        await home.user("anna", "viewer")
        for client_id, user in (("agent.klippy", "agent:b1"), ("bridge", "bridge:b1")):
            for password, let_in in ((KEY, True), ("annas", False), (None, False)):
                secret = password.encode() if password else None
                found = await tried(home, Login(client_id, user, secret, AWAY, "mqtt"))
                assert isinstance(found, Identity) is let_in
        home.directory.close()

    play(scenario())


def test_guessing_is_slowed_down_and_unknown_users_look_like_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.guessing.HOLD", 0.0)

    async def scenario() -> None:
        home = Household(folder)
        token, key = await home.user("anna", "viewer"), await home.key("ha", "operator")
        for user in ("anna", "nobody"):
            address = f"192.0.2.{len(user)}"
            for _ in range(FREE):
                assert await tried(home, came(user, "wrong", address=address)) is Refusal.CREDENTIALS
            assert await tried(home, came(user, "anna"[::-1], address=address)) is Refusal.CREDENTIALS
            assert isinstance(await tried(home, came("anna", token, address=address)), Identity)
            assert isinstance(await tried(home, came("ha", key, address=address)), Identity)
        home.directory.close()

    play(scenario())


@dataclass
class Lived:
    """A broker whose clients are known to a household."""

    broker: Running
    home: Household

    async def client(self, name: str, user: str, password: str | None = None, **more: Any) -> Any:
        secret = user[::-1] if password is None else password
        return await self.broker.client(name, user=user, password=secret.encode(), **more)


@contextlib.asynccontextmanager
async def lived_in(folder: Path, rules: AccessRules | None = None, **settings: Any) -> AsyncIterator[Lived]:
    home = Household(folder, **settings)
    unhurried = Limits(first_packet_seconds=60)  # passwords of several who come at once take long on a busy machine
    async with running(rules=rules, authenticator=home.logins, limits=unhurried) as broker:
        broker.exchange.rules.people = KnownPeople(home.directory)
        home.directory.watch(Revocation(broker.exchange, home.directory).changed)
        yield Lived(broker, home)
    home.directory.close()


Happens = Callable[[Household], None]
NEW = {"password": "the name of a secret"}
ENDS: dict[str, Happens] = {
    "deleted": lambda home: home.happened(accounts.USER_DELETED, username="anna"),
    "logged out": lambda home: home.happened(accounts.USER_LOGGED_OUT, username="anna"),
    "another password": lambda home: home.happened(accounts.USER_PASSWORD, username="anna", **NEW),
    "revoked": lambda home: home.happened(accounts.KEY_REVOKED, name="ha"),
}


@pytest.mark.parametrize("what", ENDS)
def test_whose_login_ends_is_cut_and_others_are_not(folder: Path, what: str) -> None:
    async def scenario() -> None:
        async with lived_in(folder) as lived:
            home = lived.home
            token = await home.user("anna", "viewer")
            await home.user("ben", "viewer")
            key = await home.key("ha", "viewer")
            will = Will("home/will", b"gone")
            watcher = lived.broker.local("home/#")
            theirs = [await lived.client(f"c{n}", "ha", key, will=will) for n in range(2)] if what == "revoked" else [
                await lived.client("c0", "anna", will=will), await lived.client("c1", "anna", token, will=will)
            ]  # fmt: skip
            ben = await lived.client("ben", "ben")
            ENDS[what](home)
            for each in theirs:
                await each.closed()
            await ben.ping()
            gone = what in ("deleted", "revoked")
            assert len(watcher.seen) == (0 if gone else 2), "a will is only published for who still is somebody"
            if what != "another password":
                with pytest.raises(Refused):
                    await lived.client("c2", *(("ha", key) if what == "revoked" else ("anna", token)))

    play(scenario())


def test_sessions_and_queued_messages_of_who_is_gone_are_forgotten(folder: Path) -> None:
    async def scenario() -> None:
        async with lived_in(folder) as lived:
            for name in ("anna", "ben"):
                await lived.home.user(name, "viewer")
                client = await lived.client(f"of-{name}", name, clean=False)
                await client.publish(f"home/of-{name}", b"retained", qos=1, retain=True)
                await client.subscribe(("home/#", 1))
                await client.disconnect()
            lived.broker.local().session.publish("home/news", b"secret", qos=1)
            sessions = lived.broker.exchange.sessions
            kept = sessions.get("of-ben")
            assert kept is not None and kept.waiting
            lived.home.happened(accounts.USER_DELETED, username="anna")
            assert sessions.get("of-anna") is None and sessions.get("of-ben") is kept
            again = await lived.client("of-ben", "ben", clean=False)
            assert again.present and (await again.published()).topic.startswith("home/")
            seen = await lived.client("looking", "ben")
            await seen.subscribe(("home/+", 0))
            assert (await seen.published()).topic == "home/of-ben"
            await seen.silent()

    play(scenario())


ROLES = RuleSet.model_validate(
    {
        "rules": [
            {"role": "operator", "publish": "home/#", "receive": "home/#"},
            {"role": "viewer", "receive": ["home/lamp", "i/#"]},
        ]
    }
)


def test_other_roles_count_at_once_on_open_connections_and_for_what_waits(folder: Path) -> None:
    async def scenario() -> None:
        async with lived_in(folder, FileRules("i", (), ROLES)) as lived:
            home, local = lived.home, lived.broker.local("home/said")
            await home.user("anna", "operator")
            anna = await lived.client("c1", "anna")
            sleeper = await lived.client("c2", "anna", clean=False)
            for each in (anna, sleeper):
                await each.subscribe(("home/#", 1))
            await sleeper.disconnect()
            await anna.publish("home/said", b"1")
            assert (await anna.published()).payload == b"1"
            local.session.publish("home/lamp", b"on", qos=1)
            await anna.published()
            home.happened(accounts.USER_ROLES, username="anna", roles=["viewer"])
            await anna.publish("home/said", b"2")
            await anna.ping()
            local.session.publish("home/said", b"hidden", qos=1)
            local.session.publish("home/lamp", b"off", qos=1)
            assert (await anna.published()).payload == b"off"
            assert [payload for _, payload in local.seen] == [b"1", b"hidden"]
            again = await lived.client("c2", "anna", clean=False)
            assert [(await again.published()).payload for _ in range(2)] == [b"on", b"off"]
            await again.silent()
            home.happened(accounts.USER_ROLES, username="anna", roles=["operator"])
            await anna.publish("home/said", b"3")
            await until(lambda: local.seen[-1][1] == b"3")

    play(scenario())


EVERYTHING = ("#", "+/#", "+/+/+", "p2/#", "i/#", "$SYS/#", "$share/g/p2/#", "homeassistant/#", "farm/#")


def test_printers_on_a_farm_have_their_own_topics_without_any_rules(folder: Path) -> None:
    """Live, retained and last messages of another printer and of the farm's own; requests only to themselves."""

    async def scenario() -> None:
        async with lived_in(folder) as lived:
            for name in ("p1", "p2"):
                await lived.home.user(name, "printer")
            await lived.home.user("anna", "operator")
            p2 = await lived.client("uplink-p2", "p2", will=Will("p2/moonraker/status", b"offline", retain=True))
            p1 = await lived.client("uplink-p1", "p1", will=Will("p2/moonraker/status", b"forged", retain=True))
            await p2.publish("p2/klipper/status", b"p2's", qos=1, retain=True)
            await p2.publish("homeassistant/sensor/p2/config", b"p2's", qos=1, retain=True)
            lived.broker.local().session.publish("i/klipper/status", b"the farm's", retain=True)
            for name in EVERYTHING:
                await p1.subscribe((name, 1))
                await p1.silent()
            for topic in ("p2/klipper/status", "p2/moonraker/api/request", "i/moonraker/api/request", "x/y", "farm/x"):
                await p1.publish(topic, b"p1's", qos=1, retain=True)
                await p1.silent()
            anna = await lived.client("desk", "anna")
            await anna.subscribe(("p2/#", 0))
            assert (await anna.published()).payload == b"p2's"
            await anna.publish("p1/moonraker/api/request/desk", b"{}", qos=1)
            assert (await p1.published()).topic == "p1/moonraker/api/request/desk"
            await p1.drop()
            await anna.silent()
            await p2.drop()
            assert (await anna.published()).payload == b"offline"

    play(scenario())


def test_the_first_user_of_a_host_that_forces_logins_ends_what_was_trusted(folder: Path) -> None:
    async def scenario() -> None:
        async with lived_in(folder, force_logins=True) as lived:
            trusted = await lived.broker.client("panel", clean=False)
            await lived.home.user("anna", "admin")
            await trusted.closed()
            assert lived.broker.exchange.sessions.get("panel") is None
            with pytest.raises(Refused):
                await lived.broker.client("panel")
            await (await lived.client("panel", "anna")).ping()

    play(scenario())


def test_nobody_takes_over_the_session_of_another_user(folder: Path) -> None:
    async def scenario() -> None:
        async with lived_in(folder) as lived:
            for name in ("anna", "ben"):
                await lived.home.user(name, "viewer")
            anna = await lived.client("panel", "anna", clean=False)
            for intruder in ("ben", None):
                with pytest.raises(Refused):
                    await (lived.client("panel", intruder) if intruder else lived.broker.client("panel"))
            await anna.disconnect()
            with pytest.raises(Refused):
                await lived.client("panel", "ben", clean=False)
            assert (await lived.client("panel", "anna", clean=False)).present

    play(scenario())


def test_sessions_of_who_went_while_nobody_looked_are_swept(folder: Path) -> None:
    async def scenario() -> None:
        async with lived_in(folder) as lived:
            await lived.home.user("anna", "viewer")
            await (await lived.client("panel", "anna", clean=False)).disconnect()
            del lived.home.directory.accounts.users["anna"]
            revocation = Revocation(lived.broker.exchange, lived.home.directory)
            revocation.sweep()
            assert lived.broker.exchange.sessions.get("panel") is None

    play(scenario())


def test_a_waiting_login_does_not_hold_up_others(folder: Path) -> None:
    async def scenario() -> None:
        async with lived_in(folder) as lived:
            await lived.home.user("anna", "viewer")
            slow = [asyncio.ensure_future(lived.client(f"p{n}", "anna")) for n in range(5)]
            await (await lived.broker.client("panel")).ping()
            assert len(await asyncio.gather(*slow)) == 5

    play(scenario())


def test_identities_have_the_roles_of_their_principals(folder: Path) -> None:
    async def scenario() -> None:
        home = Household(folder)
        await home.user("anna", "viewer")
        found = await tried(home, came("anna", "anna"[::-1]))
        assert isinstance(found, Identity) and principal_of(found).name == "anna"
        assert KnownPeople(home.directory).roles(found) == ("viewer",)
        home.directory.close()

    play(scenario())
