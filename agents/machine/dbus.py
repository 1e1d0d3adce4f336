"""A connection to D-Bus: calls, signals, and its end; the one place that knows dbus-next."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any, NamedTuple, Self

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import BusType, MessageType
from dbus_next.errors import AuthError, InvalidAddressError
from dbus_next.message import Message
from dbus_next.signature import Variant

from .provider import Unreachable

CONNECT_SECONDS = 5.0
CALL_SECONDS = 25.0  # what libdbus gives a call
DBUS_ERROR = "org.freedesktop.DBus.Error."
DENIED = {DBUS_ERROR + "AccessDenied", DBUS_ERROR + "AuthFailed", DBUS_ERROR + "InteractiveAuthorizationRequired"}
ABSENT = {DBUS_ERROR + "ServiceUnknown", DBUS_ERROR + "NameHasNoOwner"}


class Peer(NamedTuple):
    """An interface of an object of somebody on the bus."""

    name: str
    path: str
    interface: str


class Signal(NamedTuple):
    """Something that somebody has said, without variants."""

    sender: str  # a unique name
    path: str
    interface: str
    member: str
    body: list[Any]


DAEMON = Peer("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


class CallFailed(Exception):
    """The answer to a call was an error: its name, and a text for people."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


class _Socket(MessageBus):
    """Mends what dbus-next leaves open or spins on."""

    def _setup_socket(self) -> None:
        try:
            super()._setup_socket()  # type: ignore[no-untyped-call]
        except BaseException:
            self.close_socket()
            raise

    async def _auth_readline(self) -> str:
        """The library's own reads on for ever behind the end of the stream."""
        line = b""
        while not line.endswith(b"\r\n"):
            more = await self._loop.sock_recv(self._sock, 1)
            if not more:
                raise ConnectionResetError("the bus hung up")
            line += more
        return line[:-2].decode()

    def send(self, message: Message) -> Any:
        """Whoever calls waits for the answer, and never for this."""
        sent = super().send(message)
        sent.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return sent

    def disconnect(self) -> None:
        """Where the library gives up by itself; the socket may have gone before."""
        self._user_disconnect = True
        with suppress(OSError):
            self._sock.shutdown(SHUT_RDWR)

    def close_socket(self) -> None:
        """What the library never does."""
        for part in ("_stream", "_sock"):
            if hasattr(self, part):
                getattr(self, part).close()

    def at_end(self, then: Callable[[], None]) -> None:
        """Has it called when the connection has ended."""

        def ended(future: "asyncio.Future[None]") -> None:
            future.exception()
            then()

        self._disconnect_future.add_done_callback(ended)

    def close(self) -> None:
        """Ends the connection; calls that wait fail."""
        if not self._disconnected:
            self._user_disconnect = True
            self._finalize(ConnectionResetError("the connection was closed"))  # type: ignore[no-untyped-call]
        if self._disconnect_future.done():
            self._disconnect_future.exception()
        self.close_socket()


class SystemBus:
    """One connection, for as long as the block lasts.

    `heard` gets the signals that were asked for, `gone` is called when the bus ends the connection.
    """

    def __init__(self, heard: Callable[[Signal], None], gone: Callable[[], None], address: str | None = None) -> None:
        self._heard = heard
        self._gone = gone
        self._address = address
        self._bus: _Socket | None = None
        self.unique_name = ""

    async def __aenter__(self) -> Self:
        """Raises Unreachable."""
        try:
            self._bus = _Socket(self._address, BusType.SYSTEM)  # type: ignore[arg-type]
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._bus.connect()
        except (OSError, EOFError, AuthError, InvalidAddressError, ValueError) as error:
            self._close()
            raise Unreachable(f"The system bus cannot be reached: {error}") from None
        except BaseException:
            self._close()
            raise
        self.unique_name = str(self._bus.unique_name)
        self._bus.add_message_handler(self._on_message)
        self._bus.at_end(self._on_end)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bus is not None:
            bus, self._bus = self._bus, None
            bus.close()

    def _on_end(self) -> None:
        if self._bus is not None:
            self._gone()

    async def call(self, peer: Peer, member: str, signature: str = "", *arguments: Any) -> list[Any]:
        """The answer's values, without variants; raises CallFailed, and Unreachable where the bus goes meanwhile."""
        if self._bus is None or not self._bus.connected:
            raise Unreachable("The system bus has gone")
        asked = Message(peer.name, peer.path, peer.interface, member, signature=signature, body=list(arguments))
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answer = await self._bus.call(asked)
        except TimeoutError:
            raise CallFailed(DBUS_ERROR + "NoReply", f"{peer.name} did not answer within {CALL_SECONDS:g} s") from None
        except (OSError, EOFError) as error:
            raise Unreachable(f"The system bus has gone: {error}") from None
        if answer is None:
            raise Unreachable("The system bus has gone")
        body = [plain(value) for value in answer.body]
        if answer.message_type is MessageType.ERROR:
            raise CallFailed(answer.error_name, str(body[0]) if body else answer.error_name)
        return body

    async def listen(self, **rule: str) -> None:
        """Has signals delivered that match."""
        matching = ",".join(f"{key}='{value}'" for key, value in {"type": "signal", **rule}.items())
        await self.call(DAEMON, "AddMatch", "s", matching)

    def _on_message(self, message: Message) -> bool:
        if message.message_type is not MessageType.SIGNAL:
            return False
        body = [plain(value) for value in message.body]
        self._heard(Signal(message.sender, message.path, message.interface, message.member, body))
        return True


def text(value: str) -> Variant:
    """A text where a variant is expected."""
    return Variant("s", value)


def plain(value: Any) -> Any:
    """A value of D-Bus without its variants."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value
