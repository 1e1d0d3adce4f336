"""Who is let in: addresses and forwarding headers."""

from collections.abc import Sequence

import pytest

from bridge.auth import Gate, watched
from bridge.callers import credentials_of
from bridge.settings import BridgeSettings
from bus.authorization import Authorization
from bus.identity import Scheme
from bus.trust import Trust

LOCAL = "127.0.0.1"


def gate(trusted_clients: Sequence[str] = (), **settings: object) -> Gate:
    authorization = Authorization.model_validate({"trusted_clients": trusted_clients})
    return Gate(BridgeSettings.model_validate(settings), Trust(authorization.trusted_clients))


def trusted(some: Gate, peer: str, headers: dict[bytes, bytes]) -> str | None:
    """The address of a caller with rights of its own."""
    address = some.address_of(peer, headers)
    return address if some.trusts(address) else None


def seen(**headers: str) -> dict[bytes, bytes]:
    return {
        name.replace("_", "-").encode(): value.encode() for name, value in ({"host": "localhost"} | headers).items()
    }


@pytest.mark.parametrize("peer", [LOCAL, "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_trusted(peer: str) -> None:
    assert trusted(gate(), peer, seen()) == peer


@pytest.mark.parametrize("peer", ["192.168.1.5", "10.0.0.1", "8.8.8.8", "fe80::1%eth0", "2001:db8::1", "", "rubbish"])
def test_nobody_else_is(peer: str) -> None:
    assert trusted(gate(), peer, seen()) is None


def test_configured_addresses_and_ranges_are() -> None:
    trusting = gate(trusted_clients=["192.168.1.0/24", "10.0.0.7", "fe80::/10"])
    for peer in ("192.168.1.5", "10.0.0.7", "fe80::1%eth0", "::ffff:10.0.0.7"):
        assert trusted(trusting, peer, seen()) == peer
    for peer in ("192.168.2.5", "10.0.0.8"):
        assert trusted(trusting, peer, seen()) is None


@pytest.mark.parametrize("name", ["x_forwarded_for", "x_real_ip", "forwarded", "x_forwarded_proto", "x_forwarded_host"])
def test_a_proxy_that_is_not_configured_is_never_trusted(name: str) -> None:
    assert trusted(gate(trusted_clients=["0.0.0.0/0"]), LOCAL, seen(**{name: "127.0.0.1"})) is None


def test_behind_a_configured_proxy_the_address_is_the_forwarded_one() -> None:
    behind = gate(proxies=["127.0.0.1", "10.0.0.0/8"], trusted_clients=["192.168.1.5"])
    assert trusted(behind, LOCAL, seen(x_forwarded_for="192.168.1.5")) == "192.168.1.5"
    assert trusted(behind, LOCAL, seen(x_real_ip="192.168.1.5")) == "192.168.1.5"
    assert trusted(behind, LOCAL, seen(x_forwarded_for="6.6.6.6, 192.168.1.5, 10.1.1.1")) == "192.168.1.5"
    for forged in ("192.168.1.5, 6.6.6.6", "127.0.0.1, 6.6.6.6", "", "rubbish"):
        assert trusted(behind, LOCAL, seen(x_forwarded_for=forged)) is None
    assert trusted(behind, LOCAL, seen(forwarded="for=192.168.1.5")) is None
    assert trusted(behind, LOCAL, watched([(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"192.168.1.5")]))
    twice = watched([(b"x-forwarded-for", b"192.168.1.5"), (b"x-forwarded-for", b"6.6.6.6")])
    assert trusted(behind, LOCAL, twice) is None


@pytest.mark.parametrize(
    ("query", "headers", "shown"),
    [
        (b"", {"authorization": "Bearer a.b.c"}, [(Scheme.TOKEN, "a.b.c")]),
        (b"", {"authorization": "bearer  a.b.c "}, [(Scheme.TOKEN, "a.b.c")]),
        (
            b"",
            {"authorization": "Bearer 0123456789abcdef"},
            [(Scheme.KEY, "0123456789abcdef")],
        ),  # as OctoPrint takes it
        (b"", {"x_access_token": "a.b.c"}, [(Scheme.TOKEN, "a.b.c")]),
        (b"access_token=a.b.c", {}, [(Scheme.TOKEN, "a.b.c")]),
        (b"token=ABC", {}, [(Scheme.ONESHOT, "ABC")]),
        (b"", {"x_api_key": "abc"}, [(Scheme.KEY, "abc")]),
        (b"token=ABC", {"x_api_key": "abc"}, [(Scheme.ONESHOT, "ABC"), (Scheme.KEY, "abc")]),
        (b"token=ABC&access_token=a.b.c", {"x_api_key": "abc"}, [(Scheme.TOKEN, "a.b.c")]),
        (b"", {"authorization": "Basic eDp5", "x_access_token": "a.b.c"}, []),
        (b"", {"authorization": "Basic eDp5", "x_api_key": "abc"}, [(Scheme.KEY, "abc")]),
        (b"", {"x_api_key": ""}, []),  # slicers without a key send it empty
        (b"_=1&tokens=2", {}, []),
    ],
)
def test_what_a_request_shows(query: bytes, headers: dict[str, str], shown: list[tuple[Scheme, str]]) -> None:
    found = credentials_of(seen(**headers), query)
    assert [(each.scheme, each.value) for each in found] == shown
    assert "abc" not in repr(found).lower() and "a.b.c" not in repr(found)


def test_what_is_remembered_is_bounded() -> None:
    busy = gate(trusted_clients=["10.0.0.0/8"])
    assert all(busy.trusts(f"10.0.{number // 250}.{number % 250}") for number in range(3000))
    assert not busy.trusts("11.0.0.1")


def test_only_watched_headers_are_looked_at() -> None:
    assert watched([(b"host", b"a"), (b"accept", b"*/*"), (b"origin", b"b")]) == {b"host": b"a", b"origin": b"b"}


def test_what_comes_twice_is_neither() -> None:
    assert watched([(b"host", b"a"), (b"host", b"b")]) == {b"host": b"a, b"}
