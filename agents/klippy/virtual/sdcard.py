"""The virtual SD card: files in a folder, and the one that is being printed line by line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from .command import Command, CommandError
from .executor import Job
from .gcode import Gcode
from .print_stats import PrintStats

EXTENSIONS = frozenset({".gcode", ".g", ".gco"})
MAX_LINE = 64 * 1024


class SdCard:
    """The `virtual_sdcard` object; `next_job` hands its lines to the executor one at a time."""

    def __init__(self, root: Path, gcode: Gcode, stats: PrintStats, on_reset: Callable[[], None]) -> None:
        self.active = False
        self.wake: Callable[[], None] = lambda: None
        self.on_failure: Callable[[], None] = lambda: None
        self._root = root
        self._gcode = gcode
        self._stats = stats
        self._on_reset = on_reset
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._size = self._position = self._next = 0
        self._in_line = self._must_pause = False

    def register(self) -> None:
        """Add the commands."""
        add = self._gcode.register
        table = {
            "M20": self._cmd_list, "M21": lambda _: self._gcode.respond("SD card ok"), "M23": self._cmd_select,
            "M24": lambda _: self.resume(), "M25": lambda _: self.pause(), "M26": self._cmd_seek,
            "M27": self._cmd_progress, "M28": self._cmd_write, "M29": self._cmd_write, "M30": self._cmd_write,
        }  # fmt: skip
        for name, handler in table.items():
            add(name, handler)
        add("SDCARD_RESET_FILE", self._cmd_reset, "Unload the file, stopping its print")
        add("SDCARD_PRINT_FILE", self._cmd_print, "Load a file, also one in a subfolder, and print it")

    @property
    def loaded(self) -> bool:
        """Whether a file is open: printing or paused."""
        return self._file is not None

    def resume(self) -> None:
        """Run the loaded file from where it is."""
        if self.active:
            raise CommandError("SD busy")
        if self._file is None:
            return
        self._must_pause = False
        self.active = True
        self._file.seek(self._position)
        self._stats.started()
        self.wake()

    def pause(self) -> None:
        """Rest after the line that is running, which may be the one that asks."""
        self._must_pause = True
        if self.active and not self._in_line:
            self._rest()

    def cancel(self) -> None:
        """Drop the file; the print counts as cancelled."""
        if self._file is None:
            return
        self._unload()
        self._stats.finished("cancelled")

    def close(self) -> None:
        """End of this printer's life."""
        self._unload()

    def _rest(self) -> None:
        self.active = False
        self._stats.paused()

    def _unload(self) -> None:
        if self._file is not None:
            self._file.close()
        self.active = False
        self._file = self._path = None
        self._size = self._position = 0

    def _reset(self) -> None:
        self._unload()
        self._stats.reset()
        self._on_reset()

    def next_job(self) -> Job | None:
        """The next line that says something; None if nothing is being printed."""
        while self.active and self._file is not None:
            try:
                line = self._file.readline(MAX_LINE)
            except OSError:
                self._rest()
                return None
            if not line:
                self._complete()
                return None
            self._next = self._file.tell()
            text = line.decode("utf-8", "replace").strip()
            if text and not text.startswith(";"):
                self._in_line = True
                return Job(self._gcode.run_line(text), self._line_done)
            self._position = self._next
        return None

    def _line_done(self, error: CommandError | None) -> None:
        self._in_line = False
        if self._file is None:
            return
        self._position = self._next
        if error is not None:
            self._fail(error)
        elif self._must_pause:
            self._rest()

    def _complete(self) -> None:
        size = self._size
        self._unload()
        self._size = self._position = size
        self._gcode.respond("Done printing file")
        self._stats.finished("complete")

    def _fail(self, error: CommandError) -> None:
        """The file stays loaded, but the print is over."""
        self.active = False
        self._stats.finished("error", str(error))
        self.on_failure()

    def _cmd_print(self, command: Command) -> None:
        if self.active:
            raise CommandError("SD busy")
        self._reset()
        self._load(command.text("FILENAME"))
        self.resume()

    def _cmd_select(self, command: Command) -> None:
        if self.active:
            raise CommandError("SD busy")
        self._reset()
        self._load(command.rest)

    def _cmd_reset(self, _command: Command) -> None:
        if self._in_line:
            raise CommandError("SDCARD_RESET_FILE cannot be run from the sdcard")
        self._reset()

    def _load(self, name: str) -> None:
        name = name.removeprefix("/")
        path = self._find(name)
        try:
            if path is None:
                raise FileNotFoundError(name)
            self._file, self._size = path.open("rb"), path.stat().st_size
        except OSError:
            raise CommandError("Unable to open file") from None
        self._path = path
        self._position = 0
        self._gcode.respond(f"File opened:{name} Size:{self._size}")
        self._gcode.respond("File selected")
        self._stats.select(name)

    def _find(self, name: str) -> Path | None:
        """The file of that name below the root, capitals aside."""
        wanted = name.lower()
        return next((path for path in self._files() if self._relative(path).lower() == wanted), None)

    def _files(self) -> Iterator[Path]:
        return (path for path in sorted(self._root.rglob("*")) if path.suffix.lower() in EXTENSIONS and path.is_file())

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _cmd_list(self, _command: Command) -> None:
        self._gcode.respond("Begin file list")
        for path in self._files():
            self._gcode.respond(f"{self._relative(path)} {path.stat().st_size}")
        self._gcode.respond("End file list")

    def _cmd_seek(self, command: Command) -> None:
        if self.active:
            raise CommandError("SD busy")
        self._position = min(command.integer("S", minimum=0), self._size)

    def _cmd_progress(self, _command: Command) -> None:
        said = f"SD printing byte {self._position}/{self._size}" if self.loaded else "Not SD printing."
        self._gcode.respond(said)

    def _cmd_write(self, _command: Command) -> None:
        self._gcode.respond("SD write not supported")

    def halt(self) -> None:
        """The printer shut down: no further line."""
        self.pause()

    def progress(self) -> float:
        """How much of the file has been run, 0 to 1."""
        return self._position / self._size if self._size else 0.0

    def status(self, _now: float) -> dict[str, object]:
        """The `virtual_sdcard` object."""
        return {
            "file_path": str(self._path) if self._path else None,
            "progress": self.progress(),
            "is_active": self.active,
            "file_position": self._position,
            "file_size": self._size,
        }
