"""A new log file for Klipper, which goes on writing to the one it has open."""

from pathlib import Path
from typing import Any

import pytest

from agents.core.klipper_log import KEPT, roll_klipper_log
from bus.errors import BusError, Conflict, NotFound, Unavailable
from bus.mandate import Mandate
from tests.agent_bus import RecordingBus
from tests.conftest import Run


class PrinterBus(RecordingBus):
    """A bus on which Klipper is, with this log and in this state."""

    def __init__(self, log: Path | None, state: str = "standby") -> None:
        super().__init__(Path())
        self._answers: dict[str, Any] = {
            "printer.info": {"state": "ready"} if log is None else {"log_file": str(log)},
            "printer.objects.query": {"eventtime": 1.0, "status": {"print_stats": {"state": state}}},
        }

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """What Klipper says."""
        return self._answers[method]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "klippy.log"
    path.write_text("what was\n")
    return path


def test_klipper_goes_on_at_the_beginning_of_its_file(run: Run[None], log: Path) -> None:
    with log.open("a") as klipper:
        run(roll_klipper_log(PrinterBus(log)))
        klipper.write("what is\n")
    assert log.read_text() == "what is\n"
    (old,) = log.parent.glob("klippy.log.*")
    assert old.read_text() == "what was\n"


def test_only_so_many_older_files_stay_and_those_of_klipper_are_left_alone(run: Run[None], log: Path) -> None:
    for day in range(10, 10 + KEPT + 3):
        log.with_name(f"klippy.log.2020-01-{day}_00-00-00").touch()
    log.with_name("klippy.log.2020-01-01").touch()
    run(roll_klipper_log(PrinterBus(log)))
    names = sorted(path.name for path in log.parent.glob("klippy.log.*"))
    assert len(names) == KEPT + 1 and names[0] == "klippy.log.2020-01-01"


@pytest.mark.parametrize("state", ["printing", "paused"])
def test_not_in_a_print(run: Run[None], log: Path, state: str) -> None:
    with pytest.raises(Conflict):
        run(roll_klipper_log(PrinterBus(log, state)))
    assert log.read_text() == "what was\n"


@pytest.mark.parametrize("kind", ["unknown", "missing", "folder", "link", "another kind of file"])
def test_only_a_log_file(run: Run[None], log: Path, kind: str) -> None:
    precious = log.with_name("precious.txt")
    precious.write_text("precious")
    link = log.with_name("link.log")
    link.symlink_to(precious)
    folder = log.with_name("folder.log")
    folder.mkdir()
    named = {"unknown": None, "missing": log.with_name("x.log"), "folder": folder, "link": link}
    with pytest.raises(NotFound, match="is no log file of this machine"):
        run(roll_klipper_log(PrinterBus(named.get(kind, precious))))
    assert precious.read_text() == "precious"


def test_without_klipper_the_reason_is_klippers(run: Run[None]) -> None:
    with pytest.raises(BusError) as refused:
        run(roll_klipper_log(RecordingBus(Path())))
    assert refused.type is Unavailable
