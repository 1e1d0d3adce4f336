"""The database agent: answers from what the log's facts amount to, and changes it by adding facts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar
from uuid import uuid4

import orjson

from bus.agent import Actor, Agent, Bus, Call, Host, Raw, implements
from bus.clock import SYSTEM, Clock
from bus.errors import BusError, HostError, InvalidParams, MethodNotFound, NotFound, OutOfSpace, Refused
from bus.log import JSON, NewEvent
from bus.log_files import FULL
from bus.mandate import Mandate
from schemas import NoParams, database, printer, webcams

from .backups import Backups, differences
from .chronicle import COMPACTED, DELETED, SET, STREAM, Namespaces
from .past import as_it_was, changes, restated, shown
from .places import FORBIDDEN, READ_ONLY, Place, any_place, readable, writable
from .settings import DatabaseSettings
from .tree import text_of
from .turns import Durable, Turns
from .views import VIEWS, WEBCAMS

FOLDER: Final = ("backup", "database")  # in the data folder
BACKUP_NAME: Final = "sqldb-backup-%Y%m%d-%H%M%S{}.db"  # Moonraker's, which front ends look for
SAME_TIME: Final = 100  # backups of one second
BUSY: Final = ("printing", "paused")
OURS: Final = "moonraker"
METADATA_VERSION: Final = 3  # of the fields that metadata has, as Moonraker counts

log = logging.getLogger(__name__)

T = TypeVar("T")
Question = database.GetParams | database.PostParams | database.DeleteParams


class Database(Agent):
    """Namespaces of JSON; it looks into the log, so it runs beside it only."""

    name = database.OWNER
    components = ("database",)
    beside_broker = True
    settings_model = DatabaseSettings
    folds = (Namespaces,)
    settings: DatabaseSettings

    def __init__(self, bus: Bus, settings: DatabaseSettings, host: Host | None = None, clock: Clock = SYSTEM) -> None:
        super().__init__(bus, settings, host)
        if host is None:
            raise ValueError("the database agent runs beside the broker only")
        self._host = host
        self._clock = clock
        self._now = host.fold(Namespaces)
        self._turns = Turns()
        self._backups = Backups(bus.data.joinpath(*FOLDER))
        self._has_webcams = False  # somebody keeps them

    async def run(self) -> None:
        """Sees to what every installation has."""
        self._has_webcams = await self._state_of(WEBCAMS, None) is not None
        about: dict[str, JSON] = {"instance_id": uuid4().hex, "file_manager": {"metadata_version": METADATA_VERSION}}
        places = [Place(OURS, (name,)) for name in about]
        facts = [_set(place, about[place.path[0]]) for place in places if not self._holds(place)]
        if facts:
            await self.bus.append(STREAM, facts)
        await super().run()

    def _holds(self, place: Place) -> bool:
        return self._now.find(place.namespace, place.path) is not None

    # -- items

    @implements(database.LIST)
    async def list_namespaces(self, params: NoParams, call: Call) -> database.Contents:
        """Those that clients may read."""
        names = {*self._now.names(), *VIEWS} - FORBIDDEN
        return database.Contents(namespaces=sorted(names), backups=await _disk(self._backups.names))

    @implements(database.GET_ITEM)
    def get_item(self, params: database.GetParams, call: Call) -> Raw | Awaitable[Raw]:
        """From memory; what was earlier from the log."""
        return self._get(params, readable(params.namespace, params.key))

    @implements(database.POST_ITEM)
    def post_item(self, params: database.PostParams, call: Call) -> Awaitable[Raw]:
        """Answered when the value is durable."""
        return self._post(params, writable(params.namespace, params.key), call.actor)

    @implements(database.DELETE_ITEM)
    def delete_item(self, params: database.DeleteParams, call: Call) -> Awaitable[Raw]:
        """The old value, once it is gone for good."""
        return self._delete(params, writable(params.namespace, params.key), call.actor)

    def _get(self, params: database.GetParams, place: Place) -> Raw | Awaitable[Raw]:
        if params.at is not None or place.namespace in VIEWS:
            return self._ask(params, place)
        return self._turns.read(
            place, lambda: _item(params, _known(place, self._now.find(place.namespace, place.path)))
        )

    def _post(self, params: database.PostParams, place: Place, actor: Actor) -> Awaitable[Raw]:
        try:
            answer = _item(params, text_of(params.value))
        except ValueError as error:
            raise InvalidParams(f"Argument value: {error}") from None
        if self._is_of_webcams(place):
            return self._post_webcam(params.value, place, actor, answer)

        def write() -> tuple[Durable, Raw]:
            self._require_way(place)
            return self.bus.append(STREAM, [_set(place, params.value, actor)]), answer

        return self._turns.write(place, write)

    def _delete(self, params: database.DeleteParams, place: Place, actor: Actor) -> Awaitable[Raw]:
        if self._is_of_webcams(place) and self._now.find(WEBCAMS, place.path) is None:
            return self._delete_webcam(params, place, actor)

        def write() -> tuple[Durable, Raw]:
            answer = _item(params, _known(place, self._now.find(place.namespace, place.path)))
            return self.bus.append(STREAM, [_deleted(place, actor)]), answer

        return self._turns.write(place, write)

    def _require_way(self, place: Place) -> None:
        """A top-level value makes room for an object; further down nothing is overwritten that was not named."""
        for depth in range(2, len(place.path)):
            there = self._now.is_object(place.namespace, place.path[:depth])
            if there is None:
                return
            if not there:
                raise InvalidParams(f"{Place(place.namespace, place.path[:depth])} is not an object")

    # -- what others keep, and the past

    def _is_of_webcams(self, place: Place) -> bool:
        """Whether another agent has to change it."""
        return place.namespace == WEBCAMS and self._has_webcams

    async def _post_webcam(self, value: Any, place: Place, actor: Actor, answer: Raw) -> Raw:
        async with self._turns.alone():
            await self._store_webcam(place.path, actor, value=value)
            if self._now.find(WEBCAMS, place.path[:1]) is not None:  # what was none before is one now
                await self.bus.append(STREAM, [_deleted(Place(WEBCAMS, place.path[:1]), actor)])
        return answer

    async def _delete_webcam(self, params: database.DeleteParams, place: Place, actor: Actor) -> Raw:
        async with self._turns.alone():
            previous = await self._store_webcam(place.path, actor)
        return _item(params, orjson.dumps(previous))

    async def _store_webcam(self, path: Sequence[str], actor: Actor, **value: Any) -> Any:
        """Has the webcams agent put a value there, or take it away; what was there."""
        mandate = Mandate(self.name, None, actor.as_said())
        return (await self.bus.call(webcams.STORE.name, {"key": [*path], **value}, mandate=mandate))["previous"]

    async def _restore_webcams(self, wanted: dict[str, Any], actor: Actor) -> None:
        """One by one: they may be more than fits into a request."""
        for uid in await self._view(WEBCAMS, None):
            if uid not in wanted:
                await self._store_webcam([uid], actor)
        for uid, webcam in wanted.items():
            try:
                await self._store_webcam([uid], actor, value=webcam)
            except BusError as error:  # an earlier version kept whatever was written
                if error.code != InvalidParams.code:
                    raise
                log.warning("webcam %s is not restored: %s", uid, error)

    async def _ask(self, params: database.GetParams, place: Place) -> Raw:
        ahead = self._turns.read(place, lambda: None)
        if ahead is not None:
            await ahead
        then = self._now if params.at is None else await self._as_it_was(place, params.at)
        if place.namespace not in VIEWS:
            return _item(params, _known(place, then.find(place.namespace, place.path)))
        kept = orjson.loads(then.find(place.namespace) or b"{}")
        return _item(params, _known(place, _inside(kept | await self._view(place.namespace, params.at), place)))

    async def _as_it_was(self, place: Place, at: float) -> Namespaces:
        seq, time = _moment(at)
        then = await self._host.ask_log(partial(as_it_was, place, seq=seq, time=time))
        if then.compacted != self._now.compacted:
            raise NotFound("What was then is not known any more: the database was compacted later")
        return then

    async def _view(self, name: str, at: float | None) -> dict[str, Any]:
        state = await self._state_of(name, at)
        return {} if state is None else VIEWS[name](state)

    async def _state_of(self, name: str, at: float | None) -> Any:
        """Of a fold; None where the agent that has it is not configured."""
        try:
            return await self._host.fold_state(name, *_moment(at))
        except NotFound:
            return None

    @implements(database.HISTORY)
    async def history(self, params: database.HistoryParams, call: Call) -> Raw:
        """From the log, event by event."""
        place = readable(params.namespace, params.key)
        found, more = await self._host.ask_log(partial(changes, place, params.before, params.limit))
        listed = [shown(change) for change in found]
        return Raw(orjson.dumps({"namespace": params.namespace, "key": params.key, "changes": listed, "more": more}))

    # -- keeping house

    @implements(database.COMPACT)
    async def compact(self, params: NoParams, call: Call) -> database.Sizes:
        """States the present anew, so that nothing before has to be carried on; the mark comes first, and stays."""
        await self._require_idle()
        async with self._turns.alone():
            await self.bus.append(STREAM, [NewEvent(COMPACTED, {}, call.actor.as_dict())])
            facts, before, after = await self._host.ask_log(partial(restated, self._now))
            for fact in facts:
                await self.bus.append(STREAM, [fact])
        return database.Sizes(previous_size=before, new_size=after)

    @implements(database.POST_BACKUP)
    async def post_backup(self, params: database.BackupParams, call: Call) -> database.Backup:
        """As it is now."""
        names = self._new_names() if params.filename is None else [params.filename]
        self._backups.path(names[0])
        await self._require_idle()
        pieces = [piece for piece in self._now.pieces() if not (self._has_webcams and piece[0][0] == WEBCAMS)]
        pieces += [([WEBCAMS, uid], text_of(webcam)) for uid, webcam in (await self._view(WEBCAMS, None)).items()]
        path = await _disk(partial(self._backups.write, names, pieces))
        return database.Backup(backup_path=str(path))

    def _new_names(self) -> list[str]:
        """Names of the present time, with a number where there are several of one second."""
        now = datetime.fromtimestamp(self._clock.wall())
        return [now.strftime(BACKUP_NAME.format(number)) for number in ("", *(f"-{n}" for n in range(1, SAME_TIME)))]

    @implements(database.DELETE_BACKUP)
    async def delete_backup(self, params: database.BackupName, call: Call) -> database.Backup:
        """For good."""
        return database.Backup(backup_path=str(await _disk(partial(self._backups.delete, params.filename))))

    @implements(database.RESTORE)
    async def restore(self, params: database.BackupName, call: Call) -> database.Restored:
        """By facts about what differs: they are history, too, and can be taken back."""
        self._backups.path(params.filename)
        await self._require_idle()
        wanted = await _disk(partial(self._backups.read, params.filename))
        async with self._turns.alone():
            if self._has_webcams:
                await self._restore_webcams(orjson.loads(wanted.find(WEBCAMS) or b"{}"), call.actor)
            elsewhere = {WEBCAMS} if self._has_webcams else set()
            for facts in differences(self._now, wanted, elsewhere):
                await self.bus.append(STREAM, [_by(fact, call.actor) for fact in facts])
        call.then.append(self._host.restart)
        return database.Restored(restored_tables=[], restored_namespaces=wanted.names())

    async def _require_idle(self) -> None:
        """A printer that is not there does not print."""
        try:
            found = await self.bus.call(printer.OBJECTS_QUERY.name, {"objects": {"print_stats": ["state"]}})
        except BusError:
            return
        if found["status"].get("print_stats", {}).get("state") in BUSY:
            raise Refused("Not while a print is under way")

    # -- for who looks for faults

    @implements(database.DEBUG_LIST)
    async def debug_list(self, params: NoParams, call: Call) -> database.AllContents:
        """Also what clients may not read."""
        self._require_debug()
        names = {*self._now.names(), *VIEWS}
        return database.AllContents(namespaces=sorted(names), backups=await _disk(self._backups.names), tables=[])

    @implements(database.DEBUG_GET)
    def debug_get(self, params: database.GetParams, call: Call) -> Raw | Awaitable[Raw]:
        """As `get_item`, anywhere."""
        self._require_debug()
        return self._get(params, any_place(params.namespace, params.key))

    @implements(database.DEBUG_POST)
    def debug_post(self, params: database.PostParams, call: Call) -> Awaitable[Raw]:
        """As `post_item`, anywhere."""
        self._require_debug()
        return self._post(params, _kept_here(any_place(params.namespace, params.key)), call.actor)

    @implements(database.DEBUG_DELETE)
    def debug_delete(self, params: database.DeleteParams, call: Call) -> Awaitable[Raw]:
        """As `delete_item`, anywhere."""
        self._require_debug()
        return self._delete(params, _kept_here(any_place(params.namespace, params.key)), call.actor)

    @implements(database.DEBUG_TABLE)
    def debug_table(self, params: database.TableParams, call: Call) -> database.Table:
        """Raises NotFound: what Moonraker has in tables are folds of the log here."""
        self._require_debug()
        raise NotFound(f"There is no table '{params.table}': events.state shows what is kept besides namespaces")

    def _require_debug(self) -> None:
        if not self.settings.debug:
            raise MethodNotFound("Only where printer.yaml says `database: {debug: true}`")


def _set(place: Place, value: Any, actor: Actor | None = None) -> NewEvent:
    data: dict[str, JSON] = {"namespace": place.namespace, "key": place.path, "value": value}
    return NewEvent(SET, data, None if actor is None else actor.as_dict())


def _deleted(place: Place, actor: Actor) -> NewEvent:
    return NewEvent(DELETED, {"namespace": place.namespace, "key": place.path}, actor.as_dict())


def _by(fact: NewEvent, actor: Actor) -> NewEvent:
    """The same, with who caused it."""
    return NewEvent(fact.type, fact.data, actor.as_dict())


def _moment(at: float | None) -> tuple[int | None, float | None]:
    """A sequence number or a time."""
    if at is None:
        return None, None
    return (None, at) if at >= database.TIMES_FROM else (int(at), None)


def _item(params: Question, text: bytes) -> Raw:
    return Raw(
        b'{"namespace":%b,"key":%b,"value":%b}' % (orjson.dumps(params.namespace), orjson.dumps(params.key), text)
    )


def _known(place: Place, text: bytes | None) -> bytes:
    if text is not None:
        return text
    found = str(place)
    raise NotFound(f"{found[0].upper()}{found[1:]} not found")


def _kept_here(place: Place) -> Place:
    if place.namespace in VIEWS and place.namespace in READ_ONLY:
        raise InvalidParams(f"Namespace '{place.namespace}' is what another agent's facts amount to")
    return place


def _inside(value: Any, place: Place) -> bytes | None:
    for name in place.path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return orjson.dumps(value)


async def _disk(work: Callable[[], T]) -> T:
    """What a thread finds on the disk; raises OutOfSpace and HostError where it fails."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        kind = OutOfSpace if error.errno in FULL else HostError
        raise kind(f"The backup folder cannot be used: {error.strerror}") from None
