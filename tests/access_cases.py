"""Rules, names, topics and filters that hypothesis draws for tests of access rules; the instance is `i`."""

from hypothesis import strategies as st

from tests.access_oracle import Entry

USERS = (None, "", "ann", "ben", "b-1", "+", "#", "*", "ann/x", "$SYS", "{client}", "i")
CLIENTS = ("c1", "c2", "b-1", "+", "#", "*", "x/y", "$SYS", "{user}", "i")
MEMBERS = {"panels": ["ann", "b-*"], "nobody": []}
LEVELS = ("a", "b", "ann", "c1", "c2", "i", "", "$SYS")
PLACES = ("{user}", "{client}", "{instance}", "s-{client}")
OWN = (
    "moonraker/api/request",
    "moonraker/api/request/c1",
    "moonraker/api/response",
    "moonraker/api/response/c1",
    "rpc/c1/printer/info",
    "reply/c1",
    "reply/c2/x",
    "files/upload/c1/7",
    "agent/klippy",
    "agent/klippy/call",
    "agent/klippy/answer",
    "agent/klippy/macro",
    "klipper/delta",
    "klipper/status",
    "connection/bridge/1",
    "state/klippy/status",
)
TOPICS = (
    *(f"i/{own}" for own in OWN),
    *("i", "$SYS/broker/uptime", "homeassistant/light/config", "homeassistant/light/ann/config"),
    *("farm/moonraker/api/request", "ann/klipper/status", "b-1/moonraker/api/request/c1"),
)


def _joined(levels: list[str]) -> str:
    return "/".join(levels) or "a"


def _filter(levels: list[str], rest: bool) -> str:
    return "/".join([*levels, "#"] if rest or not levels or levels == [""] else levels)


topics = st.one_of(st.sampled_from(TOPICS), st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4).map(_joined))
filters = st.one_of(
    st.sampled_from(["#", "i/#", "+/#", "$SYS/#", *TOPICS]),
    st.builds(_filter, st.lists(st.sampled_from([*LEVELS, "+"]), max_size=4), st.booleans()),
)
rule_filters = st.one_of(
    st.sampled_from(["#", "{instance}/#", "{user}/#", "$SYS/#", "{instance}/reply/#"]),
    st.builds(_filter, st.lists(st.sampled_from([*LEVELS, *PLACES, "+"]), max_size=4), st.booleans()),
)
patterns = st.sampled_from(["*", "ann", "b*", "b-*", "*1", "c*", "ann/x", "+*", "**"])


def _with_a_line(selected: dict[str, object], lines: dict[str, object]) -> Entry:
    return {**selected, **lines}


def entries_about(about: st.SearchStrategy[str]) -> st.SearchStrategy[Entry]:
    """Entries with one to three of these filters in each of one or more lists."""
    lists = st.lists(about, min_size=1, max_size=3)
    whom = st.fixed_dictionaries(
        {},
        optional={
            "user": st.lists(patterns, min_size=1, max_size=2),
            "client": patterns,
            "role": st.sampled_from(["client", "panels", "nobody", "agent"]),
            "anonymous": st.booleans(),
        },
    )
    lines = [
        st.fixed_dictionaries({action: lists}, optional=dict.fromkeys({"publish", "receive"} - {action}, lists))
        for action in ("publish", "receive", "deny_publish", "deny_receive")
    ]
    return st.builds(_with_a_line, st.one_of(st.just({}), whom), st.one_of(*lines))


entries = entries_about(rule_filters)
