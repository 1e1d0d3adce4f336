"""The threads in which everything happens that waits for a disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 6  # a disk that hangs keeps at most so many


class Disk:
    """A few threads of the agent's own, so that a slow disk holds up nobody else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="filestore")

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a function that blocks; it is waited for even by somebody who is cancelled."""
        future = asyncio.wrap_future(self._threads.submit(work, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait((future,))
            raise

    def close(self) -> None:
        """Ends the threads once they have nothing to do."""
        self._threads.shutdown(wait=False)
