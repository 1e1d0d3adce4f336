"""The virtual printer as a child process, for a machine without Klipper."""

import asyncio
import logging
import socket
import sys
from pathlib import Path

log = logging.getLogger(__name__)

SOCKET = Path("comms", "virtual.sock")  # in the data folder; never Klipper's own
KLIPPER_CONFIG = Path("config", "printer.cfg")  # where it is, Klipper is meant to run
RESTART_SECONDS = 1.0
STOP_SECONDS = 2.0


def wanted(data: Path, klipper_socket: Path) -> bool:
    """Whether nothing on this machine points to a Klipper: no printer.cfg, and nobody listens on its socket."""
    return not (data / KLIPPER_CONFIG).exists() and not _answers(klipper_socket)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


async def simulate(path: Path, gcodes: Path, speed: float) -> None:
    """Runs the virtual printer until cancelled, and starts it anew when it ends."""
    arguments = ["--socket", str(path), "--gcodes", str(gcodes), "--speed", f"{speed:g}", "--exit-with-parent"]
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agents.klippy.virtual",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            status = await process.wait()
        finally:
            await _end(process)
        log.warning("the virtual printer ended with status %s and is started again", status)
        await asyncio.sleep(RESTART_SECONDS)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
