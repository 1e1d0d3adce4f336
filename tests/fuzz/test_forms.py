"""Multipart forms, whole and mutilated, in pieces of any size: the same comes out, or a right error."""

from collections.abc import Sequence
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from bridge.multipart import Form
from bus.errors import BusError
from tests.file_client import BOUNDARY, field, file_part, form

CONTENT_TYPE = b"multipart/form-data; boundary=" + BOUNDARY
NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=200)
CUTS = st.lists(st.integers(1, 4000), max_size=30)


def pieces(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """A body in pieces of these sizes, the last one being the rest."""
    found, at = [], 0
    for size in cuts:
        found.append(body[at : at + size])
        at += size
    return [*found, body[at:]]


def read(parts: Sequence[bytes]) -> tuple[Form, bytes]:
    """The form, and the content of its file."""
    content: list[bytes] = []
    found = Form(CONTENT_TYPE, lambda part: content.append(bytes(part)))
    for part in parts:
        found.feed(part)
    return found, b"".join(content)


@given(st.dictionaries(NAMES, VALUES, max_size=5), NAMES, st.binary(max_size=5000), CUTS)
def test_what_was_sent_comes_out(fields: dict[str, str], filename: str, content: bytes, cuts: list[int]) -> None:
    body = form(*(field(name, value) for name, value in fields.items()), file_part(filename, content))
    found, received = read(pieces(body, cuts))
    assert (found.fields, found.filename, received, found.complete) == (fields, filename, content, True)


@given(VALUES)
def test_the_encoded_name_of_a_file_is_the_one_that_counts(name: str) -> None:
    extra = f"; filename*=utf-8''{quote(name, safe='')}"
    assert read([form(file_part("=?utf-8?B?dMO8ci5nY29kZQ==?=", b"G28", extra=extra))])[0].filename == name


@given(st.binary(max_size=2000), st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=8)), max_size=8), CUTS)
def test_a_mutilated_form_is_read_or_refused(content: bytes, damage: list[tuple[int, bytes]], cuts: list[int]) -> None:
    body = bytearray(form(field("root", "gcodes"), file_part("a.gcode", content), field("path", "x")))
    for at, junk in damage:
        body[at % len(body) : at % len(body) + len(junk) // 2] = junk
    try:
        _, received = read(pieces(bytes(body), cuts))
    except BusError:
        return
    assert len(received) <= len(body)


@given(st.binary(max_size=200), st.binary(max_size=2000))
def test_any_header_and_any_body_are_read_or_refused(content_type: bytes, body: bytes) -> None:
    for header in (content_type, b"multipart/form-data; boundary=" + content_type, CONTENT_TYPE):
        try:
            Form(header, lambda _part: None).feed(body)
        except BusError:
            continue
