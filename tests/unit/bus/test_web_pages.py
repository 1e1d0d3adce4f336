"""Host names and origins: what is ours, and what only looks like it."""

import pytest

from bus.errors import Forbidden
from bus.web_pages import WebPages, domain_fault, is_loopback, origin_of


def pages(*domains: str, hosts: tuple[str, ...] = (), trusted: tuple[str, ...] = ()) -> WebPages:
    return WebPages(domains, hosts, lambda address: is_loopback(address) or address in trusted)


def seen(**headers: str) -> dict[bytes, bytes]:
    given = {"host": "localhost"} | headers
    return {name.replace("_", "-").encode(): value.encode() for name, value in given.items()}


@pytest.mark.parametrize(
    "host",
    ["localhost:7125", "127.0.0.1", "192.168.1.5:7125", "[::1]:7125", "voron", "Voron.local.", "x.home.arpa:80", ""],
)
def test_hosts_that_only_the_own_network_can_name(host: str) -> None:
    pages().check_host(seen(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7125",
        "127.0.0.1.evil.example",
        "local.evil",
        "[evil.example]",
        "voron@evil.example",
        "evil.example/voron",
        "voron, evil.example",
        "voron evil",
        "voron:evil",
        "1.2.3.4.5",
        "[1.2.3.4",
        "\xe9vil",
    ],
)
def test_other_host_names_are_refused_unless_configured(host: str) -> None:
    with pytest.raises(Forbidden):
        pages().check_host(seen(host=host))


def test_configured_hosts() -> None:
    named = pages(hosts=("Print.Example.org",))
    named.check_host(seen(host="print.example.org:7125"))
    with pytest.raises(Forbidden):
        named.check_host(seen(host="print.example.org.evil"))


OWN = (
    "http://localhost:8080",
    "http://127.0.0.1",
    "https://[::1]:1",
    "http://voron:80",
    "http://VORON",
    "HTTP://voron",
)
FOREIGN = (
    "null",
    "",
    "file://",
    "http://evil.example",
    "http://voron.evil.example",
    "http://evil.example/voron",
    "http://voron@evil.example",
    "http://voron\\.evil.example",
    "http://evil.example#voron",
    "http://voronx",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://voron, http://evil.example",
    "javascript://voron",
)


@pytest.mark.parametrize("origin", OWN)
def test_origins_that_are_ours(origin: str) -> None:
    pages().check_change(seen(host="voron:7125", origin=origin), "POST")
    pages().check_socket(seen(host="voron:7125", origin=origin))


@pytest.mark.parametrize("origin", FOREIGN)
def test_origins_that_are_not(origin: str) -> None:
    for configured in (pages(), pages("*://my.mainsail.xyz"), pages("http://*.local", "*.lan")):
        with pytest.raises(Forbidden):
            configured.check_change(seen(host="voron:7125", origin=origin), "POST")
        with pytest.raises(Forbidden):
            configured.check_socket(seen(host="voron:7125", origin=origin))
        assert not configured.shares(origin.encode())


def test_nobody_is_null() -> None:
    everyone = pages("*")
    everyone.check_socket(seen(origin="https://my.mainsail.xyz"))
    assert everyone.shares(b"https://my.mainsail.xyz")
    for nobody in ("null", "", "file://"):
        assert not everyone.shares(nobody.encode())
        with pytest.raises(Forbidden):
            everyone.check_socket(seen(origin=nobody))


def test_configured_origins() -> None:
    some = pages("*://my.mainsail.xyz", "http://*.lan", "app://obico", trusted=("192.168.1.5",))
    for origin in ("https://my.mainsail.xyz", "http://a.lan", "http://192.168.1.5:90", "app://obico"):
        some.check_change(seen(origin=origin), "POST")
        some.check_socket(seen(origin=origin))
        assert some.shares(origin.encode())
    for origin in (
        "https://evil-my.mainsail.xyz.evil",
        "https://evil-my.mainsail.xyz",
        "https://my.mainsail.xyz.evil.example",
        "https://my.mainsail.xyz:444",
        "http://a.lan.evil",
        "http://192.168.1.50",
        "http://evil.example/.lan",
        "http://evil.example:80.lan",
        "app://obico.evil",
    ):
        with pytest.raises(Forbidden):
            some.check_change(seen(origin=origin), "POST")
        assert not some.shares(origin.encode())


def test_answers_are_shared_only_when_domains_are_configured() -> None:
    assert not pages().shares(b"http://localhost:8080")
    assert not pages("*.lan").shares(b"http://localhost:8080")
    assert pages("*.lan").shares(b"http://127.0.0.1:8080")


def test_requests_of_browsers_without_an_origin() -> None:
    for site in ("same-origin", "same-site", "none"):
        pages().check_change(seen(sec_fetch_site=site), "GET")
    for site in ("cross-site", "rubbish"):
        with pytest.raises(Forbidden):
            pages().check_change(seen(sec_fetch_site=site), "GET")
    browser = {"user_agent": "Mozilla/5.0"}
    pages().check_change(seen(**browser, referer="http://localhost/panel?x=1"), "GET")
    for referer in ({"referer": "http://evil.example/localhost"}, {"referer": "http://localhost@evil.example/"}, {}):
        with pytest.raises(Forbidden):
            pages().check_change(seen(**browser, **referer), "GET")
    pages().check_change(seen(user_agent="curl/8"), "GET")


@pytest.mark.parametrize(
    "pattern",
    ["*", "http://*.local", "*.local", "*://my.mainsail.xyz:*", "*my.mainsail.xyz", "app://x", "http://[::1]:80"],
)
def test_patterns(pattern: str) -> None:
    assert domain_fault(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    ["", "**", "http://*", "http://*:80", "*.*", "http://a.*", "http://192.168.1.*", "http://a.b/", "http://a/b", "a.b",
     "http://a.l*", "http://u@a", "http://a b", "null"],
)  # fmt: skip
def test_patterns_that_would_open_too_much_or_mean_nothing(pattern: str) -> None:
    assert domain_fault(pattern)


def test_origin_of_a_page() -> None:
    assert origin_of("https://A.example:8080/x?y#z") == "https://a.example:8080"
    assert origin_of("http://[::1]/") == "http://[::1]"
    for doubtful in ("http://u@a/", "ftp://a", "http://a\\b", "//a", "http://a:999999/", "http://a\n/"):
        assert origin_of(doubtful) is None


def test_what_is_remembered_is_bounded() -> None:
    busy = pages()
    for number in range(3000):
        busy.check_host(seen(host=f"name{number}"))
    with pytest.raises(Forbidden):
        busy.check_host(seen(host="evil.example"))
