"""Fans, pins, lights, the servo and the filament sensors: what can be switched, and what follows from the heaters."""

from .command import Command, CommandError
from .gcode import Gcode
from .motion import Toolhead
from .thermal import Heat

FULL_RPM = 4800.0
HOTEND_FAN_FROM = 50.0
SERVO_PULSE = (0.001, 0.002)
SERVO_CYCLE = 0.02
SERVO_RANGE = 180.0
SWITCHES = frozenset({"relay"})
"""Pins that are on or off, nothing between."""


class Outputs:
    """Every output by name, changed at once (Klipper queues them with the moves)."""

    def __init__(self, heat: Heat, toolhead: Toolhead) -> None:
        self._heat = heat
        self._toolhead = toolhead
        self._fan = 0.0
        self._aux_fan = 0.0
        self._host_fan_target = 45.0
        self._pins = {"caselight": 0.5, "relay": 0.0, "laser": 0.0}
        self._servo = 0.0
        self._lights = {"case_rgb": [[0.0] * 4], "strip": [[0.0] * 4 for _ in range(4)]}
        self._filament_sensors = {"fila": True, "fila_motion": True}

    def register(self, gcode: Gcode) -> None:
        """Add the commands."""
        gcode.register("M106", self._cmd_fan)
        gcode.register("M107", self._cmd_fan_off)
        gcode.register("SET_FAN_SPEED", self._cmd_aux_fan, "Set how fast a fan turns")
        gcode.register("SET_TEMPERATURE_FAN_TARGET", self._cmd_fan_target, "Set the temperature a fan keeps")
        gcode.register("SET_PIN", self._cmd_pin, "Set an output pin")
        gcode.register("SET_SERVO", self._cmd_servo, "Set the angle of a servo")
        gcode.register("SET_LED", self._cmd_light, "Set the colour of a light")
        gcode.register("SET_FILAMENT_SENSOR", self._cmd_filament_sensor, "Switch a filament sensor on or off")
        gcode.register(
            "QUERY_FILAMENT_SENSOR", lambda c: self._say_filament(gcode, c), "Tell what a filament sensor sees"
        )

    def _cmd_fan(self, command: Command) -> None:
        self._fan = min(command.number("S", 255.0, minimum=0.0) / 255.0, 1.0)

    def _cmd_fan_off(self, _command: Command) -> None:
        self._fan = 0.0

    def _cmd_aux_fan(self, command: Command) -> None:
        if command.text("FAN") != "aux_fan":
            raise command.unknown_value("FAN")
        self._aux_fan = command.number("SPEED", 0.0, minimum=0.0, maximum=1.0)

    def _cmd_fan_target(self, command: Command) -> None:
        if command.text("TEMPERATURE_FAN") != "host_fan":
            raise command.unknown_value("TEMPERATURE_FAN")
        self._host_fan_target = command.number("TARGET", 45.0, minimum=0.0, maximum=90.0)

    def _cmd_pin(self, command: Command) -> None:
        name = command.text("PIN")
        if name not in self._pins:
            raise command.unknown_value("PIN")
        value = command.number("VALUE", minimum=0.0, maximum=1.0)
        if name in SWITCHES and value not in (0.0, 1.0):
            raise CommandError("Invalid pin value")
        self._pins[name] = value

    def _cmd_servo(self, command: Command) -> None:
        if command.text("SERVO") != "arm":
            raise command.unknown_value("SERVO")
        low, high = SERVO_PULSE
        width = command.optional("WIDTH")
        if width is None:
            angle = max(0.0, min(SERVO_RANGE, command.number("ANGLE")))
            width = low + angle / SERVO_RANGE * (high - low)
        self._servo = max(low, min(high, width)) / SERVO_CYCLE if width else 0.0

    def _cmd_light(self, command: Command) -> None:
        pixels = self._lights.get(command.text("LED"))
        if pixels is None:
            raise command.unknown_value("LED")
        names = ("RED", "GREEN", "BLUE", "WHITE")
        colour = [command.number(name, 0.0, minimum=0.0, maximum=1.0) for name in names]
        index = command.integer("INDEX", 0, minimum=0)
        for place in range(len(pixels)) if not index else [index - 1]:
            if place >= len(pixels):
                raise command.error(f"INDEX must have maximum of {len(pixels)}")
            pixels[place] = list(colour)

    def _cmd_filament_sensor(self, command: Command) -> None:
        self._filament_sensors[self._sensor(command)] = command.integer("ENABLE", 1) != 0

    def _say_filament(self, gcode: Gcode, command: Command) -> None:
        gcode.respond_info(f"Filament Sensor {self._sensor(command)}: filament detected")

    def _sensor(self, command: Command) -> str:
        name = command.text("SENSOR")
        if name not in self._filament_sensors:
            raise command.unknown_value("SENSOR")
        return name

    def fan_status(self, name: str) -> dict[str, object]:
        """Speed (0 to 1) and, where it has a tachometer, turns a minute of a fan."""
        if name == "fan":
            return {"speed": self._fan, "rpm": self._fan * FULL_RPM}
        if name == "temperature_fan host_fan":
            degrees = self._heat.read(name)
            speed = 1.0 if degrees > self._host_fan_target else 0.0
            return {"speed": speed, "rpm": None, "temperature": degrees, "target": self._host_fan_target}
        return {"speed": self._following_speed(name), "rpm": None}

    def _following_speed(self, name: str) -> float:
        hotend = self._heat.heaters["extruder"]
        if name == "heater_fan hotend_fan":
            return 1.0 if hotend.target or hotend.temperature > HOTEND_FAN_FROM else 0.0
        if name == "controller_fan electronics_fan":
            return 1.0 if self._toolhead.enabled or hotend.target else 0.0
        return self._aux_fan

    def pin_status(self, name: str) -> dict[str, object]:
        """The value of a pin or of the servo."""
        return {"value": self._servo if name == "arm" else self._pins[name]}

    def light_status(self, name: str) -> dict[str, object]:
        """Red, green, blue and white of every pixel, 0 to 1."""
        return {"color_data": [list(pixel) for pixel in self._lights[name]]}

    def filament_status(self, name: str) -> dict[str, object]:
        """What a filament sensor sees; there is always filament."""
        return {"filament_detected": True, "enabled": self._filament_sensors[name]}
