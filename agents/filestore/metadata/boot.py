"""Starts the worker, run by path: without what the packages above import, in a tenth of the time and memory."""

import importlib
import sys
from pathlib import Path
from types import ModuleType


def boot(channel: str, memory: str, niceness: str) -> None:
    """Serves the socket with this descriptor until its other end is closed."""
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parents[2]))
    for name, path in (("agents.filestore", here.parent), ("agents.filestore.metadata", here)):
        package = ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    worker = importlib.import_module("agents.filestore.metadata.worker")
    worker.main(int(channel), int(memory), int(niceness))


if __name__ == "__main__":
    boot(*sys.argv[1:])
