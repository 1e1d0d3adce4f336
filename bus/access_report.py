"""What `printbus broker check` prints: who may do what, and which entry decides for a client and a topic."""

from collections.abc import Iterator, Sequence

from .access import Identity, Role
from .config import ConfigError
from .identity import ROLES
from .matching import covers, filter_fault, overlaps
from .rule_file import KINDS, PLACE, Rule, RuleSet, default_rules
from .rules import Action, FileRules, Line

ANY_ID = "{client}"
VERBS = {Action.PUBLISH: "publish", Action.RECEIVE: "receive"}
OPEN = (
    "moonraker/api/request",
    "moonraker/api/request/{client}",
    "rpc/{client}/#",
    "files/upload/{client}/#",
    "files/download/{client}/#",
)
"""Below the instance, all that a client may ever publish on."""
CLOSED = (
    "moonraker/api/request/+/#",
    "rpc/#",
    "connection/#",
    "agent/+/call",
    "agent/+/answer/#",
    "klipper/delta/#",
)
"""Below the instance, what no client ever receives."""
PRIVATE = ("moonraker/api/response/{client}/#", "reply/{client}/#", "files/+/{client}/#")
"""Below the instance, what only one client ever receives."""


def identity(words: Sequence[str], known_roles: Sequence[str]) -> Identity:
    """The client that `--as` describes by `USER`, `user:NAME`, `role:NAME` and `client:ID`; raises ConfigError."""
    given: dict[str, str] = {}
    for word in words:
        kind, colon, name = word.partition(":")
        if not colon or kind not in ("user", "role", "client"):
            kind, name = "user", word
        if kind in given:
            raise ConfigError(f"--as: '{word}': a client has one {kind}")
        given[kind] = name
    role = given.get("role", Role.CLIENT.value)
    known = [*dict.fromkeys((*KINDS, *ROLES, *known_roles))]
    if role not in known:
        raise ConfigError(f"--as: no role is called '{role}'; known: {', '.join(known)}")
    named = () if role in KINDS else (role,)
    kind_of_client = Role(role) if role in KINDS else Role.CLIENT
    return Identity(given.get("client", ANY_ID), kind_of_client, given.get("user"), roles=named)


def describe(rules: FileRules, rule_set: RuleSet, source: str) -> Iterator[str]:
    """The table of all entries, what is built in, and what looks like a mistake."""
    yield f"Access rules of the instance '{rules.instance}', from {source}."
    yield "Of the lines about a client and a topic the first decides; what none allows is denied."
    yield ""
    here = {entry.rule for entry in rules.entries}
    for number, rule in enumerate(rule_set.rules, 1):
        elsewhere = "" if rule in here else "  (not on this instance)"
        yield f"{number}. {rule.name or 'entry'}: {_whom(rule, rule_set)}{elsewhere}"
        yield from _lines(line for line in rules.lines if line.number == number)
    yield ""
    yield from _built_in(rules.instance)
    for warning in warnings(rules):
        yield f"warning: {warning}"


def described(rules: FileRules, who: Identity) -> Iterator[str]:
    """The lines that are about one client, with its names put in."""
    yield f"What {_called(who)} may do on the instance '{rules.instance}', within what is built in:"
    lines = [*_lines(line for line in rules.lines_for(who))]
    yield from lines or ["    nothing"]


def answer(rules: FileRules, who: Identity, topic: str) -> Iterator[str]:
    """Whether a topic may be published on and received, or a filter subscribed to, and why; raises ConfigError."""
    if fault := filter_fault(topic):
        raise ConfigError(f"--topic: {fault}: {topic!r}")
    yield f"{_called(who)}, {topic}"
    if "+" in topic or "#" in topic:
        accepted = rules.may_subscribe(who, topic)
        reason = "each message is checked" if accepted else "nothing it matches may be received"
        yield f"subscribe: {_yes(accepted)}, {reason}"
        return
    for action, allowed in (
        (Action.PUBLISH, rules.may_publish(who, topic)),
        (Action.RECEIVE, rules.may_receive(who, topic)),
    ):
        yield f"{VERBS[action]}: {_yes(allowed)}, {_reason(rules, who, action, topic)}"


