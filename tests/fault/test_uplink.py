"""Uplinks and everything that networks and brokers do to them; what is local must not notice."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.client import BUSY_PATIENCE
from bus.outbox import MESSAGES
from tests.bus_rig import Client
from tests.conftest import Run
from tests.e2e.test_print import get
from tests.foreign_brokers import INSTALLED, PATIENCE, Far, Foreign, far, foreign
from tests.program import Program, addresses, up_arguments
from tests.uplink_rig import Joined, joined, settings_for
from tests.wire_proxy import Proxy, proxy

KIND = "mosquitto" if "mosquitto" in INSTALLED else "printbus"
REQUEST, RESPONSE = "test/moonraker/api/request/desk", "test/moonraker/api/response/desk"
STATUS = "test/moonraker/status"
STATE = "test/state/klippy/server"
SOMEONE = ("someone", "anything")
BACK = 5.0  # seconds after the peer's return
SLACK = 3.0  # for a machine that does other things


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    peer = Foreign(KIND, tmp_path_factory.mktemp("peer"))
    peer.add_user(*SOMEONE)
    peer.start()
    yield peer
    peer.stop()


@asynccontextmanager
async def behind(broker: Foreign, *, opened: bool = True, qos: int = 0) -> AsyncIterator[tuple[Joined, Proxy, Far]]:
    """An instance whose uplink goes through a proxy, and a client of the broker that does not."""
    async with proxy(broker.port, opened=opened) as wire:
        settings = settings_for(broker, url=f"mqtt://127.0.0.1:{wire.port}", qos=qos)
        async with joined(settings, wait=opened) as here, far(broker, STATE, STATUS, RESPONSE, "test/event/#") as there:
            yield here, wire, there


async def works(here: Joined, there: Far, value: int) -> None:
    """State, events and requests go their ways."""
    here.state("state/klippy/server", value)
    await there.value(STATE, b"%d" % value)
    here.pass_on("event/print/x", value)
    await there.value("test/event/print/x", b"%d" % value)
    assert (await there.ask(REQUEST, RESPONSE, "lab.who", value))["result"]["client"] == "desk"


async def complaint(here: Joined, words: str) -> str:
    """What is said of the uplink, once these words are in it."""
    async with asyncio.timeout(PATIENCE):
        while words not in (text := here.warnings.get("uplink yard", "")):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
    return text


async def local_works(client: Client) -> None:
    """A local client is answered at once."""
    async with asyncio.timeout(BACK):
        assert (await client.ask("lab.who"))["result"]["client"] == client.name


def test_a_cut_link_is_back_and_what_changed_meanwhile_is_told(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with behind(broker) as (here, wire, there):
            client = here.rig.client("here")
            await works(here, there, 1)
            here.state("state/klippy/gone", 1)
            await asyncio.sleep(0.1)
            await wire.close()
            await here.is_down()
            here.state("state/klippy/server", 2)
            here.state("state/klippy/gone", b"")
            await local_works(client)
            await there.value(STATUS, b'{"server":"offline"}')
            await wire.open()
            await here.is_up(BACK + SLACK)
            await there.value(STATE, b"2")
            await works(here, there, 3)
            async with far(broker, "test/state/klippy/gone", STATUS) as later:
                assert (await later.value(STATUS)).payload == b'{"server":"online"}'
                assert not [each for each in later.payloads("test/state/klippy/gone") if each]

    run(scenario())


def test_a_link_that_is_open_on_this_side_only_is_given_up(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with behind(broker) as (here, wire, there):
            client = here.rig.client("here")
            await works(here, there, 1)
            wire.forget()
            await here.is_down(BUSY_PATIENCE + BACK)
            await local_works(client)
            await here.is_up(BACK + SLACK)
            await works(here, there, 2)

    run(scenario())


def test_a_peer_that_swallows_everything_for_a_while_is_rejoined(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with behind(broker) as (here, wire, there):
            client = here.rig.client("here")
            wire.frozen = True
            await here.is_down(BUSY_PATIENCE + BACK)  # so long where its first messages were still under way
            for _ in range(10):
                await local_works(client)
                await asyncio.sleep(0.2)
            wire.frozen = False
            wire.cut()  # what was swallowed is lost for both sides, as when a router restarts
            await here.is_up(BACK + SLACK)
            await works(here, there, 3)

    run(scenario())


def test_a_peer_may_come_late(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with behind(broker, opened=False) as (here, wire, there):
            client = here.rig.client("here")
            here.state("state/klippy/server", 1)
            await asyncio.sleep(2)
            await local_works(client)
            await complaint(here, "has no connection")
            await wire.open()
            await here.is_up(BACK + SLACK)
            assert not here.warnings
            await there.value(STATE, b"1")
            await works(here, there, 2)

    run(scenario())


@pytest.mark.parametrize("qos", [0, 1])
def test_delays_only_delay(broker: Foreign, qos: int, run: Run[None]) -> None:
    async def scenario() -> None:
        async with behind(broker, qos=qos) as (here, wire, there):
            wire.delay = 0.3
            await works(here, there, 1)
            await asyncio.sleep(2.5)
            assert here.uplink.is_up
            await works(here, there, 2)

    run(scenario())


@pytest.mark.parametrize("kind", [kind for kind in INSTALLED if kind != "rabbitmq"])
def test_a_peer_that_was_killed_gets_all_state_anew(kind: str, tmp_path: Path, run: Run[None]) -> None:
    async def scenario(peer: Foreign) -> None:
        async with joined(settings_for(peer)) as here:
            for number in range(200):
                here.state(f"state/klippy/many{number}", number)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(peer.stop, signal.SIGKILL)
            await here.is_down()
            await local_works(here.rig.client("here"))
            await asyncio.to_thread(peer.start)
            await here.is_up(BACK + SLACK)
            async with far(peer, "test/state/#", RESPONSE, "test/event/#") as there:
                for number in range(200):
                    await there.value(f"test/state/klippy/many{number}", b"%d" % number)
                await works(here, there, 1000)

    with foreign(kind, tmp_path) as peer:
        run(scenario(peer))


def test_a_peer_that_stops_reading_costs_bounded_memory_and_nobody_time(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with behind(broker) as (here, wire, there):
            client = here.rig.client("here")
            wire.stalled = True
            for number in range(300):
                for each in range(100):
                    here.pass_on("event/flood/x", f"{number} {each} {'x' * 2000}")
                here.state("state/klippy/server", number)
                if number % 50 == 0:
                    await local_works(client)
                await asyncio.sleep(0)
            outbox = here.uplink._parts.outbox
            assert outbox.dropped > 0 or not here.uplink.is_up
            assert len(outbox) <= MESSAGES + 10
            wire.stalled = False
            await here.is_up(30)
            await there.value(STATE, b"299", 20)
            await works(here, there, 1001)

    run(scenario())


def test_a_late_will_of_an_earlier_link_is_corrected(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with behind(broker) as (_, _, there):
            await there.client.publish(STATUS, b'{"server":"offline"}', 1, retain=True)
            await there.until(
                lambda _: there.payloads(STATUS)[-2:] == [b'{"server":"offline"}', b'{"server":"online"}']
            )

    run(scenario())


def test_a_peer_that_refuses_us_is_asked_again(tmp_path: Path, run: Run[None]) -> None:
    async def scenario(peer: Foreign) -> None:
        async with joined(settings_for(peer), wait=False) as here:
            await complaint(here, "Not authorized")
            await asyncio.to_thread(peer.stop)
            await asyncio.to_thread(peer.start)
            await here.is_up(BACK + SLACK)

    peer = Foreign(KIND, tmp_path)
    peer.add_user(*SOMEONE)
    peer.anonymous = False
    peer.start()
    peer.anonymous = True
    try:
        run(scenario(peer))
    finally:
        peer.stop()


def test_a_broken_secret_or_certificate_is_said_and_looked_at_again(
    broker: Foreign, tmp_path: Path, run: Run[None]
) -> None:
    secret = tmp_path / "password"

    async def scenario() -> None:
        settings = settings_for(broker, user=SOMEONE[0], password={"file": secret})
        async with joined(settings, wait=False) as here:
            text = await complaint(here, "cannot be used")
            assert "password" in text
            await local_works(here.rig.client("here"))
            secret.write_text(f"{SOMEONE[1]}\n")
            await here.is_up()
            assert not here.warnings

    run(scenario())


def test_the_whole_program_goes_on_with_dead_uplinks_says_so_and_ends_in_time(tmp_path: Path) -> None:
    """One leads to a host that answers nothing, not even with a refusal."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "broker.yaml").write_text(
        'uplinks: {dead: {url: "mqtt://192.0.2.1"}, closed: {url: "mqtts://localhost:9"}}\n'
    )
    program = Program(*up_arguments(tmp_path, "--klippy", str(tmp_path / "none.sock")))
    try:
        where = addresses(program.ready_line())
        end = time.monotonic() + PATIENCE
        while len(warnings := get(where, "/server/info")["warnings"]) < 2:
            assert time.monotonic() < end, warnings
            time.sleep(0.1)
        assert all("has no connection" in each for each in warnings)
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(PATIENCE) == 0
    except subprocess.TimeoutExpired:
        raise AssertionError("".join(program.errors)) from None
    finally:
        program.stop()
