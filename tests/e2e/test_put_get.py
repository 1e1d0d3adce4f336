"""`printbus put` and `get`, and the example of docs/files.md; either side is killed in the middle, and it goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import command
from tests.e2e.test_print import OFTEN, fast_printer, get, until
from tests.file_client import request
from tests.ports import free_port
from tests.program import Addresses, Program, addresses, running, up_arguments

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "files.md").read_text()
PART_BYTES = 1 << 20  # of an interrupted transfer, at least
PATIENCE = 60.0


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("put")
    with running(folder / "data", *fast_printer(folder)) as (_, addresses):
        until(lambda: bool(get(addresses, "/server/info")["klippy_state"] == "ready"))
        yield addresses


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(os.urandom(1 << 20) * 60)
    yield path
    shutil.rmtree(path.parent)


def program(where: Addresses, *words: str | Path) -> list[str]:
    broker = f"mqtt://{where.mqtt_host}:{where.mqtt_port}"
    return [sys.executable, "-m", "bus", *map(str, words), "--broker", broker]


def done(where: Addresses, *words: str | Path) -> str:
    ended = here(where, *words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def failed(where: Addresses, *words: str | Path) -> str:
    ended = here(where, *words)
    assert ended.returncode in (1, 2), ended.stdout
    assert "Traceback" not in ended.stderr
    return ended.stderr


def here(where: Addresses, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A transfer to its end, in this process."""
    return command(*program(where, *words)[3:])


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def parts(folder: Path, pattern: str) -> list[int]:
    """Sizes of what is unfinished in a folder."""
    return [path.stat().st_size for path in folder.glob(pattern)]


def grown(folder: Path, pattern: str) -> Callable[[], bool]:
    return lambda: any(size > PART_BYTES for size in parts(folder, pattern))


def test_there_and_back(where: Addresses, tmp_path: Path) -> None:
    source = tmp_path / "möbel [1].gcode"
    source.write_bytes(b"G28\n" * 200_000)
    assert done(where, "put", source) == f"gcodes/{source.name}: 800000 bytes\n"
    assert done(where, "put", source, "config/deep/er/").startswith(f"config/deep/er/{source.name}: ")
    assert done(where, "put", source, "gcodes/other.gcode", "--instance", "test").startswith("gcodes/other.gcode: ")
    back = tmp_path / "back"
    back.mkdir()
    assert done(where, "get", f"gcodes/{source.name}", back) == f"{back / source.name}: 800000 bytes\n"
    assert done(where, "get", f"config/deep/er/{source.name}", back / "x").startswith(str(back / "x"))
    assert same(back / source.name, source) and same(back / "x", source)
    (tmp_path / "empty.gcode").touch()
    done(where, "put", tmp_path / "empty.gcode")
    done(where, "get", "gcodes/empty.gcode", back)
    assert sorted(path.name for path in back.iterdir()) == sorted([source.name, "x", "empty.gcode"])


