"""The virtual printer's command line: `python -m agents.klippy.virtual --socket PATH --gcodes DIR`."""

import argparse
import os
import selectors
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .clock import Clock
from .host import Host, Settings
from .loop import Loop
from .sdcard import EXTENSIONS

DEMO = Path(__file__).with_name("demo.gcode")
STDIN = 0
SIGNAL_BUFFER = 64


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    options = _arguments()
    for folder in (options.gcodes, options.socket.parent):
        folder.mkdir(parents=True, exist_ok=True)
    _provide_demo(options.gcodes)
    loop = Loop(Clock(options.speed))
    settings = Settings(
        options.socket.absolute(), options.gcodes.absolute(), options.restart_delay_factor, options.config, options.log
    )
    _watch_signals(loop, lambda: host.lose_mcu())
    host = Host(loop, settings, _logger(options.log))
    if options.exit_with_parent:
        loop.watch(STDIN, selectors.EVENT_READ, lambda _: _end_at_end_of_input(loop))
    print(f"virtual printer ready {options.socket}", flush=True)
    try:
        loop.run()
    finally:
        host.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agents.klippy.virtual", description="A simulated Klipper host.")
    parser.add_argument("--socket", type=Path, required=True, help="path of the unix socket to listen on")
    parser.add_argument("--gcodes", type=Path, required=True, help="folder of the virtual SD card")
    parser.add_argument("--speed", type=_positive, default=1.0, help="how many times as fast the machine works")
    parser.add_argument("--restart-delay-factor", type=_positive, default=1.0, help="scales how long a restart takes")
    parser.add_argument("--config", type=Path, help="an ini file whose sections are checked at every start")
    parser.add_argument("--log", type=Path, help="file to log to")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input reaches its end")
    options = parser.parse_args()
    kind = os.fstat(STDIN).st_mode if options.exit_with_parent else 0
    if options.exit_with_parent and not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        parser.error("--exit-with-parent needs standard input to be a pipe")
    return options


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number above 0")
    return value


def _provide_demo(folder: Path) -> None:
    if any(path.suffix.lower() in EXTENSIONS for path in folder.rglob("*")):
        return
    (folder / DEMO.name).write_bytes(DEMO.read_bytes())


def _logger(path: Path | None) -> Callable[[str], None]:
    if path is None:
        return lambda _: None
    stream = path.open("a", encoding="utf-8", buffering=1)

    def log(text: str) -> None:
        stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    return log


def _watch_signals(loop: Loop, lose_mcu: Callable[[], None]) -> None:
    """SIGTERM and SIGINT end the process, SIGUSR1 loses the micro-controller; all of it on the loop's thread."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)

    def act(_events: int) -> None:
        received = reader.recv(SIGNAL_BUFFER)
        if signal.SIGUSR1 in received:
            lose_mcu()
        if signal.SIGTERM in received or signal.SIGINT in received:
            loop.stop()

    loop.watch(reader, selectors.EVENT_READ, act)


def _end_at_end_of_input(loop: Loop) -> None:
    """The parent holds the other end of the pipe: end of file means that it is gone."""
    if not os.read(STDIN, SIGNAL_BUFFER):
        loop.stop()


if __name__ == "__main__":
    sys.exit(main())
