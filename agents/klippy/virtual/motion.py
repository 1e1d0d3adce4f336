"""The toolhead: limits, moves that take time, and where it is at any moment of simulated time."""

import math
from collections import deque
from collections.abc import Callable, Sequence

from .command import Command, CommandError
from .gcode import Gcode, Steps

AXIS_MINIMUM = (0.0, 0.0, -2.0)
AXIS_MAXIMUM = (250.0, 210.0, 210.0)
MAX_Z_VELOCITY = 20.0
MAX_Z_ACCEL = 100.0
MAX_EXTRUDE_ONLY_VELOCITY = 79.8
START_DELAY = 0.25
"""A first move starts this many simulated seconds after it is planned."""
LOOK_AHEAD = 1.0
"""G-code is read at most this many simulated seconds before it is carried out."""
SHORTEST_MOVE = 1e-9
SHORTEST_WAIT = 1e-6
"""Below this the clock may be unable to tell that time has passed."""

Position = tuple[float, float, float, float]


class Segment:
    """One planned move at constant speed: simulated start and end, both positions, mm/s of tool and filament."""

    __slots__ = ("e_speed", "end", "origin", "speed", "start", "target")

    def __init__(self, start: float, duration: float, origin: Position, target: Position) -> None:
        self.start = start
        self.end = start + duration
        self.origin = origin
        self.target = target
        self.speed = math.dist(origin[:3], target[:3]) / duration
        self.e_speed = (target[3] - origin[3]) / duration

    def at(self, moment: float) -> Position:
        """The position at a moment between start and end."""
        part = (moment - self.start) / (self.end - self.start)
        x, y, z, e = (a + (b - a) * part for a, b in zip(self.origin, self.target, strict=True))
        return x, y, z, e


