"""Configuration files: what is read, and how each kind of mistake is named."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bus.broker_url import BrokerUrl
from bus.config import ConfigError, PrinterConfig, Section, checked, endpoint, read_yaml, section, split_sections
from bus.listeners import BrokerSettings
from bus.uplink_settings import Secret, UplinkSettings


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    colour: Literal["red", "blue"] = "red"
    size: int = Field(1, ge=1)


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    part: Part = Part()
    maybe: Part | None = None
    parts: list[Part] = []
    named: dict[str, Part] = {}
    deep: dict[str, list[Part]] = {}


def mistake(values: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as raised:
        checked(Whole, {"name": "x", **values}, "file.yaml")
    return str(raised.value)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "printer.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, "instance: ender\nklippy: {speed: 2}\n")) == {
        "instance": "ender",
        "klippy": {"speed": 2},
    }


@pytest.mark.parametrize("content", ["", "# nothing but a comment\n", "---\n", "~\n"])
def test_a_file_without_content_holds_nothing(tmp_path: Path, content: str) -> None:
    assert read_yaml(written(tmp_path, content)) == {}


def test_values_can_be_shared_with_anchors_and_overridden(tmp_path: Path) -> None:
    content = "a: &base {x: 1, y: 2}\nb:\n  <<: *base\n  x: 3\n"
    assert read_yaml(written(tmp_path, content))["b"] == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [1, 2", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("\ta: 1", "not valid YAML"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
        (b"a: \xff\xfe", "not valid YAML"),
        (b"\x00", "not valid YAML"),
        ("? [a]\n: 1", "not valid YAML"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\nb: 2\na: 3", "the key 'a' stands twice, line 3"),
        ("s:\n  a: 1\n  a: 1", "the key 'a' stands twice, line 3"),
        ("l:\n- {a: 1, a: 2}", "the key 'a' stands twice, line 2"),
        ("a: 2026-13-45", "not valid YAML"),
        ("- a\n- b", "expected a mapping of sections, found list"),
        ("hello", "expected a mapping of sections, found str"),
        ("7", "expected a mapping of sections, found int"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as raised:
        read_yaml(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and said in message and "\n" not in message


def test_a_colon_between_numbers_makes_a_text(tmp_path: Path) -> None:
    content = "a: 16:9\nb: 4:3.5\nc: 12\nd: 1.5\ne: 'x'"
    assert read_yaml(written(tmp_path, content)) == {"a": "16:9", "b": "4:3.5", "c": 12, "d": 1.5, "e": "x"}


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_yaml(tmp_path)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_mapping_or_a_named_mistake(content: bytes) -> None:
    class Source(type(Path())):  # type: ignore[misc]
        def read_bytes(self) -> bytes:
            return content

    try:
        assert isinstance(read_yaml(Source("x.yaml")), dict)
    except ConfigError as error:
        assert str(error).startswith("x.yaml: ")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nam": 1}, "unknown key 'nam', did you mean 'name'?; known: deep, maybe, name, named, part, parts"),
        ({"zzz": 1}, "unknown key 'zzz'; known: deep, maybe, name, named, part, parts"),
        ({"part": {"color": "red"}}, "unknown key 'part.color', did you mean 'colour'?; known: colour, size"),
        ({"maybe": {"sise": 1}}, "unknown key 'maybe.sise', did you mean 'size'?"),
        ({"parts": [{}, {"color": 1}]}, "unknown key 'parts.1.color', did you mean 'colour'?"),
        ({"named": {"size": {"color": 1}}}, "unknown key 'named.size.color', did you mean 'colour'?"),
        ({"deep": {"a": [{"color": 1}]}}, "unknown key 'deep.a.0.color', did you mean 'colour'?"),
        ({"part": {"size": 0}}, "'part.size': input should be greater than or equal to 1, found 0"),
        ({"part": {"size": "big"}}, "'part.size': input should be a valid integer"),
        ({"part": {"colour": "rot"}}, "'part.colour': input should be 'red' or 'blue', found 'rot'"),
        ({"part": 3}, "'part': input should be a valid dictionary"),
        ({"parts": {}}, "'parts': input should be a valid list, found {}"),
        ({"name": None}, "'name': input should be a valid string, found None"),
    ],
)
def test_a_mistake_names_file_key_expectation_and_the_nearest_key(values: dict[str, object], said: str) -> None:
    assert f"file.yaml: {said}" in mistake(values)


class Hidden(Section):
    url: Annotated[str, AfterValidator(BrokerUrl.parse)] = ""
    sudo_password: Secret | None = None
    login: Secret | None = None
    uplinks: dict[str, UplinkSettings] = Field({})


@pytest.mark.parametrize(
    "values",
    [
        {"sudo_password": "SEKRET"},
        {"login": "SEKRET"},
        {"login": ["SEKRET"]},
        {"uplinks": {"farm": {"url": "mqtt://a", "user": "x", "password": "SEKRET"}}},
        {"uplinks": [{"url": "mqtt://a", "password": "SEKRET"}]},
        {"uplinks": {"farm": ["password", "SEKRET"]}},
        {"url": "http://u:SEKRET@a"},
        {"url": "u:SEKRET@a"},
        {"url": "mqtt://u:SEKRET@a/b"},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as raised:
        checked(Hidden, values, "file")
    assert "SEKRET" not in str(raised.value) and f"file: '{next(iter(values))}" in str(raised.value)


def test_a_section_that_holds_a_secret_is_not_shown() -> None:
    for value in ("sudo_password=SEKRET", ["sudo_password: SEKRET"], [{"token": "SEKRET"}]):
        with pytest.raises(ConfigError, match=r"^file: 'machine': expected a mapping of options$"):
            section(value, "machine", "file")


@pytest.mark.parametrize(
    "content",
    [
        "machine:\n  sudo_password: *SEKRET",
        "machine:\n  sudo_password: !SEKRET x",
        "machine:\n  sudo_password: SEK: RET",
        "machine:\n  sudo_password: [SEKRET",
        "machine:\n  sudo_password: 'SEKRET\n\nother: 1\n",
        "machine:\n  sudo_password:\n    - @SEKRET",
        "a: 1\nb: c: SEKRET",
    ],
)
def test_a_slip_in_a_file_does_not_show_what_stands_there(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match=r"not valid YAML: .* line \d") as raised:
        read_yaml(written(tmp_path, content))
    assert "SEK" not in str(raised.value)


def test_a_long_value_is_shown_in_part() -> None:
    assert len(mistake({"name": ["x" * 10_000]})) < 200


def test_all_mistakes_are_named_one_a_line() -> None:
    lines = mistake({"nam": 1, "part": {"size": 0}}).splitlines()
    assert len(lines) == 2 and all(line.startswith("file.yaml: ") for line in lines)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^file: 'pre.name': is required$"):
        checked(Whole, {}, "file", prefix="pre")


def test_a_section_without_content_is_as_good_as_none() -> None:
    found = checked(Whole, {"name": "x", "part": None, "named": None}, "file")
    assert found == Whole(name="x")
    assert section(None, "klippy", "file") == {}


@pytest.mark.parametrize("value", ["text", 3, [1], True])
def test_a_section_that_is_no_mapping_is_named(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^file: 'klippy': expected a mapping of options, found "):
        section(value, "klippy", "file")


def test_keys_that_are_not_text_are_named() -> None:
    with pytest.raises(ConfigError, match="7"):
        checked(PrinterConfig, {7: 1}, "file")  # type: ignore[dict-item]


def test_sections_of_others_are_set_apart_and_offered_as_known() -> None:
    printer, theirs = split_sections({"instance": "a", "klippy": {"speed": 1}}, {"klippy", "bridge"}, "file")
    assert (printer.instance, theirs) == ("a", {"klippy": {"speed": 1}})
    with pytest.raises(ConfigError, match="unknown key 'klipy', did you mean 'klippy'"):
        split_sections({"klipy": {}}, {"klippy", "bridge"}, "file")


@pytest.mark.parametrize("name", ["a/b", "a b", "", "#", "é", "$SYS"])
def test_an_instance_must_be_one_topic_level(name: str) -> None:
    with pytest.raises(ConfigError, match="'instance': expected letters"):
        checked(PrinterConfig, {"instance": name}, "file")


@pytest.mark.parametrize("address", ["localhost", ":80", "a:", "a:b", "a:65536", "a:-1", ""])
def test_an_address_needs_host_and_port(address: str) -> None:
    with pytest.raises(ConfigError, match="'http': expected HOST:PORT"):
        checked(PrinterConfig, {"http": address}, "file")


def test_addresses_are_taken_apart() -> None:
    assert endpoint("127.0.0.1:0") == ("127.0.0.1", 0)
    assert endpoint("[::1]:7125") == ("::1", 7125)


def test_the_default_instance_is_a_topic_level() -> None:
    assert checked(PrinterConfig, {}, "file").instance.replace("-", "").replace("_", "").isalnum()


def test_mistakes_in_listeners_name_the_listener() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'listeners\.lan\.prot', did you mean 'port'"):
        checked(BrokerSettings, {"listeners": {"lan": {"prot": 1}}}, "broker.yaml")
    with pytest.raises(ConfigError, match=r"'listeners\.lan': certfile and keyfile belong together"):
        checked(BrokerSettings, {"listeners": {"lan": {"certfile": "x"}}}, "broker.yaml")
    with pytest.raises(ConfigError, match=r"'limits\.inflight': input should be greater"):
        checked(BrokerSettings, {"limits": {"inflight": 0}}, "broker.yaml")
