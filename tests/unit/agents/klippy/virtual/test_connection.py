"""Frames over a socket, and clients that do not read."""

import selectors
import socket
from collections.abc import Iterator

import pytest

from agents.klippy.virtual import connection as module
from agents.klippy.virtual.clock import Clock
from agents.klippy.virtual.connection import Connection
from agents.klippy.virtual.loop import Loop


class Peer:
    """A connection on a real loop, and the client's end of its socket."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        self.socket.settimeout(5)
        self.loop = Loop(Clock())
        self.messages: list[object] = []
        self.closed = 0
        self.connection = Connection(self.loop, ours, self._on_message, self._on_close)

    def _on_message(self, _connection: Connection, message: object) -> None:
        self.messages.append(message)

    def _on_close(self, _connection: Connection) -> None:
        self.closed += 1
        self.loop.stop()

    def turn(self, seconds: float = 0.05) -> None:
        """Let the loop work for a while, or until the connection closes."""
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.connection.close()
    made.socket.close()


def test_a_peer_that_closes_is_noticed_once(peer: Peer) -> None:
    peer.socket.close()
    peer.turn(5.0)
    peer.connection.close()
    peer.connection.send({"late": True})
    assert peer.closed == 1


def test_a_peer_that_does_not_read_is_dropped(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALLED_AFTER", 0.1)
    for _ in range(50):
        peer.connection.send({"data": "x" * 100_000})
    assert peer.closed == 0
    peer.turn(5.0)
    assert peer.closed == 1


def test_a_peer_that_reads_late_gets_everything(peer: Peer) -> None:
    for _ in range(20):
        peer.connection.send({"data": "x" * 100_000})
    received = bytearray()
    while received.count(b"\x03") < 20:
        received += peer.socket.recv(1 << 20)
        peer.connection._on_event(selectors.EVENT_WRITE)
    assert peer.closed == 0 and len(received) == 20 * len(b'{"data":"' + b"x" * 100_000 + b'"}\x03')


def test_answers_that_pile_up_end_the_connection(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTBOX", 1_000_000)
    for _ in range(50):
        peer.connection.send({"data": "x" * 100_000})
    assert peer.closed == 1


def test_a_frame_without_end_is_not_kept_for_ever(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FRAME", 1000)
    peer.socket.sendall(b"x" * 2000)
    peer.turn(5.0)
    assert peer.closed == 1 and peer.messages == []
