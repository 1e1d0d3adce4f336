"""The history agent: answers for jobs and totals, and adds what the log of prints does not know."""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from uuid import uuid4

from pydantic import ValidationError

from bus.agent import Actor, Agent, Bus, Call, Host, Raw, Settings, after, implements
from bus.envelope import dumps, loads
from bus.errors import BusError, InvalidParams, NotFound, TooLarge
from bus.gcode_files import GcodeFiles
from bus.log import JSON, NewEvent
from schemas import NoParams, files, history

from .jobs import DELETED, DESCRIBED, ENDED, MEASURED, RESET, STARTED, STREAM, Jobs
from .query import rows, totals
from .showing import csv_lines, job_id, json_lines, number_of, shown
from .totals import Json

log = logging.getLogger(__name__)

WAITING = 1000  # begun and ended jobs whose story is not told yet; one more is not announced
METADATA_SECONDS = 20.0  # for the filestore to read a file that it has not read yet
RETRY = 1.0  # seconds until the log is offered a fact again
PAGE_JOBS, PAGE_BYTES = 20_000, 16 << 20  # of a list, whatever was asked for
TURN = 100  # jobs between two turns of the loop
EXPORT_BYTES = 256 << 10  # of a page of an export, so that it fits into an MQTT packet as JSON
NOT_METADATA = ("filename", "job_id", "print_start_time")


