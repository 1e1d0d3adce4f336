"""What all tests share: running coroutines, and a deadline-bounded wait."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture
def run() -> Run[Any]:
    """Runs one coroutine on a fresh loop, in debug-free mode, and answers its result."""

    def runner(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    return runner
