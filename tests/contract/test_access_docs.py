"""Every example of docs/access.md: its commands print what it says; and what else the command tells or refuses."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.__main__ import main

DOCUMENT = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ printbus (.*)\n((?:[^$\n].*\n|\n)*)", re.MULTILINE)


def examples() -> Iterator[tuple[str, str, str]]:
    """The rules an example stands under, its command and what that prints."""
    rules = ""
    for kind, content in FENCE.findall(DOCUMENT):
        if kind == "yaml" and not content.startswith("access:"):
            rules = content
        elif kind == "console":
            for command, printed in COMMAND.findall(content):
                yield rules, command, printed


EXAMPLES = [*examples()]


class Check:
    """Runs `printbus` on rules in a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def __call__(self, rules: str, command: str, *, status: int = 0) -> str:
        """What a command prints under these rules, on standard error when it is refused."""
        (self._folder / "rules.yaml").write_text(rules)
        (self._folder / "broker.yaml").write_text("access: {rules: rules.yaml}")
        common = ["--broker", str(self._folder / "broker.yaml"), "--data", str(self._folder), "--instance", "printer"]
        assert main([*shlex.split(command), *common]) == status
        said = self._capsys.readouterr()
        return said.err if status else said.out


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    return Check(tmp_path, capsys)


def test_the_document_has_examples() -> None:
    assert len(EXAMPLES) == DOCUMENT.count("\n$ ") > 15
    assert len({rules for rules, _, _ in EXAMPLES}) == 4


@pytest.mark.parametrize(("rules", "command", "printed"), EXAMPLES, ids=[command for _, command, _ in EXAMPLES])
def test_examples_print_what_the_document_says(check: Check, rules: str, command: str, printed: str) -> None:
    assert check(rules, command) == printed


@pytest.mark.parametrize("rules", sorted({rules for rules, _, _ in EXAMPLES}))
def test_examples_have_no_mistakes(check: Check, rules: str) -> None:
    assert "warning" not in check(rules, "broker check")


def test_the_table_says_who_may_do_what(check: Check) -> None:
    table = check(EXAMPLES[0][0], "broker check").split("\n\n")[1]
    assert table.splitlines() == [
        "1. heating is for grown-ups: user ben",
        "    may not publish  heating/#",
        "2. the family: role family (anna, ben)",
        "    may publish  heating/#",
        "    may publish  lights/+/set",
        "    may receive  heating/#",
        "    may receive  lights/#",
        "3. own corner: user *",
        "    may publish  home/{user}/#",
        "    may receive  home/{user}/#",
    ]


def test_lines_without_effect_are_warned_of(check: Check) -> None:
    rules = """
rules:
  - publish: ["{instance}/state/#", "a/#", "$SYS/x"]
    receive: ["{instance}/agent/+/call", "{instance}/rpc/{client}/x"]
  - {user: anna, publish: ["a/b", "{user}/#"], deny_publish: "a/c"}
  - {user: anna, publish: ["{user}/#", "{user}/x", "b"], receive: "a"}
  - {instance: other, receive: "c"}
"""
    told = check(rules, "broker check")
    assert [line.removeprefix("warning: ") for line in told.splitlines() if line.startswith("warning")] == [
        "entry 1: publish printer/state/# is protected, no file opens it",
        "entry 1: publish $SYS/x is protected, no file opens it",
        "entry 1: receive printer/agent/+/call is protected, no file opens it",
        "entry 1: receive printer/rpc/{client}/x is protected, no file opens it",
        "entry 2: deny publish a/c has no effect, entry 1 comes first",
        "entry 2: publish a/b has no effect, entry 1 comes first",
        "entry 3: publish {user}/# has no effect, entry 2 comes first",
    ]
    assert "4. entry: on instance other  (not on this instance)" in told


def test_the_default_set_can_be_asked(check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--data", str(tmp_path), "--instance", "printer"]
    assert main(["broker", "check", *common]) == 0
    assert "from the default set" in capsys.readouterr().out
    assert main(["broker", "check", "--topic", "homeassistant/light/config", *common]) == 0
    assert "publish: yes, entry 3 (the default) allows #" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "broker check --as role:dashbords",
            "no role is called 'dashbords'; known: client, agent, bridge, viewer, operator, admin, printer, family",
        ),
        ("broker check --as anna --as user:ben", "a client has one user"),
        ("broker check --topic 'a/#/b'", "# must stand alone on the last level"),
        ("broker check --topic ''", "a filter is empty"),
    ],
)
def test_questions_without_sense_are_refused(check: Check, command: str, said: str) -> None:
    assert said in check(EXAMPLES[0][0], command, status=2)


@pytest.mark.parametrize("command", ["broker check", "broker", "up", "config check"])
@pytest.mark.parametrize("content", ["", "# a comment", "rules:\n- user: anna\n  publsh: a", "rules: [", "rules: []"])
def test_a_broken_file_is_refused_by_every_command(check: Check, command: str, content: str) -> None:
    assert "rules.yaml" in check(content, command, status=2)


def test_an_empty_broker_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broker = tmp_path / "broker.yaml"
    broker.write_text("# lost\n")
    assert main(["broker", "--broker", str(broker), "--data", str(tmp_path), "--instance", "printer"]) == 2
    assert "is empty" in capsys.readouterr().err


def test_agents_and_answers_to_filters(check: Check) -> None:
    rules = 'rules: [{role: agent, client: agent.power, publish: "cmnd/#"}, {receive: "a/+"}]'
    agent = "--as role:agent --as client:agent.power"
    assert "publish: yes, entry 1 allows cmnd/#" in check(rules, f"broker check {agent} --topic cmnd/lamp")
    assert "receive: yes, that is built in" in check(rules, f"broker check {agent} --topic cmnd/lamp")
    assert "subscribe: no, nothing it matches may be received" in check(rules, "broker check --topic 'b/#'")
    assert check(rules, "broker check --as role:bridge").endswith(":\n    nothing\n")
