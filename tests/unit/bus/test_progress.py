"""How something that takes its time looks in a terminal."""

import io

from bus.progress import Progress, Unit

MIB = 1 << 20


class Terminal(io.StringIO):
    """Somebody looks."""

    def isatty(self) -> bool:
        """As a terminal says."""
        return True


def test_a_bar_shows_part_size_pace_and_what_is_left() -> None:
    out = Terminal()
    progress = Progress("part.gcode", out)
    progress.at(0, 40 * MIB)
    shown = progress.line(10 * MIB, 40 * MIB, progress._began + 5.0)
    assert shown == f"part.gcode  [{'#' * 10}{'.' * 30}]  25%  10.0/40.0 MiB  2.0 MiB/s   15 s left"
    progress.broken("the printer is away")
    progress.at(40 * MIB, 40 * MIB)
    progress.end()
    said = out.getvalue()
    assert said.count("\r") == 3 and "away" in said and "100%" in said and said.endswith("\n")


def test_what_was_there_before_does_not_count_as_pace() -> None:
    progress = Progress("part.gcode", Terminal())
    progress.at(30 * MIB, 40 * MIB)
    assert " 1.0 MiB/s" in progress.line(35 * MIB, 40 * MIB, progress._began + 5.0)


def test_nothing_is_drawn_where_nobody_looks() -> None:
    out = io.StringIO()
    progress = Progress("part.gcode", out)
    progress.at(0, 0)
    progress.broken("away")
    progress.end()
    assert out.getvalue() == ""


def test_anything_can_be_counted() -> None:
    progress = Progress("importing", Terminal(), Unit("facts"))
    progress.at(0, 400)
    shown = progress.line(100, 400, progress._began + 5.0)
    assert shown == f"importing  [{'#' * 10}{'.' * 30}]  25%  100/400 facts  20 facts/s   15 s left"
