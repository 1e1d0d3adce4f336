"""Passwords that Moonraker has hashed: they still count, and are hashed anew without ending a login."""

import sqlite3
from contextlib import closing
from uuid import uuid4

import pytest

from bus.accounts import Accounts
from bus.log import JSON, StoredEvent
from bus.passwords import Passwords, is_outdated, moonrakers_hash
from tests.conftest import Run
from tests.moonraker import DATABASE, INSTALLATION, said


def moonrakers() -> dict[str, str]:
    """Hashes by user, as they are in a real database."""
    with closing(sqlite3.connect(f"file:{INSTALLATION / DATABASE}?immutable=1", uri=True)) as tables:
        rows = tables.execute("SELECT username, salt, password FROM authorized_users WHERE salt != ''").fetchall()
    return {name: moonrakers_hash(salt, password) for name, salt, password in rows}


def test_they_are_known_and_then_hashed_anew(run: Run[None]) -> None:
    async def known() -> None:
        passwords = Passwords()
        for name, hashed in moonrakers().items():
            password = said()["passwords"][name]
            assert is_outdated(hashed) and await passwords.matches(hashed, password)
            assert not await passwords.matches(hashed, password + " ")
            fresh = await passwords.hash(password)
            assert not is_outdated(fresh) and await passwords.matches(fresh, password)
        passwords.close()

    assert moonrakers().keys() == said()["passwords"].keys()
    run(known())


def test_a_hash_is_hexadecimal() -> None:
    for salt, digest in (("x", "00"), ("00", "no")):
        with pytest.raises(ValueError):
            moonrakers_hash(salt, digest)


def test_who_is_logged_in_stays_so() -> None:
    accounts = Accounts()
    facts: list[tuple[str, dict[str, JSON]]] = [
        ("user.created.1", {"username": "a", "roles": [], "created_on": 1.0, "password": "old"}),
        ("user.signed_in.1", {"username": "a", "signing": "key"}),
        ("user.rehashed.1", {"username": "a", "password": "new"}),
    ]
    for number, (kind, data) in enumerate(facts, 1):
        accounts.apply(StoredEvent(number, 1.0, "access", kind, None, data, uuid4()))
    assert accounts.users["a"] == {"roles": [], "created_on": 1.0, "password": "new", "signing": "key"}
    assert accounts.secrets() == {"new", "key"}
