"""The file manager in this process, on a bus that records what it says; roots are real folders."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agents.filestore import FileStore
from agents.filestore.settings import FileStoreSettings
from bus.agent import Call
from bus.envelope import loads
from bus.errors import BusError
from schemas import AnyMethod, files, klippy, server
from tests.agent_bus import ALICE, WAIT, RecordingBus, running

Json = dict[str, Any]
CHANGED = "notify_filelist_changed"


class FileAgent:
    """Asks it, and hears what it announces."""

    def __init__(self, data: Path, settings: FileStoreSettings) -> None:
        self.bus = RecordingBus(data)
        self.bus.results[server.EVENTS_READ.name] = {"events": []}
        self.bus.results[klippy.LOADED_FILE.name] = {"filename": None}
        self.agent = FileStore(self.bus, settings)
        self.impatient = False  # whether callers are told that it takes too long before anything has been changed
        self.gcodes, self.config = data / "gcodes", data / "config"

    async def ask(self, row: AnyMethod, **params: Any) -> Any:
        """The result of a method; raises BusError."""
        return await self.send(row, **params)

    def send(self, row: AnyMethod, **params: Any) -> "asyncio.Future[Any]":
        """Asks without waiting for the answer."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = Call(row, row.params.model_validate(params), ALICE)

        def done(outcome: bytes | BusError) -> None:
            if isinstance(outcome, BusError):
                answer.set_exception(outcome)
            else:
                answer.set_result(loads(bytes(outcome)))
            if not self.impatient:
                call.answered()

        self.agent.handle(call, done)
        if self.impatient:
            asyncio.get_running_loop().call_soon(call.answered)
        return answer

    async def upload(self, name: str, content: bytes, **known: Any) -> Any:
        """The answer to an upload into the gcodes root; raises BusError."""
        opened = await self.ask(files.UPLOAD_OPEN, filename=name, size=len(content), **known)
        if content:
            self.bus.say(opened["data"], bytes(8) + content, to=self.bus.topics.upload_data("+", "+"))
        return await self.ask(files.UPLOAD_COMMIT, id=opened["id"], filename=name, size=len(content))

    def cancel(self, row: AnyMethod) -> None:
        """Ends the calls of a method that are under way."""
        for task in asyncio.all_tasks():
            if task.get_name() == f"{self.agent.name}: {row.name}":
                task.cancel()

    def prints(self, path: str) -> None:
        """A file of the gcodes root is being printed from now on."""
        self.bus.results[klippy.LOADED_FILE.name] = {"filename": path}

    @property
    def told(self) -> list[Json]:
        """All changes that have been announced."""
        return [params[0] for name, params in self.bus.notifications() if name == CHANGED]

    def said(self, *actions: str) -> list[tuple[str, str]]:
        """Action and path of what has been announced; with actions only those."""
        return [
            (each["action"], each["item"]["path"]) for each in self.told if not actions or each["action"] in actions
        ]

    async def until_heard(self, path: str) -> None:
        """Waits until it has heard that somebody is writing a file of the gcodes root."""
        await until(lambda: any(each.path == path for each in self.agent._watcher._unfinished))

    async def hears(self, action: str, path: str) -> Json:
        """The first announcement of a change, once it is there."""

        def found() -> list[Json]:
            return [each for each in self.told if (each["action"], each["item"]["path"]) == (action, path)]

        await self.bus.until(found)
        return found()[0]


async def until(condition: Callable[[], object]) -> None:
    """Waits for what nothing tells of."""
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(data: Path, **settings: Any) -> AsyncIterator[FileAgent]:
    """A file manager whose roots are below a folder."""
    found = FileAgent(data, FileStoreSettings(**settings))
    for root in (found.gcodes, found.config):
        root.mkdir(parents=True, exist_ok=True)
    async with running(found.agent):
        await found.ask(files.ROOTS)
        if found.agent.settings.observe:
            await until(
                lambda: {"gcodes", "config"} <= {each.root.name for each in found.agent._watcher._watched.values()}
            )
        yield found
