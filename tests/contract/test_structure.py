"""What the code promises about itself: who imports whom, where third-party packages live, names and docstrings."""

import ast
import importlib
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = ("schemas", "bus", "agents", "bridge")
MAY_IMPORT = {
    "schemas": {"schemas"},
    "bus": {"bus", "schemas"},
    "agents": {"agents", "bus", "schemas"},
    "bridge": {"bridge", "bus", "schemas"},
}
EVERYWHERE_BUT_SCHEMAS = {"orjson"}
EVERYWHERE = {"pydantic", "pydantic_core"}
HOMES = {
    "aiomqtt": "bus/client.py",
    "amqtt": "bus/broker.py",
    "apprise": "agents/notifiers/sender.py",
    "apscheduler": "bus/schedule.py",
    "gpiod": "agents/buttons/gpio.py",
    "jinja2": "bus/templates.py",
    "argon2": "bus/passwords.py",
    "asyncinotify": "agents/filestore/watch.py",
    "cryptography": "bus/tokens.py",
    "dbus_next": "agents/machine/dbus.py",
    "distro": "agents/sysinfo/",
    "jwt": "bus/tokens.py",
    "lmdb": "bus/lmdb_",
    "PIL": "agents/filestore/metadata/",
    "paho": "bus/client.py",  # aiomqtt's own
    "preprocess_cancellation": "agents/filestore/metadata/objects.py",
    "python_multipart": "bridge/multipart.py",
    "ifaddr": "agents/sysinfo/",
    "pyudev": "agents/peripherals/hotplug.py",
    "starlette": "bridge/",
    "uvicorn": "bridge/",
    "uvloop": "bus/commands.py",
    "websockets": "bus/websocket_",  # amqtt's own, for its listeners of type ws
    "yaml": "bus/config.py",
}
VIRTUAL = "agents/klippy/virtual/"
VAGUE = {"utils", "helpers", "common", "types", "constants", "misc"}
DOCSTRING_LINES = 2
MAY_BE_FUTURES = {"bus/engine.py"}  # an authenticator answers with any awaitable, which may be a future already
WALL_TIME = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}


class Module(NamedTuple):
    """One file of the four packages."""

    path: str
    tree: ast.Module


class Imported(NamedTuple):
    """One import of one module, by its absolute name."""

    line: str
    name: str
    relative: bool


