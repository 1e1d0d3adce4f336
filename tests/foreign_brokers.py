"""Other people's brokers as processes on free ports, and clients of them that owe nothing to our own code."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.ports import free_port

SYSTEM = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/rabbitmq/bin"
START_SECONDS = 50.0
STOP_SECONDS = 10.0
PATIENCE = 20.0
PROGRAMS = {"printbus": sys.executable, "mosquitto": "mosquitto", "rabbitmq": "rabbitmq-server", "nats": "nats-server"}


def program(kind: str) -> str | None:
    """The installed program of a kind of broker."""
    if kind == "rabbitmq":  # what is on the path changes to a user of its own
        own = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        return str(own) if own.exists() else None
    return shutil.which(PROGRAMS[kind], path=SYSTEM)


INSTALLED = [kind for kind in PROGRAMS if program(kind)]
MISSING = [kind for kind in PROGRAMS if kind not in INSTALLED]


class Foreign:
    """A broker in a process of its own, which can be stopped and started again on the same port."""

    def __init__(self, kind: str, folder: Path, port: int | None = None, instance: str = "farm") -> None:
        self.kind = kind
        self.port = port or free_port()
        self.user = self.password = "guest" if kind == "rabbitmq" else None
        self.anonymous = True
        self._folder = folder
        self.instance = instance
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd = free_port()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"mqtt://{self.user}@127.0.0.1:{self.port}" if self.user else f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        arguments, environment = getattr(self, f"_{self.kind}")()
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                arguments, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < end, (self._folder / "output").read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def send(self, number: int) -> None:
        """Stops or continues it, as its owner's shell would."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends it."""
        process, self._process = self._process, None
        if process is None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self.kind == "rabbitmq":  # Erlang's name server outlives it
            environment = {**os.environ, "ERL_EPMD_PORT": str(self._epmd)}
            subprocess.run(["epmd", "-kill"], env=environment, capture_output=True, check=False)

    def add_user(self, name: str, password: str) -> None:
        """Somebody who may log in; before the start. Where anybody may, there is nothing to add."""
        if self.kind == "printbus":
            words = [*self._bus("users", "add", name), *self._place]
            subprocess.run(words, input=f"{password}\n".encode(), capture_output=True, check=True)

    @property
    def _place(self) -> list[str]:
        return ["--instance", self.instance, "--data", str(self._folder / "data")]

    @staticmethod
    def _bus(*words: str) -> list[str]:
        return [sys.executable, "-m", "bus", *words]

    def _printbus(self) -> tuple[list[str], dict[str, str]]:
        config = self._folder / "printer.yaml"
        config.write_text(f"authorization: {{force_logins: {str(not self.anonymous).lower()}}}\n")
        where = ["--config", str(config), "--mqtt", f"127.0.0.1:{self.port}"]
        return [*self._bus("broker"), *self._place, *where], {}

    def _mosquitto(self) -> tuple[list[str], dict[str, str]]:
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous {str(self.anonymous).lower()}\n"
            "max_queued_messages 0\n"  # else it drops what comes for a client of ours that is slow to take a flood
        )
        return [program("mosquitto") or "", "-c", str(config)], {}

    def _nats(self) -> tuple[list[str], dict[str, str]]:
        config = self._folder / "nats.conf"
        config.write_text(
            f'server_name: farm\nlisten: "127.0.0.1:{free_port()}"\njetstream {{ store_dir: "{self._folder}/js" }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self.port}" }}\n'
        )
        return [program("nats") or "", "-c", str(config)], {}

    def _rabbitmq(self) -> tuple[list[str], dict[str, str]]:
        folder = self._folder
        (folder / "home").mkdir(exist_ok=True)
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{self.port}\nmqtt.allow_anonymous = false\n"
        )
        return [program("rabbitmq") or ""], {
            "HOME": str(folder / "home"),
            "RABBITMQ_NODENAME": f"printbus{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


@contextmanager
def foreign(kind: str, folder: Path, **options: Any) -> Iterator[Foreign]:
    """A running broker."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = Foreign(kind, folder, **options)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Far:
    """A client of such a broker; it keeps what it gets."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.seen: list[aiomqtt.Message] = []
        self._more = asyncio.Event()

    async def listen(self, *filters: str) -> None:
        """Subscribes."""
        for each in filters:
            await self.client.subscribe(each, 1)

    async def read(self) -> None:
        """Keeps what comes."""
        async for message in self.client.messages:
            self.seen.append(message)
            self._more.set()

    async def until(self, fits: Callable[[aiomqtt.Message], bool], seconds: float = PATIENCE) -> aiomqtt.Message:
        """The first message that fits, of those that have come and will come."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._more.clear()
                    for message in self.seen:
                        if fits(message):
                            return message
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError([(each.topic.value, each.payload) for each in self.seen]) from None

    async def value(self, topic: str, payload: bytes | None = None, seconds: float = PATIENCE) -> aiomqtt.Message:
        """The first message on a topic, with this payload."""
        return await self.until(
            lambda message: message.topic.value == topic and payload in (None, message.payload), seconds
        )

    def payloads(self, topic: str) -> list[bytes]:
        """What came on a topic."""
        return [bytes(message.payload) for message in self.seen if message.topic.value == topic]

    async def ask(self, topic: str, answers: str, method: str | None = None, /, number: int = 1, **params: Any) -> Any:
        """A request and its answer."""
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
        await self.client.publish(topic, orjson.dumps({k: v for k, v in request.items() if v is not None}), 1)
        found = await self.until(
            lambda message: message.topic.value == answers and orjson.loads(message.payload).get("id") == number
        )
        return orjson.loads(found.payload)


@asynccontextmanager
async def far(broker: Foreign, *filters: str, port: int | None = None, version5: bool = False) -> AsyncIterator[Far]:
    """A connected client of a broker."""
    async with (
        aiomqtt.Client(
            "127.0.0.1",
            port or broker.port,
            username=broker.user,
            password=broker.password,
            identifier=f"far-{os.urandom(4).hex()}",
            protocol=aiomqtt.ProtocolVersion.V5 if version5 else aiomqtt.ProtocolVersion.V311,
            timeout=PATIENCE,
        ) as client,
        asyncio.TaskGroup() as tasks,
    ):
        made = Far(client)
        reading = tasks.create_task(made.read(), name="far: read")
        await made.listen(*filters)
        try:
            yield made
        finally:
            reading.cancel()


def response_topic(topic: str, correlation: bytes) -> Properties:
    """What an MQTT 5 request says about its answer."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic = topic
    properties.CorrelationData = correlation
    return properties
