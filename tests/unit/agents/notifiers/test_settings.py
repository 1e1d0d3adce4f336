"""The section `notifiers`: all options of the reference, mistakes by name, and no secret in what is said about them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.notifiers.agent import NO_LIBRARY
from agents.notifiers.settings import NotifierSettings, NotifiersSettings
from bus.__main__ import build_parser
from bus.config import ConfigError, checked
from bus.planning import planned

REQUIRED = {"url": "tgram://12345:Token/67890", "events": "complete, error"}


def read(**options: Any) -> NotifierSettings:
    return checked(NotifiersSettings, {"phone": options}, "printer.yaml", prefix="notifiers").notifiers["phone"]


def test_every_option_of_the_reference_is_known() -> None:
    found = read(
        **REQUIRED,
        body="{event_args[1].filename}",
        body_format="markdown",
        title="{event_name}",
        attach="/tmp/a.jpg\nhttp://127.0.0.1/webcam/?action=snapshot",  # noqa: S108
    )
    assert found.events == ["complete", "error"]
    assert found.wants("error") and not found.wants("started")
    assert read(**{**REQUIRED, "events": ["*"]}).wants("gcode")


def test_attachments_can_be_a_list() -> None:
    assert read(**REQUIRED, attach=["/a", "/b"]).attach == "/a\n/b"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"events": "*"}, "'notifiers.phone.url': is required"),
        ({"url": "json://h"}, "'notifiers.phone.events': is required"),
        ({**REQUIRED, "events": "complet"}, "'notifiers.phone.events.0': input should be"),
        ({**REQUIRED, "events": ""}, "'notifiers.phone.events': "),
        ({**REQUIRED, "body_formt": "text"}, "'notifiers.phone.body_formt', did you mean 'body_format'?"),
        ({**REQUIRED, "body_format": "rtf"}, "'notifiers.phone.body_format': input should be"),
        ({**REQUIRED, "title": "\n{% if %}"}, "'notifiers.phone.title': not a template: line 2"),
        ({**REQUIRED, "url": "tgram://12345:Token/{% if %}"}, "'notifiers.phone.url': not a template: line 1"),
        ({**REQUIRED, "url": ["tgram://12345:Token/67890"]}, "'notifiers.phone.url': "),
    ],
)
def test_mistakes_are_named_and_no_secret_with_them(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(**options)
    assert said in str(raised.value) and "Token" not in str(raised.value)


def test_an_address_in_the_wrong_place_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as raised:
        checked(NotifiersSettings, {"phone": REQUIRED["url"]}, "printer.yaml", prefix="notifiers")
    assert "'notifiers.phone': " in str(raised.value) and "Token" not in str(raised.value)


def test_without_the_library_the_component_fails_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "printer.yaml").write_text(json.dumps({"notifiers": {"phone": REQUIRED}}))
    plan = planned(build_parser().parse_args(["up", "--data", str(tmp_path)]), local=True)
    assert NO_LIBRARY in plan.failed["notifier"] and "Token" not in plan.failed["notifier"]
    assert "notifiers" not in [kind.name for kind, _ in plan.agents]
