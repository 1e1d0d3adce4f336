"""Moonraker's users and its API key, as facts about ours; secrets go into the vault, and facts only name them."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from ..accounts import KEY_CREATED, USER_CREATED
from ..directory import DIGEST, PLAIN, digest, digest_of
from ..identity import ADMIN, USER_NAME
from ..passwords import moonrakers_hash
from ..vault import Vault
from .database import Database, Row, Unreadable
from .known import Known
from .part import Fact, Part, counted, fact, unreadable

HERE: Final = "moonraker"  # a user whose password Moonraker itself has checked
API_KEY: Final = "_API_KEY_USER_"
TRUSTED: Final = "_TRUSTED_USER_"
DEFAULT, SECOND = "default", "moonraker"  # names of the key; the second where there is a default already

Person = tuple[str, dict[str, Any], str]  # the type of the fact, its data without the secret, and the secret


def people(database: Database, known: Known, vault: Vault) -> Part:
    """Users whose name is new, and the API key where it is another one."""
    there = [counted(len(known.users), "user")] * bool(known.users)
    there += [counted(len(known.keys), "API key")] * bool(known.keys)
    found: list[Person] = []
    part = Part(lambda: _facts(found, vault), " and ".join(there))
    for row in database.users():
        if isinstance(row, Unreadable):
            part.lost.append(unreadable(row))
        elif row["username"] == API_KEY:
            found += _key(row, known, vault)
        elif row["username"] not in known.users and row["username"] != TRUSTED:
            try:
                found.append(_user(row))
            except (ValueError, TypeError) as error:
                part.lost.append(f"user {row['username']}: {error}")
    part.new = len(found)
    part.carried = [f"user {data['username']}" if kind == USER_CREATED else "API key" for kind, data, _ in found]
    return part


def _facts(found: list[Person], vault: Vault) -> Iterator[Fact]:
    for kind, data, secret in found:
        name = "password" if kind == USER_CREATED else "secret"
        yield fact(kind, **data, **{name: asyncio.run(vault.put(secret))})


def _user(row: Row) -> Person:
    name = row["username"]
    if row["source"] != HERE:
        raise ValueError(f"logs in by {row['source']}, which printbus does not know")
    if not USER_NAME.fullmatch(name):
        raise ValueError("such a name is not possible here; create the user anew")
    try:
        hashed = moonrakers_hash(row["salt"], row["password"])
    except (ValueError, TypeError):
        raise ValueError("what Moonraker kept of the password is damaged; create the user anew") from None
    return USER_CREATED, {"username": name, "roles": [ADMIN], "created_on": row["created_on"]}, hashed


def _key(row: Row, known: Known, vault: Vault) -> list[Person]:
    secrets = [vault.get(secret) for secret in known.keys.values()]
    if digest(row["password"]) in {digest_of(secret) for secret in secrets if secret is not None}:
        return []
    made = {"roles": [ADMIN], "created_on": row["created_on"]}
    if DEFAULT not in known.keys:
        return [(KEY_CREATED, {"name": DEFAULT, **made}, PLAIN + row["password"])]
    return [(KEY_CREATED, {"name": SECOND, **made}, DIGEST + digest(row["password"]))]
