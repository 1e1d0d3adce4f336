"""The pages under /docs: what is served, with which headers, and that nothing of them comes from elsewhere."""

import re
from pathlib import Path

import httpx
import pytest

from bridge.pages import DOCUMENTS, FILES, PAGES, STATIC
from schemas.rpc import GENERATED
from tests.conftest import Run

from .wire import http_client, running

KINDS = {
    ".html": "text/html; charset=UTF-8",
    ".css": "text/css; charset=UTF-8",
    ".js": "text/javascript; charset=UTF-8",
    ".json": "application/json; charset=UTF-8",
}
SOURCES = sorted(STATIC.iterdir())
REFERENCE = re.compile(r"""(?:href|src)="([^"$]+)"|from "([^"]+)"|fetched\("(\w+)"\)|url\(([^)]+)\)""")


def fetch(run: Run[httpx.Response], path: str, verb: str = "GET") -> httpx.Response:
    async def ask() -> httpx.Response:
        async with running() as here, http_client(here.url) as client:
            return await client.request(verb, path)

    return run(ask())


@pytest.mark.parametrize("path", sorted(FILES))
def test_every_file_is_served_as_what_it_is(run: Run[httpx.Response], path: str) -> None:
    answer = fetch(run, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == KINDS[FILES[path].suffix]
    assert answer.content == FILES[path].read_bytes()


@pytest.mark.parametrize("path", sorted(PAGES))
def test_a_page_may_load_and_reach_nothing_from_elsewhere(run: Run[httpx.Response], path: str) -> None:
    headers = fetch(run, path).headers
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert rules.pop("img-src") == "data:"
    assert set(rules.values()) <= {"'none'", "'self'"}
    assert (rules["default-src"], rules["frame-ancestors"]) == ("'none'", "'none'")
    assert headers["x-content-type-options"] == "nosniff"


def test_all_documents_are_served_and_all_our_files_are_used() -> None:
    assert {GENERATED / name for name in DOCUMENTS} == set(GENERATED.iterdir())
    assert {file for file in FILES.values() if file.parent == STATIC} == set(SOURCES)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_what_a_file_refers_to_is_ours_and_there(source: Path) -> None:
    text = source.read_text()
    for link, module, document, address in REFERENCE.findall(text):
        target = link or module or address or f"/docs/{document}.json"
        assert target in FILES or target == "data:,", target
    assert "://" not in text.replace('"wss" : "ws"}://${location.host}${BASE}/websocket', "")
    assert not re.search(r"\bstyle=|\son\w+=\"|innerHTML|eval\(", text), "the policy forbids it"


def test_other_paths_below_and_other_verbs_are_refused_as_everywhere(run: Run[httpx.Response]) -> None:
    for path in ("/docs/pages.py", "/docs/%2e%2e/pages.py", "/docs/static/index.html", "/docs//index.html"):
        answer = fetch(run, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, 404)
    answer = fetch(run, "/docs", "POST")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, 405)


def test_only_the_head_is_answered_to_head(run: Run[httpx.Response]) -> None:
    answer = fetch(run, "/docs/openapi.json", "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len((GENERATED / "openapi.json").read_bytes())
