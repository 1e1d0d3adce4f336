"""The broker with the clients people have: aiomqtt (paho) and mosquitto's tools."""

import asyncio
import shutil
import socket

import aiomqtt
import pytest

from tests.brokers import play, running, until

Address = tuple[str, int]


def test_aiomqtt_round_trip_at_every_qos_with_retained_and_will() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("gone")
            host, port = broker.address
            will = aiomqtt.Will("gone", b"bye")
            async with aiomqtt.Client(host, port, identifier="one", will=will) as client:
                await client.subscribe("t/#", qos=2)
                for qos in (0, 1, 2):
                    await client.publish("t/x", b"%d" % qos, qos=qos, retain=qos == 2)
                got = [await anext(client.messages) for _ in range(3)]
                assert sorted((message.payload, message.qos) for message in got) == [(b"0", 0), (b"1", 1), (b"2", 2)]
                await client.subscribe("t/+", qos=1)
                replayed = await anext(client.messages)
                assert (replayed.payload, replayed.retain) == (b"2", True)
            assert watcher.seen == []

    # aiomqtt needs add_reader and add_writer, which both loops have.
    play(scenario())


def test_round_trip_between_aiomqtt_and_a_local_session_is_not_delayed() -> None:
    async def scenario() -> None:
        async with running() as broker:
            local = broker.local()
            local.session.subscribe("ask", lambda message: local.session.publish("answer", message.payload))
            options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
            async with aiomqtt.Client(*broker.address, socket_options=options) as client:
                await client.subscribe("answer")
                taken: list[float] = []
                for number in range(20):
                    start = asyncio.get_running_loop().time()
                    await client.publish("ask", str(number))
                    assert (await anext(client.messages)).payload == str(number).encode()
                    taken.append(asyncio.get_running_loop().time() - start)
                assert sorted(taken)[5] < 0.04  # which each would take; a busy machine delays some of them

    play(scenario())


async def run_tool(*arguments: str) -> bytes:
    """The output of a command."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output


class Paho:
    """paho, through aiomqtt."""

    async def publish(self, address: Address, topic: str, payload: str, qos: int, *, version_5: bool = False) -> str:
        version = aiomqtt.ProtocolVersion.V5 if version_5 else aiomqtt.ProtocolVersion.V311
        try:
            async with aiomqtt.Client(*address, protocol=version) as client:
                await client.publish(topic, payload, qos=qos, retain=True)
        except aiomqtt.MqttError as error:
            return str(error)
        return ""

    async def first(self, address: Address, name: str) -> str:
        async with aiomqtt.Client(*address) as client:
            await client.subscribe(name, qos=2)
            message = await anext(client.messages)
            assert isinstance(message.payload, bytes)
            return f"{message.topic} {message.payload.decode()}"


class Mosquitto:
    """The command line clients of mosquitto."""

    async def publish(self, address: Address, topic: str, payload: str, qos: int, *, version_5: bool = False) -> str:
        where = ("-h", address[0], "-p", str(address[1]), "-V", "mqttv5" if version_5 else "mqttv311")
        output = await run_tool("mosquitto_pub", *where, "-t", topic, "-m", payload, "-q", str(qos), "-r")
        return output.decode()

    async def first(self, address: Address, name: str) -> str:
        where = ("-h", address[0], "-p", str(address[1]), "-V", "mqttv311")
        output = await run_tool("mosquitto_sub", *where, "-t", name, "-C", "1", "-v", "-q", "2")
        return output.decode().strip()


PROGRAMS: list[Paho | Mosquitto] = [Paho()]
if shutil.which("mosquitto_pub"):
    PROGRAMS.append(Mosquitto())


@pytest.mark.parametrize("program", PROGRAMS)
def test_publishing_and_subscribing(program: Paho | Mosquitto) -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("home/#")
            for qos in (0, 1, 2):
                assert await program.publish(broker.address, "home/x", str(qos), qos) == ""
            await until(lambda: len(watcher.messages) == 3)
            assert [payload for _, payload in watcher.seen] == [b"0", b"1", b"2"]
            assert await program.first(broker.address, "home/+") == "home/x 2"

    play(scenario())


@pytest.mark.parametrize("program", PROGRAMS)
def test_client_of_version_5_is_told_to_fall_back(program: Paho | Mosquitto) -> None:
    async def scenario() -> None:
        async with running() as broker:
            said = await program.publish(broker.address, "x", "1", 0, version_5=True)
            assert "unsupported protocol version" in said.lower()

    play(scenario())
