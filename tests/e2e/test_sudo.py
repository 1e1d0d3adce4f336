"""Commands that root runs on somebody else's data folder: whatever they leave there is that user's."""

import os
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

NOBODY = 65534
PYTHONS = sys.executable, "/usr/bin/python3"  # the first may be in root's own folder
PACKAGES = [str(Path(__file__).parents[2]), *site.getsitepackages()]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PACKAGES)}


def is_usable(python: str) -> bool:
    """Whether another user could run the program with it."""
    command = [python, "-c", "import ctypes.util, bus.instance"]
    try:
        done = subprocess.run(command, user=NOBODY, env=ENVIRONMENT, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


@cache
def python_of_all() -> str | None:
    return next(filter(is_usable, PYTHONS), None)


@pytest.fixture
def data() -> Iterator[Path]:
    """An empty folder of another user, where that user can get to."""
    if os.geteuid() != 0:
        pytest.skip("only root can take on other users")
    if python_of_all() is None:
        pytest.skip("there is no Python that other users could run this with")
    folder = Path(tempfile.mkdtemp(prefix="printbus-sudo-"))
    folder.chmod(0o755)
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def printbus(*words: object, typed: str = "") -> str:
    command = [str(python_of_all()), "-m", "bus", *map(str, words)]
    options = {"input": typed, "capture_output": True, "text": True, "timeout": 60, "env": ENVIRONMENT}
    done = subprocess.run(command, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def owners(data: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (data, *data.rglob("*"))}


def test_users_keys_and_the_log_stay_their_owners(data: Path, tmp_path: Path) -> None:
    printbus("users", "add", "anna", "--data", data, typed="secret\n")
    assert (data / "printbus" / "secrets.json").exists() and owners(data) == {(NOBODY, NOBODY)}
    printbus("keys", "add", "slicer", "--data", data)
    assert printbus("users", "list", "--data", data) == "anna  admin\n"
    for lock in (data / "printbus" / "log").glob("*.mdb-lock"):
        lock.unlink()
    for action in ("read", "stat", "verify"):
        printbus("log", action, "--data", data)
    printbus("log", "compact", "--segments", "1", "--data", data)
    assert owners(data) == {(NOBODY, NOBODY)}
    private = tmp_path / "backup.jsonl"  # where only root can write and read
    printbus("log", "export", private, "--data", data)
    shutil.rmtree(data / "printbus" / "log")
    printbus("log", "import", private, "--data", data)
    assert owners(data) == {(NOBODY, NOBODY)}
    os.chown(data, 0, 0)
    assert printbus("users", "list", "--data", data) == "anna  admin\n"
    assert owners(data) == {(NOBODY, NOBODY), (0, 0)}


def test_what_is_imported_is_the_owners(data: Path) -> None:
    conf = data / "config" / "moonraker.conf"
    conf.parent.mkdir()
    conf.write_text("[server]\nport: 7126\n[webcam a]\nstream_url: /a\n")
    shutil.chown(conf.parent, NOBODY, NOBODY)
    shutil.chown(conf, NOBODY, NOBODY)
    printbus("import", data, "--data", data)
    assert (data / "config" / "printer.yaml").exists() and owners(data) == {(NOBODY, NOBODY)}
