"""Templates: what they may say, whom they may call, and how they fail."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from bus.config import ConfigError
from bus.errors import Refused
from bus.mandate import Mandate
from bus.templates import GIVE_WAY, MAX_STEPS, TemplateError, Templates, check_syntax, read_secrets
from schemas import Permission
from tests.agent_bus import RecordingBus
from tests.conftest import Run

Json = dict[str, Any]
DESK = Mandate("button desk on_press", frozenset({Permission.READ}))


class Answering(RecordingBus):
    """Answers every method with what it was asked, but `refuse`."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.calls: list[tuple[str, Json, Mandate | None]] = []

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """What was asked, as JSON would carry it."""
        params = orjson.loads(orjson.dumps(params))
        self.calls.append((method, params, mandate))
        if method == "refuse":
            raise Refused("Printer is busy")
        await asyncio.sleep(0)
        return {"method": method, **params}


def rendered(text: str, bus: Answering | None = None, **context: Any) -> str:
    templates = Templates(bus or Answering(), {"broker": {"password": "s3cret"}})
    return asyncio.run(templates.template(text, DESK).render(**context))


def failure(text: str, **context: Any) -> str:
    with pytest.raises(TemplateError) as raised:
        rendered(text, **context)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("  on\n", "on"),
        ("{payload}", "7"),
        ("{ payload | int + 1 }", "8"),
        ("{# nothing #}{% if payload == '7' %}yes{% else %}no{% endif %}", "yes"),
        ("{secrets.broker.password}", "s3cret"),
        ("[{secrets.broker.nothing}]", "[]"),
        ("{% set xs = [] %}{% for i in [1, 2] %}{% do xs.append(i) %}{% endfor %}{xs | tojson}", "[1, 2]"),
        ("{% for i in range(3) if i %}{loop.index}/{loop.length} {% else %}none{% endfor %}", "1/2 2/2"),
        ("{% for key, value in {'a': 1}.items() %}{key}{value}{% endfor %}", "a1"),
        ("{% for x in [[1, [2]]] recursive %}{loop(x) if x is iterable else x}{% endfor %}", "12"),
        ("{% macro twice(x) %}{x}{x}{% endmacro %}{twice(payload)}", "77"),
        ("{{'a': payload}['a']}", "7"),
    ],
)
def test_what_they_say(text: str, result: str) -> None:
    assert rendered(text, payload="7") == result


def test_the_example_of_the_reference_asks_for_objects() -> None:
    bus = Answering()
    text = """
      {% set query_objs = {"toolhead": ["position"], "print_stats": None} %}
      {% set status = call_method("printer.objects.query", objects=query_objs) %}
      {status.objects.toolhead[0]} {status.method}"""
    assert rendered(text, bus) == "position printer.objects.query"
    assert bus.calls == [("printer.objects.query", {"objects": {"toolhead": ["position"], "print_stats": None}}, DESK)]


def test_a_method_may_have_a_parameter_of_any_name() -> None:
    bus = Answering()
    rendered('{% do call_method("connection.x", method_name="a", self=1, **{"with space": 2}) %}', bus)
    assert bus.calls[0][1] == {"method_name": "a", "self": 1, "with space": 2}


def test_calls_in_macros_and_loops_are_awaited() -> None:
    bus = Answering()
    text = '{% macro ask(n) %}{call_method("m", n=n).n}{% endmacro %}{% for n in range(3) %}{ask(n)}{% endfor %}'
    assert rendered(text, bus) == "012"
    assert [params["n"] for _, params, _ in bus.calls] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\n{% do raise_error("no plug") %}', "button desk on_press, line 2: no plug"),
        ('{% do raise_error("no plug", 404) %}', "line 1: no plug"),
        ("\n\n{nothing.there}", "line 3: 'nothing' is undefined"),
        ('{% do call_method("refuse") %}', "line 1: refuse: Printer is busy"),
        (
            '{% do call_method("m", a=nothing) %}',
            "line 1: m: an argument cannot be sent: Type is not JSON",
        ),
        ("{ 1 / 0 }", "line 1: ZeroDivisionError: division by zero"),
        ("{% for x in none %}{% endfor %}", "line 1: TypeError: 'NoneType' object is not iterable"),
        ("{% macro f() %}{f()}{% endmacro %}{f()}", "RecursionError"),
        ("{ range(10000000) }", "OverflowError: Range too big"),
    ],
)
def test_how_they_fail(text: str, said: str) -> None:
    assert said in failure(text)


@pytest.mark.parametrize(
    "text",
    [
        "{ ().__class__.__mro__[1].__subclasses__() }",
        "{ call_method.__func__.__globals__ }",
        "{ raise_error.__globals__['asyncio'] }",
        "{ ''.__class__.__mro__ }",
        "{ '{0.__class__.__mro__}'.format(1) }",
        "{% set f = self.__init__.__globals__ %}{ f.os }",
    ],
)
def test_nothing_leads_out_of_the_sandbox(text: str) -> None:
    assert "unsafe" in failure(text) or "undefined" in failure(text)


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{f(n - 1)}{f(n - 1)}{% endif %}{% endmacro %}{f(40)}",
    ],
)
def test_what_does_not_end_is_ended_and_lets_others_have_their_turn(run: Run[None], text: str) -> None:
    async def scenario() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others(), name="others")
        with pytest.raises(TemplateError, match=f"it does not end: {MAX_STEPS} turns"):
            await Templates(Answering(), {}).template(text, DESK).render()
        assert turns >= MAX_STEPS // GIVE_WAY - 1
        task.cancel()

    run(scenario())


def test_runs_at_the_same_time_are_counted_apart(run: Run[None]) -> None:
    async def scenario() -> None:
        half = f"{{% for i in range({MAX_STEPS * 2 // 3}) %}}{{% endfor %}}done"
        template = Templates(Answering(), {}).template(half, DESK)
        assert [*await asyncio.gather(template.render(), template.render())] == ["done", "done"]

    run(scenario())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% if %}", "line 1: Expected an expression"),
        ("a\n{% for x in y %}", "line 2: Unexpected end of template"),
        ("{ payload", "line 1: unexpected end of template"),
        ("{{ payload }}", "line 1: expected token"),
        ("\n{% nosuch %}", "line 2: Encountered unknown tag 'nosuch'"),
    ],
)
def test_mistakes_are_found_before_they_run(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="not a template") as raised:
        check_syntax(text)
    assert said in str(raised.value)
    assert said in failure(text)


@pytest.mark.parametrize(
    "content",
    ["[broker]\nuser: anna\npassword = 100%\n", '\n{"broker": {"user": "anna", "password": "100%"}}'],
)
def test_secrets_are_ini_or_json(tmp_path: Path, content: str) -> None:
    assert read_secrets(tmp_path) == {}
    (tmp_path / "moonraker.secrets").write_text(content)
    assert read_secrets(tmp_path) == {"broker": {"user": "anna", "password": "100%"}}


@pytest.mark.parametrize("content", [b"s3cret\n", b"{s3cret", b'{"a": "s3cret"}', b"\xff\xfes3cret", b"[a]\n[a]\n"])
def test_a_broken_file_of_secrets_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "moonraker.secrets").write_bytes(content)
    with pytest.raises(ConfigError, match=r"moonraker\.secrets: ") as raised:
        read_secrets(tmp_path)
    assert "s3cret" not in str(raised.value)


def test_who_has_no_templates_does_not_pay_for_them() -> None:
    script = (
        "import sys, bus.commands, bridge, agents.core, agents.klippy, agents.buttons\n"
        "assert not {'jinja2', 'gpiod', 'bus.templates'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
