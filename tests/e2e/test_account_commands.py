"""`printbus users`, `keys` and `rules`: also when nobody can log in, whether the program runs or not."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.test_print import until
from tests.program import running

SECONDS = 60.0


def printbus(data: Path, *words: str, typed: str = "") -> tuple[int, str, str]:
    """Status, output and errors of a command."""
    command = [sys.executable, "-m", "bus", *words, "--data", str(data), "--instance", "test"]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr


def login(http: str, password: str) -> int:
    """The status of a login of anna."""
    body = json.dumps({"username": "anna", "password": password}).encode()
    request = urllib.request.Request(f"{http}/access/login", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        return int(urllib.request.urlopen(request, timeout=SECONDS).status)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def is_open(http: str) -> bool:
    """Whether this machine is let in without a login."""
    try:
        return bool(urllib.request.urlopen(f"{http}/server/info", timeout=SECONDS).status)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            return error.code != 401


@pytest.mark.parametrize("unix_socket", [True, False])
def test_somebody_who_is_locked_out_gets_in(tmp_path: Path, unix_socket: bool) -> None:
    (tmp_path / "config").mkdir()
    settings = f"authorization: {{force_logins: true}}\nbridge: {{unix_socket: {str(unix_socket).lower()}}}"
    (tmp_path / "config" / "printer.yaml").write_text(settings)
    made = printbus(tmp_path, "users", "add", "anna", typed="first\r\n")
    assert made[:2] == (0, "anna can log in now, as admin\n"), made
    with running(tmp_path, "--virtual") as (program, where):
        until(lambda: any(line.startswith(f"Open {where.http} on this machine.") for line in list(program.errors)))
        mqtt = () if unix_socket else ("--mqtt", f"{where.mqtt_host}:{where.mqtt_port}")
        assert not is_open(where.http)
        assert (login(where.http, "first"), login(where.http, "second")) == (200, 401)
        done = printbus(tmp_path, "users", "password", "anna", *mqtt, typed="second\n")
        assert done[:2] == (0, "anna has a new password, and has to log in again everywhere\n"), done
        assert (login(where.http, "second"), login(where.http, "first")) == (200, 401)
        if unix_socket:
            assert printbus(tmp_path, "rules", "reload")[1] == "the program reads its access rules again\n"
            assert printbus(tmp_path, "users", "remove", "anna")[1] == "anna is gone\n"
            assert is_open(where.http)


def test_a_folder_without_a_printbus_is_named_and_left_alone(tmp_path: Path) -> None:
    typo = tmp_path / "typo"
    for words in (
        ("users", "list"),
        ("users", "remove", "anna"),
        ("users", "password", "anna"),
        ("users", "role", "anna", "admin"),
        ("keys", "list"),
        ("keys", "revoke", "slicer"),
    ):
        assert printbus(typo, *words) == (1, "", f"printbus: there is no printbus in {typo}\n")
        assert not typo.exists()
    status, key, said = printbus(typo, "keys", "add", "slicer")
    assert (status, len(key)) == (0, 33) and f"{typo / 'printbus'} is new" in said
    assert printbus(typo, "keys", "add", "other")[2] == ""


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (b"caf\xe9\n", "the password is not UTF-8"),
        (b"x" * 1025, "a password has at most 1024 characters"),
        (b"x" * (2 << 20), "a password has at most 1024 characters"),
        (b"\r\n", "a password is needed"),
        (b"", "a password is needed"),
    ],
)
def test_a_password_that_cannot_be_one_is_refused_at_once(tmp_path: Path, typed: bytes, said: str) -> None:
    command = [sys.executable, "-m", "bus", "users", "add", "anna", "--data", str(tmp_path)]
    done = subprocess.run(command, input=typed, capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 2 and done.stderr.decode().startswith(f"printbus: {said}")
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "printbus").exists()


def test_a_name_in_another_encoding_is_refused(tmp_path: Path) -> None:
    command: list[str | bytes] = [sys.executable, "-m", "bus", "keys", "add", b"caf\xe9", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (2, b"printbus: the name is not UTF-8\n")


def test_keys_and_rules_where_nothing_runs(tmp_path: Path) -> None:
    status, key, _ = printbus(tmp_path, "keys", "add", "slicer", "--role", "operator")
    assert (status, len(key.strip())) == (0, 32)
    assert printbus(tmp_path, "keys", "list")[1] == "slicer  operator\n"
    assert printbus(tmp_path, "keys", "revoke", "other")[2] == "printbus: No API key is called other\n"
    assert printbus(tmp_path, "users", "add", "anna")[0] == 2  # no password
    assert printbus(tmp_path, "rules", "reload")[0] == 1
    for file in (tmp_path / "printbus").rglob("*"):
        assert file.is_dir() or key.strip().encode() not in file.read_bytes(), file
