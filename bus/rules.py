"""Access rules from a file, compiled: which entry decides for a client and a topic, within what is built in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from .access import AccessRules, Identity, Role, is_unsafe
from .matching import Trie, overlaps
from .rule_file import PLACE, Rule, RuleSet, read_rules

VIEWS = 16_384
"""Identities whose rules are kept ready."""
ANSWERS = 32_768
"""Topics, of all views together, whose answers are remembered."""


class Action(IntEnum):
    """What a client does with a topic."""

    PUBLISH = 0
    RECEIVE = 1


@dataclass(frozen=True, slots=True)
class Line:
    """One filter of one entry; `number` counts entries from 1."""

    number: int
    name: str
    action: Action
    allowed: bool
    filter: str


def name_matches(pattern: str, name: str, *, allowed: bool) -> bool:
    """Whether a name fits; `*` stands for any characters, but grants nothing to unsafe names, which it denies."""
    if "*" not in pattern:
        return pattern == name
    return not (allowed and is_unsafe(name)) and _globs(pattern.split("*"), name)


def _globs(parts: list[str], name: str) -> bool:
    first, *middle, last = parts
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def expand(filter: str, who: Identity, *, allowed: bool) -> str | None:
    """A filter with a client's names; with an unsafe one a grant is void, and a denial holds for all that is below."""
    names = {"user": who.user, "client": who.client_id}
    if all(not is_unsafe(names[place]) for place in PLACE.findall(filter)):
        return PLACE.sub(lambda found: names[found[1]] or "", filter)
    if allowed:
        return None
    levels = filter.split("/")
    unsafe = next(index for index, level in enumerate(levels) if any(is_unsafe(names[p]) for p in PLACE.findall(level)))
    return PLACE.sub(lambda found: names[found[1]] or "", "/".join([*levels[:unsafe], "#"]))


class _Entry:
    """One rule on one instance: whom it selects, and its lines by their place in the whole list."""

    def __init__(self, rule: Rule, roles: dict[str, tuple[str, ...]], lines: dict[int, Line]) -> None:
        self.rule = rule
        self.lines = lines
        self._roles = {name: users for name, users in roles.items() if name in (rule.role or ())}

    def places(self, who: Identity, held: tuple[str, ...]) -> list[int]:
        """The lines that are about a client which holds these roles."""
        granted, denied = self.selects(who, held, allowed=True), self.selects(who, held, allowed=False)
        return [place for place, line in self.lines.items() if (granted if line.allowed else denied)]

    def selects(self, who: Identity, held: tuple[str, ...], *, allowed: bool) -> bool:
        """Whether the grants (or else the denials) of this entry are about a client."""
        rule, user = self.rule, who.user or None
        if rule.anonymous is not None and rule.anonymous is not (user is None):
            return False
        if rule.user is not None and (user is None or not _any_matches(rule.user, user, allowed)):
            return False
        if rule.client is not None and not _any_matches(rule.client, who.client_id, allowed):
            return False
        return who.role is Role.CLIENT if rule.role is None else self._has_role(who, held, rule.role, allowed)

    def _has_role(self, who: Identity, held: tuple[str, ...], wanted: Sequence[str], allowed: bool) -> bool:
        if who.role.value in wanted:
            return True
        if who.role is not Role.CLIENT:
            return False
        if any(role in wanted for role in held):
            return True
        return bool(who.user) and any(_any_matches(users, who.user, allowed) for users in self._roles.values())


def _any_matches(patterns: Sequence[str], name: str | None, allowed: bool) -> bool:
    return name is not None and any(name_matches(pattern, name, allowed=allowed) for pattern in patterns)


class _Table:
    """Filters of one action; `first` is the place of the first line in the list that matches a topic."""

    __slots__ = ("_trie", "granted")

    def __init__(self) -> None:
        self._trie: Trie[int] = Trie()
        self.granted: list[str] = []

    def add(self, filter: str, place: int, allowed: bool) -> None:
        self._trie.add(filter, place)
        if allowed:
            self.granted.append(filter)

    def first(self, topic: str, default: int) -> int:
        return min(self._trie.match(topic), default=default)


Tables = tuple[_Table, _Table]


class _View:
    """The rules for one client: tables may be shared, answers never, since built-in rights go by client id."""

    __slots__ = ("answers", "tables")

    def __init__(self, *tables: Tables) -> None:
        self.tables = tables
        self.answers: tuple[dict[str, bool], dict[str, bool]] = ({}, {})


