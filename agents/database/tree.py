"""A namespace in memory: JSON text where nobody looks inside, objects of their own where that would take too long."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

LOOK: Final = 32 << 10
"""Bytes of JSON that are parsed anew for each look into it; larger objects are kept member by member."""
TOUCH: Final = 4 << 10
"""The same for a change inside it, which is also written anew."""
CRUMB: Final = 64
"""Bytes; a large object whose members are smaller on average stays text: a member of its own costs 200 in memory."""
DEEPEST_KEY: Final = 32
DEEPEST_VALUE: Final = 190
"""Levels. Together with the deepest key less than the 254 that can be written, wherever the value is put."""

_SHELL = 254 - DEEPEST_VALUE

Node = bytes | dict[str, "Node"]
Path = Sequence[str]
Piece = tuple[list[str], bytes]


def written(value: Any) -> bytes:
    """A value as JSON, to be kept: what orjson returns holds on to a buffer of eight kilobytes."""
    return bytes(memoryview(orjson.dumps(value)))


def text_of(value: Any) -> bytes:
    """A value as JSON; ValueError where it is nested deeper than what may be kept."""
    shelled = value
    for _ in range(_SHELL):
        shelled = [shelled]
    try:
        return orjson.dumps(shelled)[_SHELL:-_SHELL]
    except orjson.JSONEncodeError:
        raise ValueError(f"Values are nested at most {DEEPEST_VALUE} deep") from None


def planted(text: bytes) -> Node:
    """A value as it is kept."""
    if len(text) <= LOOK or not text.startswith(b"{"):
        return text
    members = orjson.loads(text)
    if len(members) * CRUMB > len(text):
        return text
    return {name: planted(written(member)) for name, member in members.items()}


def find(node: Node, path: Path) -> bytes | None:
    """The JSON of what is there; None where nothing is."""
    for depth, name in enumerate(path):
        if isinstance(node, bytes):
            return _inside(orjson.loads(node), path[depth:])
        if name not in node:
            return None
        node = node[name]
    return packed(node)


def is_object(node: Node, path: Path) -> bool | None:
    """Whether what is there is an object; None where nothing is."""
    for depth, name in enumerate(path):
        if isinstance(node, bytes):
            found = _inside(orjson.loads(node), path[depth:])
            return None if found is None else found.startswith(b"{")
        if name not in node:
            return None
        node = node[name]
    return isinstance(node, dict) or node.startswith(b"{")


def packed(node: Node) -> bytes:
    """All of it as JSON."""
    if isinstance(node, bytes):
        return node
    return b"{" + b",".join(orjson.dumps(name) + b":" + packed(child) for name, child in node.items()) + b"}"


def put(members: dict[str, Node], path: Path, text: bytes) -> None:
    """Puts a value there; whatever on the way is not an object is replaced by one."""
    name = path[0]
    members[name] = _grown(members.get(name), path[1:], text)


def cut(members: dict[str, Node], path: Path) -> None:
    """Takes away what is there, if anything is."""
    name, rest = path[0], path[1:]
    child = members.get(name)
    if child is None:
        return
    if not rest:
        del members[name]
    elif isinstance(child, dict):
        cut(child, rest)
    elif find(child, rest) is None:
        return
    elif len(child) <= TOUCH:
        members[name] = _changed(child, rest, None)
    else:
        members[name] = opened = _opened(child)
        cut(opened, rest)


def pieces(node: Node, *, at: Path = ()) -> Iterator[Piece]:
    """What is kept as text, and where: `graft` makes the same of it."""
    if isinstance(node, bytes):
        yield list(at), node
    elif node:
        for name, child in node.items():
            yield from pieces(child, at=(*at, name))
    elif at:
        yield list(at), b"{}"


def portions(node: Node, size: int, *, at: Path = ()) -> Iterator[Piece]:
    """The same in pieces of about a size, where it can be divided."""
    if isinstance(node, dict) and node and (not at or sum(len(text) for _, text in pieces(node)) > size):
        for name, child in node.items():
            yield from portions(child, size, at=(*at, name))
    elif at:
        yield list(at), packed(node)


def graft(members: dict[str, Node], path: Path, text: bytes) -> None:
    """Puts a piece where it was."""
    for name in path[:-1]:
        child = members.setdefault(name, {})
        if isinstance(child, bytes):
            raise ValueError("a piece lies inside another one")
        members = child
    members[path[-1]] = text


def _inside(value: Any, path: Path) -> bytes | None:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return orjson.dumps(value)


def _grown(node: Node | None, path: Path, text: bytes) -> Node:
    if not path:
        return planted(text)
    if node is None or (isinstance(node, bytes) and len(node) <= TOUCH):
        return _changed(node or b"{}", path, text)
    members = _opened(node) if isinstance(node, bytes) else node
    put(members, path, text)
    return members


def _opened(text: bytes) -> dict[str, Node]:
    value = orjson.loads(text)
    return {name: planted(written(child)) for name, child in value.items()} if isinstance(value, dict) else {}


def _changed(text: bytes, path: Path, put_there: bytes | None) -> Node:
    """A text with something in it replaced, or taken away."""
    whole = orjson.loads(text)
    if not isinstance(whole, dict):
        whole = {}
    value = whole
    for name in path[:-1]:
        child = value.get(name)
        if not isinstance(child, dict):
            child = value[name] = {}
        value = child
    if put_there is None:
        del value[path[-1]]
    else:
        value[path[-1]] = orjson.loads(put_there)
    return planted(written(whole))
