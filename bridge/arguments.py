"""How the arguments of an HTTP request become params (behaviours.md section 2)."""

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any
from urllib.parse import parse_qsl

import orjson

from bus.errors import InvalidParams

Params = dict[str, Any]

CONTROL = frozenset(("_", "token", "access_token", "connection_id"))
MAX_FIELDS = 1000  # of a query string or a form


def _int(text: str) -> int:
    number = int(text)
    if number.bit_length() >= 64:
        raise ValueError("over 64 bits")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("JSON has no such number")
    return number


_HINTS: dict[str, Callable[[str], Any]] = {
    "int": _int,
    "float": _float,
    "bool": lambda text: text.lower() == "true",
    "json": orjson.loads,
}


class Arguments:
    """What one request brought along: fields of query and form as text, and the members of a JSON body."""

    __slots__ = ("fields", "members")

    def __init__(self, query: bytes, content_type: bytes, body: bytes) -> None:
        """Raises InvalidParams for what is not UTF-8, too much, or a JSON body that is not an object."""
        self.fields: list[tuple[str, str]] = _fields(query) if query else []
        self.members: Params = {}
        if not body:
            return
        kind = content_type.partition(b";")[0].strip().lower()
        if kind == b"application/json":
            self.members = _members(body)
        elif kind == b"application/x-www-form-urlencoded":
            self.fields += _fields(body)
        elif kind == b"multipart/form-data":
            self.fields += _parts(content_type, body)

    def named(self) -> Params:
        """Named arguments with their type hints applied; control keys are left out, the body wins."""
        found = dict(_hinted(key, text) for key, text in self.fields if key not in CONTROL)
        return {key: value for key, value in (found | self.members).items() if key not in CONTROL}

    def objects(self) -> Params:
        """An object request: every key names an object, its value a comma list of fields, all of them where empty."""
        if "objects" in self.members:
            return {"objects": self.members["objects"]}
        return {"objects": {key: text.split(",") if text else None for key, text in self.fields if key not in CONTROL}}

    @property
    def connection(self) -> int | None:
        """The websocket that a subscription is for; None where it is missing or not a number."""
        value = self.members.get("connection_id")
        if value is None:
            texts = [text for key, text in self.fields if key.partition(":")[0] == "connection_id"]
            value = texts[-1] if texts else None
        try:
            return int(value) if isinstance(value, (int, str)) else None
        except ValueError:
            return None


def _hinted(key: str, text: str) -> tuple[str, Any]:
    """Name and value of a field; a hint that is unknown or does not fit leaves the text."""
    name, colon, hint = key.rpartition(":")
    if not colon:
        return key, text
    convert = _HINTS.get(hint)
    try:
        return name, text if convert is None else convert(text)
    except ValueError:
        return name, text


def _fields(encoded: bytes) -> list[tuple[str, str]]:
    try:
        text = encoded.decode()
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise InvalidParams("Arguments must be UTF-8") from None
    except ValueError:
        raise InvalidParams(f"At most {MAX_FIELDS} arguments are accepted") from None


def _members(body: bytes) -> Params:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}  # clients send this header with bodies that are no JSON; Moonraker lets that pass
    if not isinstance(parsed, dict):
        raise InvalidParams("The JSON body must be an object of named arguments")
    return parsed


def _parts(content_type: bytes, body: bytes) -> Iterable[tuple[str, str]]:
    from email import policy  # not at the start: it takes half a megabyte
    from email.parser import BytesParser

    message = BytesParser(policy=policy.HTTP).parsebytes(b"Content-Type: %b\r\n\r\n%b" % (content_type, body))
    found = []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and part.get_filename() is None:
            found.append((name, _text(part.get_payload(decode=True))))
    return found


def _text(content: Any) -> str:
    try:
        return content.decode() if isinstance(content, bytes) else ""
    except UnicodeDecodeError:
        raise InvalidParams("Arguments must be UTF-8") from None
