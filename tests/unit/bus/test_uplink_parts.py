"""The parts of an uplink that need no link: dialects, outbox, claims, versions, settings."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bus.claims import Claim
from bus.client import VERSION_REFUSED, LinkLost
from bus.dialects import DIALECTS, LONGEST_KEY, Kind, named_by
from bus.outbox import Outbox, Passing
from bus.uplink import MUTE, Versions
from bus.uplink_settings import UplinkSettings

LETTERS = st.text(st.sampled_from(list("aB9-_/ .*>%$ü+#2E")), min_size=1, max_size=40)
KINDS = st.sampled_from(list(DIALECTS))


# -- dialects


@given(KINDS, LETTERS)
def test_a_topic_comes_back_as_it_was(kind: Kind, topic: str) -> None:
    dialect = DIALECTS[kind]
    encoded = dialect.encode(topic)
    assert encoded is not None
    assert dialect.decode(encoded) == topic
    assert not set(encoded) & set(dialect.unsafe)
    assert encoded.count("/") == topic.count("/")


@given(KINDS, st.text(max_size=300))
def test_any_text_comes_back_or_is_left_out(kind: Kind, topic: str) -> None:
    dialect = DIALECTS[kind]
    encoded = dialect.encode(topic)
    if encoded is not None:
        assert dialect.decode(encoded) == topic


@given(KINDS, LETTERS)
def test_what_others_wrote_gets_no_new_levels_or_wildcards(kind: Kind, topic: str) -> None:
    decoded = DIALECTS[kind].decode(topic.replace("%", "%2F%2B%23%00"))
    assert decoded.count("/") == topic.count("/")
    assert [decoded.count(sign) for sign in "+#\0"] == [topic.count(sign) for sign in "+#\0"]


@pytest.mark.parametrize("kind", DIALECTS)
def test_control_characters_are_left_out(kind: Kind) -> None:
    assert DIALECTS[kind].encode("a/b\tc") is None


def test_what_is_too_long_for_a_routing_key_is_left_out() -> None:
    rabbitmq = DIALECTS["rabbitmq"]
    assert rabbitmq.encode("a" * LONGEST_KEY) is not None
    assert rabbitmq.encode("a" * LONGEST_KEY + ".") is None


def test_brokers_are_known_by_their_version() -> None:
    assert named_by("mosquitto version 2.0.11") == "mosquitto"
    assert named_by("printbus 0.1.0") == "printbus"
    assert named_by("") is None


# -- outbox


def taken(outbox: Outbox) -> list[str | bytes]:
    found: list[str | bytes] = []
    while (item := outbox.take()) is not None:
        found.append(item if isinstance(item, str) else item.payload)
    return found


def test_state_waits_once_and_messages_keep_their_place() -> None:
    outbox = Outbox()
    outbox.mark("a")
    outbox.add(Passing("t", b"1"))
    outbox.mark("a")
    outbox.mark("b")
    outbox.add(Passing("t", b"2"))
    assert taken(outbox) == ["a", b"1", "b", b"2"]
    outbox.mark("a")
    assert outbox.waiting.is_set()
    assert taken(outbox) == ["a"]
    assert not outbox.waiting.is_set()


@given(st.lists(st.integers(0, 30), max_size=60))
def test_the_oldest_messages_make_room_and_state_is_never_dropped(sizes: list[int]) -> None:
    outbox = Outbox(messages=10, size=100)
    for number, size in enumerate(sizes):
        outbox.mark(f"state {number}")
        outbox.add(Passing("t", bytes([number]) * size))
    kept = [each for each in taken(outbox) if isinstance(each, bytes)]
    assert len(kept) + outbox.dropped == len(sizes)
    assert len(kept) <= 10 and sum(map(len, kept)) <= 100
    assert kept == [bytes([n]) * size for n, size in enumerate(sizes)][len(sizes) - len(kept) :]


def test_all_room_is_back_after_everything_was_taken() -> None:
    outbox = Outbox(messages=10, size=100)
    for _ in range(5):
        for _ in range(20):
            outbox.add(Passing("t", b"x" * 30))
        assert len(taken(outbox)) == 3


# -- claims


def settle(claims: list[Claim], asking: list[Claim]) -> None:
    """Delivers everything that is said to everybody, as a broker does, until all are silent."""
    waiting = [claim.say(asks=True) for claim in asking]
    for _ in range(100):
        if not waiting:
            return
        message = waiting.pop(0)
        waiting += [answer for claim in claims if (answer := claim.heard(message)) is not None]
    raise AssertionError("they never stop")


def test_who_has_the_name_keeps_it() -> None:
    for boot in ("a", "z"):
        holder, comer = Claim("m", "1", holds=True), Claim(boot, "1")
        settle([holder, comer], [comer])
        assert (holder.rival, comer.rival) == (None, "m")


@given(st.lists(st.tuples(st.text("ab", max_size=2), st.text("ab", max_size=2)), min_size=1, max_size=5, unique=True))
def test_of_those_that_ask_at_once_one_stays(names: list[tuple[str, str]]) -> None:
    claims = [Claim(boot, link) for boot, link in names]
    settle(claims, claims)
    assert [(each.boot, each.link) for each in claims if each.rival is None] == [min(names)]


def test_of_two_that_have_it_after_a_partition_one_stays() -> None:
    one, two = Claim("a", "1", holds=True), Claim("b", "1", holds=True)
    answer = one.heard(two.say(asks=False))
    assert answer is not None and one.rival is None
    assert two.heard(answer) is None and two.rival == "a"


@pytest.mark.parametrize("junk", [b"", b"[]", b"1", b'{"boot":1}', b"\xff", b'"x"'])
def test_junk_claims_nothing(junk: bytes) -> None:
    claim = Claim("a", "1")
    assert claim.heard(junk) is None and claim.rival is None


# -- versions


def mute() -> LinkLost:
    lost = LinkLost("no answer")
    lost.mute = True
    return lost


def test_a_broker_that_refuses_version_5_is_asked_in_the_older_one_for_good() -> None:
    versions = Versions("auto")
    assert versions.five
    assert versions.refused(LinkLost("no", VERSION_REFUSED)) and not versions.five
    versions.worked()
    for _ in range(10):
        assert not versions.refused(mute()) and not versions.five


def test_a_broker_that_does_not_answer_is_asked_in_turns_until_one_works() -> None:
    versions = Versions("auto")
    versions.refused(mute())
    assert not versions.five
    versions.refused(mute())
    assert versions.five
    versions.worked()
    for _ in range(MUTE - 1):
        versions.refused(mute())
        assert versions.five
    versions.refused(LinkLost("connection refused"))
    assert versions.five
    versions.refused(mute())
    assert not versions.five


@pytest.mark.parametrize("kind", ["nats", "rabbitmq", "printbus"])
def test_a_broker_that_is_known_not_to_speak_version_5_is_not_asked(kind: str) -> None:
    assert not Versions(kind).five


# -- settings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "http://x"}, "expected mqtt://"),
        ({"url": "mqtt://u:secret@x"}, "a password does not stand in the URL"),
        ({"url": "mqtt://x", "ca": "ca.pem"}, "need an mqtts"),
        ({"url": "mqtts://x", "certfile": "c.pem"}, "belong together"),
        ({"url": "mqtt://x", "password": {"env": "X"}}, "needs a user"),
        ({"url": "mqtt://x", "user": "u", "password": {}}, "either file or env"),
        ({"url": "mqtt://x", "user": "u", "password": {"file": "a", "env": "b"}}, "either file or env"),
        ({"url": "mqtt://x", "up": ["{instance}/a"]}, "the only name in braces"),
        ({"url": "mqtt://x", "up": ["a#"]}, "# must stand alone"),
        ({"url": "mqtt://x", "up": ["$SYS/#"]}, "belong to their broker"),
        ({"url": "mqtt://x", "role": "bridge"}, "built in"),
        ({"url": "mqtt://x", "qos": 2}, "0 or 1"),
    ],
)
def test_wrong_settings_say_what_was_expected(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        UplinkSettings.model_validate(wrong)


def test_secrets_are_read_when_they_are_needed_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "password"
    settings = UplinkSettings.model_validate({"url": "mqtt://u@x:99", "password": {"file": secret}})
    with pytest.raises(OSError, match="password"):
        settings.address()
    secret.write_text("hunter2\r\nsecond line\n")
    assert (settings.address().user, settings.address().password, settings.address().port) == ("u", "hunter2", 99)
    assert "hunter2" not in repr(settings)
    named = UplinkSettings.model_validate({"url": "mqtts://x", "user": "u", "password": {"env": "PRINTBUS_TEST_X"}})
    with pytest.raises(ValueError, match="PRINTBUS_TEST_X"):
        named.address()
    monkeypatch.setenv("PRINTBUS_TEST_X", "s")
    assert (named.address().password, named.address().port, named.address().tls) == ("s", 8883, True)
