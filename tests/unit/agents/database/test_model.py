"""The agent against a plain dictionary: any calls, restarts and kills between them, and every moment of the past."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from bus.errors import InvalidParams, NotFound
from tests.database_rig import Life, as_after_a_kill, database

from .test_tree import SCALARS, VALUES, model_cut, model_find, model_put

T = TypeVar("T")

EXAMPLES = 1000 if os.environ.get("PRINTBUS_CAMPAIGN") else 6

SPACES = st.sampled_from(["mainsail", "fluidd"])
PATHS = st.lists(st.sampled_from(["a", "b", "c.d"]), min_size=1, max_size=3)
LARGE = st.builds(lambda text: {f"k{number}": text * 50 for number in range(400)}, st.sampled_from(["x", "é"]))


class Model:
    """What is to be found, now and after each event of the database."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[str, Any]] = {}
        self.past: dict[int, dict[str, Any]] = {}

    def is_blocked(self, space: str, path: list[str]) -> bool:
        found = (model_find(self.spaces.get(space, {}), path[:depth]) for depth in range(2, len(path)))
        return any(value is not ... and not isinstance(value, dict) for value in found)

    def put(self, space: str, path: list[str], value: Any) -> None:
        model_put(self.spaces.setdefault(space, {}), path, value)

    def cut(self, space: str, path: list[str]) -> None:
        model_cut(self.spaces[space], path)
        if not self.spaces[space]:
            del self.spaces[space]

    def note(self, seq: int) -> None:
        self.past[seq] = deepcopy(self.spaces)


class DatabaseMachine(RuleBasedStateMachine):
    """One agent after the other on the same data."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.data, self.number = Path(self.folder.name) / "0", 0
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.model = Model()
        self.life = self.begin()

    def run_in(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def begin(self) -> Life:
        life = self.run_in(self.stack.enter_async_context(database(self.data)))
        self.model.note(life.journal.head)
        return life

    def end(self) -> None:
        self.run_in(self.stack.aclose())

    def check(self) -> None:
        for space in ("mainsail", "fluidd"):
            assert self.run_in(self.life.value(space)) == self.model.spaces.get(space, NotFound)

    @rule(space=SPACES, path=PATHS, value=VALUES | LARGE)
    def post(self, space: str, path: list[str], value: Any) -> None:
        answer = self.run_in(self.life.ask("post_item", namespace=space, key=path, value=value))
        if self.model.is_blocked(space, path):
            assert answer is InvalidParams
            return
        assert answer == {"namespace": space, "key": path, "value": value}
        self.model.put(space, path, value)
        self.model.note(self.life.journal.head)

    @rule(space=SPACES, path=PATHS)
    def delete(self, space: str, path: list[str]) -> None:
        answer = self.run_in(self.life.ask("delete_item", namespace=space, key=path))
        known = model_find(self.model.spaces.get(space, {}), path)
        if known is ...:
            assert answer is NotFound
            return
        assert answer["value"] == known
        self.model.cut(space, path)
        self.model.note(self.life.journal.head)

    @rule(space=SPACES, writes=st.lists(st.tuples(PATHS, SCALARS | st.just(...)), min_size=2, max_size=8))
    def burst(self, space: str, writes: list[tuple[list[str], Any]]) -> None:
        """Sent one behind the other without waiting; the outcome is as if each had waited."""

        async def together() -> list[Any]:
            pending = [
                self.life.begin("delete_item", namespace=space, key=path)
                if value is ...
                else self.life.begin("post_item", namespace=space, key=path, value=value)
                for path, value in writes
            ]
            return await asyncio.gather(*pending, return_exceptions=True)

        for (path, value), answer in zip(writes, self.run_in(together()), strict=True):
            known = model_find(self.model.spaces.get(space, {}), path)
            if value is ... and known is ...:
                assert isinstance(answer, NotFound)
            elif value is ...:
                assert answer["value"] == known
                self.model.cut(space, path)
            elif self.model.is_blocked(space, path):
                assert isinstance(answer, InvalidParams)
            else:
                assert answer["value"] == value
                self.model.put(space, path, value)
        self.model.note(self.life.journal.head)

    @rule()
    def restart(self) -> None:
        self.end()
        self.life = self.begin()
        self.check()

    @rule()
    def kill(self) -> None:
        self.number += 1
        copy = self.data.with_name(str(self.number))
        as_after_a_kill(self.data, copy)
        self.end()
        self.data = copy
        self.life = self.begin()
        self.check()

    @rule()
    def compact(self) -> None:
        self.run_in(self.life.ask("compact"))
        self.model.past.clear()
        self.model.note(self.life.journal.head)
        self.check()

    @rule(path=PATHS, value=SCALARS)
    def restore(self, path: list[str], value: Any) -> None:
        """A backup brings back what it was made of."""
        self.number += 1
        name = f"{self.number}.db"
        self.run_in(self.life.ask("post_backup", filename=name))
        for space in ("mainsail", "fluidd"):
            self.run_in(self.life.ask("post_item", namespace=space, key=path, value=value))
        restored = self.run_in(self.life.ask("restore", filename=name))
        assert set(restored["restored_namespaces"]) == {"moonraker", *self.model.spaces}
        self.model.note(self.life.journal.head)

    @rule(space=SPACES, path=PATHS, pick=st.integers(0, 10**6))
    def look_back(self, space: str, path: list[str], pick: int) -> None:
        seq = sorted(self.model.past)[pick % len(self.model.past)]
        spaces = self.model.past[seq]
        found = self.run_in(self.life.value(space, at=seq))
        assert found == spaces.get(space, NotFound)
        wanted = model_find(spaces.get(space, {}), path)
        assert self.run_in(self.life.value(space, path, at=seq)) == (NotFound if wanted is ... else wanted)
        changes = self.run_in(self.life.ask("history", namespace=space, key=path, before=seq + 1))["changes"]
        assert [change["seq"] for change in changes] == sorted((change["seq"] for change in changes), reverse=True)
        assert (changes[0].get("value", ...) if changes else ...) == wanted

    def teardown(self) -> None:
        self.check()
        self.end()
        self.loop.close()
        self.folder.cleanup()


DatabaseMachine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=14, deadline=None)
TestDatabase: Callable[[], Any] = DatabaseMachine.TestCase
