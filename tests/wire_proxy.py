"""A TCP proxy that does to connections what networks do: cuts them, delays them, or leaves them open for nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.ports import free_port


class Proxy:
    """Forwards one port to another while nothing else is said."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.connections = 0
        self.delay = 0.0
        self.frozen = False  # what comes in is swallowed, on connections old and new
        self.stalled = False  # nothing is read from the client any more
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._dead: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Listens, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Refuses connections and ends those there are."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Ends all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def forget(self) -> None:
        """Leaves the connections open and swallows what they say; new ones work."""
        self._dead |= self._writers

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
                self._writers.add(far_writer)
                with suppress(OSError):
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._pump(reader, far_writer, stalls=True), name="up")
                        tasks.create_task(self._pump(far_reader, writer), name="down")
                far_writer.transport.abort()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, stalls: bool = False) -> None:
        while data := await reader.read(65_536):
            if self.delay:
                await asyncio.sleep(self.delay)
            while stalls and self.stalled:  # noqa: ASYNC110 - a test sets it from outside
                await asyncio.sleep(0.05)
            if not self.frozen and writer not in self._dead:
                writer.write(data)
                await writer.drain()
        raise ConnectionResetError  # ends the other direction too


@asynccontextmanager
async def proxy(target: int, *, opened: bool = True) -> AsyncIterator[Proxy]:
    """A proxy before a local port."""
    made = Proxy(target)
    if opened:
        await made.open()
    try:
        yield made
    finally:
        await made.close()
