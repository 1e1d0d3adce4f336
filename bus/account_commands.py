"""The commands `printbus users` and `printbus keys`: who may log in, managed by whoever has the data folder."""

import argparse
import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from schemas import access

from .config import ConfigError
from .errors import BusError, NotFound
from .shell import Ask, run

FAILED = 1
MOST_BYTES = 8 * access.LONGEST_PASSWORD  # that are read of a line

Work = Callable[[Ask, argparse.Namespace], Awaitable[None]]


def users(options: argparse.Namespace) -> int:
    """Lists, adds or changes users."""
    options.prompts = options.action in ("add", "password")
    return _managed(options, USERS[options.action])


def keys(options: argparse.Namespace) -> int:
    """Lists, adds or revokes API keys."""
    options.prompts = False
    return _managed(options, KEYS[options.action])


def _managed(options: argparse.Namespace, work: Work) -> int:
    own = options.data / "printbus"
    is_new = not own.exists()
    try:
        if is_new and options.action != "add":
            raise NotFound(f"there is no printbus in {options.data}")
        if options.action != "list":
            _require_text(options.name, "the name")
        if options.prompts:
            options.secret = _password()
        run(options, lambda ask: work(ask, options))
    except BusError as error:
        print(f"printbus: {error}", file=sys.stderr)
        return FAILED
    if is_new:
        print(f"printbus: {own} is new; the program has to be started with the same --data", file=sys.stderr)
    return 0


def _password() -> str:
    """Typed twice at a terminal, otherwise a line of standard input."""
    if not sys.stdin.isatty():
        typed = sys.stdin.buffer.readline(MOST_BYTES).decode(errors="surrogateescape").rstrip("\r\n")
    else:
        typed = getpass.getpass("New password: ")
        if getpass.getpass("Once more: ") != typed:
            raise ConfigError("the passwords are not the same")
    if not typed:
        raise ConfigError("a password is needed: type one, or give it as a line on standard input")
    if len(typed) > access.LONGEST_PASSWORD:
        raise ConfigError(f"a password has at most {access.LONGEST_PASSWORD} characters")
    _require_text(typed, "the password")
    return typed


def _require_text(text: str, what: str) -> None:
    """Raises ConfigError for what was typed in another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{what} is not UTF-8") from None


async def _list_users(ask: Ask, options: argparse.Namespace) -> None:
    for user in (await ask(access.LIST_USERS.name, {}))["users"]:
        print(f"{user['username']}  {', '.join(user['roles'])}")


async def _add_user(ask: Ask, options: argparse.Namespace) -> None:
    await ask(access.POST_USER.name, _named(options) | {"password": options.secret, "roles": _roles(options)})
    print(f"{options.name} can log in now, as {', '.join(_roles(options))}")


async def _remove_user(ask: Ask, options: argparse.Namespace) -> None:
    await ask(access.DELETE_USER.name, _named(options))
    print(f"{options.name} is gone")


async def _set_password(ask: Ask, options: argparse.Namespace) -> None:
    await ask(access.RESET_PASSWORD.name, _named(options) | {"password": options.secret})
    print(f"{options.name} has a new password, and has to log in again everywhere")


async def _set_roles(ask: Ask, options: argparse.Namespace) -> None:
    await ask(access.USER_ROLES.name, _named(options) | {"roles": options.roles})
    print(f"{options.name} is {', '.join(options.roles)} now")


async def _list_keys(ask: Ask, options: argparse.Namespace) -> None:
    for key in (await ask(access.LIST_KEYS.name, {}))["keys"]:
        print(f"{key['name']}  {', '.join(key['roles'])}")


async def _add_key(ask: Ask, options: argparse.Namespace) -> None:
    made: dict[str, Any] = await ask(access.CREATE_KEY.name, {"name": options.name, "roles": _roles(options)})
    print(made["key"])


async def _revoke_key(ask: Ask, options: argparse.Namespace) -> None:
    await ask(access.REVOKE_KEY.name, {"name": options.name})
    print(f"{options.name} is void")


def _named(options: argparse.Namespace) -> dict[str, Any]:
    return {"username": options.name}


def _roles(options: argparse.Namespace) -> list[str]:
    return list(options.role or ["admin"])


USERS: dict[str, Work] = {
    "list": _list_users,
    "add": _add_user,
    "remove": _remove_user,
    "password": _set_password,
    "role": _set_roles,
}
KEYS: dict[str, Work] = {"list": _list_keys, "add": _add_key, "revoke": _revoke_key}
