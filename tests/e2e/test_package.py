"""The wheel: what is in it, and that it runs in an environment with nothing but the locked packages."""

import json
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest

from tests.e2e.test_print import until
from tests.program import addresses

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agents", "bridge", "bus", "schemas")
PATIENCE = 50.0
OWNERS = f"""
import json
from importlib.metadata import packages_distributions
owners = packages_distributions()
print(json.dumps({{name: owners[name] for name in {PACKAGES}}}))
"""


def content(folder: Path) -> set[str]:
    """Paths of the files of the four packages in a folder."""
    return {
        path.relative_to(folder).as_posix()
        for package in PACKAGES
        for path in (folder / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because building leaves traces."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (*PACKAGES, "tests", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(source))
    (made,) = target.iterdir()
    return made


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """A fresh environment with the wheel and the packages of requirements.lock, which are linked, not downloaded."""
    folder = tmp_path / "venv"
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for found in locked():
        for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (site / name).symlink_to(str(found.locate_file(name)))
    pip("--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    return folder


def locked() -> list[Distribution]:
    """The packages of requirements.lock that belong on this machine."""
    names = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    here = {canonical(found.metadata["Name"]) for found in distributions()}
    assert {"amqtt", "lmdb", "uvicorn"} <= here
    return [distribution(name) for name in names if canonical(name) in here]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    program, *arguments = command
    return subprocess.run(
        [folder / "bin" / program, *arguments], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )


def test_the_wheel_holds_the_four_packages_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    metadata = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    assert {name.split("/")[0] for name in names} == {*PACKAGES, metadata}
    assert {name for name in names if not name.startswith(metadata)} == content(ROOT)
    assert {"agents/klippy/virtual/demo.gcode", "agents/klippy/virtual/printer.json"} <= {*names}
    assert any(name.endswith("LICENSE") for name in names)


def test_it_runs_in_an_environment_of_its_own(installed: Path, tmp_path: Path) -> None:
    owners = json.loads(run(installed, "python", "-c", OWNERS).stdout)
    assert owners == {name: ["printbus"] for name in PACKAGES}
    assert run(installed, "printbus", "--help").stdout.startswith("usage: printbus ")
    assert run(installed, "printbus", "config", "check", "--data", str(tmp_path / "data")).stdout == "ok\n"
    options = ["--data", str(tmp_path / "data"), "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--virtual"]
    with subprocess.Popen(
        [installed / "bin" / "printbus", "up", *options],
        cwd=installed,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        assert program.stdout
        assert addresses(program.stdout.readline().strip()).http
        until((tmp_path / "data" / "gcodes" / "demo.gcode").exists)  # the virtual printer brought it
        program.terminate()
        assert program.wait(PATIENCE) == 0
    write_over(installed)


def write_over(installed: Path) -> None:
    """Another distribution's package of the same name, installed over ours, is noticed at the start."""
    (package,) = installed.glob("lib/python*/site-packages/agents/__init__.py")
    package.write_text("# somebody else's\n")
    done = run(installed, "printbus", "up", "--data", str(installed / "data"))
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"printbus: {package.resolve()} is not the one of printbus")
    assert not (installed / "data").exists()
