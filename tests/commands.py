"""Commands that end by themselves, run in the process of the tests: no program has to start for each."""

import io
import logging
import subprocess
from contextlib import redirect_stderr, redirect_stdout

from bus.__main__ import main


class Kept(io.BytesIO):
    """A stream that can still be read after a command has closed it, as an export does with its standard output."""

    def close(self) -> None:
        """Nothing is lost."""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What a program with these arguments would answer and say; whatever it changes in the process is put back."""
    out, err = Kept(), Kept()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with redirect_stdout(_text(out)), redirect_stderr(_text(err)):
            status = main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return subprocess.CompletedProcess(arguments, status, out.getvalue().decode(), err.getvalue().decode())


def _text(stream: Kept) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, "utf-8", write_through=True)
