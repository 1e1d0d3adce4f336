"""Measures program and host: each time what has changed since the time before."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.clock import Clock
from schemas.machine import Throttled

from .reading import Counters, Reading
from .temperature import Thermometer
from .throttling import throttled
from .usage import cpu_usage, memory_usage, network_usage, process_sample

RARELY = 10  # measurements from one question to the firmware to the next


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement: machine.ProcessSample, and the members of machine.HostUsage that are seen from here."""

    process: Mapping[str, Any]
    host: Mapping[str, Any]
    throttled: Throttled | None
    uptime: float


class Meter:
    """Remembers the last reading."""

    def __init__(self, root: Path, clock: Clock, process_time: Callable[[], float] = time.process_time) -> None:
        self._root = root
        self._clock = clock
        self._process_time = process_time
        self._counters = Counters(root)
        self._thermometer = Thermometer(root)
        self._before: Reading | None = None
        self._throttled: Throttled | None = None
        self._count = 0

    def measure(self) -> Measured:
        """Blocks, mostly for a fraction of a millisecond; the first one knows of no time before."""
        if self._count % RARELY == 0:
            self._thermometer.seek()
            self._throttled = throttled(self._root)
        self._count += 1
        now = self._counters.read(self._clock.wall(), self._clock.monotonic(), self._process_time())
        before, self._before = self._before or now, now
        host = {
            "cpu_temp": self._thermometer.read(),
            "network": network_usage(before, now),
            "system_cpu_usage": cpu_usage(before, now),
            "system_memory": memory_usage(now),
        }
        return Measured(process_sample(before, now), host, self._throttled, now.uptime)
