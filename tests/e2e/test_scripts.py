"""The scripts on a machine of their own: a small project with packages on disk, set up by the real scripts."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SETTING_UP = "setting up "
PATIENCE = 50.0
OVERHEAD = 0.3  # seconds
BACKEND = """
import os, pathlib, time, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    if waiting := os.environ.get("WAITING"):
        pathlib.Path(waiting).touch()
        time.sleep(600)
    name = "printbus-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("printbus.pth", str(pathlib.Path.cwd()))
        wheel.writestr("printbus-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: printbus\\nVersion: 1\\n")
        wheel.writestr("printbus-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("printbus-1.dist-info/entry_points.txt", "[console_scripts]\\nprintbus = program:main\\n")
        wheel.writestr("printbus-1.dist-info/RECORD", "")
    return name
"""
PROGRAM = """
import importlib.metadata, pathlib, sys

def main():
    packages = sorted(each.name for each in importlib.metadata.distributions() if each.name in ("small", "pytest"))
    print(pathlib.Path.cwd(), *sys.argv[1:], *packages, sep="\\n")
"""


class Project:
    """A project of the real scripts, whose locked packages are two small wheels in a folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "wheels"
        self.root = folder / "a project"
        self.home = folder / "home"
        for made in (self.wheels, self.root, self.home):
            made.mkdir(parents=True)
        shutil.copytree(SCRIPTS, self.root / "scripts")
        self.root.joinpath("backend.py").write_text(BACKEND)
        self.root.joinpath("program.py").write_text(PROGRAM)
        self.root.joinpath("pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "printbus"\nversion = "1"\n'
        )
        small = self.add_wheel("small", "")
        runner = self.add_wheel("pytest", "import sys\nprint('tests of', *sys.argv[1:])\n")
        self.root.joinpath("requirements.lock").write_text(small)
        self.root.joinpath("requirements-dev.lock").write_text(small + runner)

    def add_wheel(self, name: str, code: str) -> str:
        """The line for a lock file."""
        path = self.wheels / f"{name}-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}.py", code)
            wheel.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            wheel.writestr(
                f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{name}-1.dist-info/RECORD", "")
        return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"

    def environment(self, **more: str) -> dict[str, str]:
        """No index, nothing of this test's own environment, and neither git nor uv on the path."""
        tools = self.home / "bin"
        if not tools.exists():
            tools.mkdir()
            for name in ("bash", "cat", "dirname", "flock", "python3", "readlink", "realpath", "rm", "sha256sum"):
                found = sys.executable if name == "python3" else shutil.which(name)
                if found:
                    tools.joinpath(name).symlink_to(found)
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels.as_uri(), "PIP_CONFIG_FILE": os.devnull}
        return {"PATH": str(tools), "HOME": str(self.home), "PYTHON": sys.executable, **pip, **more}

    def start(self, script: str, *arguments: str, cwd: Path | None = None, **env: str) -> "subprocess.Popen[str]":
        """One script in a group of its own."""
        return subprocess.Popen(
            [str(self.root / "scripts" / script), *arguments],
            cwd=cwd or self.home,
            env=self.environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, script: str, *arguments: str, cwd: Path | None = None, **env: str
    ) -> "subprocess.CompletedProcess[str]":
        """One script to its end."""
        started = self.start(script, *arguments, cwd=cwd, **env)
        out, err = started.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(started.args, started.returncode, out, err)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that two runs at once have set up, one after the other."""
    made = Project(tmp_path_factory.mktemp("ready"))
    both = [made.start("run"), made.start("run")]
    said = [started.communicate(timeout=PATIENCE) for started in both]
    assert [started.returncode for started in both] == [0, 0], said
    assert sorted(SETTING_UP in err for _, err in said) == [False, True]
    return made


def test_it_runs_where_it_is_called_with_the_arguments_it_is_given(ready: Project, tmp_path: Path) -> None:
    done = ready.run("run", "--data", "here and there", cwd=tmp_path)
    assert done.stdout.splitlines()[:4] == [str(tmp_path), "up", "--data", "here and there"]
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_found_through_links_and_whatever_the_search_path_of_cd(ready: Project, tmp_path: Path) -> None:
    link = tmp_path / "printbus"
    link.symlink_to(ready.root / "scripts" / "run")
    done = subprocess.run([link], env=ready.environment(), capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "scripts").mkdir()
    env = ready.environment(CDPATH=str(tmp_path))
    command = ["scripts/run"]
    done = subprocess.run(command, cwd=ready.root, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_adds_little_when_nothing_changed(ready: Project) -> None:
    def seconds() -> float:
        """Of the processor's time: other programs run beside this one."""
        began = os.times()
        assert ready.run("run").returncode == 0
        ended = os.times()
        return ended.children_user + ended.children_system - began.children_user - began.children_system

    assert min(seconds() for _ in range(3)) < OVERHEAD