class FileRules(AccessRules):
    """The rules of a file for one instance: what no entry grants is denied, and what is built in cannot be opened.

    Clients need both the built-in right and an entry. Agents and bridges always have their built-in rights in the
    instance; on other topics an entry that names their role decides, and without one what is built in.
    """

    def __init__(self, instance: str, groups: Sequence[str], rules: RuleSet) -> None:
        super().__init__(instance, groups)
        self.lines: list[Line] = []
        self.entries = [
            _Entry(rule, rules.roles, dict(self._number_lines(number, rule)))
            for number, rule in enumerate(rules.rules, 1)
            if self._is_here(rule)
        ]
        self._nothing = len(self.lines)
        self._shared: dict[tuple[int, ...], Tables] = {}
        self._views: dict[int, tuple[Identity, _View]] = {}
        self._answers = 0

    def _is_here(self, rule: Rule) -> bool:
        here = rule.instance is None or _any_matches(rule.instance, self.instance, True)
        return here and (rule.group is None or any(_any_matches(rule.group, name, True) for name in self.groups))

    def _number_lines(self, number: int, rule: Rule) -> Iterator[tuple[int, Line]]:
        for action, allowed, filters in (
            (Action.PUBLISH, False, rule.deny_publish),
            (Action.RECEIVE, False, rule.deny_receive),
            (Action.PUBLISH, True, rule.publish),
            (Action.RECEIVE, True, rule.receive),
        ):
            for filter in filters:
                text = filter.replace("{instance}", self.instance)
                self.lines.append(Line(number, rule.name, action, allowed, text))
                yield len(self.lines) - 1, self.lines[-1]

    def may_publish(self, who: Identity, topic: str) -> bool:
        """Whether this client may publish, or leave a will, on a topic."""
        return self._answer(who, Action.PUBLISH, topic, self.may_ever_publish)

    def may_receive(self, who: Identity, topic: str) -> bool:
        """Whether a message on this topic may be delivered to this client."""
        return self._answer(who, Action.RECEIVE, topic, self.may_ever_receive)

    def may_subscribe(self, who: Identity, filter: str) -> bool:
        """Whether a filter is accepted: some message could come, and each delivery is checked."""
        if "+" not in filter and "#" not in filter:
            return self.may_receive(who, filter)
        if who.role is not Role.CLIENT:
            return True
        granted = (each for tables in self._view(who).tables for each in tables[Action.RECEIVE].granted)
        return any(overlaps(filter, each) for each in granted)

    def line_for(self, who: Identity, action: Action, topic: str) -> Line | None:
        """The line that decides, None when the file says nothing."""
        place = min(tables[action].first(topic, self._nothing) for tables in self._view(who).tables)
        return None if place == self._nothing else self.lines[place]

    def lines_for(self, who: Identity) -> list[Line]:
        """The lines about a client, with its names put in."""
        places = self._places(who)
        filters = self._expanded(places, who)
        return [replace(self.lines[place], filter=filter) for place, filter in sorted(filters.items())]

    def whom(self, place: int) -> tuple[object, ...]:
        """The selectors of a line's entry; all false when it is about every client."""
        rule = next(entry.rule for entry in self.entries if place in entry.lines)
        return (rule.user, rule.role, rule.client, rule.anonymous)

    def built_in(self, who: Identity, action: Action, topic: str) -> bool:
        """What the built-in protection says."""
        judge = self.may_ever_publish if action is Action.PUBLISH else self.may_ever_receive
        return judge(who, topic)

    def is_governed(self, who: Identity, topic: str) -> bool:
        """Whether entries have a say about this client on this topic."""
        own = topic.startswith((f"{self.instance}/", "$")) or topic == self.instance
        return who.role is Role.CLIENT or (who.role is not Role.BUS and not own)

    def _answer(self, who: Identity, action: Action, topic: str, built_in: Callable[[Identity, str], bool]) -> bool:
        if who.role is Role.BUS:
            return built_in(who, topic)
        known = self._views.get(id(who))
        answers = (known[1] if known else self._view(who)).answers[action]
        answer = answers.get(topic)
        if answer is None:
            answer = self._decide(who, action, topic, built_in(who, topic))
            self._remember(answers, topic, answer)
        return answer

    def _decide(self, who: Identity, action: Action, topic: str, built_in: bool) -> bool:
        if not self.is_governed(who, topic):
            return built_in
        line = self.line_for(who, action, topic)
        if who.role is Role.CLIENT:
            return built_in and line is not None and line.allowed
        return built_in if line is None else line.allowed

    def _remember(self, answers: dict[str, bool], topic: str, answer: bool) -> None:
        if self._answers >= ANSWERS:
            self._answers = 0
            for _, view in self._views.values():
                for kept in view.answers:
                    kept.clear()
        self._answers += 1
        answers[topic] = answer

    # Views

    def forget(self) -> None:
        """Judge anew, since people have changed."""
        self._views.clear()
        self._shared.clear()
        self._answers = 0

    def _view(self, who: Identity) -> _View:
        known = self._views.get(id(who))
        if known is not None:
            return known[1]
        if len(self._views) >= VIEWS:
            self.forget()
        view = self._make_view(who)
        self._views[id(who)] = (who, view)
        return view

    def _places(self, who: Identity) -> tuple[int, ...]:
        held = self.people.roles(who)
        return tuple(place for entry in self.entries for place in entry.places(who, held))

    def _make_view(self, who: Identity) -> _View:
        places = self._places(who)
        shared = self._shared.get(places)
        if shared is None:
            plain = {place: self.lines[place].filter for place in places if not _has_names(self.lines[place])}
            shared = self._shared[places] = self._tables(plain)
        named = [place for place in places if _has_names(self.lines[place])]
        return _View(shared, self._tables(self._expanded(named, who))) if named else _View(shared)

    def _expanded(self, places: Sequence[int], who: Identity) -> dict[int, str]:
        lines = {place: self.lines[place] for place in places}
        filters = {place: expand(line.filter, who, allowed=line.allowed) for place, line in lines.items()}
        return {place: filter for place, filter in filters.items() if filter is not None}

    def _tables(self, filters: Mapping[int, str]) -> Tables:
        tables = (_Table(), _Table())
        for place, filter in filters.items():
            line = self.lines[place]
            tables[line.action].add(filter, place, line.allowed)
        return tables


def _has_names(line: Line) -> bool:
    return "{" in line.filter


def rules_of(access: Mapping[str, object] | None, source: str, instance: str, groups: Sequence[str]) -> AccessRules:
    """The rules of an `access` section, or the default set; `source` is its broker.yaml. Raises ConfigError."""
    found = read_rules(access, source)
    return FileRules(instance, groups, found[0]) if found else AccessRules(instance, groups)
