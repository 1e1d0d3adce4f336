"""A client of file transfers over MQTT that sends what a test tells it to, right or wrong."""

import asyncio
import json
from collections import deque
from hashlib import sha256
from typing import Any, Self
from uuid import uuid4

from tests.mqtt_wire import Published, WireClient
from tests.program import Addresses

Json = dict[str, Any]
PATIENCE = 20.0


class Failed(Exception):
    """A method answered with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]


class FileClient:
    """One MQTT client of the instance `test`; what is said of transfers is kept in the order of its arrival."""

    def __init__(self, wire: WireClient, name: str) -> None:
        self.wire = wire
        self.name = name
        self.said: deque[Published] = deque()

    @classmethod
    async def open(cls, where: Addresses, name: str) -> Self:
        """A client that hears what concerns it."""
        wire = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await wire.login(name)
        topics = [f"test/reply/{name}"]
        for way, what in (("upload", "want"), ("upload", "failed"), ("download", "data"), ("download", "failed")):
            topics.append(f"test/files/{way}/{name}/+/{what}")
        assert 0x80 not in await wire.subscribe(*((topic, 0) for topic in topics))
        return cls(wire, name)

    async def ask(self, method: str, **params: Any) -> Any:
        """The result of a method; raises Failed."""
        number = str(uuid4())
        await self.wire.publish(
            f"test/rpc/{self.name}/{method.replace('.', '/')}", json.dumps({"id": number, "params": params}).encode()
        )
        while True:
            message = await self.wire.published(PATIENCE)
            if message.topic != f"test/reply/{self.name}":
                self.said.append(message)
                continue
            answer = json.loads(message.payload)
            assert answer["id"] == number
            if "error" in answer:
                raise Failed(answer["error"])
            return answer["result"]

    async def hear(self, what: str) -> Published:
        """The next message of a kind; others before it are passed over. Raises Failed when the transfer has."""
        while True:
            message = self.said.popleft() if self.said else await self.wire.published(PATIENCE)
            if message.topic.endswith(f"/{what}"):
                return message
            if message.topic.endswith("/failed"):
                raise Failed(json.loads(message.payload))

    async def send(self, opened: Json, content: bytes, start: int, end: int) -> None:
        """One chunk."""
        await self.wire.publish(opened["data"], start.to_bytes(8) + content[start:end])
        await self.wire.writer.drain()

    async def open_upload(self, filename: str, content: bytes, **more: Any) -> Json:
        """Begins, or goes on, with size and checksum."""
        known = {"filename": filename, "size": len(content), "checksum": sha256(content).hexdigest(), **more}
        opened: Json = await self.ask("files.upload.open", **known)
        return opened

    async def fill(self, opened: Json, content: bytes, *, end: int | None = None) -> None:
        """Sends all that is left, as far and as soon as it is wanted, up to `end`."""
        at, granted, end = opened["start"], opened["end"], len(content) if end is None else end
        while at < end:
            while at < min(granted, end):
                length = min(opened["chunk"], granted - at, end - at)
                await self.send(opened, content, at, at + length)
                at += length
            if at < end:
                wanted = json.loads((await self.hear("want")).payload)
                at, granted = wanted.get("start", at), wanted["end"]

    async def commit(self, opened: Json, filename: str, size: int, **more: Any) -> Json:
        """Makes it a file."""
        found: Json = await self.ask("files.upload.commit", id=opened["id"], filename=filename, size=size, **more)
        return found

    async def put(self, filename: str, content: bytes, **more: Any) -> Json:
        """A whole upload."""
        opened = await self.open_upload(filename, content, **more)
        await self.fill(opened, content)
        return await self.commit(opened, filename, len(content))

    async def want(self, opened: Json, end: int, start: int | None = None) -> None:
        """Asks for more of a download."""
        asked = {"end": end} if start is None else {"start": start, "end": end}
        await self.wire.publish(opened["want"], json.dumps(asked).encode())

    async def get(self, path: str, chunk: int = 256 << 10) -> bytes:
        """A whole download, checked."""
        opened = await self.ask("files.download.open", path=path, chunk=chunk)
        content = b""
        await self.want(opened, opened["window"], 0)
        while len(content) < opened["size"]:
            came = (await self.hear("data")).payload
            assert int.from_bytes(came[:8]) == len(content) and len(came) - 8 <= opened["chunk"]
            content += came[8:]
            await self.want(opened, len(content) + opened["window"])
        said = await self.ask("files.download.checksum", id=opened["id"])
        assert said == {"checksum": sha256(content).hexdigest()}
        assert await self.ask("files.download.close", id=opened["id"]) == "ok"
        return content

    async def close(self) -> None:
        """Ends without a goodbye."""
        await self.wire.drop()


async def gather(*works: Any) -> list[Any]:
    """The results of what runs at the same time."""
    async with asyncio.timeout(3 * PATIENCE):
        return list(await asyncio.gather(*works))
