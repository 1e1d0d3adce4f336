"""Sensors: what devices of the house say about the printer, such as the power that it draws."""

from typing import Any, Literal

from pydantic import Field

from .base import Bool, Method, Model, Notification, Params, Permission

OWNER = "sensors"

Kind = Literal["mqtt"]
Strategy = Literal["basic", "delta", "accumulate", "average", "maximum", "minimum", "collect"]
Value = float | int | bool | str


class ExtendedParams(Params):
    """How much of each sensor."""

    extended: Bool = Field(False, description="Also `parameter_info` and `history_fields`.")


class SensorParams(ExtendedParams):
    """Which sensor."""

    sensor: str = Field(description="Its id.")


class MeasurementParams(Params):
    """Which sensor."""

    sensor: str = Field("", description="Its id; empty for all.")


class HistoryField(Model):
    """What of a sensor is kept with each job."""

    field: str = Field(description="Its name in the job's `auxiliary_data`.")
    provider: str = Field(description="`sensor` and the sensor's id.")
    description: str
    strategy: Strategy = Field(description="What is made of the values that come during a job.")
    units: str | None
    init_tracker: bool = Field(description="Whether the value that is known when a job begins is the first one.")
    exclude_paused: bool = Field(description="Whether values that come during a pause do not count.")
    report_total: bool = Field(description="Whether the values of all jobs are added up.")
    report_maximum: bool = Field(description="Whether the greatest of all jobs is kept.")
    precision: int | None = Field(description="Digits behind the point; null for all.")
    parameter: str


class Sensor(Model):
    """A sensor, and what it said last."""

    id: str
    friendly_name: str
    type: Kind
    values: dict[str, Value] = Field(description="By parameter; nothing before the first message.")
    parameter_info: list[dict[str, str]] | None = Field(
        None, description="What the configuration says of parameters: `name`, `units` and whatever else."
    )
    history_fields: list[HistoryField] | None = Field(None, description="What is kept with each job.")


class Sensors(Model):
    """All of them."""

    sensors: dict[str, Sensor] = Field(description="By id.")


class Reading(Sensor):
    """A sensor as its state document has it."""

    fault: str | None = Field(description="Why nothing comes, or why what comes cannot be used.")


class Readings(Model):
    """All sensors, at most once a second."""

    sensors: dict[str, Reading] = Field(description="By id.")


LIST = Method(
    "server.sensors.list",
    ExtendedParams,
    Sensors,
    OWNER,
    Permission.READ,
    ("GET /server/sensors/list",),
    summary="All sensors with their last values.",
)
INFO = Method(
    "server.sensors.info",
    SensorParams,
    Sensor,
    OWNER,
    Permission.READ,
    ("GET /server/sensors/info",),
    summary="One sensor with its last values.",
)
MEASUREMENTS = Method(
    "server.sensors.measurements",
    MeasurementParams,
    dict[str, dict[str, list[float]]],
    OWNER,
    Permission.READ,
    ("GET /server/sensors/measurements",),
    summary="The last 20 minutes of one sensor or of all: numbers, one a second, oldest first.",
)

UPDATED = Notification(
    "notify_sensor_update",
    "Values of one or more sensors changed; at most once a second.",
    tuple[dict[str, dict[str, Any]]],
)
