"""The receiving side of an upload: whatever a wire loses, repeats or cuts, every byte arrives once."""

import asyncio
import hashlib
import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.filestore.chunks import AHEAD_BYTES, Incoming
from agents.filestore.disk import Disk
from agents.filestore.roots import Location, Roots
from agents.filestore.transfer import Upload
from bus.errors import Unprocessable
from schemas.files import UploadParams

CHUNK, SIZE = 1024, 30 * 1024 + 7
CONTENT = os.urandom(SIZE)
LIMIT = 1 << 30


class Sender:
    """A client on a wire that does to each chunk what a list says."""

    def __init__(self, incoming: Incoming, fates: list[str]) -> None:
        self.incoming = incoming
        self.fates = fates
        self.at, self.end = incoming.arrived, incoming.granted

    def said(self, what: str, payload: bytes) -> None:
        """Takes a message of the receiver."""
        assert what == "want"
        wanted = orjson.loads(payload)
        self.at, self.end = wanted.get("start", self.at), wanted["end"]

    def send(self) -> None:
        """One chunk, which arrives, is lost, comes twice or is repeated in part."""
        fate = self.fates.pop() if self.fates else "arrives"
        start, stop = self.at, min(self.at + CHUNK, self.end)
        if fate == "overlaps":
            start = max(0, start - CHUNK // 3)
        self.at = stop
        for _ in range({"lost": 0, "twice": 2}.get(fate, 1)):
            self.incoming.take(start.to_bytes(8) + CONTENT[start:stop])


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Roots:
    made = Roots()
    made.add("gcodes", tmp_path_factory.mktemp("chunks"), writable=True)
    return made


def begun(roots: Roots, key: str | None, said: list[tuple[str, bytes]]) -> Incoming:
    upload = Upload(Location(roots.root("gcodes"), "x.gcode"), size=SIZE, limit=LIMIT, key=key)
    asked = UploadParams(filename="x.gcode", size=SIZE, chunk=CHUNK)
    incoming = Incoming(("desk", None), lambda *each: said.append(each), asked, 0.0, upload, key)
    incoming.grant(AHEAD_BYTES)
    return incoming


async def carry(incoming: Incoming, sender: Sender, said: list[tuple[str, bytes]], until: int) -> None:
    disk = Disk()
    try:
        for _ in range(2000):
            if incoming.upload.received >= until:
                return
            if sender.at < sender.end:
                sender.send()
            else:
                await incoming.write(disk, lambda: AHEAD_BYTES)
                if not said and sender.at == sender.end:  # the last one is lost: nothing shows it but the client's end
                    incoming.ask(again=True)
            while said:
                sender.said(*said.pop(0))
        raise AssertionError("it does not come to an end")
    finally:
        disk.close()


@given(st.lists(st.sampled_from(["arrives", "lost", "twice", "overlaps"]), max_size=60), st.booleans())
def test_every_byte_arrives_once(roots: Roots, fates: list[str], resumed: bool) -> None:
    said: list[tuple[str, bytes]] = []
    if resumed:
        first = begun(roots, "key", said)
        asyncio.run(carry(first, Sender(first, fates[::2]), said, SIZE // 2))
        first.upload.leave()
    incoming = begun(roots, "key" if resumed else None, said)
    try:
        assert (incoming.arrived > 0) is resumed
        asyncio.run(carry(incoming, Sender(incoming, fates), said, SIZE))
        with pytest.raises(Unprocessable):
            incoming.upload.finish("0" * 64)
        incoming.upload.finish(hashlib.sha256(CONTENT).hexdigest())
        assert os.pread(incoming.upload.file, SIZE + 1, 0) == CONTENT
    finally:
        incoming.upload.close()
    assert not list(Path(roots.root("gcodes").path).iterdir())


def test_what_cannot_be_a_part_is_not_continued(roots: Roots) -> None:
    folder = Path(roots.root("gcodes").path)
    part = folder / ".printbus-part-key"
    part.write_bytes(bytes(SIZE + 1))
    incoming = begun(roots, "key", [])
    assert incoming.arrived == 0 and part.stat().st_size == 0
    incoming.upload.close()
    (folder / "target").write_bytes(b"G28\n")
    part.symlink_to("target")
    with pytest.raises(Exception, match="Not permitted"):
        begun(roots, "key", [])
    assert (folder / "target").read_bytes() == b"G28\n"
    part.unlink()
    (folder / "target").unlink()
