"""Where proxied requests may lead: to Spoolman's interface and nowhere else."""

from http.client import HTTPConnection
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.spoolman.proxy import address
from bus.errors import InvalidParams

RIGHT = [
    ("/v1/spool", None, "/v1/spool"),
    ("/v1/spool", "", "/v1/spool"),
    ("/v1/spool/5/use", None, "/v1/spool/5/use"),
    ("/v1/spool", 'limit=5&name=PLA+&location="A B"', "/v1/spool?limit=5&name=PLA+&location=%22A%20B%22"),
    ("/v1/location/Shelf A", None, "/v1/location/Shelf%20A"),
    ("/v1/location/Shelf%20A", None, "/v1/location/Shelf%20A"),
    ("/v1/location/Büro", "name=ü", "/v1/location/B%C3%BCro?name=%C3%BC"),
    ("/v1/location/a..b...c", None, "/v1/location/a..b...c"),
    ("/v1/location/50%", None, "/v1/location/50%"),
]
WRONG = [
    "",
    "/",
    "/v1",
    "v1/spool",
    "/v2/spool",
    "//evil.example/v1/spool",
    "http://evil.example/v1/spool",
    "@evil.example/v1/spool",
    ":80/v1/spool",
    "\\v1\\spool",
    "/v1/..",
    "/v1/../../admin",
    "/v1/./spool",
    "/v1/spool/%2e%2e/%2E%2e/admin",
    "/v1/%252e%252e/admin",
    "/v1/%25252e./admin",
    "/v1/..%2fadmin",
    "/v1/..\\admin",
    "/v1/..%5cadmin",
    "/v1/spool\r\nHost: evil.example",
    "/v1/spool%0d%0aHost: evil.example",
    "/v1/spool\x00",
    "/v1/spool\x7f",
    "/v1/spool?limit=1",
    "/v1/spool#top",
]


@pytest.mark.parametrize(("path", "query", "expected"), RIGHT)
def test_a_path_of_the_interface_is_passed_on(path: str, query: str | None, expected: str) -> None:
    assert address(path, query) == expected


@pytest.mark.parametrize("path", WRONG)
def test_no_path_leads_out_of_it(path: str) -> None:
    with pytest.raises(InvalidParams):
        address(path, None)


@pytest.mark.parametrize("query", ["a=1\r\nHost: x", "a\nb", "\x00"])
def test_no_query_ends_the_request(query: str) -> None:
    with pytest.raises(InvalidParams):
        address("/v1/spool", query)


@given(st.text("/.%25eEfF\\?#@:\r\n a", max_size=20), st.none() | st.text(max_size=10))
def test_whatever_is_asked_stays_below_the_interface(rest: str, query: str | None) -> None:
    try:
        found = address("/v1/" + rest, query)
    except InvalidParams:
        return
    HTTPConnection("127.0.0.1")._validate_path(found)  # type: ignore[attr-defined]
    parts = urlsplit("http://spoolman" + found)
    assert (parts.netloc, parts.fragment) == ("spoolman", "")
    assert parts.path.startswith("/v1/") and {".", ".."}.isdisjoint(unquote(parts.path).split("/"))
