"""What HTTP has besides methods: the front page, the redirect, a prefix for everything, and all of it over HTTPS."""

import ssl
import subprocess
from pathlib import Path
from shutil import copyfile
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from bridge.settings import BridgeSettings
from bridge.tls import context
from bus.errors import Unavailable
from tests.conftest import Run
from tests.unit.bridge.wire import INFO, http_client, running

SEEN = INFO | {
    "klippy_state": "shutdown",
    "api_version_string": "1.5.0",
    "components": ["data_store"],
    "failed_components": [],
    "warnings": ["<b>A & B</b>"],
}
DOMAINS = ("https://my.mainsail.xyz", "http://*.local", "http://*.local:*", "http://[fd00::1]")


async def page(prefix: str = "", **settings: Any) -> httpx.Response:
    headers = settings.pop("headers", {})
    async with running(**settings) as behind, http_client(behind.url) as http:
        behind.router.answers["server.info"] = lambda _: SEEN
        return await http.get("/", headers=headers)


def test_the_front_page_says_how_the_server_is(run: Run[httpx.Response]) -> None:
    answer = run(page(cors_domains=DOMAINS[:1]))
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=UTF-8"
    for said in ("127.0.0.1 has access", "shutdown", "data_store", "&lt;b&gt;A &amp; B&lt;/b&gt;", DOMAINS[0]):
        assert said in answer.text
    assert "'none'" in answer.headers["content-security-policy"] and "$" not in answer.text


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"X-Forwarded-For": "8.8.8.8"}, "Your address has no access"),
        ({"X-Api-Key": "wrong"}, "Your address has no access"),
        ({"Host": "rebound.example.org"}, "This host name is not one of the server&#x27;s"),
    ],
)
def test_who_has_no_access_is_told_so_and_nothing_else(
    run: Run[httpx.Response], headers: dict[str, str], said: str
) -> None:
    answer = run(page(headers=headers))
    assert answer.status_code == 200
    assert said in answer.text and "shutdown" not in answer.text and "A &amp; B" not in answer.text


def test_the_front_page_stands_also_while_nothing_answers(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, http_client(behind.url) as http:

            def away(_: object) -> None:
                raise Unavailable("Agent 'core' is not running")

            behind.router.answers["server.info"] = away
            assert "Agent &#x27;core&#x27; is not running" in (await http.get("/")).text

    run(main())


@pytest.mark.parametrize(
    "url",
    [
        "https://my.mainsail.xyz",
        "https://my.mainsail.xyz/?printer=a#b",
        "http://printer.local/x",
        "http://a.local:8080/",
        "http://[fd00::1]/",
    ],
)
def test_a_redirect_leads_to_configured_origins(run: Run[None], url: str) -> None:
    async def main() -> None:
        async with running(cors_domains=DOMAINS) as behind, http_client(behind.url) as http:
            for headers in ({}, {"X-Forwarded-For": "8.8.8.8"}):  # open to everybody
                answer = await http.get("/server/redirect", params={"url": url}, headers=headers)
                assert (answer.status_code, answer.headers["location"]) == (302, url)

    run(main())


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "my.mainsail.xyz",
        "//my.mainsail.xyz",
        "javascript:alert(1)",
        "ftp://printer.local/",
        "https://my.mainsail.xyz.evil.example/",
        "https://evil.example/https://my.mainsail.xyz",
        "https://my.mainsail.xyz@evil.example/",
        "https://evil.example\\@my.mainsail.xyz/",
        "http://evil.example/.local",
        "http://evil.example?.local",
        "http://evil.example#.local",
        "http://evil.example:80:.local",
        "http://printer.local:99999/",
        "http://printer.local/\r\nSet-Cookie: a=b",
        " https://my.mainsail.xyz",
        "http://127.0.0.1/",
    ],
)
def test_a_redirect_leads_nowhere_else(run: Run[None], url: str | None) -> None:
    async def main() -> None:
        async with running(cors_domains=DOMAINS) as behind, http_client(behind.url) as http:
            answer = await http.get("/server/redirect", params={} if url is None else {"url": url})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)
            assert "location" not in answer.headers

    run(main())