def test_development_is_added_to_what_runs_already(ready: Project) -> None:
    witness = ready.root / ".venv" / "witness"
    witness.touch()
    done = ready.run("test", "-k", "two words")
    assert done.returncode == 0 and done.stdout.endswith(" -k two words\n") and SETTING_UP in done.stderr
    assert witness.exists()  # a program that runs out of this environment is not disturbed
    done = ready.run("run")
    assert done.stderr == "" and "pytest" in done.stdout.splitlines()
    with ready.root.joinpath("pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert SETTING_UP in ready.run("run").stderr
    assert ready.run("run").stderr == ""


def test_a_set_up_that_failed_or_was_killed_is_not_taken_for_complete(tmp_path: Path) -> None:
    project = Project(tmp_path)
    lock = project.root / "requirements.lock"
    right = lock.read_text()
    lock.write_text("small==1 --hash=sha256:" + "0" * 64 + "\n")
    for _ in range(2):  # the second time as the first
        done = project.run("run")
        assert done.returncode != 0 and not done.stdout and "hash" in done.stderr.lower()
    lock.write_text(right)
    waiting = project.home / "waiting"
    started = project.start("run", WAITING=str(waiting))
    end = time.monotonic() + PATIENCE
    while not waiting.exists() and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate(timeout=PATIENCE)
    assert waiting.exists()
    done = project.run("run")
    assert done.returncode == 0 and SETTING_UP in done.stderr and "small" in done.stdout.splitlines()


def test_a_moved_project_is_set_up_anew(ready: Project, tmp_path: Path) -> None:
    """Scripts in an environment name its old place. What it would be made with is kept from it, to save the time."""
    moved = tmp_path / "moved"
    shutil.copytree(ready.root, moved, symlinks=True)
    env = ready.environment(PYTHONPATH=str(without_ensurepip(tmp_path)))
    done = subprocess.run([moved / "scripts" / "run"], env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and "python3-venv" in done.stderr


def without_ensurepip(folder: Path) -> Path:
    """A module path that takes the module away which Debian has in another package."""
    folder.joinpath("ensurepip.py").write_text("raise ImportError('not here')\n")
    return folder


def test_a_python_that_cannot_make_environments_is_told_its_package(tmp_path: Path) -> None:
    project = Project(tmp_path)
    done = project.run("run", PYTHONPATH=str(without_ensurepip(tmp_path)))
    assert done.returncode == 1 and not done.stdout
    tag = "{}.{}".format(*sys.version_info[:2])
    assert done.stderr.splitlines()[-1].endswith(f"apt install python3-venv (or python{tag}-venv)")
    assert not (project.root / ".venv").exists()


@pytest.mark.parametrize("version", ["(3, 10, 13)", "(3, 14, 0)"])
def test_other_pythons_are_passed_over(version: str, tmp_path: Path) -> None:
    project = Project(tmp_path)
    other = project.home / "python"
    other.write_text(
        f'#!/bin/bash\nset -- "$1" "import sys; sys.version_info = {version}\n$2"\nexec "{sys.executable}" "$@"\n'
    )
    other.chmod(0o755)
    said = "printbus needs Python 3.11, 3.12 or 3.13 (Debian package: python3); set PYTHON to choose one\n"
    for python in (str(other), str(project.home / "none")):
        done = project.run("run", PYTHON=python)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_an_environment_in_use_may_be_the_callers(ready: Project) -> None:
    """As after `source .venv/bin/activate`."""
    venv = ready.root / ".venv"
    path = f"{venv / 'bin'}{os.pathsep}{ready.environment()['PATH']}"
    done = ready.run("run", PATH=path, VIRTUAL_ENV=str(venv), PYTHON="")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.iterdir() if path.name != "environment"))
def test_every_script_can_be_called(script: str) -> None:
    path = SCRIPTS / script
    assert os.access(path, os.X_OK)
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n# ")
    if "uv pip" not in text:
        assert '\n. "$(dirname "$(readlink -f "$0")")/environment"\nprepare requirements' in text
    assert subprocess.run(["bash", "-n", path], timeout=PATIENCE).returncode == 0
