"""Runs a program to its end, with a deadline."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

SECONDS = 10.0
ENVIRONMENT = {"LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}


class Ran(NamedTuple):
    """How a program ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """Why it failed, in its own words."""
        return self.err.strip() or self.out.strip() or f"it ended with status {self.status}"


async def run(*command: str, given: str = "", seconds: float = SECONDS) -> Ran:
    """Runs it with a line on its standard input; a program that is missing or does not end has failed, too."""
    try:
        with _holding(given) as held:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=held,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,  # sudo then has no terminal to ask on
            )
    except OSError as error:
        return Ran(127, "", f"{command[0]}: {error.strerror}")
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        return Ran(124, "", f"{command[0]} did not end within {seconds:g} s")
    finally:
        await _end(process)
    return Ran(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


@contextmanager
def _holding(given: str) -> Iterator[int]:
    """A pipe that has the line in it already: a program that ends without reading it leaves nobody writing."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as file:
            file.write(given.encode())
        yield reading
    finally:
        os.close(reading)


async def _end(process: asyncio.subprocess.Process) -> None:
    """A program that runs as root cannot be killed; it ends when it likes."""
    with suppress(ProcessLookupError, PermissionError):
        if process.returncode is None:
            process.kill()
            await process.wait()
