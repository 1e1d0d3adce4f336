"""Prints that outlive the program, and those that do not: one truthful job of each."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.test_print import get, until
from tests.program import Addresses, Program, addresses, up_arguments

Json = dict[str, Any]
SLOW = "G28\n" + "G1 X10 F600\nG1 X100 F600\n" * 8 + "M117 end\n"


@contextmanager
def klipper(folder: Path, speed: float) -> Iterator[Path]:
    """A virtual Klipper of its own, which does not end with the program."""
    path, gcodes = folder / "klippy.sock", folder / "data" / "gcodes"
    gcodes.mkdir(parents=True, exist_ok=True)
    (gcodes / "slow.gcode").write_text(SLOW)
    command = [sys.executable, "-m", "agents.klippy.virtual", "--socket", str(path), "--gcodes", str(gcodes)]
    with subprocess.Popen([*command, "--speed", str(speed)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        try:
            yield path
        finally:
            process.terminate()


@contextmanager
def host(folder: Path, socket: Path, *, kill: bool = False) -> Iterator[Addresses]:
    """The program; it is stopped at the end, or killed."""
    program = Program(*up_arguments(folder / "data", "--klippy", str(socket)))
    try:
        where = addresses(program.ready_line())
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        yield where
        if kill:
            program.process.kill()
    finally:
        program.stop()


def jobs(where: Addresses) -> list[Json]:
    found: list[Json] = get(where, "/server/history/list")["jobs"]
    return found


def start(where: Addresses) -> None:
    until(lambda: bool(get(where, "/server/files/list")))
    get(where, "/printer/print/start?filename=slow.gcode", post=True)
    until(lambda: [job["status"] for job in jobs(where)] == ["in_progress"])
    until(lambda: bool(jobs(where)[0]["metadata"]))


def stats(where: Addresses) -> Json:
    found: Json = get(where, "/printer/objects/query?print_stats")["status"]["print_stats"]
    return found


def test_a_print_that_the_program_leaves_and_finds_again_is_one_complete_job(tmp_path: Path) -> None:
    with klipper(tmp_path, speed=30) as socket:
        with host(tmp_path, socket) as where:
            start(where)
            get(where, "/printer/print/pause", post=True)
            (first,) = jobs(where)
        with host(tmp_path, socket, kill=True) as where:
            assert [(job["job_id"], job["status"]) for job in jobs(where)] == [("000001", "in_progress")]
        with host(tmp_path, socket) as where:
            get(where, "/printer/print/resume", post=True)
            until(lambda: [job["status"] for job in jobs(where)] == ["completed"])
            (last,) = jobs(where)
            assert last["start_time"] == first["start_time"]
            assert last["total_duration"] > first["total_duration"]
            assert abs(last["end_time"] - last["start_time"] - last["total_duration"]) < 5
            assert last["started_by"]["transport"] == "http"
            sums = get(where, "/server/history/totals")["job_totals"]
            assert (sums["total_jobs"], sums["total_time"]) == (1, last["total_duration"])
            metadata = get(where, "/server/files/metadata?filename=slow.gcode")
            assert (metadata["job_id"], metadata["print_start_time"]) == ("000001", last["start_time"])


def test_a_print_that_ends_while_the_program_is_away_is_one_complete_job(tmp_path: Path) -> None:
    with klipper(tmp_path, speed=60) as socket:
        with host(tmp_path, socket, kill=True) as where:
            start(where)
        with host(tmp_path, socket) as where:
            until(lambda: stats(where)["state"] == "complete")
        with host(tmp_path, socket) as where:
            (job,) = jobs(where)
            assert (job["status"], job["total_duration"]) == ("completed", stats(where)["total_duration"])


def test_a_loss_of_power_ends_the_job_as_interrupted(tmp_path: Path) -> None:
    with klipper(tmp_path, speed=1) as socket, host(tmp_path, socket, kill=True) as where:
        start(where)
    with klipper(tmp_path, speed=1) as socket, host(tmp_path, socket) as where:
        until(lambda: [job["status"] for job in jobs(where)] == ["interrupted"])
        (job,) = jobs(where)
        assert job["end_time"] - job["start_time"] < 60
        assert get(where, "/server/history/totals")["job_totals"]["total_jobs"] == 1


def test_a_klipper_that_goes_away_ends_the_job_as_disconnected(tmp_path: Path) -> None:
    with klipper(tmp_path, speed=1) as socket, host(tmp_path, socket) as where:
        start(where)
        get(where, "/printer/emergency_stop", post=True)
        until(lambda: [job["status"] for job in jobs(where)] == ["klippy_shutdown"])
