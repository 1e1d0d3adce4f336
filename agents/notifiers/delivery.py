"""Delivers messages: each in a process of its own, which ends when its time is over, whatever the service does."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

SENDER = Path(__file__).with_name("sender.py")
SECONDS = 20.0  # for one delivery
AT_ONCE = 2  # processes, of some 45 MB each

Json = dict[str, Any]


class Undelivered(Exception):
    """A message was not delivered; the text says why, `final` whether trying again is of no use."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True, slots=True)
class Message:
    """A message, and the address of the service that is to take it."""

    url: str
    body: str
    title: str
    format: Literal["text", "html", "markdown"]
    kind: Literal["info", "success", "warning", "failure"]
    attach: tuple[str, ...]  # paths and addresses


class Deliveries:
    """Some at once; further ones wait for their turn. `seconds` bound each of them."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def deliver(self, message: Message) -> int:
        """How many attachments could not be had and were left out; raises Undelivered."""
        outcome = await self._order(asdict(message))
        if not outcome["delivered"]:
            raise Undelivered(outcome["reason"], final=outcome["final"])
        return int(outcome["missing"])

    async def faults(self, urls: Mapping[str, str]) -> dict[str, str]:
        """What is wrong with addresses, by name; raises Undelivered where that could not be found out."""
        return await self._order({"urls": dict(urls)})

    async def _order(self, order: Json) -> Json:
        async with self._turn:
            folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="printbus-notifier-")
            try:
                return await self._answer(order, folder)
            except OSError as error:
                raise Undelivered(f"it could not be sent: {error.strerror}") from None
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _answer(self, order: Json, folder: str) -> Json:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",  # what lies beside the program is none of its modules
            str(SENDER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": folder},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._seconds):
                said, _ = await process.communicate(json.dumps(order).encode())
            answer: Json = json.loads(said)
        except TimeoutError:
            raise Undelivered(f"the service did not answer within {self._seconds:g} s") from None
        except ValueError:
            raise Undelivered(f"the program that sends it ended with status {process.returncode}") from None
        finally:
            await _end(process)
        return answer


async def _end(process: asyncio.subprocess.Process) -> None:
    """With whatever it has started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
