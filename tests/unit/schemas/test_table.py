"""The method table: what it refuses, and how names find their rows."""

from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from schemas import METHODS, Method, NoParams, Permission, history, printer, table
from schemas.base import is_open, stem


def row(name: str, *http: str) -> Method[NoParams, str]:
    return Method(name, NoParams, str, "someone", Permission.READ, http)


def test_two_rows_may_not_share_a_name_or_a_route() -> None:
    with pytest.raises(ValueError, match=r"two methods are called a\.b"):
        table(SimpleNamespace(one=row("a.b"), two=row("a.b", "GET /a")))
    with pytest.raises(ValueError, match=r"GET /a belongs to both a\.b and a\.c"):
        table(SimpleNamespace(one=row("a.b", "GET /a"), two=row("a.c", "GET /a")))


def test_names_find_their_own_row_or_that_of_their_namespace() -> None:
    exact, of_many, other = row("a.b"), row("a.{rest}"), row("b.c")
    rows = table(SimpleNamespace(exact=exact, of_many=of_many, other=other))
    assert dict(rows) == {"a.b": exact, "a.{rest}": of_many, "b.c": other}
    assert rows.find("a.b") is exact
    assert rows.find("a.b.c") is rows.find("a.x") is of_many
    assert [rows.find(name) for name in ("", "a", "a.", ".b", "b.x", "ab.c")] == [None] * 6


def test_the_printer_has_a_row_for_everything_else_that_klipper_knows() -> None:
    assert METHODS.find("printer.angle.dump_angle") is printer.ENDPOINT
    assert METHODS.find("printer.info") is printer.INFO
    assert METHODS.find("server.nosuch") is None


def test_whole_numbers_come_in_many_forms() -> None:
    assert [history.ListParams.model_validate({"limit": given}).limit for given in (2, "2", 2.0)] == [2, 2, 2]
    for given in (2.5, float("nan"), float("inf"), "2.0", True, None):
        with pytest.raises(ValidationError):
            history.ListParams.model_validate({"limit": given})


def test_what_stands_for_many_says_so() -> None:
    assert is_open("/printer/{klippy_endpoint}") and not is_open("/printer/info")
    assert (stem("/printer/{klippy_endpoint}"), stem("/printer/info")) == ("/printer/", "/printer/info")
