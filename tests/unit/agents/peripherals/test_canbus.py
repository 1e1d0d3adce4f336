"""The question for CAN nodes without a number, against nodes at the other end of a pair of sockets."""

import asyncio
import socket
import struct
from typing import Any

import pytest

from agents.peripherals.canbus import answered, open_bus, unassigned
from tests.conftest import Run
from tests.hardware import virtual_can

UUID = bytes.fromhex("11aabbccddee")


def frame(identifier: int, data: bytes) -> bytes:
    """A struct can_frame."""
    return struct.pack("=IB3x8s", identifier, len(data), data)


def node(*command: int, uuid: bytes = UUID) -> bytes:
    """The answer of one that has no number."""
    return frame(0x3F1, b"\x20" + uuid + bytes(command))


def asked(*answers: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """What is found on a bus whose nodes answer so, and the question that they hear."""

    async def main() -> tuple[list[dict[str, Any]], bytes]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        with theirs:
            for answer in answers:
                theirs.send(answer)
            found = await unassigned("can0", lambda _interface: ours, 0.05)
            return found, theirs.recv(64)

    return asyncio.run(main())


def test_the_question_is_that_of_the_protocol() -> None:
    assert asked() == ([], frame(0x3F0, b"\0"))


@pytest.mark.parametrize(
    ("command", "name"), [((1,), "Klipper"), ((0x11,), "Katapult"), ((9,), "Unknown"), ((), "Klipper")]
)
def test_a_node_says_what_runs_on_it(command: tuple[int, ...], name: str) -> None:
    found, _ = asked(node(*command))
    assert found == [{"uuid": "11aabbccddee", "application": name}]


def test_each_node_is_told_once_in_the_order_of_answers() -> None:
    other = bytes.fromhex("0102030405ff")
    found, _ = asked(node(0x11), node(1, uuid=other), node(0x11))
    assert [each["uuid"] for each in found] == ["11aabbccddee", "0102030405ff"]


@pytest.mark.parametrize(
    "noise",
    [
        b"",
        b"\0" * 15,
        b"\0" * 17,
        frame(0x123, b"\x20" + UUID),
        frame(0x3F1, b"\x20" + UUID[:5]),
        frame(0x3F1, b"\x21" + UUID),
    ],
)
def test_what_else_is_on_the_bus_is_passed_over(noise: bytes) -> None:
    assert answered(noise) is None


def test_a_missing_interface_raises_and_leaves_no_socket(run: Run[None]) -> None:
    """Where the kernel knows no CAN, it is the socket itself that fails."""

    async def body() -> None:
        with pytest.raises(OSError):
            await unassigned("nosuchcan0", open_bus, 0.05)

    run(body())


def test_on_a_real_bus_a_node_hears_the_question_and_is_heard(run: Run[None]) -> None:
    """Where the kernel has virtual ones; the test run says where not."""

    async def answer(bus: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(bus, 16) == frame(0x3F0, b"\0")
        await loop.sock_sendall(bus, frame(0x123, b"noise"))
        await loop.sock_sendall(bus, node(0x11))

    async def body(interface: str) -> None:
        with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as bus:
            bus.setblocking(False)
            bus.bind((interface,))
            found, _ = await asyncio.gather(unassigned(interface, open_bus, 0.5), answer(bus))
        assert found == [{"uuid": "11aabbccddee", "application": "Katapult"}]

    with virtual_can() as interface:
        if interface is not None:
            run(body(interface))
