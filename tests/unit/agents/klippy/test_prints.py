"""Prints as told from print_stats, however many states fall between two ticks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.klippy.prints import ENDED, PAUSED, RESUMED, STARTED, Fact, PrintWatch, Stats, Unfinished


def stats(state: str, filename: str = "a.gcode", total: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"state": state, "filename": filename, "total_duration": total, **more}


def told(facts: list[Fact]) -> list[tuple[Any, ...]]:
    return [(fact.kind, fact.filename, *([fact.data["how"]] if fact.kind == ENDED else [])) for fact in facts]


def story(*seen: dict[str, Any]) -> list[tuple[Any, ...]]:
    watch = PrintWatch()
    return [fact for status in seen for fact in told(watch.observe(status))]


IDLE = stats("standby", "")
START, PAUSE, RESUME = (STARTED, "a.gcode"), (PAUSED, "a.gcode"), (RESUMED, "a.gcode")


def test_a_whole_print() -> None:
    seen = story(
        IDLE, stats("printing"), stats("paused", total=2), stats("printing", total=3), stats("complete", total=4)
    )
    assert seen == [START, PAUSE, RESUME, (ENDED, "a.gcode", "completed")]


def test_a_print_that_began_and_ended_between_two_ticks() -> None:
    assert story(IDLE, stats("complete", total=0.1)) == [START, (ENDED, "a.gcode", "completed")]
    assert story(IDLE, stats("error", total=0.1)) == [START, (ENDED, "a.gcode", "error")]


def test_the_same_file_printed_again_between_two_ticks() -> None:
    ended = (ENDED, "a.gcode", "completed")
    again = story(IDLE, stats("complete", total=5), stats("complete", total=5), stats("complete", total=4))
    assert again == [START, ended, START, ended]


def test_a_pause_that_was_over_before_the_tick_is_not_told() -> None:
    assert story(IDLE, stats("printing"), stats("printing", total=9)) == [START]


def test_a_print_that_was_paused_within_its_first_tick() -> None:
    assert story(IDLE, stats("paused")) == [START, PAUSE]


def test_standby_after_a_print_is_a_cancelled_print_with_its_last_numbers() -> None:
    watch = PrintWatch()
    watch.observe(IDLE)
    watch.observe(stats("printing", total=7, print_duration=5, filament_used=12.5))
    (fact,) = watch.observe(stats("standby", "", 0.0))
    assert fact.data == {
        "filename": "a.gcode",
        "how": "cancelled",
        "print_duration": 5,
        "total_duration": 7,
        "filament_used": 12.5,
        "message": "",
    }


def test_another_file_without_a_stop_in_between_ends_the_first() -> None:
    seen = story(IDLE, stats("printing", total=3), stats("printing", "b.gcode", 1))
    assert seen == [START, (ENDED, "a.gcode", "cancelled"), (STARTED, "b.gcode")]


def test_the_same_file_from_its_beginning_is_another_print() -> None:
    seen = story(IDLE, stats("printing", total=9), stats("printing", total=1))
    assert seen == [START, (ENDED, "a.gcode", "cancelled"), START]


def test_a_file_that_is_only_selected_is_no_print() -> None:
    assert story(IDLE, stats("standby", "a.gcode"), stats("standby", "")) == []


def test_what_had_ended_before_we_came_is_not_told() -> None:
    assert story(stats("complete", total=5), stats("complete", total=5)) == []


def test_a_print_found_running_is_marked() -> None:
    watch = PrintWatch()
    (fact,) = watch.observe(stats("printing", total=60))
    assert (fact.kind, fact.data) == (STARTED, {"filename": "a.gcode", "found": True, "total_duration": 60.0})
    assert watch.observe(stats("printing", total=61)) == []


def test_the_same_print_is_not_started_twice_when_klipper_is_read_anew() -> None:
    watch = PrintWatch()
    watch.observe(IDLE)
    watch.observe(stats("printing", total=1))
    watch.connected()
    assert watch.observe(stats("printing", total=30)) == []


def test_an_interruption_ends_the_print_once_and_what_follows_means_nothing() -> None:
    watch = PrintWatch()
    watch.observe(stats("printing", total=3))
    (fact,) = watch.interrupted("MCU lost")
    assert (fact.data["how"], fact.data["message"]) == ("interrupted", "MCU lost")
    assert watch.observe(stats("error", total=4)) == watch.interrupted("gone") == []
    watch.connected()
    assert told(watch.observe(stats("printing", total=9))) == [START]


def recalled(*seen: dict[str, Any], state: str = "printing", total: float = 100, age: float = 120) -> list[Fact]:
    """What is told after a start of the program in the middle of a print of `a.gcode`."""
    watch = PrintWatch()
    watch.recall(Unfinished(Stats.of(stats(state, total=total, print_duration=90, filament_used=8)), age))
    return [fact for status in seen for fact in watch.observe(status)]


def test_a_print_that_goes_on_while_the_program_is_away_is_one_print() -> None:
    facts = recalled(stats("printing", total=130), stats("complete", total=140))
    assert [(fact.kind, fact.data.get("found")) for fact in facts] == [(ENDED, None)]


def test_a_pause_while_the_program_was_away_is_told() -> None:
    assert told(recalled(stats("paused", total=130))) == [PAUSE]
    assert told(recalled(stats("printing", total=130), state="paused")) == [RESUME]
    assert told(recalled(stats("paused", total=130), state="paused")) == []


@pytest.mark.parametrize("state", ["complete", "cancelled", "error"])
def test_a_print_that_ended_while_the_program_was_away_ended_so(state: str) -> None:
    (fact,) = recalled(stats(state, total=300, print_duration=250))
    assert (fact.data["how"], fact.data["total_duration"]) == (state.replace("complete", "completed"), 300)
    assert fact.data["found"]


@pytest.mark.parametrize(
    "found",
    [IDLE, stats("complete", "b.gcode", 300), stats("complete", total=50), stats("standby", "a.gcode", 300)],
    ids=["restarted", "another file", "another print", "only selected"],
)
def test_a_print_of_which_nothing_is_left_was_interrupted_with_what_was_known(found: dict[str, Any]) -> None:
    (fact,) = recalled(found)
    assert (fact.data["how"], fact.data["total_duration"], fact.data["filament_used"]) == ("interrupted", 100, 8)


def test_the_same_file_begun_anew_while_the_program_was_away_is_another_print() -> None:
    facts = recalled(stats("printing", total=150), age=10_000)
    assert told(facts) == [(ENDED, "a.gcode", "interrupted"), START]
    assert facts[1].data["found"]


any_stats = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["standby", "printing", "paused", "complete", "cancelled", "error", "new", 5, None]),
        "filename": st.sampled_from(["", "a", "b", None]),
        "total_duration": st.sampled_from([0.0, 1.0, 2, None, "x"]),
    }
)


@given(st.lists(st.none() | st.just("connected") | any_stats, max_size=30))
def test_starts_and_ends_always_alternate(seen: list[Any]) -> None:
    watch, open_print, paused = PrintWatch(), False, False
    for status in seen:
        if status == "connected":
            watch.connected()
            continue
        for fact in watch.interrupted("gone") if status is None else watch.observe(status):
            match fact.kind:
                case "print.started.1" | "print.ended.1":
                    assert open_print == (fact.kind == ENDED)
                    open_print, paused = not open_print, False
                case kind:
                    assert open_print and paused == (kind == RESUMED)
                    paused = not paused
