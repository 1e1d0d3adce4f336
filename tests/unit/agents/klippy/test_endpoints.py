"""Which of Klipper's requests can be called by name."""

import pytest

from agents.klippy.endpoints import EFFECTS, Endpoints
from bus.errors import InvalidParams, MethodNotFound, Refused

PATHS = ["info", "list_endpoints", "gcode/subscribe_output", "register_remote_method", "objects/subscribe"]
PATHS += ["bed_mesh/dump_mesh", "motion_report/dump_stepper", "adxl345/dump_adxl345", "pause_resume/cancel"]
KNOWN = Endpoints(PATHS)


@pytest.mark.parametrize("path", ["info", "bed_mesh/dump_mesh", "pause_resume/cancel"])
def test_dots_stand_for_slashes(path: str) -> None:
    assert KNOWN.path("printer." + path.replace("/", "."), {"mesh_args": {}}) == path


# Another spelling of a path that has a method of its own would go round what that method sees to.
SPELLINGS = ["printer.objects/subscribe", "printer./info", "printer.info.", "info", "printer."]
HIDDEN = ["printer.list_endpoints", "printer.gcode.subscribe_output", "printer.register_remote_method"]


@pytest.mark.parametrize("name", ["printer.nosuch", *HIDDEN, *SPELLINGS])
def test_others_are_not_found(name: str) -> None:
    with pytest.raises(MethodNotFound):
        KNOWN.path(name, {})


@pytest.mark.parametrize("name", ["printer.motion_report.dump_stepper", "printer.adxl345.dump_adxl345"])
def test_requests_without_an_end_are_for_tunnels(name: str) -> None:
    with pytest.raises(Refused, match="/klippysocket"):
        KNOWN.path(name, {})


def test_nobody_words_messages_that_klipper_sends_to_all_of_us() -> None:
    with pytest.raises(InvalidParams, match="response_template"):
        KNOWN.path("printer.bed_mesh.dump_mesh", {"response_template": {"method": "process_status_update"}})


def test_without_klipper_nothing_is_known() -> None:
    with pytest.raises(MethodNotFound):
        Endpoints().path("printer.bed_mesh.dump_mesh", {})


def test_effects_are_those_of_requests_that_klipper_has() -> None:
    assert {path.split("/")[0] for path in EFFECTS} == {"pause_resume", "gcode"}
