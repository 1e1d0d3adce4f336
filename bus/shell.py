"""Calls from the shell, as the owner: to the program that runs, by its unix socket or its broker, or without one."""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from .broker_url import BrokerUrl
from .calls import Caller, CallFailed
from .envelope import dumps
from .errors import BusError, Unavailable
from .framing import TERMINATOR
from .identity import Kind
from .system_users import user_name
from .topics import Topics

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]

CLIENT = "bridge.shell"
SOCKET = ("comms", "moonraker.sock")
SECONDS = 20.0  # for an answer: hashing a password takes its time on a small board
SHELL = "shell"


@asynccontextmanager
async def owner_calls(options: argparse.Namespace) -> AsyncIterator[Ask]:
    """Asks the running program, or a part of it that is started for that; raises BusError."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(options.data.joinpath(*SOCKET)), limit=1 << 24)
    except OSError:
        async with _over_mqtt(options) as ask:
            yield ask
        return
    try:
        yield _asking(reader, writer)
    finally:
        writer.close()


def _asking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Ask:
    async def ask(method: str, params: dict[str, Any]) -> Any:
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": SHELL}
        writer.write(orjson.dumps(request) + TERMINATOR)
        async with asyncio.timeout(SECONDS):
            while True:
                said = orjson.loads((await reader.readuntil(TERMINATOR))[:-1])
                if said.get("id") == SHELL:
                    return _result(said)

    return ask


def _result(said: dict[str, Any]) -> Any:
    if "error" in said:
        raise CallFailed(said["error"])
    return said["result"]


@asynccontextmanager
async def _over_mqtt(options: argparse.Namespace) -> AsyncIterator[Ask]:
    from .planning import planned

    plan = planned(options, local=True)
    try:
        async with _quiet(plan) as ready:
            port = urlsplit(ready.rpartition(" ")[2]).port or 0
            async with _link(plan, "127.0.0.1", port) as ask:
                yield ask
            return
    except* Unavailable:
        pass  # somebody else has the log, so the program runs
    listener = next((each for each in plan.broker.listeners.values() if each.type == "tcp" and not each.certfile), None)
    if listener is None:
        raise Unavailable("The program runs, and neither its unix socket nor a plain listener of its broker is there")
    host = "127.0.0.1" if listener.host in ("", "0.0.0.0") else listener.host  # noqa: S104 - where it listens
    async with _link(plan, host, listener.port) as ask:
        yield ask


@asynccontextmanager
async def _quiet(plan: Any) -> AsyncIterator[str]:
    """The access agent and what it needs, for as long as it takes; nobody outside can reach it."""
    from .instance import running
    from .listeners import Listener
    from .program import Program

    own = {SHELL: Listener(port=0)}
    broker = plan.broker.model_copy(update={"listeners": own, "uplinks": {}})
    agents = [(kind, settings) for kind, settings in plan.agents if kind.name == "access"]
    part = replace(plan, agents=agents, remote={}, bridge=None, broker=broker)
    async with running(part, Program()) as ready:
        yield ready


@asynccontextmanager
async def _link(plan: Any, host: str, port: int) -> AsyncIterator[Ask]:
    from .client import RemoteSession
    from .instance import agent_key

    url = BrokerUrl(host, port, f"bridge:{uuid4().hex}", agent_key(plan.data))
    up = asyncio.Event()
    session, topics = RemoteSession(url, CLIENT, connected=up.set), Topics(plan.config.instance)
    caller = Caller(session, topics, CLIENT)
    actor = dumps({"user": None, "kind": Kind.OWNER, "transport": SHELL, "client": user_name()})
    link = asyncio.create_task(session.run(), name="shell: link")

    async def ask(method: str, params: dict[str, Any]) -> Any:
        async with asyncio.timeout(SECONDS):
            await up.wait()
            return await caller.call(method, params, actor=actor)

    try:
        yield ask
    finally:
        link.cancel()
        await asyncio.gather(link, return_exceptions=True)


def run(options: argparse.Namespace, work: Callable[[Ask], Awaitable[None]]) -> None:
    """Does something as the owner; raises BusError with what went wrong, and ConfigError."""
    logging.getLogger().setLevel(logging.DEBUG if options.verbose else logging.WARNING)

    async def main() -> None:
        async with owner_calls(options) as ask:
            await work(ask)

    try:
        asyncio.run(main())
    except* BusError as failed:
        raise _first(failed) from None
    except* TimeoutError:
        raise Unavailable(f"The program did not answer within {SECONDS:g} s") from None


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """What is inside, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
