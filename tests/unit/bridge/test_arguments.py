"""HTTP arguments: query, form and JSON body (behaviours.md section 2)."""

from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.arguments import MAX_FIELDS, Arguments
from bus.errors import InvalidParams

JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"


def named(query: bytes = b"", kind: bytes = b"", body: bytes = b"") -> object:
    return Arguments(query, kind, body).named()


def objects(query: bytes = b"", kind: bytes = b"", body: bytes = b"") -> object:
    return Arguments(query, kind, body).objects()["objects"]


def test_nothing() -> None:
    assert named() == {}
    assert objects() == {}


@given(st.dictionaries(st.text(st.characters(exclude_characters=":", codec="utf-8"), min_size=1), st.text()))
def test_query_values_are_text(values: dict[str, str]) -> None:
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in values.items())
    kept = {key: value for key, value in values.items() if key not in ("_", "token", "access_token", "connection_id")}
    assert named(query.encode()) == kept


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"seconds:int=120", {"seconds": 120}),
        (b"seconds:int=x", {"seconds": "x"}),
        (b"big:int=99999999999999999999", {"big": "99999999999999999999"}),
        (b"no:float=nan&far:float=1e999", {"no": "nan", "far": "1e999"}),
        (b"speed:float=1.5", {"speed": 1.5}),
        (b"on:bool=true&off:bool=FALSE&no:bool=1", {"on": True, "off": False, "no": False}),
        (b"on:bool=TRUE", {"on": True}),
        (b"value:json=%7B%22a%22%3A%5B1%5D%7D", {"value": {"a": [1]}}),
        (b"value:json=%7B", {"value": "{"}),
        (b"value:date=today", {"value": "today"}),
        (b"a:b:int=5", {"a:b": 5}),
        (b"dev_one&dev_two", {"dev_one": "", "dev_two": ""}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a=b+c%20d", {"a": "b c d"}),
        ("a=ü".encode(), {"a": "ü"}),
        (b"_=1&token=2&access_token=3&connection_id=4&a=5", {"a": "5"}),
        (b"token:int=2&_:json=1&a=5", {"a": "5"}),
    ],
)
def test_query(query: bytes, expected: object) -> None:
    assert named(query) == expected


def test_bodies_win_over_the_query() -> None:
    assert named(b"a=1&b=2", JSON, b'{"a":3}') == {"a": 3, "b": "2"}
    assert named(b"a=1&b=2", FORM, b"a=3") == {"a": "3", "b": "2"}
    assert named(b"", b"Application/JSON; charset=utf-8", b'{"a":[1]}') == {"a": [1]}
    assert named(b"", JSON, b'{"connection_id":1,"a":null}') == {"a": None}


def test_a_multipart_form() -> None:
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="script"\r\n\r\nG28\nM117 \xc3\xbc\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="n:int"\r\n\r\n7\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nnot an argument\r\n--cut--\r\n'
    )
    assert named(b"", b"multipart/form-data; boundary=cut", body) == {"script": "G28\nM117 ü", "n": 7}
    assert named(b"a=1", b"multipart/form-data; boundary=other", body) == {"a": "1"}


def test_a_json_body_that_does_not_parse_is_ignored() -> None:
    assert named(b"a=1", JSON, b"{bad") == {"a": "1"}
    assert named(b"a=1", b"text/plain", b'{"a":2}') == {"a": "1"}


@pytest.mark.parametrize("body", [b"[1]", b"[]", b"5", b'"x"', b"null"])
def test_a_json_body_that_is_no_object_is_an_error(body: bytes) -> None:
    with pytest.raises(InvalidParams, match="must be an object"):
        named(b"", JSON, body)


@pytest.mark.parametrize(
    ("query", "kind", "body"), [(b"a=%ff", b"", b""), (b"\xff=1", b"", b""), (b"", FORM, b"a=%fe")]
)
def test_text_must_be_utf8(query: bytes, kind: bytes, body: bytes) -> None:
    with pytest.raises(InvalidParams, match="UTF-8"):
        named(query, kind, body)


def test_fields_are_bounded() -> None:
    with pytest.raises(InvalidParams, match=str(MAX_FIELDS)):
        named(b"&".join(b"a%d=1" % number for number in range(MAX_FIELDS + 1)))


def test_object_requests() -> None:
    assert objects(b"toolhead=position,status&webhooks&_=1&connection_id=5&token=x&access_token=y") == {
        "toolhead": ["position", "status"],
        "webhooks": None,
    }
    assert objects(b"gcode_macro%20a:int=x") == {"gcode_macro a:int": ["x"]}
    assert objects(b"toolhead", JSON, b'{"objects":{"webhooks":null}}') == {"webhooks": None}
    assert objects(b"toolhead", JSON, b'{"connection_id":1}') == {"toolhead": None}
    assert objects(b"", JSON, b'{"objects":5}') == 5


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        (b"connection_id=12", b"", 12),
        (b"connection_id:int=12", b"", 12),
        (b"connection_id=12", b'{"connection_id":13}', 13),
        (b"", b'{"connection_id":"14"}', 14),
        (b"", b'{"connection_id":[1]}', None),
        (b"connection_id=x", b"", None),
        (b"", b"", None),
    ],
)
def test_connection_id(query: bytes, body: bytes, expected: int | None) -> None:
    assert Arguments(query, JSON, body).connection == expected


@given(
    st.binary(max_size=200),
    st.sampled_from((JSON, FORM, b"multipart/form-data; boundary=x", b"")),
    st.binary(max_size=200),
)
def test_rubbish_is_read_or_refused(query: bytes, kind: bytes, body: bytes) -> None:
    try:
        arguments = Arguments(query, kind, body)
        orjson.dumps(arguments.named())
        orjson.dumps(arguments.objects())
    except InvalidParams as error:
        assert error.message
