"""Reads numbers, times, lists and names out of the values that slicers write."""

import json
import re
from collections.abc import Sequence

MAX_TEXT = 256  # characters
MAX_ITEMS = 64  # more tools than any printer has
DECIMAL = r"(?:\d{1,9}(?:\.\d{0,20})?|\.\d{1,20})"  # bounded: files may hold megabytes of digits
NUMBER = re.compile(rf"\s*([+-]?{DECIMAL})(?![\d.eE])")
PERIOD = re.compile(r"(\d{1,7}(?:\.\d{1,6})?)\s*([dhms])(?=[a-z\s\d:;,.]|$)", re.IGNORECASE)
ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))\s*(?:;|$)')
COLOUR = re.compile(r"#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?")
SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
DECIMALS = 5  # of sums; slicers write no more


def number(text: str) -> float | None:
    """The number that a text begins with, such as 0.4 of `0.4,0.6` and 2464.1 of `2464.1 mm`; below 10^9."""
    found = NUMBER.match(text)
    return float(found[1]) if found else None


def numbers(text: str) -> list[float]:
    """All numbers of a list, separated by commas or semicolons; none where one of them is not a number."""
    found = [number(item) for item in re.split("[,;]", text.strip("[]"), maxsplit=MAX_ITEMS)[:MAX_ITEMS]]
    return [] if None in found else [value for value in found if value is not None]


def total(values: Sequence[float]) -> float | None:
    """Their sum; None where there are none."""
    return round(sum(values), DECIMALS) if values else None


def seconds(text: str) -> float | None:
    """The length of a time such as `1d 2h 6m 9s` or `1 hours 47 minutes`."""
    found = PERIOD.findall(text[:MAX_TEXT])
    return sum(float(amount) * SECONDS[unit.lower()] for amount, unit in found) if found else None


def clean(text: str) -> str:
    """A text for showing: without quotes, control characters and great length."""
    return "".join(filter(str.isprintable, text)).strip().strip('"').strip()[:MAX_TEXT]


def items(text: str) -> list[str]:
    """A list of names such as `"Generic PLA";PETG`; names may be quoted."""
    names = []
    for found in ITEM.finditer(text):
        names.append(clean(found[1] or found[2] or ""))
        if found.end() == len(text) or len(names) == MAX_ITEMS:
            break
    return names if any(names) else []


def colours(text: str) -> list[str]:
    """A list of colours; none where one of them is not a colour."""
    names = items(text)
    return names if all(map(COLOUR.fullmatch, names)) else []


def together(names: Sequence[str]) -> str | None:
    """One name as it is, several as a JSON array in a string; None where there are none."""
    if len(names) > 1:
        return json.dumps(list(names), ensure_ascii=False)
    return names[0] if names else None