class History(Agent):
    """What has been printed; it reads the log itself, so it runs beside it only."""

    name = "history"
    components = ("history",)
    beside_broker = True
    folds = (Jobs,)

    def __init__(self, bus: Bus, settings: Settings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        if host is None:
            raise ValueError("the history agent runs beside the broker only")
        self._jobs = host.fold(Jobs)
        self._files = GcodeFiles(bus)
        self._told: asyncio.Queue[tuple[str, int]] = asyncio.Queue(WAITING)
        self._shown_by: dict[str, list[Json]] = {}  # auxiliary values by agent

    async def run(self) -> None:
        """Follows prints until cancelled."""
        topics = self.bus.topics
        for kind in (STARTED, ENDED):
            self.bus.subscribe(topics.event("print", kind), self._on_print)
        self.bus.subscribe(topics.state("+", history.JOB_DATA), self._on_job_data)
        self._files.start()
        await self._tell()

    # -- what happens

    def _on_print(self, _topic: str, payload: bytes) -> None:
        event = loads(payload)
        row = self._jobs.table.row_at(event["seq"])
        if row is None or (event["type"] == STARTED and self._jobs.table.columns["seq"][row] != event["seq"]):
            return  # nothing that makes a job of its own
        try:
            self._told.put_nowait((event["type"], row))
        except asyncio.QueueFull:
            log.error("job %s is not announced: too many wait", job_id(self._jobs.table.columns["id"][row]))

    def _on_job_data(self, topic: str, payload: bytes) -> None:
        agent = topic.split("/")[2]
        self._shown_by.pop(agent, None)
        if not payload:
            return
        try:
            known = history.JobData.model_validate_json(payload)
            self._shown_by[agent] = [field.model_dump(mode="json") for field in known.fields]
        except ValidationError as error:
            log.warning("what the agent %s knows of the job is left out: %s", agent, error)

    async def _tell(self) -> None:
        """Completes and announces one job after the other."""
        if self._jobs.open is not None and not self._jobs.table.metadata[self._jobs.open]:
            await self._describe(self._jobs.open)  # it began as the program ended
        while True:
            kind, row = await self._told.get()
            if kind == STARTED:
                await self._describe(row)
            else:
                await self._measure(row)
            if not self._jobs.table.columns["deleted"][row]:
                await self._announce("added" if kind == STARTED else "finished", row)

    async def _describe(self, row: int) -> None:
        filename = self._jobs.table.filename(row)
        metadata = await self._metadata(filename)
        data: dict[str, JSON] = {
            "job": self._jobs.table.columns["id"][row],
            "filename": filename,
            "start_time": self._jobs.table.columns["start"][row],
            "metadata": metadata,
        }
        await self._noted(DESCRIBED, data)

    async def _measure(self, row: int) -> None:
        fields: list[JSON] = [field for fields in self._shown_by.values() for field in fields]
        if fields:
            await self._noted(MEASURED, {"job": self._jobs.table.columns["id"][row], "fields": fields})

    async def _metadata(self, filename: str) -> Json:
        try:
            async with asyncio.timeout(METADATA_SECONDS):
                known = await self.bus.call(files.METADATA.name, {"filename": filename})
        except (BusError, TimeoutError) as error:
            log.info("%s is printed without metadata: %s", filename, error)
            return {}
        return {name: value for name, value in known.items() if name not in NOT_METADATA}

    async def _noted(self, kind: str, data: dict[str, JSON]) -> None:
        """Puts a fact into the log, as soon as that takes it."""
        append_id = uuid4()
        while True:
            try:
                await self.bus.append(STREAM, [NewEvent(kind, data, None)], append_id=append_id)
                return
            except BusError as error:
                log.error("%s was not written to the event log: %s", kind, error)
                if not error.retryable:
                    return
            await asyncio.sleep(RETRY)

    async def _announce(self, action: str, row: int) -> None:
        await self._files.refresh()
        self.notify(history.CHANGED, [{"action": action, "job": shown(self._jobs.table, row, self._files.has)}])

    # -- what is asked

    @implements(history.LIST)
    async def list_jobs(self, params: history.ListParams, call: Call) -> Raw:
        """From memory."""
        await self._files.refresh()
        found = rows(self._jobs.table, params, min(params.limit, PAGE_JOBS) if params.limit > 0 else PAGE_JOBS)
        jobs = await self._page(found)
        return Raw(b'{"count":%d,"jobs":[%b]}' % (len(jobs), b",".join(jobs)))

    async def _page(self, found: Sequence[int]) -> list[bytes]:
        """As many as fit; others have their turn meanwhile."""
        jobs: list[bytes] = []
        room = PAGE_BYTES
        for row in found:
            if jobs and len(jobs) % TURN == 0:
                await asyncio.sleep(0)
            jobs.append(dumps(shown(self._jobs.table, row, self._files.has)))
            room -= len(jobs[-1])
            if room < 0:
                break
        return jobs

    @implements(history.GET_JOB)
    async def get_job(self, params: history.JobParams, call: Call) -> Raw:
        """From memory."""
        row = self._row(params.uid)
        await self._files.refresh()
        return Raw(dumps({"job": shown(self._jobs.table, row, self._files.has)}))

    @implements(history.TOTALS)
    def get_totals(self, params: history.Period, call: Call) -> Raw:
        """Since the reset, or of a period."""
        whole = params.since is None and params.before is None
        found = self._jobs.totals if whole else totals(self._jobs.table, params.since, params.before)
        return Raw(dumps({"job_totals": found.job_totals(), "auxiliary_totals": found.auxiliary_totals()}))

    @implements(history.EXPORT)
    async def export(self, params: history.ExportParams, call: Call) -> Raw:
        """A page of so many jobs as fit."""
        await self._files.refresh()
        found = rows(self._jobs.table, params, params.limit + 1)
        text, count = _fitting(self._lines(found[: params.limit], params), names=_has_names(params))
        if found and not count:
            raise TooLarge(f"One job has more than {EXPORT_BYTES} bytes")
        following = params.start + count if len(found) > count else None
        return Raw(dumps({"text": text, "count": count, "next": following}))

    def _lines(self, page: Sequence[int], params: history.ExportParams) -> Iterator[str]:
        if params.format == "csv":
            return csv_lines(self._jobs.table, page, names=_has_names(params))
        return json_lines(self._jobs.table, page, self._files.has)

    # -- what is changed

    @implements(history.RESET_TOTALS)
    def reset_totals(self, params: NoParams, call: Call) -> Awaitable[Raw]:
        """Answers what they were."""
        if self._jobs.open is not None:
            raise InvalidParams("Totals cannot be reset while something is printed")
        last = self._jobs.totals
        answer = Raw(dumps({"last_totals": last.job_totals(), "last_auxiliary_totals": last.auxiliary_totals()}))
        return after(self._append(RESET, {"totals": None}, call.actor), lambda: answer)

    @implements(history.DELETE_JOB)
    async def delete_job(self, params: history.DeleteParams, call: Call) -> Raw:
        """Answers what was deleted."""
        if not params.all and params.uid is None:
            raise InvalidParams("Either uid or all must be given")
        everything = history.Selection(order="asc")
        table = self._jobs.table
        found = rows(table, everything, None) if params.all else [self._row(params.uid or "")]
        ids = [table.columns["id"][row] for row in found]
        if ids:
            await self._append(DELETED, {"jobs": None if params.all else [*ids]}, call.actor)
        return Raw(dumps({"deleted_jobs": [job_id(each) for each in ids]}))

    def _append(self, kind: str, data: dict[str, JSON], actor: Actor) -> "asyncio.Future[int]":
        return self.bus.append(STREAM, [NewEvent(kind, data, actor.as_dict())])

    def _row(self, uid: str) -> int:
        number = number_of(uid)
        row = None if number is None else self._jobs.table.row_of(number)
        if row is None:
            raise NotFound(f"No job has the id {uid}")
        return row


def _has_names(params: history.ExportParams) -> bool:
    return params.format == "csv" and params.start == 0


def _fitting(lines: Iterable[str], *, names: bool) -> tuple[str, int]:
    """The lines that fit into an answer as one text, and how many jobs they are."""
    found: list[str] = []
    room = EXPORT_BYTES
    for line in lines:
        room -= len(line.encode())
        if room < 0:
            break
        found.append(line)
    return "".join(found), len(found) - names
