"""Configurations and files that are broken open nothing; and which addresses are trusted."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from bus.__main__ import build_parser
from bus.accounts import Accounts
from bus.authorization import Authorization
from bus.config import ConfigError
from bus.directory import Directory
from bus.errors import HostError, Unauthenticated
from bus.identity import ONLY_OPEN, TRUSTED, Credential, Scheme
from bus.planning import planned
from bus.trust import Trust
from bus.vault import Vault
from tests.conftest import Run

BROKEN = {
    "authorization: {trusted_clients: [10.0.0.0/33]}": "'authorization.trusted_clients.0': expected an address",
    "authorization: {trusted_clients: [a, 192.168.1.1/24]}": "'authorization.trusted_clients.1': host bits are set",
    "authorization: {trusted_clients: [192.168.1.9/24]}": "the range is 192.168.1.0/24, the address alone 192.168.1.9",
    "authorization: {trusted_clients: ['fe80::1/64']}": "the range is fe80::/64, the address alone fe80::1",
    "authorization: {trusted_clients: [10]}": "'authorization.trusted_clients.0': expected an address",
    "authorization: {trusted_clients: 0.0.0.0/0}": "'authorization.trusted_clients': input should be a valid tuple",
    "authorization: {trusted_clients: ['*']}": "expected an address, a range such as 192.168.1.0/24, or a host name",
    "authorization: {trusted_clients: [192.168.1.1.1]}": "'authorization.trusted_clients.0",
    "authorization: {trusted_clients: ['printer.local/24']}": "'authorization.trusted_clients.0",
    "authorization: {force_logins: always}": "'authorization.force_logins': input should be a valid boolean",
    "authorization: {force_login: true}": "unknown key 'authorization.force_login', did you mean 'force_logins'?",
    "authorization: {login_timeout: 0}": "'authorization.login_timeout': input should be greater than or equal to 1",
    "authorization: {max_login_attempts: 0}": "'authorization.max_login_attempts'",
    "authorization: {roles: {admin: [read]}}": "the role 'admin' is built in",
    "authorization: {roles: {'a b': [read]}}": "'authorization.roles.a b",
    "authorization: {roles: {panel: [everything]}}": "'authorization.roles.panel",
    "authorization: {roles: {panel: [agent]}}": "only for parts of the printer host",
    "authorization: [force_logins]": "'authorization'",
    "bridge: {trusted_clients: [0.0.0.0/0]}": "unknown key 'bridge.trusted_clients'",
    "authorization: {trusted_clients: [": "not valid YAML",
}


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_configuration_ends_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "printer.yaml").write_text(content)
    with pytest.raises(ConfigError) as refused:
        planned(build_parser().parse_args(["up", "--data", str(tmp_path)]), local=True)
    assert BROKEN[content] in str(refused.value) and len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "\0\0", '{"a": "plain:' + "0" * 32 + '"'])
def test_without_its_secrets_nobody_is_known_and_a_login_is_still_required(
    run: Run[None], tmp_path: Path, content: str
) -> None:
    async def main() -> None:
        (tmp_path / "secrets.json").write_text(content)
        vault = Vault(tmp_path)
        vault.load()
        assert vault.warning is not None and "no password" in vault.warning
        state: dict[str, Any] = {
            "users": {"anna": {"roles": ["admin"], "created_on": 0.0, "password": "a", "signing": "a"}},
            "keys": {"default": {"roles": ["admin"], "created_on": 0.0, "secret": "a"}},
        }
        directory = Directory(Authorization(force_logins=True), "test", Accounts.restored(state), vault)
        assert directory.login_required and directory.rights(TRUSTED) == ONLY_OPEN
        for credential in (Credential(Scheme.KEY, "0" * 32), Credential(Scheme.TOKEN, "a.b.c")):
            with pytest.raises(Unauthenticated):
                directory.identify(credential, "127.0.0.1")
        with pytest.raises(Unauthenticated):
            await directory.check_password("anna", "anna", "127.0.0.1")
        directory.close()
        kept = await vault.put("new")
        assert (tmp_path / "secrets.broken").read_text() == content and vault.get(kept) == "new"

    run(main())


def test_secrets_are_on_disk_for_the_owner_alone_and_forgotten_when_nobody_has_them(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        vault = Vault(tmp_path)
        first, second = await asyncio.gather(vault.put("one"), vault.put("two"))
        file = tmp_path / "secrets.json"
        assert file.stat().st_mode & 0o777 == 0o600
        again = Vault(tmp_path)
        again.load()
        assert (again.get(first), again.get(second), again.get("none"), again.get(None)) == ("one", "two", None, None)
        await again.retain({second})
        assert again.get(first) is None and "one" not in file.read_text()
        file.unlink()
        (tmp_path / "secrets.json").mkdir()
        with pytest.raises(HostError, match="Secrets cannot be kept"):
            await again.put("three")
        assert again.get(second) == "two"

    run(main())


def test_trusted_clients_are_kept_as_what_they_are() -> None:
    given = ["10.0.0.0/8", "10.0.0.7", "fe80::/10", "Panel.lan.", "a_b", "192.168.1.0/255.255.255.0"]
    settings = Authorization.model_validate({"trusted_clients": given})
    kept = ["10.0.0.0/8", "10.0.0.7/32", "fe80::/10", "panel.lan", "a_b", "192.168.1.0/24"]
    assert [str(client) for client in settings.trusted_clients] == kept
    assert settings.model_dump(mode="json")["trusted_clients"] == kept
    assert Authorization.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.2.3", "fe80::1%eth0"])
def test_trusted(address: str) -> None:
    settings = Authorization.model_validate({"trusted_clients": ["10.0.0.0/8", "fe80::/10"]})
    assert Trust(settings.trusted_clients).trusts(address)


@pytest.mark.parametrize("address", ["11.0.0.1", "2001:db8::1", "", "via 127.0.0.1", "localhost", "unknown", "127.0.0"])
def test_not_trusted(address: str) -> None:
    settings = Authorization.model_validate({"trusted_clients": ["10.0.0.0/8", "localhost"]})
    assert not Trust(settings.trusted_clients).trusts(address)


def test_names_are_what_they_stand_for_now(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"panel.lan": "10.0.0.7"}

    def resolve(name: str, *_: object, **__: object) -> list[Any]:
        if name not in known:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[name], 0))]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr("bus.trust.LOOK_EVERY", 0.01)
        settings = Authorization.model_validate({"trusted_clients": ["Panel.lan.", "nobody.lan"]})
        trust = Trust(settings.trusted_clients)
        assert not trust.trusts("10.0.0.7")
        looking = loop.create_task(trust.keep())
        async with asyncio.timeout(20):
            while not trust.trusts("10.0.0.7"):  # noqa: ASYNC110 - what is waited for is a thread
                await asyncio.sleep(0.005)
            known["panel.lan"] = "10.0.0.8"
            while trust.trusts("10.0.0.7") or not trust.trusts("10.0.0.8"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    run(main())
