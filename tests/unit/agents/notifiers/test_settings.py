"""The section `notifiers`: all options of the reference, mistakes by name, and no secret in what is said about them."""

import sys
from typing import Any

import pytest

from agents.notifiers.settings import NO_LIBRARY, NotifierSettings, NotifiersSettings
from bus.config import ConfigError, checked

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


def test_without_the_library_the_component_fails_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError) as raised:
        read(**REQUIRED)
    assert NO_LIBRARY in str(raised.value) and "Token" not in str(raised.value)
