"""Figures of both sides, their ratio, and the table that shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HEAD = ("figure", "printbus", "Moonraker", "ratio", "target", "reached")
SMALL = 100  # numbers below are shown with decimals


@dataclass(frozen=True, slots=True)
class Figure:
    """What is measured; `target` is what printbus's value divided by Moonraker's must reach, or may be at most.

    Where it is `alone`, the target is that of printbus's value itself.
    """

    name: str
    unit: str
    target: float | None = None
    at_most: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the rounds; the ratio is the median of each round's."""

    figure: Figure
    printbus: float
    moonraker: float
    ratio: float

    @property
    def reached(self) -> bool | None:
        """None where nothing is to be reached."""
        figure = self.figure
        if figure.target is None:
            return None
        value = self.printbus if figure.alone else self.ratio
        return value <= figure.target if figure.at_most else value >= figure.target

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        figure = self.figure
        unit = f" {figure.unit}" if figure.alone else ""
        target = "" if figure.target is None else f"{'<=' if figure.at_most else '>='} {figure.target:g}{unit}"
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        values = (f"{shown(value)} {figure.unit}" for value in (self.printbus, self.moonraker))
        return (figure.name, *values, shown(self.ratio), target, reached)

    def as_dict(self) -> dict[str, object]:
        """The row for a JSON file."""
        figure = self.figure
        return {
            "figure": figure.name,
            "unit": figure.unit,
            "printbus": self.printbus,
            "moonraker": self.moonraker,
            "ratio": self.ratio,
            "target": figure.target,
            "at_most": figure.at_most,
            "alone": figure.alone,
            "reached": self.reached,
        }


def shown(value: float) -> str:
    """A number with as many digits as matter."""
    return f"{value:.0f}" if value >= SMALL else f"{value:.3g}"


def row(figure: Figure, rounds: Sequence[tuple[float, float]]) -> Row:
    """One row from the values of printbus and Moonraker in each round."""
    ours, theirs = (median(values) for values in zip(*rounds, strict=True))
    ratios = [one / other if other else float("inf") for one, other in rounds]
    return Row(figure, round(ours, 4), round(theirs, 4), round(median(ratios), 4))


def table(rows: Sequence[Row]) -> str:
    """All rows below a head, columns aligned."""
    lines = [HEAD, *(each.cells() for each in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(_aligned(line, widths)).rstrip() for line in lines)


def _aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    first, *rest = line
    return [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))]
