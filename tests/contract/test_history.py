"""The history agent on a bus: what it adds to the log, what it announces and in which order, and restarts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from agents.history import History, agent
from bus.access import Role
from bus.agent import Actor, Agent, Call, Raw, implements
from bus.envelope import dumps
from bus.errors import NotFound
from bus.log import MemoryLog, NewEvent
from schemas import METHODS, Method, NoParams, Notification, files, history
from tests.bus_rig import Client, Rig, bus_with

METADATA = {"size": 5, "modified": 77.0, "uuid": "u", "slicer": "TestSlicer"}
BY = Actor("alice", "websocket", "10.0.0.5").as_dict()
Json = dict[str, Any]


class Shelf(Agent):
    """In the place of the filestore: two files, of which one has no metadata; it says when one is gone."""

    name = "filestore"
    gone = Notification("notify_filelist_changed", "", None)

    @implements(files.METADATA)
    async def metadata(self, params: files.FilenameParams, call: Call) -> Raw:
        """Takes a moment, as a scan does."""
        await asyncio.sleep(0.02)
        if params.filename != "a.gcode":
            raise NotFound("The file has no metadata")
        return Raw(dumps({**METADATA, "filename": "a.gcode", "print_start_time": None, "job_id": None}))

    @implements(files.LIST)
    def list_files(self, params: files.RootParams, call: Call) -> Raw:
        """Both files."""
        listed = {"size": 5, "permissions": "rw"}
        return Raw(
            dumps([{"path": "a.gcode", "modified": 77.0, **listed}, {"path": "b.gcode", "modified": 1, **listed}])
        )

    @implements(DELETE := Method("shelf.delete", NoParams, str, "filestore", files.METADATA.needs))
    def delete(self, params: NoParams, call: Call) -> str:
        """Says that a file is gone."""
        item = {"path": "a.gcode", "root": "gcodes", "modified": 0, "size": 0, "permissions": ""}
        self.notify(self.gone, [{"action": "delete_file", "item": item}])
        return "ok"


ROWS = {name: row for name, row in METHODS.items() if row.owner == "history" or row in (files.METADATA, files.LIST)}
ROWS |= {"shelf.delete": Shelf.DELETE}


@asynccontextmanager
async def scene(log: MemoryLog | None = None) -> AsyncIterator[tuple[Rig, Client, Client]]:
    """A bus with both, a client that asks, and one that hears of jobs."""
    async with bus_with(ROWS, Shelf, History, log=log) as rig:
        listener = rig.client("listener")
        listener.listen("test/moonraker/notify/notify_history_changed")
        yield rig, rig.client("desk"), listener


async def begin(rig: Rig, filename: str = "a.gcode", **more: Any) -> None:
    await rig.journal.append("print", [NewEvent("print.started.1", {"filename": filename, **more}, BY)])


async def end(rig: Rig, how: str = "completed", **more: Any) -> None:
    numbers = {"print_duration": 1.0, "total_duration": 2.0, "filament_used": 3.0}
    data = {"filename": "a.gcode", "how": how, "message": "", **numbers, **more}
    await rig.journal.append("print", [NewEvent("print.ended.1", data)])


async def heard(listener: Client) -> tuple[str, Json]:
    """Action and job of the next announcement."""
    (change,) = (await listener.next())["params"]
    history.Changed.model_validate(change)
    return change["action"], change["job"]


async def result(client: Client, method: str, **params: Any) -> Json:
    found: Json = (await client.ask(method, params))["result"]
    return found


def test_a_job_is_announced_with_metadata_and_again_when_it_has_ended() -> None:
    async def main() -> None:
        async with scene() as (rig, desk, listener):
            await begin(rig)
            await end(rig)  # before the metadata is there
            action, job = await heard(listener)
            assert (action, job["metadata"], job["exists"], job["user"]) == ("added", METADATA, True, "alice")
            action, job = await heard(listener)
            assert (action, job["status"], job["total_duration"]) == ("finished", "completed", 2.0)
            assert await result(desk, "server.history.get_job", uid=job["job_id"]) == {"job": job}
            assert (await result(desk, "server.history.list"))["jobs"] == [job]

    asyncio.run(main())


def test_a_file_without_metadata_has_an_empty_object_and_exists_while_it_is_there() -> None:
    async def main() -> None:
        async with scene() as (rig, _, listener):
            for filename, there in (("b.gcode", True), ("nosuch.gcode", False)):
                await begin(rig, filename)
                _, job = await heard(listener)
                assert (job["metadata"], job["exists"]) == ({}, there)
                await end(rig)
                await heard(listener)

    asyncio.run(main())


def test_a_file_that_is_gone_does_not_exist_any_more() -> None:
    async def main() -> None:
        async with scene() as (rig, desk, listener):
            await begin(rig)
            assert (await heard(listener))[1]["exists"]
            await desk.ask("shelf.delete")
            assert not (await result(desk, "server.history.list"))["jobs"][0]["exists"]

    asyncio.run(main())


def test_what_agents_know_of_a_job_is_taken_over_when_it_ends() -> None:
    async def main() -> None:
        async with scene() as (rig, desk, listener):
            sensor = rig.client("agent.sensor", Role.AGENT)
            field = {"provider": "sensor", "name": "power", "value": 2.5, "description": "Energy", "units": "kWh"}
            sensor.send("test/state/sensor/job_data", {"fields": [{**field, "total": True}]}, retain=True)
            broken = rig.client("agent.broken", Role.AGENT)
            broken.send("test/state/broken/job_data", {"fields": "none"}, retain=True)
            await begin(rig)
            assert (await heard(listener))[1]["auxiliary_data"] == []
            await end(rig)
            assert (await heard(listener))[1]["auxiliary_data"] == [field]
            sums = (await result(desk, "server.history.totals"))["auxiliary_totals"]
            assert sums == [{"provider": "sensor", "field": "power", "maximum": None, "total": 2.5}]

    asyncio.run(main())


def test_totals_are_reset_between_jobs_only_and_periods_are_not_reset() -> None:
    async def main() -> None:
        async with scene() as (rig, desk, listener):
            await begin(rig)
            await heard(listener)
            refused = await desk.ask("server.history.reset_totals")
            assert refused["error"]["code"] == 400
            await end(rig)
            await heard(listener)
            last = (await result(desk, "server.history.reset_totals"))["last_totals"]
            assert (last["total_jobs"], last["longest_job"]) == (1, 2.0)
            assert (await result(desk, "server.history.totals"))["job_totals"]["total_jobs"] == 0
            assert (await result(desk, "server.history.totals", since=1))["job_totals"]["total_jobs"] == 1

    asyncio.run(main())


def test_deleted_jobs_are_gone_and_totals_stay() -> None:
    async def main() -> None:
        async with scene() as (rig, desk, listener):
            for _ in range(3):
                await begin(rig)
                await end(rig)
                await heard(listener)
                await heard(listener)
            assert await result(desk, "server.history.delete_job", uid="000002") == {"deleted_jobs": ["000002"]}
            assert (await desk.ask("server.history.get_job", {"uid": "000002"}))["error"]["code"] == -32601
            left = await result(desk, "server.history.delete_job", all="true")
            assert left == {"deleted_jobs": ["000001", "000003"]}
            assert await result(desk, "server.history.delete_job", all=True) == {"deleted_jobs": []}
            assert (await result(desk, "server.history.list"))["count"] == 0
            assert (await result(desk, "server.history.totals"))["job_totals"]["total_jobs"] == 3
            events = [event for event in await rig.journal.read(stream="history") if event.type == "jobs.deleted.1"]
            assert [(event.data["jobs"], (event.actor or {})["user"]) for event in events] == [
                ([2], "someone"),
                (None, "someone"),
            ]

    asyncio.run(main())


def test_a_job_that_was_deleted_while_it_ran_is_not_announced_again() -> None:
    async def main() -> None:
        async with scene() as (rig, desk, listener):
            await begin(rig)
            await heard(listener)
            await result(desk, "server.history.delete_job", uid="000001")
            await end(rig)
            await begin(rig, "b.gcode")
            assert (await heard(listener))[1]["job_id"] == "000002"
            assert (await result(desk, "server.history.totals"))["job_totals"]["total_jobs"] == 1

    asyncio.run(main())


def test_an_export_goes_page_by_page() -> None:
    async def main() -> None:
        async with scene() as (rig, desk, listener):
            for _ in range(5):
                await begin(rig)
                await end(rig)
                await heard(listener)
                await heard(listener)
            text, start = "", 0
            while start is not None:
                page = await result(desk, "server.history.export", start=start, limit=2, order="asc")
                text, start = text + page["text"], page["next"]
            lines = text.splitlines()
            assert [line.split(",")[0] for line in lines] == ["job_id", *(f"00000{number}" for number in range(1, 6))]
            page = await result(desk, "server.history.export", format="jsonl", user="nobody")
            assert page == {"text": "", "count": 0, "next": None}

    asyncio.run(main())


def test_a_restart_in_the_middle_keeps_one_job_and_adds_what_was_missing() -> None:
    async def main() -> None:
        log = MemoryLog()
        began = NewEvent("print.started.1", {"filename": "a.gcode"}, BY)
        log.append("print", [began], append_id=uuid4())  # and the program ended before anybody looked at the file
        async with scene(log) as (rig, desk, listener):
            desk.listen("test/event/history/job.described.1")
            assert (await desk.next())["data"]["job"] == 1
            await begin(rig, found=True, total_duration=1.0)  # by a link to Klipper that remembers nothing
            await end(rig)
            action, job = await heard(listener)
            assert (action, job["job_id"], job["status"], job["metadata"]) == (
                "finished",
                "000001",
                "completed",
                METADATA,
            )
            assert (await result(desk, "server.history.list"))["count"] == 1

    asyncio.run(main())


def test_answers_have_as_many_jobs_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "PAGE_BYTES", 1500)
    monkeypatch.setattr(agent, "EXPORT_BYTES", 1500)
    monkeypatch.setattr(agent, "TURN", 2)

    async def main() -> None:
        async with scene() as (rig, desk, listener):
            for _ in range(9):
                await begin(rig, "b.gcode")
                await heard(listener)
                await end(rig)
                await heard(listener)
            found = await result(desk, "server.history.list", limit=0)
            assert found["count"] == len(found["jobs"]) < 9
            assert [job["job_id"] for job in found["jobs"]] == [f"{9 - n:06X}" for n in range(found["count"])]
            lines, start = 0, 0
            while start is not None:
                page = await result(desk, "server.history.export", format="csv", start=start)
                lines, start = lines + len(page["text"].splitlines()), page["next"]
            assert lines == 1 + 9
            monkeypatch.setattr(agent, "EXPORT_BYTES", 50)
            assert (await desk.ask("server.history.export", {"format": "jsonl"}))["error"]["code"] == 413

    asyncio.run(main())
