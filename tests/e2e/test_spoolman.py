"""A print with two spools that goes on while the program is killed: all of it is reported, and the job names both."""

import urllib.request
from pathlib import Path

from tests.e2e.test_history import jobs, klipper, stats
from tests.e2e.test_print import get, until
from tests.program import Addresses, Program, addresses, up_arguments
from tests.spoolman_script import Spoolman, spoolman

MOVES = "G1 X10 E2 F600\nG1 X100 E2 F600\n"
PRINT = f"M109 S200\nG28\nM83\n{MOVES}PAUSE\n{MOVES * 6}"


def start(folder: Path, socket: Path, server: Spoolman) -> tuple[Program, Addresses]:
    """The program, connected to its printer and its Spoolman."""
    config = folder / "config.yaml"
    config.write_text(f"klippy: {{socket: '{socket}'}}\nspoolman: {{server: '{server.url}', sync_rate: 0.5}}\n")
    program = Program(*up_arguments(folder / "data", "--config", str(config)))
    where = addresses(program.ready_line())
    until(lambda: get(where, "/server/spoolman/status")["spoolman_connected"])
    until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
    return program, where


def select(where: Addresses, spool_id: int) -> None:
    url = f"{where.http}/server/spoolman/spool_id?spool_id={spool_id}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10):  # noqa: S310
        pass


def test_a_print_that_goes_on_while_the_program_is_killed_is_reported_whole(tmp_path: Path) -> None:
    with spoolman({1: 0.0, 2: 0.0}) as server, klipper(tmp_path, speed=50) as socket:
        (tmp_path / "data" / "gcodes" / "spools.gcode").write_text(PRINT)
        program, where = start(tmp_path, socket, server)
        try:
            select(where, 1)
            until(lambda: bool(get(where, "/server/files/list")))
            get(where, "/printer/print/start?filename=spools.gcode", post=True)
            until(lambda: stats(where)["state"] == "paused")
            until(lambda: server.spools[1] > 0)
            select(where, 2)
            get(where, "/printer/print/resume", post=True)
            until(lambda: server.spools[2] > 0)
            program.process.kill()
            program.stop()
            program, where = start(tmp_path, socket, server)
            until(lambda: [job["status"] for job in jobs(where)] == ["completed"])
            until(lambda: bool(jobs(where)[0]["auxiliary_data"]))
            used = stats(where)["filament_used"]
            until(lambda: abs(sum(server.spools.values()) - used) < 1e-6)
            (field,) = jobs(where)[0]["auxiliary_data"]
        finally:
            program.stop()
    assert used == 28
    expected = {"provider": "spoolman", "name": "spool_ids", "value": [1, 2], "description": "Spool IDs used"}
    assert field == expected | {"units": None}