def _reason(rules: FileRules, who: Identity, action: Action, topic: str) -> str:
    built_in = rules.built_in(who, action, topic)
    line = rules.line_for(who, action, topic) if rules.is_governed(who, topic) else None
    if who.role is Role.CLIENT and not built_in:
        return "that is built in, no file opens it"
    if line is None:
        return "no entry allows it" if who.role is Role.CLIENT else "that is built in"
    verb = "allows" if line.allowed else "denies"
    name = f" ({line.name})" if line.name else ""
    return f"entry {line.number}{name} {verb} {line.filter}"


def _yes(allowed: bool) -> str:
    return "yes" if allowed else "no"


def _called(who: Identity) -> str:
    parts = [f"user {who.user}"] if who.user else []
    parts += [f"role {role}" for role in who.roles or ([who.role.value] if who.role is not Role.CLIENT else [])]
    parts += [f"client id {who.client_id}"] if who.client_id != ANY_ID else []
    return ", ".join(parts) or "a client without a user name"


def _whom(rule: Rule, rule_set: RuleSet) -> str:
    parts = [f"{kind} {_any_of(names)}" for kind, names in (("user", rule.user), ("client id", rule.client)) if names]
    for role in rule.role or ():
        users = rule_set.roles.get(role)
        parts.append(f"role {role}" + (f" ({', '.join(users)})" if users else ""))
    if rule.anonymous is not None:
        parts.append("without a user name" if rule.anonymous else "with a user name")
    parts += [f"on instance {_any_of(rule.instance)}"] if rule.instance else []
    parts += [f"in group {_any_of(rule.group)}"] if rule.group else []
    return ", ".join(parts) or "every client"


def _any_of(names: Sequence[str]) -> str:
    return " or ".join(names)


def _lines(lines: Iterator[Line]) -> Iterator[str]:
    for line in lines:
        yield f"    {'may' if line.allowed else 'may not'} {VERBS[line.action]}  {line.filter}"


def _built_in(instance: str) -> Iterator[str]:
    yield "Built in, whatever the entries say:"
    yield "    no client publishes on $ topics"
    yield f"    below {instance}/ a client publishes on nothing but  {', '.join(OPEN)}"
    yield f"    no client receives  {', '.join(f'{instance}/{filter}' for filter in CLOSED)}"
    yield f"    only the client itself receives  {', '.join(f'{instance}/{filter}' for filter in PRIVATE)}"
    yield "    bus, bridge and agents have their rights in the instance; entries with their role are about other topics"
    yield "User names of clients from trusted addresses are what they say, not verified."


def warnings(rules: FileRules) -> Iterator[str]:
    """Lines that can have no effect."""
    for place, line in enumerate(rules.lines):
        if line.allowed and _is_protected(line, rules.instance):
            yield f"entry {line.number}: {VERBS[line.action]} {line.filter} is protected, no file opens it"
        elif first := _hidden_by(rules, place):
            what = f"{'' if line.allowed else 'deny '}{VERBS[line.action]} {line.filter}"
            yield f"entry {line.number}: {what} has no effect, entry {first.number} comes first"


def _is_protected(line: Line, instance: str) -> bool:
    filter = "/".join("+" if PLACE.search(level) else level for level in line.filter.split("/"))
    if line.action is Action.RECEIVE:
        return any(covers(f"{instance}/{closed}", filter) for closed in CLOSED)
    if filter.startswith("$"):
        return True
    opened = (f"{instance}/{PLACE.sub('+', open)}" for open in OPEN)
    return covers(f"{instance}/#", filter) and not any(overlaps(each, filter) for each in opened)


def _hidden_by(rules: FileRules, place: int) -> Line | None:
    line, whom = rules.lines[place], rules.whom(place)
    for earlier in range(place):
        other, theirs = rules.lines[earlier], rules.whom(earlier)
        same = theirs == whom or not any(theirs)
        plain = other.filter == line.filter or not PLACE.search(other.filter + line.filter)
        if other.action is line.action and same and plain and covers(other.filter, line.filter):
            return other
    return None


def report(
    found: tuple[RuleSet, str] | None, instance: str, groups: Sequence[str], words: Sequence[str], topic: str | None
) -> Iterator[str]:
    """All that `printbus broker check` prints; raises ConfigError for a question that makes no sense."""
    rule_set, source = found or (default_rules(groups), "the default set")
    rules = FileRules(instance, groups, rule_set)
    who = identity(words, [*rule_set.roles])
    if topic is not None:
        yield from answer(rules, who, topic)
    elif words:
        yield from described(rules, who)
    else:
        yield from describe(rules, rule_set, source)
