"""Who is let in: addresses, forwarding headers, host names, origins."""

import pytest

from bridge.auth import Gate, watched
from bridge.settings import BridgeSettings
from bus.errors import Forbidden, Unauthenticated

LOCAL = "127.0.0.1"


def gate(**settings: object) -> Gate:
    return Gate(BridgeSettings.model_validate(settings))


def seen(**headers: str) -> dict[bytes, bytes]:
    return {
        name.replace("_", "-").encode(): value.encode() for name, value in ({"host": "localhost"} | headers).items()
    }


@pytest.mark.parametrize("peer", [LOCAL, "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_trusted(peer: str) -> None:
    assert gate().admit(peer, seen()) == peer


@pytest.mark.parametrize("peer", ["192.168.1.5", "10.0.0.1", "8.8.8.8", "fe80::1%eth0", "2001:db8::1", "", "rubbish"])
def test_nobody_else_is(peer: str) -> None:
    with pytest.raises(Unauthenticated):
        gate().admit(peer, seen())


def test_configured_addresses_and_ranges_are() -> None:
    trusting = gate(trusted_clients=["192.168.1.0/24", "10.0.0.7", "fe80::/10"])
    for peer in ("192.168.1.5", "10.0.0.7", "fe80::1%eth0", "::ffff:10.0.0.7"):
        assert trusting.admit(peer, seen()) == peer
    for peer in ("192.168.2.5", "10.0.0.8"):
        with pytest.raises(Unauthenticated):
            trusting.admit(peer, seen())


@pytest.mark.parametrize("name", ["x_forwarded_for", "x_real_ip", "forwarded", "x_forwarded_proto", "x_forwarded_host"])
def test_a_proxy_that_is_not_configured_is_never_trusted(name: str) -> None:
    with pytest.raises(Unauthenticated):
        gate(trusted_clients=["0.0.0.0/0"]).admit(LOCAL, seen(**{name: "127.0.0.1"}))


def test_behind_a_configured_proxy_the_address_is_the_forwarded_one() -> None:
    behind = gate(proxies=["127.0.0.1", "10.0.0.0/8"], trusted_clients=["192.168.1.5"])
    assert behind.admit(LOCAL, seen(x_forwarded_for="192.168.1.5")) == "192.168.1.5"
    assert behind.admit(LOCAL, seen(x_real_ip="192.168.1.5")) == "192.168.1.5"
    assert behind.admit(LOCAL, seen(x_forwarded_for="6.6.6.6, 192.168.1.5, 10.1.1.1")) == "192.168.1.5"
    for forged in ("192.168.1.5, 6.6.6.6", "127.0.0.1, 6.6.6.6", "", "rubbish"):
        with pytest.raises(Unauthenticated):
            behind.admit(LOCAL, seen(x_forwarded_for=forged))
    with pytest.raises(Unauthenticated):
        behind.admit(LOCAL, seen(forwarded="for=192.168.1.5"))


@pytest.mark.parametrize("headers", [{"authorization": "Bearer a.b.c"}, {"x_api_key": "x"}, {"x_access_token": "x"}])
def test_credentials_that_nobody_has_are_refused_even_from_here(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated, match="Unauthorized"):
        gate().admit(LOCAL, seen(**headers))


def test_an_authorization_that_is_no_token_does_not_count() -> None:
    assert gate().admit(LOCAL, seen(authorization="Basic eDp5")) == LOCAL


@pytest.mark.parametrize(
    "host",
    [
        "localhost:7125",
        "127.0.0.1",
        "192.168.1.5:7125",
        "[::1]:7125",
        "voron",
        "Voron.local.",
        "x.home.arpa:80",
        "a.lan",
        "",
    ],
)
def test_hosts_that_only_the_own_network_can_name(host: str) -> None:
    assert gate().admit(LOCAL, seen(host=host)) == LOCAL


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7125", "127.0.0.1.evil.example", "local.evil", "[evil.example]"]
)
def test_other_host_names_are_refused_unless_configured(host: str) -> None:
    with pytest.raises(Forbidden):
        gate().admit(LOCAL, seen(host=host))


def test_configured_hosts() -> None:
    assert gate(hosts=["Print.Example.org"]).admit(LOCAL, seen(host="print.example.org:7125")) == LOCAL


OWN = ("http://localhost:8080", "http://127.0.0.1", "https://[::1]:1", "http://voron:80", "http://VORON")
FOREIGN = ("http://evil.example", "null", "", "http://voron.evil.example", "http://evil.example/voron", "file://")


@pytest.mark.parametrize("origin", OWN)
def test_origins_that_are_ours(origin: str) -> None:
    gate().check_page(seen(host="voron:7125", origin=origin), "POST")


@pytest.mark.parametrize("origin", FOREIGN)
def test_origins_that_are_not(origin: str) -> None:
    with pytest.raises(Forbidden):
        gate().check_page(seen(host="voron:7125", origin=origin), "POST")


def test_configured_origins() -> None:
    some = gate(cors_domains=["*://my.mainsail.xyz", "http://*.lan"], trusted_clients=["192.168.1.5"])
    for origin in ("https://my.mainsail.xyz", "http://a.lan", "http://192.168.1.5:90"):
        some.check_page(seen(origin=origin), "POST")
        assert some.shares(origin.encode())
    for origin in ("https://evil-my.mainsail.xyz.evil", "https://my.mainsail.xyz.evil.example", "http://a.lan.evil"):
        with pytest.raises(Forbidden):
            some.check_page(seen(origin=origin), "POST")
        assert not some.shares(origin.encode())


def test_answers_are_shared_only_when_domains_are_configured() -> None:
    assert not gate().shares(b"http://localhost:8080")
    assert gate(cors_domains=["*.lan"]).shares(b"http://localhost:8080") is False
    assert gate(cors_domains=["*.lan"]).shares(b"http://127.0.0.1:8080")


def test_requests_of_browsers_without_an_origin() -> None:
    for site in ("same-origin", "same-site", "none"):
        gate().check_page(seen(sec_fetch_site=site), "GET")
    with pytest.raises(Forbidden):
        gate().check_page(seen(sec_fetch_site="cross-site"), "GET")
    browser = {"user_agent": "Mozilla/5.0"}
    gate().check_page(seen(**browser, referer="http://localhost/panel?x=1"), "GET")
    for referer in ({"referer": "http://evil.example/localhost"}, {}):
        with pytest.raises(Forbidden):
            gate().check_page(seen(**browser, **referer), "GET")
    gate().check_page(seen(user_agent="curl/8"), "GET")


def test_what_is_remembered_is_bounded() -> None:
    busy = gate()
    for number in range(3000):
        assert busy.admit(LOCAL, seen(host=f"name{number}")) == LOCAL
    with pytest.raises(Forbidden):
        busy.admit(LOCAL, seen(host="evil.example"))


def test_only_watched_headers_are_looked_at() -> None:
    assert watched([(b"host", b"a"), (b"accept", b"*/*"), (b"origin", b"b")]) == {b"host": b"a", b"origin": b"b"}
