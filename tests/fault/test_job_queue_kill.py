"""kill -9 of the program while the queue changes: whatever it has answered is there afterwards, exactly."""

import os
import random
import threading
from itertools import count
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.e2e.test_print import Socket, get, until
from tests.program import Addresses, Program, addresses, up_arguments

KILLS = 100 if os.environ.get("PRINTBUS_CAMPAIGN") else 2
LONGEST_SECONDS = 0.02
Jobs = list[dict[str, Any]]


def jobs(status: dict[str, Any]) -> Jobs:
    return [{key: job[key] for key in ("job_id", "filename", "time_added")} for job in status["queued_jobs"]]


def change(where: Addresses, known: Jobs, kill: threading.Timer, after: int) -> Jobs:
    """Adds, moves and removes jobs until the program is gone, which is killed after so many answers; the last one."""
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        client = Socket(connection)
        try:
            for number in count():
                if number == after:
                    kill.start()
                if number % 3 == 0 or not known:
                    found = client.ask("server.job_queue.post_job", filenames=["a.gcode", "b.gcode"])
                elif number % 3 == 1:
                    found = client.ask("server.job_queue.jump", job_id=known[-1]["job_id"])
                else:
                    found = client.ask("server.job_queue.delete_job", job_ids=[known[0]["job_id"]])
                known = jobs(found["result"])
        except (ConnectionClosed, OSError):
            return known
    raise AssertionError("it was not killed")


def is_next(known: Jobs, found: Jobs) -> bool:
    """Whether what was found is what was known, or one whole change further, whose answer was lost."""
    if len(found) == len(known) + 2:
        return found[:-2] == known
    further = ([known[-1], *known[:-1]], known[1:]) if known else ()
    return found in (known, *further)


def test_what_was_answered_outlives_kills_exactly(tmp_path: Path) -> None:
    (tmp_path / "gcodes").mkdir()
    for name in ("a.gcode", "b.gcode"):
        (tmp_path / "gcodes" / name).write_text("G28\n")
    known: Jobs = []
    for _ in range(KILLS):
        program = Program(*up_arguments(tmp_path, "--klippy", str(tmp_path / "nobody.sock")))
        try:
            where = addresses(program.ready_line())
            until(lambda where=where: len(get(where, "/server/files/list")) == 2)  # type: ignore[misc]
            found = jobs(get(where, "/server/job_queue/status"))
            assert is_next(known, found), (known, found)
            kill = threading.Timer(random.uniform(0.0, LONGEST_SECONDS), program.process.kill)  # noqa: S311
            known = change(where, found, kill, random.randint(1, 40))  # noqa: S311
            kill.join()
        finally:
            program.stop()
    assert known  # each life answers more additions than removals
