"""A full disk: commands say so, reading and the emergency stop go on, and service returns with the space."""

import resource
import subprocess
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_print import fast_printer, get, log_read, until
from tests.fault.test_log_full_disk import mountable
from tests.program import Addresses, Program, running

SIZE = "40m"  # the log keeps a reserve of 16 MB of it

Free = Callable[[], None]
Fill = Callable[[Program], Free]


@contextmanager
def small_disk(place: Path) -> Iterator[Fill]:
    """A file system of its own, filled by another file."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)], check=True)
    waste = place / "waste"

    def fill(_program: Program) -> Free:
        with waste.open("wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue
        return waste.unlink

    try:
        yield fill
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def file_limit(place: Path) -> Iterator[Fill]:
    """A limit on the size of files, which the kernel reports like a full disk; needs no privileges."""

    def fill(program: Program) -> Free:
        pid = program.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))

        def free() -> None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

        return free

    yield fill


KINDS = {"file limit": file_limit} | ({"small disk": small_disk} if mountable() else {})


def status(where: Addresses, path: str) -> int:
    """The status of a command."""
    try:
        get(where, path, post=True)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_commands_are_refused_while_the_disk_is_full_and_everything_else_goes_on(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    data = place / "data"
    with KINDS[kind](place) as fill, running(data, *fast_printer(tmp_path)) as (program, where):
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        assert status(where, "/printer/gcode/script?script=M117%20before") == 200
        free = fill(program)
        until(lambda: status(where, "/printer/gcode/script?script=M117%20full") == 507)
        assert status(where, "/printer/gcode/script?script=M117%20still%20full") == 507
        assert get(where, "/printer/objects/query?toolhead=position")["status"]["toolhead"]
        assert get(where, "/events/read?limit=5")["events"]
        assert status(where, "/printer/emergency_stop") == 200
        until(lambda: get(where, "/server/info")["klippy_state"] == "shutdown")
        free()
        until(lambda: status(where, "/printer/firmware_restart") == 200)
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        assert status(where, "/printer/gcode/script?script=M117%20after") == 200
        events = log_read(data)
    scripts = [event["data"]["params"].get("script") for event in events if event["type"] == "command.accepted.1"]
    assert "M117 before" in scripts and "M117 after" in scripts
    assert "M117 still full" not in scripts
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
