"""The job queue in the real program: prints that follow each other, uploads that wait, macros, and kills."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.test_print import get, until
from tests.file_client import request, upload
from tests.program import Addresses, Program, addresses, up_arguments

GCODE = "G28\nG1 X10 F6000\n"
LONG = GCODE + "G1 X10 F60\nG1 X100 F60\n" * 50
CONFIG = "klippy: {virtual: true, speed: 40}\nfilestore: {queue_gcode_uploads: true}\n"


@contextmanager
def host(folder: Path, settings: str = "{}", *, kill: bool = False) -> Iterator[Addresses]:
    """The program; it is stopped at the end, or killed."""
    gcodes, config = folder / "data" / "gcodes", folder / "printer.yaml"
    gcodes.mkdir(parents=True, exist_ok=True)
    for name, text in (("a.gcode", GCODE), ("b.gcode", GCODE), ("long.gcode", LONG)):
        (gcodes / name).write_text(text)
    config.write_text(f"{CONFIG}job_queue: {settings}\n")
    program = Program(*up_arguments(folder / "data", "--config", str(config)))
    try:
        where = addresses(program.ready_line())
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        until(lambda: len(get(where, "/server/files/list")) >= 3)
        yield where
        if kill:
            program.process.kill()
    finally:
        program.stop()


def queue(where: Addresses) -> tuple[list[str], str]:
    status = get(where, "/server/job_queue/status")
    return [job["filename"] for job in status["queued_jobs"]], status["queue_state"]


def printed(where: Addresses) -> list[tuple[str, str]]:
    jobs = get(where, "/server/history/list?order=asc")["jobs"]
    assert all(job["started_by"]["transport"] == "http" for job in jobs)
    return [(job["filename"], job["status"]) for job in jobs]


def test_jobs_are_printed_one_after_the_other(tmp_path: Path) -> None:
    with host(tmp_path, "{automatic_transition: true, job_transition_gcode: M118 cleared}") as where:
        get(where, "/server/job_queue/job?filenames=a.gcode,b.gcode", post=True)
        get(where, "/server/job_queue/start", post=True)
        until(lambda: printed(where) == [("a.gcode", "completed"), ("b.gcode", "completed")])
        until(lambda: queue(where) == ([], "paused"))
        console = [line["message"] for line in get(where, "/server/gcode_store")["gcode_store"]]
        assert sum("cleared" in line for line in console) >= 1


def test_what_waits_outlives_the_program_and_a_macro_starts_it(tmp_path: Path) -> None:
    with host(tmp_path, kill=True) as where:
        get(where, "/server/job_queue/job?filenames=b.gcode,a.gcode", post=True)
        second = get(where, "/server/job_queue/status")["queued_jobs"][1]["job_id"]
        known = get(where, f"/server/job_queue/jump?job_id={second}", post=True)["queued_jobs"]
    with host(tmp_path) as where:
        found = get(where, "/server/job_queue/status")
        for before, now in zip(known, found["queued_jobs"], strict=True):
            assert now.pop("time_in_queue") > before.pop("time_in_queue")
        assert found == {"queued_jobs": known, "queue_state": "paused"}
        get(where, "/printer/gcode/script?script=CALL_REMOTE%20METHOD=start_job_queue", post=True)
        until(lambda: queue(where) == (["b.gcode"], "paused"))
        until(lambda: printed(where) == [("a.gcode", "completed")])


def test_a_queue_goes_on_by_itself_after_a_kill_where_that_is_wanted(tmp_path: Path) -> None:
    with host(tmp_path, kill=True) as where:
        get(where, "/server/job_queue/job?filenames=a.gcode,b.gcode", post=True)
    with host(tmp_path, "{load_on_startup: true}") as where:
        until(lambda: queue(where) == (["b.gcode"], "paused"))
        until(lambda: printed(where) == [("a.gcode", "completed")])


def to_print(where: Addresses, name: str) -> tuple[bool, bool]:
    """Whether an upload that is to be printed was started, and whether it was queued."""
    answer = upload(where, name, GCODE.encode(), print="true").json
    return answer["print_started"], answer["print_queued"]


def select_and_print(where: Addresses, name: str) -> int:
    """As slicers ask of an OctoPrint."""
    kind, asked = {"Content_Type": "application/json"}, b'{"command": "select", "print": true}'
    return request(where, "POST", f"/api/files/moonraker/gcodes/{name}", asked, **kind).status


def test_an_upload_waits_its_turn_while_something_is_printed(tmp_path: Path) -> None:
    with host(tmp_path) as where:
        get(where, "/printer/print/start?filename=long.gcode", post=True)
        until(lambda: printed(where) == [("long.gcode", "in_progress")])
        assert to_print(where, "new.gcode") == (False, True)
        assert queue(where) == (["new.gcode"], "paused")
        assert select_and_print(where, "a.gcode") == 204
        assert queue(where) == (["new.gcode", "a.gcode"], "paused")
        get(where, "/printer/print/cancel", post=True)
        until(lambda: printed(where) == [("long.gcode", "cancelled")])
        assert to_print(where, "other.gcode") == (True, False)
        until(lambda: printed(where)[-1] == ("other.gcode", "completed"))
