"""Things to be done at a time, or whenever a cron expression says, in the host's time zone."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

from .clock import SYSTEM
from .errors import InvalidParams

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler
    from apscheduler.triggers.cron import CronTrigger

Act = Callable[[], Awaitable[None]]
SCHEDULER, TRIGGER = "apscheduler.schedulers.asyncio", "apscheduler.triggers.cron"
FIELDS = 5
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


async def load() -> None:
    """Loads the scheduler, which takes 8 MB and 0.1 s: before the first use, and only for it."""
    for module in (SCHEDULER, TRIGGER):
        await asyncio.to_thread(import_module, module)


class Schedule:
    """Jobs by id; the scheduler, which has to be loaded, is started with the first of them."""

    def __init__(self) -> None:
        self._scheduler: AsyncIOScheduler | None = None

    def at(self, name: str, time: float, act: Act) -> None:
        """Calls `act` at a time (Unix seconds), or as soon as it can, however late that is."""
        when = datetime.fromtimestamp(time, UTC)
        self._running().add_job(act, "date", run_date=when, id=name, misfire_grace_time=None)

    def cron(self, name: str, expression: str, act: Act, *, since: float, grace: float) -> None:
        """Calls `act` whenever an expression says after a time (Unix seconds), unless that is `grace` seconds ago.

        Raises InvalidParams.
        """
        rule = trigger(expression)
        first = rule.get_next_fire_time(None, datetime.fromtimestamp(since + 1, rule.timezone))
        late = {"coalesce": True, "misfire_grace_time": int(grace)}
        self._running().add_job(act, rule, id=name, next_run_time=first, **late)

    def remove(self, name: str) -> None:
        """Forgets a job; unknown ones are ignored."""
        if self._scheduler is not None and self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)

    def next_run(self, name: str) -> float | None:
        """When a job is due (Unix seconds); None for one that is not there."""
        job = None if self._scheduler is None else self._scheduler.get_job(name)
        return None if job is None or job.next_run_time is None else float(job.next_run_time.timestamp())

    def look(self) -> None:
        """Finds what is due after the host's clock has been set: timers do not notice that."""
        if self._scheduler is not None:
            self._scheduler.wakeup()

    def close(self) -> None:
        """Forgets everything."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None

    def _running(self) -> "AsyncIOScheduler":
        if self._scheduler is None:
            from apscheduler.schedulers.asyncio import AsyncIOScheduler

            self._scheduler = AsyncIOScheduler()
            self._scheduler.start()
        return self._scheduler


def check(expression: str) -> None:
    """Raises InvalidParams for what is no cron expression, or no day ever. Takes its time with the latter."""
    rule = trigger(expression)
    if rule.get_next_fire_time(None, datetime.fromtimestamp(SYSTEM.wall(), rule.timezone)) is None:
        raise InvalidParams(f"The cron expression '{expression}' never comes true")


def trigger(expression: str) -> "CronTrigger":
    """The trigger of a cron expression of five fields; raises InvalidParams."""
    from apscheduler.triggers.cron import CronTrigger

    fields = expression.split()
    if len(fields) != FIELDS:
        raise InvalidParams("A cron expression has five fields: minute, hour, day, month, weekday")
    try:
        return CronTrigger.from_crontab(" ".join((*fields[:-1], _weekdays(fields[-1]))))
    except (ValueError, OverflowError) as error:
        raise InvalidParams(f"The cron expression '{expression}' is not understood: {error}") from None


def _weekdays(field: str) -> str:
    """Days by name: the scheduler's numbers begin on Monday, those of cron on Sunday."""
    return re.sub(r"(?<![/\w])([0-7])(?:-([0-7]))?(?:/([1-9]))?(?!\w)", _named, field.replace("*/", "0-6/"))


def _named(found: re.Match[str]) -> str:
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise ValueError(f"{found[0]} runs backwards")
    return ",".join(WEEKDAYS[first : last + 1 : int(found[3] or 1)])
