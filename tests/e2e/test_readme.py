"""What README says is tried: each example against a running program, with the tools it names or as they would do it."""

import argparse
import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from bus.__main__ import build_parser
from tests.e2e.test_print import PATIENCE, fast_printer, get, until
from tests.mqtt_wire import WireClient
from tests.program import Addresses, running

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
INSTANCE = "printer"
HTTP, MQTT = "http://127.0.0.1:7125", ("127.0.0.1", 1883)


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The words of each command, in order."""
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


EXAMPLES = [words for words in commands() if not words[0].startswith("scripts/")]


class Desk:
    """Where the examples are typed: addresses are those of the running program; what was heard is kept."""

    def __init__(self, data: Path, where: Addresses, *, tools: bool) -> None:
        self.heard: list[str] = []
        self._data = data
        self.where = where
        self._tools = tools
        self._ended = threading.Event()
        self._listeners: list[threading.Thread | subprocess.Popen[str]] = []

    def type(self, words: list[str]) -> str:
        """What one command prints; one that listens goes on in the background."""
        match words[0]:
            case "curl":
                return self._curl([word.replace(HTTP, self.where.http) for word in words])
            case "mosquitto_pub":
                return self._publish(words)
            case "mosquitto_sub":
                return self._subscribe(words)
            case "printbus":
                return output([sys.executable, "-m", "bus", *words[1:], "--data", str(self._data)])
        raise AssertionError(f"README uses {words[0]}, which is not known here")

    def _has(self, tool: str) -> bool:
        return self._tools and shutil.which(tool) is not None

    def _curl(self, words: list[str]) -> str:
        if self._has("curl"):
            return output(["curl", "--silent", "--show-error", *words[1:]])
        parser = argparse.ArgumentParser()
        parser.add_argument("-X", default="GET")
        parser.add_argument("url")
        given = parser.parse_args(words[1:])
        request = urllib.request.Request(given.url, method=given.X)  # noqa: S310
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return str(answer.read().decode())

    def _mosquitto(self, words: list[str]) -> list[str]:
        return [words[0], "-h", self.where.mqtt_host, "-p", str(self.where.mqtt_port), *words[1:]]

    def _publish(self, words: list[str]) -> str:
        if self._has(words[0]):
            return output(self._mosquitto(words))
        given = mqtt_options(words)

        async def send() -> None:
            client = await WireClient.open((self.where.mqtt_host, self.where.mqtt_port))
            await client.login(given.i)
            await client.publish(given.t[0], given.m.encode(), qos=1)
            await client.disconnect()

        asyncio.run(send())
        return ""

    def _subscribe(self, words: list[str]) -> str:
        if self._has(words[0]):
            listening = subprocess.Popen(["stdbuf", "-oL", *self._mosquitto(words)], stdout=subprocess.PIPE, text=True)
            assert listening.stdout
            reader = threading.Thread(target=self.heard.extend, args=(listening.stdout,), name="mosquitto_sub")
            self._listeners += [listening, reader]
        else:
            reader = threading.Thread(target=lambda: asyncio.run(self._listen(words)), name="listener")
            self._listeners.append(reader)
        reader.start()
        until(lambda: bool(self.heard))  # state is retained
        return ""

    async def _listen(self, words: list[str]) -> None:
        client = await WireClient.open((self.where.mqtt_host, self.where.mqtt_port))
        await client.login("watch")
        await client.subscribe(*((topic, 0) for topic in mqtt_options(words).t))
        while not self._ended.is_set():
            try:
                message = await client.published(0.2)
            except TimeoutError:
                continue
            self.heard.append(f"{message.topic} {message.payload.decode()}\n")
        await client.disconnect()

    def close(self) -> None:
        """Ends what listens."""
        self._ended.set()
        for listener in self._listeners:
            if isinstance(listener, subprocess.Popen):
                listener.terminate()
                listener.wait()
            else:
                listener.join()
        for listener in self._listeners:
            if isinstance(listener, subprocess.Popen) and listener.stdout:
                listener.stdout.close()


def mqtt_options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("-v", action="store_true")
    parser.add_argument("-t", action="append")
    parser.add_argument("-m")
    parser.add_argument("-i", default="somebody")
    return parser.parse_args(words[1:])


def output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=["the tools it names, where they are installed", "as they would do it"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with running(tmp_path, *fast_printer(tmp_path), "--instance", INSTANCE) as (_, where):
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        made = Desk(tmp_path, where, tools=request.param.startswith("the tools"))
        try:
            yield made
        finally:
            made.close()


def test_the_examples_do_what_they_say(desk: Desk) -> None:
    assert {words[0] for words in EXAMPLES} == {"curl", "mosquitto_sub", "mosquitto_pub", "printbus"}
    printed = []
    for words in EXAMPLES:
        said = desk.type(words)
        if words[0] == "curl":
            assert "result" in json.loads(said), words
        if words[0] == "mosquitto_pub":
            heard_of(desk, "print.started.1" if "start" in " ".join(words) else "print.ended.1")
        if words[0] == "printbus":
            printed = said.splitlines()
    (watched,) = [mqtt_options(words).t for words in EXAMPLES if words[0] == "mosquitto_sub"]
    for wanted in watched:
        assert any(line.startswith(wanted.removesuffix("#")) for line in desk.heard), wanted
    assert any("command.accepted.1" in line and "desk" in line for line in printed)


def heard_of(desk: Desk, event: str) -> None:
    until(lambda: any(line.startswith(f"{INSTANCE}/event/print/{event} ") for line in list(desk.heard)))


@pytest.mark.parametrize("message", blocks("json"))
def test_the_messages_for_the_websocket_are_answered(message: str, desk: Desk) -> None:
    with connect(desk.where.http.replace("http", "ws") + "/websocket") as websocket:
        websocket.send(message)
        answer = json.loads(websocket.recv(PATIENCE))
        while "id" not in answer:
            answer = json.loads(websocket.recv(PATIENCE))
    assert answer["id"] == json.loads(message)["id"] and "result" in answer


def test_the_addresses_are_the_defaults() -> None:
    from bus.config import DEFAULT_HTTP
    from bus.listeners import Listener

    assert HTTP.endswith(DEFAULT_HTTP)
    assert (Listener().host, Listener().port) == MQTT
    assert f"printbus ready {HTTP} mqtt://{MQTT[0]}:{MQTT[1]}" in README


def test_the_scripts_and_documents_it_names_are_there() -> None:
    scripts = {*re.findall(r"\bscripts/\w+", README)}
    assert scripts == {f"scripts/{path.name}" for path in (ROOT / "scripts").iterdir()} - {"scripts/environment"}
    links = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert links and all((ROOT / target).exists() for target in links)


def test_every_command_is_in_its_table() -> None:
    table = README.partition("## Commands")[2]
    for name, parser in subcommands(build_parser()):
        assert f"`printbus {name}" in table, name
        for action, _ in subcommands(parser):
            assert re.search(rf"`printbus {name} [^|]*\b{action}\b", table), action


def subcommands(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    return [
        found
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for found in action.choices.items()
    ]
