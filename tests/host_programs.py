"""Scripted systemctl, sudo and systemd-detect-virt, in the place of the machine's own, which note how they are run."""

import json
import os
import sys
from pathlib import Path
from typing import Any

SYSTEMCTL = """
import fnmatch
words = [word for word in arguments if not word.startswith("-")]
verb, units = (words + [""])[0], words[1:]
if script["broken"] and verb != "list-unit-files":
    sys.exit("System has not been booted with systemd as init system (PID 1). Can't operate.")
if verb == "list-unit-files":
    found = [name for name in script["units"] if any(fnmatch.fnmatch(name + ".service", each) for each in units)]
    for name in found:
        print(name + ".service", "enabled", "enabled")
    sys.exit(0 if found else 1)
if verb == "show":
    blocks = []
    for unit in units:
        state = script["units"].get(unit.removesuffix(".service"))
        load = "loaded" if state else "not-found"
        active, sub = state or ("inactive", "dead")
        blocks.append(f"Id={unit}\\nLoadState={load}\\nActiveState={active}\\nSubState={sub}")
    print("\\n\\n".join(blocks))
    sys.exit(0)
if verb in ("start", "stop", "restart"):
    name = units[0].removesuffix(".service")
    if not os.environ.get("AS_ROOT"):
        sys.exit(print("Access denied", file=sys.stderr) or 4)
    if name not in script["units"]:
        sys.exit(print(f"Failed to {verb} {units[0]}: Unit {units[0]} not found.", file=sys.stderr) or 5)
    script["units"][name] = ("inactive", "dead") if verb == "stop" else ("active", "running")
    save()
"""
SUDO = """
options = [word for word in arguments[: arguments.index("--")]]
command = arguments[arguments.index("--") + 1 :]
if script["password"]:
    given = sys.stdin.readline().rstrip("\\n") if "-S" in options else None
    if given is None:
        sys.exit(print("sudo: a password is required", file=sys.stderr) or 1)
    if given != script["password"]:
        sys.exit(print("sudo: 1 incorrect password attempt", file=sys.stderr) or 1)
os.environ["AS_ROOT"] = "yes"
os.execvp(command[0], command)
"""
VIRT = """
print(script["virtualization"])
sys.exit(script["virtualization"] == "none")
"""
LAUNCHER = """#!/bin/sh
exec '{python}' -IS '{program}' "$@"
"""
PREAMBLE = """import json, os, sys
with open({folder!r} + "/script.json") as file:
    script = json.load(file)
arguments = sys.argv[1:]
with open({folder!r} + "/asked", "a") as file:
    file.write(json.dumps([{name!r}, *arguments]) + "\\n")
def save():
    with open({folder!r} + "/script.new", "w") as file:
        json.dump(script, file)
    os.replace({folder!r} + "/script.new", {folder!r} + "/script.json")
"""


class HostPrograms:
    """`script` says how they behave; put `folder` on PATH."""

    def __init__(self, folder: Path, **units: tuple[str, str]) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._script: dict[str, Any] = {"units": units, "password": "", "broken": False, "virtualization": "none"}
        self.set()
        for name, body in {"systemctl": SYSTEMCTL, "sudo": SUDO, "systemd-detect-virt": VIRT}.items():
            source, program = self.folder / f"{name}.py", self.folder / name
            source.write_text(PREAMBLE.format(folder=str(self.folder), name=name) + body)
            program.write_text(LAUNCHER.format(python=sys.executable, program=source))
            program.chmod(0o755)

    @property
    def path(self) -> str:
        """For PATH: these first."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def set(self, **behaviour: Any) -> None:
        """From now on they behave like that."""
        file = self.folder / "script.json"
        if file.exists():
            self._script = json.loads(file.read_text())
        self._script.update(behaviour)
        new = self.folder / "script.set"
        new.write_text(json.dumps(self._script))
        new.replace(file)

    def asked(self, program: str) -> list[list[str]]:
        """The arguments of each run."""
        file = self.folder / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        return [rest for name, *rest in map(json.loads, lines) if name == program]
