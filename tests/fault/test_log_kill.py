"""kill -9 at any moment: every append that was acknowledged is in the log, in order, without a gap."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import log_trials
from .log_trials import contents, open_log

CAMPAIGN = bool(os.environ.get("PRINTBUS_CAMPAIGN"))
KILLS = 200 if CAMPAIGN else 10
LONGEST_SECONDS = 0.25
ROOT = Path(__file__).parents[2]


def killed(directory: Path, threads: int, after: float, least: int) -> list[str]:
    """Append in a child, kill it some time after it opened the log and so many were acknowledged; what was."""
    arguments = [sys.executable, "-m", log_trials.__name__, "append_for_ever", str(directory), str(threads)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        opened = child.stdout.readline().decode()
        assert opened == "open 0\n"
        first = [child.stdout.readline().decode() for _ in range(least)]
        time.sleep(after)
        child.send_signal(signal.SIGKILL)
        printed = "".join(first) + child.stdout.read().decode()
    assert child.returncode == -signal.SIGKILL
    return printed.split("\n")[:-1]


@pytest.mark.timeout(900 if CAMPAIGN else 300)
@pytest.mark.parametrize("batch", [1, 100])
def test_no_acknowledged_event_is_lost(tmp_path: Path, batch: int) -> None:
    source = random.Random()  # noqa: S311
    acknowledged: dict[int, int] = {}
    for life in range(KILLS // 2):
        least = 0 if life else KILLS + 1  # a slow disk might do none in the time
        for line in killed(tmp_path, batch, source.uniform(0, LONGEST_SECONDS), least):
            position, number = line.split()
            acknowledged[int(position)] = int(number)
    log = open_log(tmp_path)
    events = contents(log)
    log.close()
    assert log.recoveries == ()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(acknowledged) > KILLS
    assert {event.seq: event.append_id.int for event in events}.items() >= acknowledged.items()
    assert [event.data["number"] for event in events] == [event.append_id.int for event in events]