class Toolhead:
    """Plans moves one after the other; `position` is where the plan ends, `live()` where the tool is now."""

    def __init__(self, simulated: Callable[[], float], extend_activity: Callable[[float], None]) -> None:
        self.position: Position = (0.0, 0.0, 0.0, 0.0)
        self.print_time = 0.0
        self.homed: set[str] = set()
        self.enabled: set[str] = set()
        self.max_velocity = 300.0
        self.max_accel = 3000.0
        self.minimum_cruise_ratio = 0.5
        self.square_corner_velocity = 5.0
        self.observers: list[Callable[[Segment], None]] = []
        self.simulated = simulated
        self._extend_activity = extend_activity
        self._plan: deque[Segment] = deque()
        self._rest = self.position

    def register(self, gcode: Gcode) -> None:
        """Add the commands that are about the machine rather than about coordinates."""
        gcode.register("G4", self._cmd_dwell)
        gcode.register("M400", lambda _: self.wait())
        for name in ("M18", "M84"):
            gcode.register(name, self._cmd_motors_off)
        gcode.register("M204", self._cmd_acceleration)
        gcode.register("SET_VELOCITY_LIMIT", self._cmd_velocity_limit, "Change how fast the toolhead may move")

    def check(self, target: Position) -> None:
        """Refuse a target outside the machine or on an axis that is not homed."""
        for axis, name in enumerate("xyz"):
            if target[axis] == self.position[axis]:
                continue
            if name not in self.homed:
                raise _out_of_reach("Must home axis first", target)
            if not AXIS_MINIMUM[axis] <= target[axis] <= AXIS_MAXIMUM[axis]:
                raise _out_of_reach("Move out of range", target)

    def move(self, target: Position, speed: float) -> None:
        """Plan a move at up to `speed` mm/s; the caller has checked it."""
        deltas = [abs(b - a) for a, b in zip(self.position, target, strict=True)]
        distance = math.hypot(*deltas[:3])
        if distance < SHORTEST_MOVE:
            distance, speed = deltas[3], min(speed, MAX_EXTRUDE_ONLY_VELOCITY)
        if distance < SHORTEST_MOVE:
            return
        self.enabled.update(name for name, delta in zip(STEPPERS, deltas, strict=True) if delta)
        self._append(target, distance / self._reachable_speed(distance, deltas[2], speed))

    def _reachable_speed(self, distance: float, rise: float, speed: float) -> float:
        """What a move over `distance` can average, given the limits on velocity and acceleration."""
        velocity, accel = min(speed, self.max_velocity), self.max_accel
        if rise:
            ratio = distance / rise
            velocity, accel = min(velocity, MAX_Z_VELOCITY * ratio), min(accel, MAX_Z_ACCEL * ratio)
        return min(velocity, math.sqrt(accel * distance))

    def _append(self, target: Position, duration: float) -> None:
        segment = Segment(self._begin(), duration, self.position, target)
        self._plan.append(segment)
        self.position = target
        self.print_time = segment.end
        self._extend_activity(self.print_time)
        for observer in self.observers:
            observer(segment)

    def _forget_done(self, now: float) -> None:
        while self._plan and self._plan[0].end <= now:
            self._rest = self._plan.popleft().target

    def _begin(self) -> float:
        """When the next move starts."""
        now = self.simulated()
        self._forget_done(now)
        return self.print_time if self.print_time > now else now + START_DELAY

    def dwell(self, seconds: float) -> None:
        """Plan a pause."""
        self.print_time = self._begin() + seconds
        self._extend_activity(self.print_time)

    def throttle(self) -> Steps | None:
        """The wait that keeps the plan no longer than LOOK_AHEAD; None if there is no need to wait."""
        ahead = self.print_time - self.simulated() - LOOK_AHEAD
        return _pause(ahead) if ahead > SHORTEST_WAIT else None

    def wait(self) -> Steps:
        """Wait until every planned move is done."""
        while (left := self.print_time - self.simulated()) > SHORTEST_WAIT:
            yield left

    def set_position(self, position: Position) -> None:
        """Declare where the tool is; only while nothing is planned."""
        self._plan.clear()
        self.position = self._rest = position

    def forget_extrusion(self, e: float) -> None:
        """Take filament as fed without feeding it (an excluded object)."""
        x, y, z, _ = self.position
        self.position = (x, y, z, e)

    def halt(self) -> None:
        """Stop where the tool is (shutdown)."""
        self._rest = self.position = self.live()[0]
        self._plan.clear()
        self.print_time = min(self.print_time, self.simulated())

    def live(self) -> tuple[Position, float, float]:
        """Position now, with the speeds (mm/s) of tool and filament."""
        now, plan = self.simulated(), self._plan
        self._forget_done(now)
        if not plan or plan[0].start > now:
            return self._rest, 0.0, 0.0
        return plan[0].at(now), plan[0].speed, plan[0].e_speed

    def status(self, _now: float) -> dict[str, object]:
        """The `toolhead` object."""
        return {
            "homed_axes": "".join(sorted(self.homed)),
            "axis_minimum": [*AXIS_MINIMUM, 0],
            "axis_maximum": [*AXIS_MAXIMUM, 0],
            "print_time": self.print_time,
            "stalls": 0,
            "estimated_print_time": self.simulated(),
            "extruder": "extruder",
            "position": list(self.position),
            "max_velocity": self.max_velocity,
            "max_accel": self.max_accel,
            "minimum_cruise_ratio": self.minimum_cruise_ratio,
            "square_corner_velocity": self.square_corner_velocity,
            "extra_axes": {"extruder": 3},
        }

    def motion_status(self, _now: float) -> dict[str, object]:
        """The `motion_report` object."""
        position, speed, e_speed = self.live()
        return {
            "live_position": list(position),
            "live_velocity": speed,
            "live_extruder_velocity": e_speed,
            "steppers": ["extruder", "manual_stepper feeder", "stepper_x", "stepper_y", "stepper_z"],
            "trapq": ["extruder", "manual_stepper feeder", "toolhead"],
        }

    def stepper_status(self, _now: float) -> dict[str, object]:
        """The `stepper_enable` object."""
        names = ("manual_stepper feeder", *STEPPERS)
        return {"steppers": {name: name in self.enabled for name in names}}

    def _cmd_dwell(self, command: Command) -> Steps | None:
        seconds = command.number("P", 0.0, minimum=0.0) / 1000 or command.number("S", 0.0, minimum=0.0)
        self.dwell(seconds)
        return self.throttle()

    def motors_off(self) -> Steps:
        """Finish moving, then let go: nothing is homed any more."""
        yield from self.wait()
        self.enabled.clear()
        self.homed.clear()

    def _cmd_motors_off(self, _command: Command) -> Steps:
        return self.motors_off()

    def _cmd_acceleration(self, command: Command) -> None:
        candidates = [value for name in "PT" if (value := command.optional(name)) is not None]
        accel = command.optional("S") or (min(candidates) if len(candidates) == 2 else None)
        if accel is None or accel <= 0:
            raise CommandError(f'Invalid M204 command "{command.line}"')
        self.max_accel = accel

    def _cmd_velocity_limit(self, command: Command) -> None:
        self.max_velocity = command.number("VELOCITY", self.max_velocity, minimum=0.001)
        self.max_accel = command.number("ACCEL", self.max_accel, minimum=0.001)
        self.square_corner_velocity = command.number("SQUARE_CORNER_VELOCITY", self.square_corner_velocity, minimum=0.0)
        ratio = command.number("MINIMUM_CRUISE_RATIO", self.minimum_cruise_ratio, minimum=0.0, maximum=0.999)
        self.minimum_cruise_ratio = ratio


STEPPERS = ("stepper_x", "stepper_y", "stepper_z", "extruder")


def as_position(values: Sequence[float]) -> Position:
    """Four numbers as a position."""
    x, y, z, e = values
    return x, y, z, e


def _pause(seconds: float) -> Steps:
    yield seconds


def _out_of_reach(problem: str, target: Position) -> CommandError:
    x, y, z, e = target
    return CommandError(f"{problem}: {x:.3f} {y:.3f} {z:.3f} [{e:.3f}]")
