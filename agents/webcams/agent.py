"""The webcam agent: keeps the list that front ends share, and tries snapshots."""

from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from bus.agent import Agent, Bus, Call, Host, implements
from bus.aggregate import Aggregate, Fact
from bus.envelope import dumps
from bus.errors import InvalidParams, NotFound, TooLarge
from bus.router import explain
from schemas import NoParams, webcams
from schemas.webcams import Webcam

from .cameras import REMOVED, SAVED, StoredWebcams, of_configuration, visible
from .settings import WebcamsSettings
from .snapshot import is_reachable, resolved

MAX_WEBCAMS = 100
MAX_EXTRA = 32 << 10  # bytes of a webcam's extra_data, as JSON: every change sends them to everybody
DOCUMENT = "webcams"  # the state document


class WebcamKeeper(Agent):
    """Webcams of the configuration, and those that clients add."""

    name = webcams.OWNER
    components = ("webcam",)
    settings_model = WebcamsSettings
    folds = (StoredWebcams,)
    settings: WebcamsSettings

    def __init__(self, bus: Bus, settings: WebcamsSettings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        self._configured = of_configuration(bus.topics.instance, settings.options())
        self._stored = Aggregate(bus, host, StoredWebcams)

    async def run(self) -> None:
        """Shows what there is."""
        await self._stored.restore()
        self._show()
        await super().run()

    @implements(webcams.LIST)
    async def list_webcams(self, params: NoParams, call: Call) -> webcams.Webcams:
        """Those of the configuration first."""
        return webcams.Webcams(webcams=await self._all())

    @implements(webcams.GET)
    async def get_webcam(self, params: webcams.WebcamParams, call: Call) -> webcams.OneWebcam:
        """Raises NotFound."""
        return webcams.OneWebcam(webcam=_found(await self._all(), params.uid, params.name))

    @implements(webcams.POST)
    async def post_webcam(self, params: webcams.PostParams, call: Call) -> webcams.OneWebcam:
        """Raises NotFound for an unknown uid, InvalidParams, TooLarge."""
        async with self._stored.lock:
            known = await self._all()
            old = _to_change(known, params.uid, params.name)
            given = params.model_dump(exclude_none=True, exclude={"uid"})
            webcam = old.model_copy(update=given) if old else _new(given)
            _check(webcam, known)
            await self._keep([_saved(webcam)], call)
            return webcams.OneWebcam(webcam=webcam)

    @implements(webcams.DELETE)
    async def delete_webcam(self, params: webcams.WebcamParams, call: Call) -> webcams.OneWebcam:
        """Raises NotFound, and InvalidParams for one of the configuration."""
        async with self._stored.lock:
            webcam = _writable(_found(await self._all(), params.uid, params.name))
            await self._keep([(REMOVED, {"uid": webcam.uid})], call)
            return webcams.OneWebcam(webcam=webcam)

    @implements(webcams.STORE)
    async def store(self, params: webcams.StoreParams, call: Call) -> webcams.Stored:
        """Not of the configuration. Raises NotFound where there is nothing to remove, InvalidParams, TooLarge."""
        uid = params.key[0]
        async with self._stored.lock:
            stored = {key: Webcam(**value) for key, value in (await self._stored.known()).webcams.items()}
            for webcam in self._configured:
                if webcam.uid == uid:
                    _writable(webcam)
            shown = {uid: stored[uid].as_stored()} if uid in stored else {}
            previous = _exchange(shown, params)
            if uid not in shown:
                await self._keep([(REMOVED, {"uid": uid})], call)
                return webcams.Stored(previous=previous)
            webcam = _from_stored(uid, shown[uid])
            _check(webcam, list(stored.values()))
            await self._keep([_saved(webcam)], call)
            return webcams.Stored(previous=previous)

    @implements(webcams.TEST)
    async def test_webcam(self, params: webcams.WebcamParams, call: Call) -> webcams.Tested:
        """Waits some seconds at most; raises NotFound."""
        webcam = _found(await self._all(), params.uid, params.name)
        snapshot, stream = resolved(webcam.snapshot_url), resolved(webcam.stream_url)
        reachable = await is_reachable(snapshot)
        return webcams.Tested(name=webcam.name, snapshot_reachable=reachable, snapshot_url=snapshot, stream_url=stream)

    async def _all(self) -> list[Webcam]:
        return visible(self._configured, await self._stored.known())

    async def _keep(self, facts: list[Fact], call: Call) -> None:
        await self._stored.append(facts, call.actor)
        self._show()
        shown = webcams.Webcams(webcams=await self._all())
        call.then.append(lambda: self.notify(webcams.CHANGED, [shown]))

    def _show(self) -> None:
        document = webcams.Webcams(webcams=visible(self._configured, self._stored.fold))
        self.bus.publish(self.bus.topics.state(self.name, DOCUMENT), dumps(document), retain=True)


def _found(known: list[Webcam], uid: str | None, name: str | None) -> Webcam:
    if uid is None and name is None:
        raise InvalidParams("Either 'uid' or 'name' says which webcam")
    for webcam in known:
        if uid == webcam.uid if uid is not None else name == webcam.name:
            return webcam
    raise NotFound(f"Webcam {name if uid is None else uid} not found")


def _to_change(known: list[Webcam], uid: str | None, name: str | None) -> Webcam | None:
    """The webcam that is meant, None where it is to be a new one."""
    if uid is None and name not in [webcam.name for webcam in known]:
        return None
    return _writable(_found(known, uid, name))


def _writable(webcam: Webcam) -> Webcam:
    if webcam.source == "config":
        raise InvalidParams(f"Webcam {webcam.name} can be changed in the configuration only")
    return webcam


def _exchange(objects: dict[str, Any], params: webcams.StoreParams) -> Any:
    """Puts the new value where the old one was, which is the answer; raises NotFound and InvalidParams."""
    *way, last = key = params.key
    for name in way:
        objects = objects.setdefault(name, {})
        if not isinstance(objects, dict):
            raise InvalidParams(f"The way to '{'.'.join(key)}' is not one of objects")
    previous = objects.get(last)
    if "value" in params.model_fields_set:
        objects[last] = params.value
    elif last in objects:
        del objects[last]
    else:
        raise NotFound(f"Key '{'.'.join(key)}' in namespace 'webcams' not found")
    return previous


def _from_stored(uid: str, value: Any) -> Webcam:
    if not isinstance(value, dict):
        raise InvalidParams("A webcam is an object")
    try:
        return Webcam.from_stored(uid, value)
    except ValidationError as error:
        raise InvalidParams(f"This is no webcam: {explain(error)}") from None


def _new(given: dict[str, Any]) -> Webcam:
    try:
        webcam = Webcam(**given, uid=str(uuid4()))
    except ValidationError as error:
        missing = ", ".join(f"'{detail['loc'][0]}'" for detail in error.errors())
        raise InvalidParams(f"A new webcam needs {missing}") from None
    return Webcam(**webcam.model_dump())  # with its defaults, which are left out of JSON otherwise


def _saved(webcam: Webcam) -> Fact:
    return SAVED, {"webcam": webcam.model_dump(mode="json")}


def _check(webcam: Webcam, known: list[Webcam]) -> None:
    others = [each for each in known if each.uid != webcam.uid]
    if len(others) >= MAX_WEBCAMS:
        raise InvalidParams(f"There are {len(others)} webcams already")
    if webcam.name in [each.name for each in others]:
        raise InvalidParams(f"There is a webcam called {webcam.name} already")
    if len(dumps(webcam.extra_data)) > MAX_EXTRA:
        raise TooLarge(f"extra_data may have {MAX_EXTRA} bytes")
