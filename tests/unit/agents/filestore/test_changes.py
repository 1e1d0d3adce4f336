"""What changes of files do, and what they refuse."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Forbidden
from schemas import AnyMethod, files
from tests.conftest import Run
from tests.file_agent import serving
from tests.mqtt_files import gather


def test_the_printed_file_is_replaced_by_nothing(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            for name in ("demo.gcode", "other.gcode"):
                (server.gcodes / name).write_text("G28\n")
            server.prints("demo.gcode")
            orders: list[tuple[AnyMethod, dict[str, Any]]] = [
                (files.ZIP, {"items": ["gcodes/other.gcode"], "dest": "gcodes/demo.gcode"}),
                (files.COPY, {"source": "gcodes/other.gcode", "dest": "gcodes/demo.gcode"}),
                (files.MOVE, {"source": "gcodes/other.gcode", "dest": "gcodes/demo.gcode"}),
            ]
            for row, params in orders:
                with pytest.raises(Forbidden, match="printed"):
                    await server.ask(row, **params)
            assert (server.gcodes / "demo.gcode").read_text() == "G28\n"
            assert {each.name for each in server.gcodes.iterdir()} == {"demo.gcode", "other.gcode"}

    run(scenario())


def test_changes_happen_in_the_order_in_which_they_are_asked_for(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            (server.config / "a").write_text("#\n")
            await server.ask(files.LIST, root="config")
            asked = server.bus.call

            async def call(*args: Any, **kwargs: Any) -> Any:
                await asyncio.sleep(0.01)
                return await asked(*args, **kwargs)

            monkeypatch.setattr(server.bus, "call", call)
            await gather(
                server.send(files.MOVE, source="config/a", dest="config/b"),
                server.send(files.DELETE_FILE, path="config/b"),
                server.send(files.POST_DIRECTORY, path="config/b"),
                server.send(files.DELETE_DIRECTORY, path="config/b"),
                server.send(files.POST_DIRECTORY, path="config/a"),
            )
            expected = ["move_file", "delete_file", "create_dir", "delete_dir", "create_dir"]
            assert [action for action, _ in server.said()] == expected

    run(scenario())
