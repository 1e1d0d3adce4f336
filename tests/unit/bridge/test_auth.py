"""Who is let in: addresses and forwarding headers."""

import pytest

from bridge.auth import Gate, watched
from bridge.settings import BridgeSettings
from bus.errors import Unauthenticated

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
    assert behind.admit(LOCAL, watched([(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"192.168.1.5")]))
    with pytest.raises(Unauthenticated):
        behind.admit(LOCAL, watched([(b"x-forwarded-for", b"192.168.1.5"), (b"x-forwarded-for", b"6.6.6.6")]))


@pytest.mark.parametrize("headers", [{"authorization": "Bearer a.b.c"}, {"x_api_key": "x"}, {"x_access_token": "x"}])
def test_credentials_that_nobody_has_are_refused_even_from_here(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated, match="Unauthorized"):
        gate().admit(LOCAL, seen(**headers))


def test_an_authorization_that_is_no_token_does_not_count() -> None:
    assert gate().admit(LOCAL, seen(authorization="Basic eDp5")) == LOCAL


def test_what_is_remembered_is_bounded() -> None:
    busy = gate(trusted_clients=["10.0.0.0/8"])
    assert all(busy.trusts(f"10.0.{number // 250}.{number % 250}") for number in range(3000))
    assert not busy.trusts("11.0.0.1")


def test_only_watched_headers_are_looked_at() -> None:
    assert watched([(b"host", b"a"), (b"accept", b"*/*"), (b"origin", b"b")]) == {b"host": b"a", b"origin": b"b"}


def test_what_comes_twice_is_neither() -> None:
    assert watched([(b"host", b"a"), (b"host", b"b")]) == {b"host": b"a, b"}
