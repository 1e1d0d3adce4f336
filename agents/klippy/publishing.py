"""The topics on which Klipper's state appears: changes as they come, retained values of single fields."""

import asyncio
from typing import Any

import orjson

from bus.agent import Bus
from bus.envelope import dumps
from bus.mqtt_settings import Objects

from .cache import Cache, Status, Wanted
from .state import State

FIELD_INTERVAL = 1.0  # seconds between two values of one field, where the configuration does not say
MAX_FIELD = 8 << 10  # bytes; larger values are not retained
UNRETAINED = (("configfile", "config"), ("configfile", "settings"))  # constant, and most of a state's size

Field = tuple[str, str]


class FieldTopics:
    """One retained topic per field, at most one value per interval each; all are cleared when Klipper goes.

    A cleared topic says "unknown": consumers that need to know why read the Klipper state topic.
    """

    def __init__(self, bus: Bus, interval: float) -> None:
        self._bus = bus
        self._interval = interval
        self._waiting: dict[Field, tuple[float, Any]] = {}
        self._due: dict[Field, float] = {}  # when the next value may be published
        self._topics: dict[Field, str] = {}
        self._shown: set[Field] = set()
        self._timer: asyncio.TimerHandle | None = None

    def changed(self, eventtime: float, status: Status) -> None:
        """Publishes the fields that may be published now, the others as soon as they may."""
        for name, fields in status.items():
            for field, value in fields.items():
                if (name, field) not in UNRETAINED:
                    self._waiting[name, field] = (eventtime, value)
        self._flush()

    def clear(self) -> None:
        """Removes all values."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for field in self._shown:
            self._bus.publish(self._topics[field], b"", retain=True)
        for known in (self._waiting, self._due, self._topics, self._shown):
            known.clear()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        now, due = loop.time(), self._due
        for field in [field for field in self._waiting if due.get(field, now) <= now]:
            self._publish(field, *self._waiting.pop(field))
            due[field] = now + self._interval
        if self._waiting and self._timer is None:
            self._timer = loop.call_at(min(due[field] for field in self._waiting), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._flush()

    def _publish(self, field: Field, eventtime: float, value: Any) -> None:
        topic = self._topics.get(field)
        if topic is None:
            topic = self._topics[field] = self._bus.topics.klipper_field(*field)
        payload = dumps({"eventtime": eventtime, "value": value})
        if len(payload) <= MAX_FIELD:
            self._shown.add(field)
            self._bus.publish(topic, payload, retain=True)
        elif field in self._shown:
            self._shown.discard(field)
            self._bus.publish(topic, b"", retain=True)


class StatusTopic:
    """All changes on one topic: each as it comes, or, with an interval, those of that time merged."""

    def __init__(self, bus: Bus, interval: float) -> None:
        self._bus = bus
        self._interval = interval
        self._merged: Status = {}
        self._eventtime = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def changed(self, eventtime: float, status: Status, body: bytes) -> None:
        """Publishes a change, or adds it to what is published at the end of the interval."""
        if self._timer is None:
            self._publish(eventtime, body)
            return
        self._eventtime = eventtime
        for name, fields in status.items():
            self._merged.setdefault(name, {}).update(fields)

    def clear(self) -> None:
        """Forgets what waits."""
        self._merged = {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _publish(self, eventtime: float, body: bytes) -> None:
        payload = b'{"eventtime":%b,"status":%b}' % (orjson.dumps(eventtime), body)
        self._bus.publish(self._bus.topics.klipper_status, payload)
        if self._interval:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._merged:
            merged, self._merged = self._merged, {}
            self._publish(self._eventtime, dumps(merged))


class Publisher:
    """Publishes what the cache has taken in, and the state of the link; what and how often says `mqtt` of the bus."""

    def __init__(self, bus: Bus, cache: Cache) -> None:
        self._bus = bus
        self._cache = cache
        mqtt = bus.mqtt
        self._objects = mqtt.status_objects
        self._status = None if mqtt.publish_split_status else StatusTopic(bus, mqtt.status_interval or 0.0)
        interval = FIELD_INTERVAL if mqtt.status_interval is None else mqtt.status_interval
        self._fields = None if mqtt.publish_split_status is False else FieldTopics(bus, interval)

    def changed(self, status: Status, body: bytes) -> None:
        """Fields have changed, and the cache has them already; `body` is the status as JSON."""
        eventtime = self._cache.eventtime or 0.0
        delta = b'{"revision":%d,"eventtime":%b,"status":%b}' % (self._cache.revision, orjson.dumps(eventtime), body)
        self._bus.publish(self._bus.topics.klipper_delta, delta)
        if self._objects is not None:
            status = selected(status, self._objects)
            if not status:
                return
            body = dumps(status)
        if self._status is not None:
            self._status.changed(eventtime, status, body)
        if self._fields is not None:
            self._fields.changed(eventtime, status)

    def gone(self) -> None:
        """Klipper is gone, and with it every value."""
        if self._status is not None:
            self._status.clear()
        if self._fields is not None:
            self._fields.clear()

    def state(self, state: State, message: str, missing: list[str]) -> None:
        """The state of the link and of Klipper has changed."""
        topics = self._bus.topics
        server = {
            "klippy_connected": state is not State.DISCONNECTED,
            "klippy_state": state,
            "missing_klippy_requirements": missing,
            "state_message": message,
        }
        self._bus.publish(topics.state("klippy", "server"), dumps(server), retain=True)
        self._bus.publish(topics.klippy_state, dumps({"state": state, "message": message}), retain=True)

    def topics(self, wanted: Wanted) -> list[str]:
        """Where an MQTT client finds the changes of what it subscribed, as far as they are published at all."""
        published = wanted if self._objects is None else _common(wanted, self._objects)
        if self._fields is None:
            return [self._bus.topics.klipper_status] if published else []
        name_field = [(name, field) for name, fields in published.items() for field in fields or ()]
        whole = [f"{self._bus.topics.klipper_field(name, '')}+" for name, fields in published.items() if fields is None]
        return [*whole, *(self._bus.topics.klipper_field(*field) for field in name_field)]


def selected(status: Status, objects: Objects) -> Status:
    """The part of a status that is to be published."""
    found: Status = {}
    for name, names in objects.items():
        fields = status.get(name, {})
        kept = fields if names is None else {field: fields[field] for field in names if field in fields}
        if kept:
            found[name] = kept
    return found


def _common(wanted: Wanted, objects: Objects) -> Wanted:
    found: dict[str, list[str] | None] = {}
    for name, asked in wanted.items():
        published = objects.get(name, ())
        fields = asked if published is None else [field for field in published if asked is None or field in asked]
        if fields is None or fields:
            found[name] = fields
    return found