def test_without_domains_there_is_no_redirect(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, http_client(behind.url) as http:
            assert (await http.get("/server/redirect?url=http://a.local/")).status_code == 400
            assert (await http.post("/server/redirect")).status_code == 405

    run(main())


@pytest.mark.parametrize("given", ["voron", "/voron", "voron/", "/voron/"])
def test_everything_is_below_the_prefix_and_nothing_beside_it(run: Run[None], given: str) -> None:
    async def main() -> None:
        async with running(route_prefix=given) as behind, http_client(behind.url.removesuffix("/voron")) as http:
            assert behind.url.endswith("/voron")
            behind.router.answers["server.info"] = lambda _: SEEN
            assert (await http.get("/voron/server/info")).json() == {"result": SEEN}
            request = {"jsonrpc": "2.0", "method": "server.info", "id": 1}
            assert (await http.post("/voron/server/jsonrpc", json=request)).json()["result"] == SEEN
            for path in ("/voron", "/voron/"):
                assert 'href="/voron/docs/docs.css"' in (await http.get(path)).text
            for path in ("/server/info", "/", "/docs", "/voronserver/info", "/voron/voron/server/info", "/vor", "//"):
                answer = await http.get(path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, 404), path
            async with connect(f"{behind.ws_url}/websocket") as socket:
                await socket.ping()
            with pytest.raises(Exception, match="404"):
                await connect(behind.ws_url.removesuffix("/voron") + "/websocket")

    run(main())


def test_pages_below_a_prefix_refer_to_what_is_there(run: Run[None]) -> None:
    async def main() -> None:
        async with running(route_prefix="a/b") as behind, http_client(behind.url.removesuffix("/a/b")) as http:
            for name in ("", "/topics", "/docs.js", "/methods.js", "/try.js", "/topics.js"):
                answer = await http.get(f"/a/b/docs{name}")
                assert answer.status_code == 200
                links = answer.text.count('"/docs')
                assert not links and (name == "/docs.css" or '"/a/b/docs' in answer.text), name

    run(main())


@pytest.mark.parametrize("wrong", ["", "/", "a//b", "a b", "../a", "a/..", "a?b", "ä", "a%2fb"])
def test_a_prefix_must_be_a_path(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected a path"):
        BridgeSettings(route_prefix=wrong)


def trusting(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates / "ca.pem")


def install(certificates: Path, data: Path) -> None:
    (data / "certs").mkdir(parents=True)
    copyfile(certificates / "server.pem", data / "certs" / "moonraker.cert")
    copyfile(certificates / "server.key", data / "certs" / "moonraker.key")


@pytest.mark.parametrize("named", [False, True])
def test_with_a_certificate_everything_is_there_over_https_too(
    run: Run[None], certificates: Path, tmp_path: Path, named: bool
) -> None:
    paths: dict[str, Any] = {
        "ssl_certificate_path": certificates / "server.pem",
        "ssl_key_path": certificates / "server.key",
    }
    if not named:
        paths = {}
        install(certificates, tmp_path)

    async def main() -> None:
        trusted = trusting(certificates)
        async with running(data=tmp_path, ssl_port=0, **paths) as behind:
            plain, secure = behind.bridge.urls
            assert (plain[:5], secure[:6], behind.bridge.warning) == ("http:", "https:", None)
            async with httpx.AsyncClient(verify=trusted, trust_env=False, timeout=20) as http:
                for url in (plain, secure):
                    assert (await http.get(f"{url}/server/info")).json() == {"result": INFO}
            async with connect(f"{secure.replace('http', 'ws', 1)}/websocket", ssl=trusted) as socket:
                await socket.send('{"jsonrpc":"2.0","method":"server.info","id":1}')
                assert '"result"' in str(await socket.recv())

    run(main())


def test_versions_of_tls_that_are_broken_are_not_spoken(certificates: Path) -> None:
    made = context(certificates / "server.pem", certificates / "server.key")
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("fault", ["no certificate", "missing", "another key", "port", "password"])
def test_what_is_wrong_with_https_is_said_and_http_answers(
    run: Run[None], certificates: Path, tmp_path: Path, fault: str
) -> None:
    install(certificates, tmp_path)
    certs = tmp_path / "certs"
    settings: dict[str, Any] = {"ssl_port": 0}
    if fault == "no certificate":
        (certs / "moonraker.cert").write_text("nothing of the kind")
    elif fault == "missing":
        settings |= {"ssl_certificate_path": certs / "other.pem", "ssl_key_path": certs / "moonraker.key"}
    elif fault == "another key":
        copyfile(certificates / "client.key", certs / "moonraker.key")
    elif fault == "password":
        encrypt(certificates / "server.key", certs / "moonraker.key")

    async def main() -> None:
        async with running() as other:
            taken = {"ssl_port": other.port} if fault == "port" else {}
            async with running(data=tmp_path, **{**settings, **taken}) as behind, http_client(behind.url) as http:
                assert behind.bridge.warning is not None and "There is no HTTPS: " in behind.bridge.warning
                assert len(behind.bridge.urls) == 1
                assert (await http.get("/server/info")).json() == {"result": INFO}

    run(main())


def encrypt(key: Path, target: Path) -> None:
    command = ["openssl", "pkcs8", "-topk8", "-in", str(key), "-out", str(target), "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)


def test_certificate_and_key_belong_together() -> None:
    with pytest.raises(ValueError, match="belong together"):
        BridgeSettings(ssl_certificate_path=Path("a.pem"))
