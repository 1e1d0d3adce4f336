"""What was lately: temperatures by the second, and the console."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Bool, Int, Method, Model, Params, Permission

OWNER = "datastore"


class TemperatureParams(Params):
    """Which sensors."""

    include_monitors: Bool = Field(False, description="Also the temperature monitors, such as those of drivers.")


class History(Model):
    """The values of one sensor, a second apart, oldest first; what it does not report is left out.

    All have the same number of values. Those of times without a sensor are 0.
    """

    temperatures: list[float | None] | None = Field(None, description="Degrees Celsius; null where a monitor had none.")
    targets: list[float | None] | None = Field(None, description="Degrees Celsius, 0 where the heater is off.")
    powers: list[float | None] | None = Field(None, description="From 0 to 1.")
    speeds: list[float | None] | None = Field(None, description="Of a fan, from 0 to 1.")


class ConsoleParams(Params):
    """How many entries."""

    count: Annotated[Int, Field(ge=0)] | None = Field(None, description="Only the newest so many.")


class Entry(Model):
    """One line of the console."""

    message: str
    time: float = Field(description="Unix seconds.")
    type: Literal["command", "response"] = Field(description="What was asked for through the API, or Klipper's words.")


class Console(Model):
    """Entries, oldest first."""

    gcode_store: list[Entry]


TEMPERATURES = Method(
    "server.temperature_store",
    TemperatureParams,
    dict[str, History],
    OWNER,
    Permission.READ,
    ("GET /server/temperature_store",),
    summary="The last minutes of all temperature sensors, a value a second.",
)
CONSOLE = Method(
    "server.gcode_store",
    ConsoleParams,
    Console,
    OWNER,
    Permission.READ,
    ("GET /server/gcode_store",),
    summary="The last commands and responses.",
)
