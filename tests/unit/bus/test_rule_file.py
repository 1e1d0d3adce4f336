"""The format of access rules: what is read, and how each mistake in a file is named."""

from pathlib import Path

import pytest

from bus.config import ConfigError, checked, read_yaml
from bus.listeners import BrokerSettings
from bus.rule_file import LARGEST_FILE, Rule, RuleSet, read_rules

NAMED = {"rules": "rules.yaml"}


def read(folder: Path, content: str | bytes) -> RuleSet:
    """The rules in a file beside a broker.yaml that names it."""
    (folder / "rules.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_rules(NAMED, str(folder / "broker.yaml"))
    assert found is not None and found[1] == str(folder / "rules.yaml")
    return found[0]


def test_a_file_is_read(tmp_path: Path) -> None:
    content = """
roles:
  panels: [kitchen, "tablet-*"]
rules:
  - name: panels look
    role: panels
    receive: "{instance}/klipper/#"
  - {client: [a, b], deny_publish: ["x/+"], publish: ["x/#"]}
"""
    assert read(tmp_path, content) == RuleSet(
        roles={"panels": ("kitchen", "tablet-*")},
        rules=(
            Rule(name="panels look", role=("panels",), receive=("{instance}/klipper/#",)),
            Rule(client=("a", "b"), deny_publish=("x/+",), publish=("x/#",)),
        ),
    )


def test_entries_may_stand_in_the_section_itself() -> None:
    found = read_rules({"rules": [{"publish": "a"}]}, "broker.yaml")
    assert found == (RuleSet(rules=(Rule(publish=("a",)),)), "broker.yaml")
    assert read_rules(None, "broker.yaml") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("# nothing\n# but comments\n", "is empty"),
        ("---\n", "is empty"),
        ("{}", "is empty"),
        ("rules:", "'rules': expected a list that is not empty, found None"),
        ("rules: []", "'rules': expected a list that is not empty, found []"),
        ("roles: {a: [b]}", "'rules': is required"),
        ("rules: {a: b}", "'rules': expected a list that is not empty"),
        ("rules: other.yaml", "'rules': expected a list that is not empty"),
        ("- publish: a", "expected a mapping of sections, found list"),
        ("rules:\n- publish: a\n  pubish: b", "unknown key 'rules.0.pubish', did you mean 'publish'?"),
        ("rule:\n- publish: a", "unknown key 'rule', did you mean 'rules'?"),
        ("rules:\n- publish: a\n- 7", "'rules.1'"),
        ("rules:\n- user: anna", "'rules.0': an entry needs publish, receive, deny_publish or deny_receive"),
        ("rules:\n- publish: a\n  publish: b", "the key 'publish' stands twice, line 3"),
        ("rules:\n- publish: a\nrules:\n- publish: a", "the key 'rules' stands twice"),
        ("rules:\n- publish: [a\n", "not valid YAML"),
        ("rules:\n- publish: {user}/x", "not valid YAML"),
        (b"rules:\n- publish: \xff", "not valid YAML"),
        ("rules:\n- publish:\n  - #", "'rules.0.publish.0': expected text; after a blank '#' starts a comment"),
        ("rules:\n- publish: {user}", "'rules.0.publish': expected text or a list of texts"),
        ("rules:\n- publish: 7", "'rules.0.publish': expected text or a list of texts, found 7"),
        ("rules:\n- {user: [7], publish: a}", "'rules.0.user.0': expected text: put it in quotes, found 7"),
        ("rules:\n- {user: [], publish: a}", "'rules.0.user': expected a list that is not empty"),
        ("rules:\n- {user: '', publish: a}", "'rules.0.user.0': a name is empty"),
        ("rules:\n- {client: '#', publish: a}", "in names '*' stands for any characters"),
        ('rules:\n- {client: "a\\0", publish: a}', "control characters"),
        ("rules:\n- {anonymous: maybe, publish: a}", "'rules.0.anonymous'"),
        ("rules:\n- {role: cliemt, publish: a}", "unknown role 'cliemt', did you mean 'client'?"),
        ("rules:\n- {role: bus, publish: a}", "unknown role 'bus'"),
        ("roles: {bridge: [anna]}\nrules:\n- publish: a", "the role 'bridge' is built in"),
        ("roles: {a: }\nrules:\n- publish: a", "'roles.a': expected text or a list of texts"),
        ("rules:\n- publish: 'a/#/b'", "'rules.0.publish.0': # must stand alone on the last level"),
        ("rules:\n- publish: 'a+'", "+ must stand alone on its level"),
        ("rules:\n- publish: ''", "a filter is empty"),
        ("rules:\n- publish: '{usr}/x'", "unknown {usr}, did you mean 'user'?; known: {user}, {client}, {instance}"),
        ("rules:\n- publish: 'a{'", "a brace stands alone"),
        ("rules:\n- receive: '$share/g/a'", "rules are about topics"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, content)
    assert said in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "rules.yaml"))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    source, path = str(tmp_path / "broker.yaml"), tmp_path / "rules.yaml"
    with pytest.raises(ConfigError, match="No such file"):
        read_rules(NAMED, source)
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="No such file"):
        read_rules(NAMED, source)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="expected a file"):
        read_rules(NAMED, source)
    with pytest.raises(ConfigError, match="expected a file"):
        read_rules({"rules": "/dev/zero"}, source)
    with pytest.raises(ConfigError, match=f"expected at most {LARGEST_FILE} bytes"):
        read(tmp_path / "rules.yaml", "#" * (LARGEST_FILE + 1))


def test_a_section_that_names_a_file_holds_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'roles' must stand in the file"):
        read_rules({**NAMED, "roles": {}}, str(tmp_path / "broker.yaml"))


@pytest.mark.parametrize("content", ["access:", "access: {}", "access: []", "access: 7", "access: rules.yaml"])
def test_a_section_without_rules_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broker.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="'access'"):
        checked(BrokerSettings, read_yaml(path), str(path))
