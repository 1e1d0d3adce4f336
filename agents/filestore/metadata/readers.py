"""Small readers of one field of metadata each; slicers are described as tables of them."""

import re
from collections.abc import Callable, Iterator

from .excerpt import START_BYTES, Excerpt
from .values import clean, colours, items, number, numbers, seconds, together, total

Reader = Callable[[Excerpt], object]  # the value, or nothing (None, or an empty text) where the file does not say

LAST_MOVES = 128 << 10  # characters of the ending in which the highest extrusion is looked for
MOVE = re.compile(r"^G[0-3][ \t][^;\n]*", re.MULTILINE)
AXIS = {axis: re.compile(rf"[ \t]{axis}[ \t]*(\d{{0,5}}\.?\d{{1,6}})") for axis in "ZE"}


def values(excerpt: Excerpt, *names: str) -> Iterator[str]:
    """The values of those notes that are there, in the order of their names."""
    return (excerpt.notes[name] for name in names if excerpt.notes.get(name))


def one(*names: str) -> Reader:
    """The number of the first of these notes that has one; of a list, its first."""
    return lambda excerpt: next(_numbers(excerpt, *names), None)


def above_zero(*names: str) -> Reader:
    """The same, of those whose number is above 0."""
    return lambda excerpt: next((value for value in _numbers(excerpt, *names) if value > 0), None)


def _numbers(excerpt: Excerpt, *names: str) -> Iterator[float]:
    return (value for text in values(excerpt, *names) if (value := number(text)) is not None)


def whole(*names: str) -> Reader:
    """The same as an integer."""
    read = one(*names)

    def reader(excerpt: Excerpt) -> int | None:
        value = read(excerpt)
        return int(value) if isinstance(value, float) else None

    return reader


def many(*names: str) -> Reader:
    """The numbers of the first of these lists that has some."""
    return lambda excerpt: next(filter(None, (numbers(text) for text in values(excerpt, *names))), None)


def integers(*names: str) -> Reader:
    """The same as integers; an empty list where the file has none."""
    read = many(*names)

    def reader(excerpt: Excerpt) -> list[int]:
        found = read(excerpt)
        return [int(value) for value in found] if isinstance(found, list) else []

    return reader


def added(*names: str) -> Reader:
    """The sum of the first of these lists that has numbers."""
    return lambda excerpt: next((total(found) for text in values(excerpt, *names) if (found := numbers(text))), None)


def period(*names: str) -> Reader:
    """The seconds of the first of these times."""
    return lambda excerpt: next((time for text in values(excerpt, *names) if (time := seconds(text))), None)


def text(*names: str) -> Reader:
    """The first of these texts."""
    return lambda excerpt: next(filter(None, map(clean, values(excerpt, *names))), None)


def texts(*names: str) -> Reader:
    """The first of these lists of names."""
    return lambda excerpt: next(filter(None, (together(items(text)) for text in values(excerpt, *names))), None)


def colour_list(*names: str) -> Reader:
    """The first of these lists of colours; an empty list where the file has none."""
    return lambda excerpt: next(filter(None, (colours(text) for text in values(excerpt, *names))), [])


def pattern(expression: str, *, factor: float = 1) -> Reader:
    """The number that a pattern finds in the opening or, better, in the ending."""
    find = finder(expression)

    def reader(excerpt: Excerpt) -> float | None:
        value = number(find(excerpt))
        return None if value is None else round(value * factor, 3)

    return reader


def finder(expression: str) -> Callable[[Excerpt], str]:
    """What the group of a pattern matches in the comments of the ending, or else of the opening; or an empty text."""
    compiled = re.compile(expression, re.MULTILINE | re.IGNORECASE)

    def find(excerpt: Excerpt) -> str:
        opening, ending = excerpt.remarks
        found = compiled.search(ending) or compiled.search(opening)
        return found[1] if found else ""

    return find


def numbered(name: str) -> Reader:
    """The numbers of all notes whose name a pattern matches, such as `material#1 used`, added."""
    return lambda excerpt: total([v for text in _numbered(excerpt, name) if (v := number(text)) is not None])


def numbered_texts(name: str) -> Reader:
    """The texts of all notes whose name a pattern matches, such as `filament type #1`."""
    return lambda excerpt: together([clean(text) for text in _numbered(excerpt, name)])


def _numbered(excerpt: Excerpt, name: str) -> list[str]:
    compiled = re.compile(name)
    return [text for key, text in excerpt.notes.items() if compiled.fullmatch(key)]


def first(*readers: Reader) -> Reader:
    """What the first reader that finds something finds."""
    return lambda excerpt: next(filter(None, (read(excerpt) for read in readers)), None)


def command(*codes: str, before: str = "") -> Reader:
    """The first temperature above 0 that one of these commands, behind such a pattern, sets until the first layers."""
    compiled = re.compile(
        rf"^{before}(?:{'|'.join(codes)})[ \t][^;\n]*?S[ \t]*(\d{{1,4}}(?:\.\d{{1,3}})?)", re.MULTILINE
    )
    return lambda excerpt: next(filter(None, map(float, compiled.findall(excerpt.opening))), None)


def bottom(excerpt: Excerpt) -> float | None:
    """The height of the first layer that has a mark, or else of the lowest extrusion near the beginning."""
    marked = next(filter(None, excerpt.heights[0]), None)
    return marked or min(extrusions(excerpt.opening[-START_BYTES:]), default=None)


def top(excerpt: Excerpt) -> float | None:
    """The height of the highest layer near the end, or else of the highest extrusion."""
    return max(excerpt.heights[1], default=None) or max(extrusions(excerpt.ending[-LAST_MOVES:]), default=None)


def extrusions(moves: str) -> Iterator[float]:
    """The Z, above 0, at which filament comes; lifts and the parking at the end are not among them."""
    height = 0.0
    for found in MOVE.finditer(moves):
        z = AXIS["Z"].search(found[0])
        if z:
            height = float(z[1])
        if height and (e := AXIS["E"].search(found[0])) and float(e[1]):
            yield height
            height = 0.0  # until it changes
