"""Records found in the raw bytes of an LMDB 0.9 file, without mapping it: for files that LMDB cannot read any more."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct
from typing import Final

import orjson

from .log_record import DamagedRecord, Item, Position, verified

# The layout of mdb.c (LMDB 0.9) in the machine's own word size and byte order: sizes and page numbers are size_t.
_PAGE = Struct("@NHHHH")  # number, padding, flags, lower, upper
_META = Struct("@IIPNIHHNNNNNIHHNNNNNNN")  # magic, version, address, map size, two databases, last page, transaction
_NODE = Struct("=HHHH")  # size (low, high half), flags, key size
_WORD = Struct("@N")
_MAGIC: Final = 0xBEEFC0DE
_PAGE_BYTES_FIELD, _ENTRIES_FIELD = 4, 18
_LEAF, _KIND_MASK = 0x02, 0x6F
_BIG: Final = 0x01
_KEY_BYTES: Final = 8
_PAGE_SIZES: Final = (4096, 16384, 65536, 8192, 32768)


def salvaged(content: bytes, first: Position) -> list[Item]:
    """The intact records from `first` on, as far as they reach without a gap."""
    found: dict[Position, Item] = {}
    for item in _records(content, _page_bytes(content)):
        with suppress(DamagedRecord):
            seq, _ = verified(item)
            found[seq] = _newer(found.get(seq), item)
    items: list[Item] = []
    while (seq := first + len(items)) in found:
        items.append(found[seq])
    return items


def committed_last(content: bytes, first: Position) -> Position | None:
    """The last position that the file says it holds; None when it cannot say."""
    metas = _metas(content, _page_bytes(content))
    return first + max(meta[_ENTRIES_FIELD] for meta in metas) - 1 if metas else None


def _newer(known: Item | None, item: Item) -> Item:
    """Of two records with one number the later written: the other belongs to a transaction that failed."""
    if known is None or known == item:
        return item
    return max(known, item, key=lambda each: float(orjson.loads(verified(each)[1])[0]))


def _page_bytes(content: bytes) -> int:
    for size in (os.sysconf("SC_PAGESIZE"), *_PAGE_SIZES):
        for meta in _metas(content, size):
            return int(meta[_PAGE_BYTES_FIELD])
    return os.sysconf("SC_PAGESIZE")


def _metas(content: bytes, size: int) -> list[tuple[int, ...]]:
    starts = [start + _PAGE.size for start in (0, size) if start + _PAGE.size + _META.size <= len(content)]
    metas = [_META.unpack_from(content, start) for start in starts]
    return [meta for meta in metas if meta[0] == _MAGIC and meta[_PAGE_BYTES_FIELD] in _PAGE_SIZES]


def _records(content: bytes, size: int) -> Iterator[Item]:
    for start in range(0, len(content), size):
        page = content[start : start + size]
        if len(page) < _PAGE.size:
            return
        _, _, flags, lower, _ = _PAGE.unpack_from(page)
        if flags & _KIND_MASK == _LEAF and _PAGE.size <= lower <= len(page):
            yield from _nodes(content, page, lower, size)


def _nodes(content: bytes, page: bytes, lower: int, size: int) -> Iterator[Item]:
    for place in range(_PAGE.size, lower - 1, 2):
        at = int.from_bytes(page[place : place + 2], sys.byteorder)
        body = at + _NODE.size + _KEY_BYTES
        if body + _WORD.size > len(page):
            continue
        low, high, flags, key_bytes = _NODE.unpack_from(page, at)
        if key_bytes != _KEY_BYTES:
            continue
        length = low | high << 16
        if flags & _BIG:
            start = _WORD.unpack_from(page, body)[0] * size + _PAGE.size
            yield page[body - _KEY_BYTES : body], content[start : start + length]
        else:
            yield page[body - _KEY_BYTES : body], page[body : body + length]
