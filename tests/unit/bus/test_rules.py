"""Compiled access rules against their slow evaluation, and what hostile names can do to them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.access import AccessRules, Identity, Role, Strangers
from bus.rule_file import Rule, RuleSet, default_rules
from bus.rules import Action, FileRules, expand, name_matches
from tests.access_cases import CLIENTS, MEMBERS, USERS, entries, topics
from tests.access_oracle import Entry, Oracle, Who
from tests.unit.bus.test_access import EVERYBODY, PUBLISH, RECEIVE


def compiled(found: list[Entry], members: Mapping[str, object] = MEMBERS, instance: str = "i") -> FileRules:
    return FileRules(instance, ["farm"], RuleSet.model_validate({"roles": members, "rules": found}))


def identity(who: Who) -> Identity:
    return Identity(who.client, Role.CLIENT, who.user, roles=who.roles)


whos = st.builds(Who, st.sampled_from(CLIENTS), st.sampled_from(USERS), st.sampled_from([(), ("panels",)]))


class Changing(Strangers):
    """People whose roles are those of whoever is asked about at the moment."""

    held: tuple[str, ...] = ()

    def roles(self, who: Identity) -> tuple[str, ...]:
        return self.held


@given(st.lists(entries, min_size=1, max_size=3), whos, st.lists(topics, min_size=1))
def test_roles_that_change_are_judged_like_others(found: list[Entry], who: Who, asked: list[str]) -> None:
    rules, people, client = compiled(found), Changing(), Identity(who.client, Role.CLIENT, who.user)
    rules.people = people
    for held in ((), who.roles, ("panels", "nobody"), ()):
        people.held = held
        rules.forget()
        oracle, now = Oracle("i", found, MEMBERS), Who(who.client, who.user, held)
        for topic in asked:
            assert rules.may_publish(client, topic) is oracle.may_publish(now, topic)
            assert rules.may_receive(client, topic) is oracle.may_receive(now, topic)


@given(st.lists(entries, min_size=1, max_size=5), st.lists(whos, min_size=1, max_size=4), st.lists(topics, min_size=1))
def test_compiled_rules_say_what_the_slow_evaluation_says(
    found: list[Entry], clients: list[Who], asked: list[str]
) -> None:
    rules, oracle = compiled(found), Oracle("i", found, MEMBERS)
    for who in clients:
        client = identity(who)
        for topic in [*asked, *asked]:  # the second time from memory
            assert rules.may_publish(client, topic) is oracle.may_publish(who, topic), (who, topic)
            assert rules.may_receive(client, topic) is oracle.may_receive(who, topic), (who, topic)


@given(st.lists(entries, min_size=1, max_size=3), whos, topics, st.data())
def test_a_filter_is_accepted_where_something_could_come(
    found: list[Entry], who: Who, topic: str, data: st.DataObject
) -> None:
    rules, client = compiled(found), identity(who)
    levels = [data.draw(st.sampled_from([level, "+"])) for level in topic.split("/")]
    if topic.startswith("$"):
        levels[0] = topic.split("/")[0]
    if rules.may_receive(client, topic):
        assert rules.may_subscribe(client, "/".join(levels))
        assert rules.may_subscribe(client, "/".join([*levels[:-1], "#"]) if len(levels) > 1 else topic)


printers = st.builds(Who, st.sampled_from(CLIENTS), st.sampled_from(USERS), st.just(("printer",)))


@given(whos | printers, topics)
def test_the_default_set_is_what_applies_without_a_file(who: Who, topic: str) -> None:
    rules, plain, client = (
        FileRules("i", ["farm"], default_rules(["farm"])),
        AccessRules("i", ["farm"]),
        identity(who),
    )
    assert rules.may_publish(client, topic) is plain.may_publish(client, topic)
    assert rules.may_receive(client, topic) is plain.may_receive(client, topic)


@pytest.mark.parametrize("topic", sorted({*PUBLISH, *RECEIVE} - {"$share/x"}))
def test_no_file_opens_or_closes_what_is_built_in(topic: str) -> None:
    everything = RuleSet(rules=(Rule(publish=("#", "$SYS/#"), receive=("#", "$SYS/#"), role=("client",)),))
    nothing = RuleSet(rules=(Rule(deny_publish=("#",), deny_receive=("#",), role=("client",)),))
    plain = AccessRules("i", ["farm"])
    for name, who in EVERYBODY.items():
        for rules, is_open in ((everything, True), (nothing, name != "client")):
            found = FileRules("i", ["farm"], rules)
            assert found.may_publish(who, topic) is (plain.may_publish(who, topic) and is_open)
            assert found.may_receive(who, topic) is (plain.may_receive(who, topic) and is_open)


def test_entries_that_name_agents_are_about_topics_outside_the_instance() -> None:
    everything = ("#",)
    closed = compiled([{"role": ["agent", "bridge"], "deny_publish": everything, "deny_receive": everything}])
    power = compiled([{"role": "agent", "client": "agent.power", "publish": "cmnd/+/power"}])
    agent, bridge = EVERYBODY["agent"], EVERYBODY["bridge"]
    assert closed.may_publish(agent, "i/state/klippy/x") and closed.may_receive(bridge, "i/klipper/delta")
    assert not closed.may_receive(agent, "home/x") and not closed.may_receive(bridge, "home/x")
    assert not power.may_publish(agent, "cmnd/lamp/power") and power.may_receive(agent, "home/x")
    assert power.may_publish(Identity("agent.power", Role.AGENT, "agent:b1"), "cmnd/lamp/power")
    assert not power.may_publish(Identity("agent.power", Role.AGENT, "agent:b1"), "i/state/klippy/x")
    assert compiled([{"publish": "#"}]).may_publish(agent, "cmnd/lamp/power") is False


def test_entries_hold_where_their_instance_or_group_is() -> None:
    found: list[Entry] = [
        {"instance": "print-*", "publish": "a"},
        {"group": "farm", "publish": "b"},
        {"group": ["attic", "shed*"], "publish": "c"},
        {"publish": "{instance}/moonraker/api/request"},
    ]
    client = EVERYBODY["client"]
    asked = ("a", "b", "c", "print-1/moonraker/api/request", "i/moonraker/api/request")
    for instance, expected in (("print-1", "a b print-1/moonraker/api/request"), ("i", "b i/moonraker/api/request")):
        rules = compiled(found, instance=instance)
        assert [topic for topic in asked if rules.may_publish(client, topic)] == expected.split()


@pytest.mark.parametrize(
    ("pattern", "name", "granted", "denied"),
    [
        ("sensor-*", "sensor-7", True, True),
        ("sensor-*", "sensor-", True, True),
        ("sensor-*", "sensor", False, False),
        ("sensor-*", "sensor-#", False, True),
        ("*", "+", False, True),
        ("*", "a/b", False, True),
        ("*", "$SYS", False, True),
        ("*-*-z", "a-b-z", True, True),
        ("*-*-z", "a-z", False, False),
        ("ab*ba", "aba", False, False),
        ("anna+printer", "anna+printer", True, True),
        ("anna", "Anna", False, False),
        ("a", "*", False, False),
    ],
)
def test_patterns_of_names(pattern: str, name: str, granted: bool, denied: bool) -> None:
    assert name_matches(pattern, name, allowed=True) is granted
    assert name_matches(pattern, name, allowed=False) is denied


def test_a_long_name_costs_little() -> None:
    assert not name_matches("*a*a*a*a*a*a*a*a*a*ab", "a" * 65_000, allowed=True)


@pytest.mark.parametrize(
    ("user", "granted", "denied"),
    [
        ("anna", "home/anna/in", "home/anna/in"),
        ("+", None, "home/#"),
        ("#", None, "home/#"),
        ("a/b", None, "home/#"),
        ("*", None, "home/#"),
        ("", None, "home/#"),
        (None, None, "home/#"),
        ("$SYS", None, "home/#"),
        ("a\x00b", None, "home/#"),
        ("{client}", "home/{client}/in", "home/{client}/in"),
    ],
)
def test_names_put_into_filters(user: str | None, granted: str | None, denied: str) -> None:
    who = Identity("one", Role.CLIENT, user)
    assert expand("home/{user}/in", who, allowed=True) == granted
    assert expand("home/{user}/in", who, allowed=False) == denied


def test_an_unsafe_name_on_the_first_level_is_denied_everything() -> None:
    assert expand("{user}/x", Identity("one", Role.CLIENT, "+"), allowed=False) == "#"
    assert expand("{client}/{user}/x", Identity("one", Role.CLIENT, "+"), allowed=False) == "one/#"
    assert expand("/{user}", Identity("one", Role.CLIENT, None), allowed=False) == "/#"


def test_many_clients_and_topics_are_forgotten_and_answered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.rules.VIEWS", 100)
    monkeypatch.setattr("bus.rules.ANSWERS", 150)
    rules = compiled([{"publish": "{client}/#"}, {"deny_receive": "x/#"}, {"receive": "#"}])
    clients = [Identity(f"c{number}", Role.CLIENT) for number in range(250)]
    for _ in range(2):
        assert all(rules.may_publish(who, f"{who.client_id}/x") for who in clients)
        assert not any(rules.may_publish(who, "c/x") for who in clients)
        assert not any(rules.may_receive(who, "x/y") for who in clients)


def test_the_line_that_decides_is_told() -> None:
    rules = compiled([{"user": "anna", "deny_publish": "a/b"}, {"name": "all", "publish": ["a/#", "b"]}])
    anna, ben = Identity("one", Role.CLIENT, "anna"), Identity("two", Role.CLIENT, "ben")
    told = [rules.line_for(who, Action.PUBLISH, topic) for who, topic in ((anna, "a/b"), (ben, "a/b"), (ben, "c"))]
    assert [line and (line.number, line.allowed, line.filter) for line in told] == [
        (1, False, "a/b"),
        (2, True, "a/#"),
        None,
    ]