@cache
def modules() -> list[Module]:
    paths = (path for package in OWN for path in sorted((ROOT / package).rglob("*.py")))
    return [Module(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in paths]


def imports(module: Module) -> Iterator[Imported]:
    package = module.path.split("/")[:-1]
    for node in ast.walk(module.tree):
        line = f"{module.path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Imported(line, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:  # `from . import x` may mean a module of the package
                yield Imported(line, f"{stem}.{alias.name}", bool(node.level))


def calls(module: Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def top(name: str) -> str:
    return name.partition(".")[0]


def folder_of_agent(name: str) -> str:
    """`klippy` of `agents.klippy.link`, or of `agents/klippy/link.py`."""
    return name.replace("/", ".").split(".")[1]


def test_the_four_packages_import_in_one_direction() -> None:
    wrong = [
        f"{found.line} imports {found.name}"
        for module in modules()
        for found in imports(module)
        if top(found.name) in OWN and top(found.name) not in MAY_IMPORT[module.path.split("/")[0]]
    ]
    assert not wrong


def test_agents_do_not_know_each_other() -> None:
    wrong = [
        f"{found.line} imports {found.name}"
        for module in modules()
        if module.path.startswith("agents/") and module.path != "agents/__init__.py"
        for found in imports(module)
        if top(found.name) == "agents" and folder_of_agent(found.name) != folder_of_agent(module.path)
    ]
    assert not wrong


def test_imports_are_relative_inside_a_package_and_absolute_between_them() -> None:
    wrong = [
        f"{found.line} imports {found.name}"
        for module in modules()
        for found in imports(module)
        if top(found.name) in OWN and found.relative != (top(found.name) == module.path.split("/")[0])
    ]
    assert not wrong


def test_each_third_party_package_has_one_home() -> None:
    wrong: list[str] = []
    homes: set[str] = set()
    for module in modules():
        free = EVERYWHERE if module.path.startswith("schemas/") else EVERYWHERE | EVERYWHERE_BUT_SCHEMAS
        for found in imports(module):
            package = top(found.name)
            if package in sys.stdlib_module_names or package in OWN or package in free:
                continue
            if package in HOMES and module.path.startswith(HOMES[package]):
                homes.add(package)
            else:
                wrong.append(f"{found.line} imports {found.name}")
    assert not wrong
    assert homes == set(HOMES)  # none is listed that nobody uses


def test_the_virtual_printer_needs_nothing_but_the_standard_library() -> None:
    inside = VIRTUAL.replace("/", ".")
    wrong = [
        f"{found.line} imports {found.name}"
        for module in modules()
        if module.path.startswith(VIRTUAL)
        for found in imports(module)
        if top(found.name) not in sys.stdlib_module_names and not f"{found.name}.".startswith(inside)
    ]
    assert not wrong


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [module.path for module in modules() if Path(module.path).stem in VAGUE]


def test_every_module_says_in_one_sentence_what_it_owns() -> None:
    wrong: list[str] = []
    for module in modules():
        first = (ast.get_docstring(module.tree) or "").partition("\n\n")[0]
        if not first.endswith(".") or len(first.splitlines()) > DOCSTRING_LINES:
            wrong.append(module.path)
    assert not wrong


def test_every_task_has_a_name() -> None:
    wrong = [
        f"{module.path}:{call.lineno} {name}"
        for module in modules()
        for name, call in calls(module)
        if (name.endswith("ensure_future") and module.path not in MAY_BE_FUTURES)
        or (name.endswith("create_task") and "name" not in [keyword.arg for keyword in call.keywords])
    ]
    assert not wrong


def test_only_the_clock_reads_wall_time() -> None:
    wrong = [
        f"{module.path}:{call.lineno} {name}"
        for module in modules()
        if module.path != "bus/clock.py" and not module.path.startswith(VIRTUAL)
        for name, call in calls(module)
        if name in WALL_TIME
    ]
    assert not wrong


def test_no_cancellation_is_lost_in_a_wait() -> None:
    """As wait_for of Python 3.11 loses one that comes at the moment of the result; asyncio.timeout does not."""
    assert not [
        f"{module.path}:{call.lineno}" for module in modules() for name, call in calls(module) if "wait_for" in name
    ]


def test_every_folder_with_code_is_packaged() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {Path(module.path).parent.as_posix().replace("/", ".") for module in modules()}
    assert folders == set(listed)
    assert not [name for name in listed if not (ROOT / name.replace(".", "/") / "__init__.py").exists()]


@pytest.mark.parametrize("package", ["schemas", "bus", "bridge"])
def test_the_public_names_are_those_that_a_package_lists(package: str) -> None:
    module = importlib.import_module(package)
    listed = getattr(module, "__all__", [])
    assert len(listed) == len(set(listed))
    assert {*listed} == exported(package, module)


def exported(package: str, module: ModuleType) -> set[str]:
    """What the package's `__init__.py` imports or defines under a public name."""
    (source,) = (each.tree for each in modules() if each.path == f"{package}/__init__.py")
    names: set[str] = set()
    for node in source.body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    assert all(hasattr(module, name) for name in names)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_locked_packages_have_hashes_and_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text and "index-url" not in text
    entries = text.replace("\\\n", "").splitlines()
    assert entries and all("==" in entry and "--hash=sha256:" in entry for entry in entries)


def test_the_packages_of_the_program_are_the_same_for_development() -> None:
    def pins(lock: str) -> set[str]:
        return {line.split()[0] for line in (ROOT / lock).read_text().splitlines() if not line.startswith(" ")}

    assert pins("requirements.lock") < pins("requirements-dev.lock")
