"""A kill at any moment leaves the file of the stores as it was before or after a write, never in between."""

import subprocess
import sys
import time
from pathlib import Path

from agents.datastore.storage import Storage
from tests.e2e.test_print import until

KILLS = 8
WRITER = """
import sys
from pathlib import Path
from agents.datastore.storage import Storage
storage = Storage(Path(sys.argv[1]))
number = int(sys.argv[2])
print("writing", flush=True)
while True:
    number += 1
    storage.write({"number": number, "sensors": [number] * 5000})
"""


def test_a_kill_at_any_moment_keeps_a_whole_file(tmp_path: Path) -> None:
    storage, before = Storage(tmp_path / "store"), 0
    for life in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(storage.path), str(before)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.003 * life)
            if life == KILLS - 1:
                until(lambda: storage.read() is not None)  # it has been written once, however slow the disk is
            process.kill()
        found = storage.read()
        if found is not None:
            assert found["sensors"] == [found["number"]] * 5000
            assert found["number"] >= before
            before = found["number"]
    assert before > 0
