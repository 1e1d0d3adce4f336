"""The format of access rules in `broker.yaml` or a file of their own, and how they are read."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from .access import DISCOVERY, PRINTER, REQUEST, Role
from .config import ConfigError, Section, checked, nearest, read_yaml
from .identity import ROLES
from .matching import filter_fault

KINDS = (Role.CLIENT.value, Role.AGENT.value, Role.BRIDGE.value)
PLACES = ("user", "client", "instance")
PLACE = re.compile(r"\{([^{}]*)\}")
LARGEST_FILE = 256 * 1024


def _listed(value: object) -> object:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list | tuple):
        raise ValueError("expected text or a list of texts")
    return value


def _some(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("expected a list that is not empty")
    return value


def _quoted(value: object) -> object:
    if value is None:
        raise ValueError("expected text; after a blank '#' starts a comment, so put it in quotes")
    if not isinstance(value, str):
        raise ValueError("expected text: put it in quotes")
    return value


def _filter(text: str) -> str:
    for name in PLACE.findall(text):
        if name not in PLACES:
            known = ", ".join(f"{{{place}}}" for place in PLACES)
            raise ValueError(f"unknown {{{name}}}{nearest(name, list(PLACES))}; known: {known}")
    plain = PLACE.sub("x", text)
    if "{" in plain or "}" in plain:
        raise ValueError("a brace stands alone")
    if fault := filter_fault(plain):
        raise ValueError(fault)
    if plain.startswith("$share/"):
        raise ValueError("rules are about topics; a shared subscription follows from what may be received")
    return text


def _name(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("a name is empty or holds control characters")
    if text in ("+", "#"):
        raise ValueError("in names '*' stands for any characters; '+' and '#' are for topics")
    return text


Name = Annotated[str, BeforeValidator(_quoted), AfterValidator(_name)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_some), BeforeValidator(_listed)]
Members = Annotated[tuple[Name, ...], BeforeValidator(_listed)]
Filter = Annotated[str, BeforeValidator(_quoted), AfterValidator(_filter)]
Filters = Annotated[tuple[Filter, ...], BeforeValidator(_listed)]


class Rule(Section):
    """One entry: what it grants or denies to whom; all that is given must fit, and without any it is every client."""

    name: str = ""
    user: Names | None = None
    role: Names | None = None
    client: Names | None = None
    anonymous: bool | None = Field(None, description="clients without (or, false, with) a user name")
    instance: Names | None = Field(None, description="only on the brokers of these instances")
    group: Names | None = Field(None, description="only on brokers whose instance is in one of these groups")
    publish: Filters = ()
    receive: Filters = ()
    deny_publish: Filters = ()
    deny_receive: Filters = ()

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if not (self.publish or self.receive or self.deny_publish or self.deny_receive):
            raise ValueError("an entry needs publish, receive, deny_publish or deny_receive")
        return self


class RuleSet(Section):
    """Roles with the users that have them, and the entries: of those that fit, the first decides."""

    roles: dict[Name, Members] = Field(default_factory=dict)
    rules: Annotated[tuple[Rule, ...], BeforeValidator(_some)]

    @field_validator("roles")
    @classmethod
    def _not_ours(cls, roles: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if taken := {*Role} & {*roles}:
            raise ValueError(f"the role '{min(taken)}' is built in")
        return roles

    @field_validator("rules")
    @classmethod
    def _known_roles(cls, rules: tuple[Rule, ...], info: ValidationInfo) -> tuple[Rule, ...]:
        known = [*KINDS, *ROLES, *info.data.get("roles", ())]
        for number, rule in enumerate(rules, 1):
            for role in rule.role or ():
                if role not in known:
                    raise ValueError(f"entry {number}: unknown role '{role}'{nearest(role, known)}")
        return rules


def default_rules(groups: Sequence[str]) -> RuleSet:
    """What is in force without a file, as AccessRules has it built in."""
    requests = (f"{group}/{REQUEST}" for group in groups)
    own = Rule(
        name="printers of other hosts",
        role=(PRINTER,),
        publish=("{user}/#", f"{DISCOVERY}/+/{{user}}/#"),
        receive=("{user}/#", f"{DISCOVERY}/+/{{user}}/#", *requests),
    )
    no_more = Rule(name="and no more", role=(PRINTER,), deny_publish=("#",), deny_receive=("#", "$SYS/#"))
    return RuleSet(rules=(own, no_more, Rule(name="the default", publish=("#",), receive=("#", "$SYS/#"))))


def read_rules(access: Mapping[str, object] | None, source: str) -> tuple[RuleSet, str] | None:
    """The rules of the `access` section of a broker.yaml and where they stand, None without one; raises ConfigError."""
    if access is None:
        return None
    named = access.get("rules")
    if not isinstance(named, str):
        return checked(RuleSet, access, source, prefix="access"), source
    if len(access) > 1:
        others = ", ".join(f"'{key}'" for key in access if key != "rules")
        raise ConfigError(f"{source}: 'access': {others} must stand in the file that 'rules' names")
    path = Path(source).parent / named
    return _read_file(path), str(path)


def _read_file(path: Path) -> RuleSet:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if path.is_file() and found.st_size > LARGEST_FILE:
        raise ConfigError(f"{path}: expected at most {LARGEST_FILE} bytes, found {found.st_size}")
    if not path.is_file():
        raise ConfigError(f"{path}: expected a file")
    values = read_yaml(path)
    if not values:
        raise ConfigError(f"{path}: is empty; expected 'rules', a list of entries")
    return checked(RuleSet, values, str(path))
