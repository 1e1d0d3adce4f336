"""Access rules evaluated slowly and straight from their description, to hold the compiled ones against."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Entry = Mapping[str, object]
REQUEST = "moonraker/api/request"
HIDDEN = (
    r"moonraker/api/request/.*",
    r"rpc(/.*)?",
    r"connection(/.*)?",
    r"agent/[^/]*/(call|answer|macro)(/.*)?",
    r"klipper/delta(/.*)?",
)
OWNED = (r"moonraker/api/response/([^/]*)(/.*)?", r"reply/([^/]*)(/.*)?", r"files/[^/]*/([^/]*)(/.*)?")


@dataclass(frozen=True)
class Who:
    """An ordinary client."""

    client: str
    user: str | None
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Oracle:
    """The rules of one instance: entries as they stand in a file, and the members of the roles."""

    instance: str
    entries: Sequence[Entry]
    members: Mapping[str, Sequence[str]]

    def may_publish(self, who: Who, topic: str) -> bool:
        """Whether a client may publish on a topic."""
        return self._may_ever_publish(who, topic) and self._decides(who, "publish", topic)

    def may_receive(self, who: Who, topic: str) -> bool:
        """Whether a client may receive what is published on a topic."""
        return self._may_ever_receive(who, topic) and self._decides(who, "receive", topic)

    def _decides(self, who: Who, action: str, topic: str) -> bool:
        for entry in self.entries:
            if self._denies(entry, who, action, topic):
                return False
            if self._fits(entry, who, grant=True) and any(
                is_safe_with(filter, who) and fits(self._filled(filter, who), topic) for filter in texts(entry, action)
            ):
                return True
        return False

    def _denies(self, entry: Entry, who: Who, action: str, topic: str) -> bool:
        if not self._fits(entry, who, grant=False):
            return False
        return any(fits(self._widened(filter, who), topic) for filter in texts(entry, f"deny_{action}"))

    def _filled(self, filter: str, who: Who) -> str:
        names = {"user": who.user or "", "client": who.client, "instance": self.instance}
        return re.sub(r"\{(\w+)\}", lambda found: names[found[1]], filter)

    def _widened(self, filter: str, who: Who) -> str:
        levels: list[str] = []
        for level in filter.split("/"):
            if not is_safe_with(level, who):
                return "/".join([*levels, "#"])
            levels.append(self._filled(level, who))
        return "/".join(levels)

    def _fits(self, entry: Entry, who: Who, *, grant: bool) -> bool:
        user = who.user or None
        if "anonymous" in entry and entry["anonymous"] != (user is None):
            return False
        if "user" in entry and not (user and any(named(each, user, grant) for each in texts(entry, "user"))):
            return False
        if "client" in entry and not any(named(each, who.client, grant) for each in texts(entry, "client")):
            return False
        if "role" not in entry:
            return True
        held = {"client", *who.roles}
        if user:
            held |= {role for role, names in self.members.items() if any(named(each, user, grant) for each in names)}
        return not held.isdisjoint(texts(entry, "role"))

    def _may_ever_publish(self, who: Who, topic: str) -> bool:
        first, slash, rest = topic.partition("/")
        if first.startswith("$"):
            return False
        if first != self.instance:
            return True
        own = (f"rpc/{who.client}/", f"files/upload/{who.client}/", f"files/download/{who.client}/")
        return bool(slash) and (rest in (REQUEST, f"{REQUEST}/{who.client}") or rest.startswith(own))

    def _may_ever_receive(self, who: Who, topic: str) -> bool:
        first, slash, rest = topic.partition("/")
        if first != self.instance or not slash:
            return True
        if any(re.fullmatch(hidden, rest, re.DOTALL) for hidden in HIDDEN):
            return False
        owners = [found[1] for owned in OWNED if (found := re.fullmatch(owned, rest, re.DOTALL))]
        return all(owner == who.client for owner in owners)


def texts(entry: Entry, key: str) -> Sequence[str]:
    """What stands under a key: one text or a list of them."""
    value = entry.get(key, ())
    if isinstance(value, str):
        return [value]
    assert isinstance(value, list | tuple)
    return value


def is_safe(name: str | None) -> bool:
    """Whether a name cannot change what a filter means."""
    if not name or name[0] == "$":
        return False
    return not any(sign in "+#/*" or ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in name)


def is_safe_with(filter: str, who: Who) -> bool:
    """Whether the names that a filter mentions are safe."""
    return ("{user}" not in filter or is_safe(who.user)) and ("{client}" not in filter or is_safe(who.client))


def named(pattern: str, name: str, grant: bool) -> bool:
    """Whether a pattern fits a name; a star grants nothing to unsafe names."""
    if "*" in pattern and grant and not is_safe(name):
        return False
    if not pattern:
        return not name
    if pattern[0] == "*":
        return named(pattern[1:], name, False) or (bool(name) and named(pattern, name[1:], False))
    return name[:1] == pattern[0] and named(pattern[1:], name[1:], False)


def fits(filter: str, topic: str) -> bool:
    """Whether a filter matches a topic (MQTT 3.1.1 section 4.7)."""
    if topic.startswith("$") and filter[:1] in ("+", "#"):
        return False
    return _fits(filter.split("/"), topic.split("/"))


def _fits(levels: Sequence[str], topic: Sequence[str]) -> bool:
    if not levels:
        return not topic
    if levels[0] == "#":
        return True
    return bool(topic) and levels[0] in ("+", topic[0]) and _fits(levels[1:], topic[1:])