def test_a_print_starts(where: Addresses, tmp_path: Path) -> None:
    source = tmp_path / "job.gcode"
    source.write_bytes(b"G28\n" + b"G1 X10 F6000\nG1 X100 F6000\n" * 500)
    assert "the print has started" in done(where, "put", source, "--print")
    get(where, "/printer/print/cancel", post=True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("put", "{file}", "logs/x"), "read-only"),
        (("put", "{file}", "nosuch/x"), "Invalid root"),
        (("put", "{file}", "gcodes/../../x"), "leaves its root"),
        (("put", "{file}", "/etc/x"), "expected ROOT"),
        (("put", "/nosuch"), "no such file"),
        (("put", "{file}", "--instance", "nobody"), "knows no printer 'nobody'"),
        (("put", "{file}", "--instance", "a/b"), "expected letters"),
        (("get", "gcodes/nosuch"), "does not exist"),
        (("get", "gcodes/../config/printer.yaml"), "leaves its root"),
        (("get", "gcodes/x", "/nosuch/y"), "no such folder"),
    ],
)
def test_errors_are_clear(where: Addresses, tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    source = tmp_path / "some.gcode"
    source.write_bytes(b"G28\n")
    said = failed(where, *(word.replace("{file}", str(source)) for word in words))
    assert reason in said and len(said.splitlines()) == 1, said


def test_a_broker_that_is_not_there_is_said_at_once(where: Addresses, tmp_path: Path) -> None:
    nowhere = where._replace(mqtt_port=1)
    (tmp_path / "some.gcode").write_bytes(b"G28\n")
    assert "printbus: " in failed(nowhere, "put", tmp_path / "some.gcode")


def test_a_killed_client_goes_on_where_it_was(where: Addresses, large: Path, tmp_path: Path) -> None:
    gcodes = where.data / "gcodes"
    first = subprocess.Popen(program(where, "put", large))
    until(grown(gcodes, ".printbus-part-*"), OFTEN)
    first.send_signal(signal.SIGSTOP)
    assert "on its way already" in failed(where, "put", large)
    first.kill()
    first.wait()
    (there,) = parts(gcodes, ".printbus-part-*")
    assert there > PART_BYTES and not (gcodes / large.name).exists()
    done(where, "put", large)
    assert same(gcodes / large.name, large) and not parts(gcodes, ".printbus-*")
    second = subprocess.Popen(program(where, "get", f"gcodes/{large.name}", tmp_path))
    until(grown(tmp_path, f".{large.name}.*.part"), OFTEN)
    second.kill()
    second.wait()
    assert grown(tmp_path, f".{large.name}.*.part")()
    done(where, "get", f"gcodes/{large.name}", tmp_path)
    assert same(tmp_path / large.name, large) and [path.name for path in tmp_path.iterdir()] == [large.name]


def test_a_killed_server_is_waited_for(tmp_path: Path, large: Path) -> None:
    data = tmp_path / "data"
    listen = ["--mqtt", f"127.0.0.1:{free_port()}"]
    server = Program(*up_arguments(data, "--virtual"), *listen)
    where = addresses(server.ready_line())._replace(data=data)
    putting = subprocess.Popen(program(where, "put", large), stdout=subprocess.PIPE, text=True)
    until(grown(data / "gcodes", ".printbus-part-*"), OFTEN)
    server.stop(signal.SIGKILL)
    (there,) = parts(data / "gcodes", ".printbus-part-*")
    server = Program(*up_arguments(data, "--virtual"), *listen)
    server.ready_line()
    assert parts(data / "gcodes", ".printbus-part-*")[0] >= there
    assert putting.communicate(timeout=PATIENCE)[0] == f"gcodes/{large.name}: {large.stat().st_size} bytes\n"
    assert same(data / "gcodes" / large.name, large)
    getting = subprocess.Popen(program(where, "get", f"gcodes/{large.name}", tmp_path), stdout=subprocess.PIPE)
    until(grown(tmp_path, f".{large.name}.*.part"), OFTEN)
    server.stop(signal.SIGKILL)
    time.sleep(0.3)
    server = Program(*up_arguments(data, "--virtual"), *listen)
    server.ready_line()
    getting.communicate(timeout=PATIENCE)
    assert getting.returncode == 0 and same(tmp_path / large.name, large)
    assert server.stop() == 0


def test_what_nobody_continues_goes(tmp_path: Path) -> None:
    gcodes = tmp_path / "data" / "gcodes"
    gcodes.mkdir(parents=True)
    for name in ("old", "new"):
        (gcodes / f".printbus-part-{name}").write_bytes(b"G28\n")
    os.utime(gcodes / ".printbus-part-old", (time.time() - 4000,) * 2)
    with running(tmp_path / "data", "--virtual") as (_, where):
        until(lambda: not (gcodes / ".printbus-part-old").exists())
        assert (gcodes / ".printbus-part-new").exists()
        assert "part" not in json.dumps(get(where, "/server/files/list"))
        assert request(where, "GET", "/server/files/gcodes/.printbus-part-new").status == 403


def test_the_example_of_the_page(where: Addresses, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(list(filter(None, example.splitlines()))) <= 30
    (tmp_path / "example.py").write_text(example)
    source = tmp_path / "example.gcode"
    source.write_bytes(os.urandom(5_000_000))
    words: list[Any] = [tmp_path / "example.py", where.mqtt_host, where.mqtt_port, "test", source]
    ended = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.replace("'", '"'))["size"] == 5_000_000
    assert same(where.data / "gcodes" / "example.gcode", source)


def test_the_commands_of_the_page_are_understood() -> None:
    from bus.__main__ import build_parser

    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        options, unknown = build_parser().parse_known_args(line.partition("#")[0].split()[1:])
        assert options.command in ("put", "get") and not unknown
