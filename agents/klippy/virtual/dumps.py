"""The motion dumps: batches of the moves being carried out, for `dump_trapq` and `dump_stepper`."""

import math
from collections import deque
from collections.abc import Callable

from .loop import Loop, Timer
from .motion import Segment, Toolhead

INTERVAL = 0.5
CLOCK_FREQUENCY = 50_000_000
MAX_PENDING = 20_000
"""Moves kept for one subscriber; beyond that the oldest are dropped."""
STEP_DISTANCE = {"stepper_x": 0.0125, "stepper_y": 0.0125, "stepper_z": 0.0025, "extruder": 0.01046875}
STEPPER_AXIS = {"stepper_x": 0, "stepper_y": 1, "stepper_z": 2, "extruder": 3}
TRAPQ_HEADER = ["time", "duration", "start_velocity", "acceleration", "start_position", "direction"]
STEPPER_HEADER = ["interval", "count", "add"]

SPACE = (0, 1, 2)
FILAMENT = (3,)

Json = dict[str, object]
Format = Callable[[list[Segment]], Json | None]


class Dump:
    """Collects moves from the toolhead and sends those that have begun, twice a second, until `stop()`."""

    def __init__(self, loop: Loop, toolhead: Toolhead, as_batch: Format, send: Callable[[Json], None]) -> None:
        self._loop = loop
        self._toolhead = toolhead
        self._as_batch = as_batch
        self._send = send
        self._pending: deque[Segment] = deque(maxlen=MAX_PENDING)
        self._timer: Timer = loop.call_later(INTERVAL, self._flush)
        toolhead.observers.append(self._pending.append)

    def stop(self) -> None:
        """Send nothing any more."""
        self._timer.cancel()
        self._toolhead.observers.remove(self._pending.append)

    def _flush(self) -> None:
        self._timer = self._loop.call_later(INTERVAL, self._flush)
        now = self._toolhead.simulated()
        begun: list[Segment] = []
        while self._pending and self._pending[0].start <= now:
            begun.append(self._pending.popleft())
        batch = self._as_batch(begun) if begun else None
        if batch is not None:
            self._send(batch)


def toolhead_batch(segments: list[Segment]) -> Json | None:
    """Moves of the tool in space."""
    data = [_trapq_row(segment, segment.speed, SPACE) for segment in segments if segment.speed]
    return {"data": data} if data else None


def extruder_batch(segments: list[Segment]) -> Json | None:
    """Moves of the filament."""
    data = [_trapq_row(segment, segment.e_speed, FILAMENT) for segment in segments if segment.e_speed]
    return {"data": data} if data else None


def _trapq_row(segment: Segment, speed: float, axes: tuple[int, ...]) -> list[object]:
    start = [segment.origin[axis] for axis in axes]
    deltas = [segment.target[axis] - segment.origin[axis] for axis in axes]
    length = math.hypot(*deltas)
    padding = [0.0] * (3 - len(axes))
    direction = [delta / length for delta in deltas]
    return [segment.start, segment.end - segment.start, abs(speed), 0.0, start + padding, direction + padding]


def stepper_format(name: str) -> Format:
    """How the moves of one stepper are told: steps at a constant interval for each move."""
    axis, distance = STEPPER_AXIS[name], STEP_DISTANCE[name]

    def as_batch(segments: list[Segment]) -> Json | None:
        moving = [segment for segment in segments if abs(_steps(segment, axis, distance)) >= 1]
        if not moving:
            return None
        first, last = moving[0], moving[-1]
        begin, end = int(first.start * CLOCK_FREQUENCY), int(last.end * CLOCK_FREQUENCY)
        return {
            "data": [_step_row(segment, _steps(segment, axis, distance)) for segment in moving],
            "start_position": first.origin[axis],
            "start_mcu_position": round(first.origin[axis] / distance),
            "step_distance": distance,
            "first_clock": begin,
            "first_step_time": first.start,
            "last_clock": end,
            "last_step_time": last.end,
        }

    return as_batch


def _steps(segment: Segment, axis: int, distance: float) -> int:
    return round((segment.target[axis] - segment.origin[axis]) / distance)


def _step_row(segment: Segment, count: int) -> list[int]:
    ticks = (segment.end - segment.start) * CLOCK_FREQUENCY
    return [int(ticks / abs(count)), count, 0]
