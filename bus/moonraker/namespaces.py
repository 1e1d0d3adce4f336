"""Namespaces of Moonraker's database, as facts about ours: what front ends keep."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from ..log import MAX_APPEND_BYTES
from .database import Database, Unreadable
from .known import SET, Known
from .part import Fact, Part, counted, fact, unreadable

PIECE_BYTES: Final = 256 << 10  # larger objects are taken apart
LARGEST_BYTES: Final = MAX_APPEND_BYTES - (4 << 10)
DEEPEST_KEY: Final = 32
SHELL: Final = 64  # levels that are left for what a value is put into
WEBCAMS: Final = "webcams"  # are no values here
OTHERS: Final = {
    "announcements": "printbus reads the feeds anew, so what was dismissed shows once more",
    "authorized_users": "users as Moonraker kept them long ago; start a newer one once, which turns them over",
    "database": "Moonraker's notes about its database",
    "gcode_metadata": "printbus reads the files anew",
    "history": "jobs as Moonraker kept them long ago; start a newer one once, which turns them over",
    "moonraker": "Moonraker's notes about itself",
    "simplyprint": "printbus has nothing of this kind",
    "update_manager": "printbus does not update other programs",
}

Path = list[str]


def namespaces(database: Database, known: Known) -> Part:
    """What the target does not have of them."""
    there = sorted(known.values.keys() - OTHERS)
    part = Part(lambda: _facts(database, known), f"namespaces: {', '.join(there)}" if there else "")
    keys: Counter[str] = Counter()
    for found in database.values():
        if isinstance(found, Unreadable):
            part.lost.append(unreadable(found))
            continue
        namespace, key, value = found
        if namespace in OTHERS:
            keys[namespace] += 1
        elif namespace != WEBCAMS:
            pieces = list(_missing([key], value, known.values.get(namespace, {})))
            unfit = [".".join(path) for path, inside in pieces if not _fits(inside, LARGEST_BYTES)]
            part.lost += [f"namespace {namespace}, {path}: is too large or nested too deeply" for path in unfit]
            keys[namespace] += len(pieces) > len(unfit)
            part.new += len(pieces) - len(unfit)
    carried = {name: number for name, number in keys.items() if name not in OTHERS and number}
    part.carried = [f"namespace {name}: {counted(number, 'key')}" for name, number in carried.items()]
    part.lost += [f"namespace {name}: {OTHERS[name]}" for name in keys if name in OTHERS]
    return part


def _facts(database: Database, known: Known) -> Iterable[Fact]:
    for found in database.values():
        if isinstance(found, Unreadable) or found[0] in OTHERS or found[0] == WEBCAMS:
            continue
        namespace, key, value = found
        for path, inside in _missing([key], value, known.values.get(namespace, {})):
            if _fits(inside, LARGEST_BYTES):
                yield fact(SET, namespace=namespace, key=path, value=inside)


def _missing(path: Path, value: Any, there: Any) -> Iterator[tuple[Path, Any]]:
    """What is not there, in pieces that fit into an event; what is there stays as it is."""
    is_known = path[-1] in there
    old = there[path[-1]] if is_known else {}
    if is_known and not (isinstance(value, dict) and isinstance(old, dict)):
        return
    if not is_known and not _divisible(value, len(path)):
        yield path, value
        return
    for name, inside in value.items():
        yield from _missing([*path, name], inside, old)


def _divisible(value: Any, depth: int) -> bool:
    return isinstance(value, dict) and bool(value) and depth < DEEPEST_KEY and not _fits(value, PIECE_BYTES)


def _fits(value: Any, size: int) -> bool:
    shelled = value
    for _ in range(SHELL):
        shelled = [shelled]
    try:
        return len(orjson.dumps(shelled)) - 2 * SHELL <= size
    except TypeError:  # it is nested too deeply
        return False
