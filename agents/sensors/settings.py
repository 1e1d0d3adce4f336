"""The section `sensors` of printer.yaml: each sensor by its name."""

from collections.abc import Mapping
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from bus.agent import Settings
from bus.options import Families, OneTopic, TemplateText
from schemas.sensors import HistoryField, Kind, Strategy

PARAMETER, HISTORY_FIELD = "parameter_", "history_field_"
NO_NUMBER: tuple[Strategy, ...] = ("collect",)


def _from_lines(value: object) -> object:
    """Moonraker's form: `key=value`, one a line."""
    if not isinstance(value, str):
        return value
    pairs = [line.partition("=") for line in value.splitlines() if line.strip()]
    if not all(mark for _, mark, _ in pairs):
        raise ValueError("expected a mapping, or lines of KEY=VALUE")
    return {key.strip(): text.strip() for key, _, text in pairs}


class ParameterSettings(Settings):
    """What is known of a value besides its name: `units`, and whatever front ends may want."""

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True)

    __pydantic_extra__: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: object) -> object:
        return _from_lines(value)


class HistoryFieldSettings(Settings):
    """What is made of a parameter's values during a job, and kept with it."""

    parameter: str
    desc: str = ""
    strategy: Strategy = "basic"
    units: str | None = None
    init_tracker: bool = False
    exclude_paused: bool = False
    report_total: bool = False
    report_maximum: bool = False
    precision: int | None = Field(None, ge=0, le=12)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: object) -> object:
        return _from_lines(value)

    @model_validator(mode="after")
    def _can_be_reported(self) -> Self:
        if self.strategy in NO_NUMBER and (self.report_total or self.report_maximum):
            raise ValueError(f"what the strategy {self.strategy} gives cannot be added up or compared")
        return self

    def shown(self, name: str, sensor: str) -> HistoryField:
        """As clients know it."""
        options = self.model_dump(exclude={"desc"})
        return HistoryField(field=name, provider=f"sensor {sensor}", description=self.desc, **options)


FAMILIES: Mapping[str, type[Settings]] = {PARAMETER: ParameterSettings, HISTORY_FIELD: HistoryFieldSettings}


class SensorSettings(Families):
    """One sensor."""

    type: Kind = "mqtt"
    name: str | None = Field(None, description="For people; by default that of the section.")
    state_topic: OneTopic
    state_response_template: TemplateText = Field(description="Calls set_result(name, value) for what is in `payload`.")
    uplink: str | None = Field(None, description="The uplink to the broker of the topic; by default it is this one.")
    qos: int | None = Field(None, ge=0, le=2, description="Of the subscription there; default `mqtt.default_qos`.")

    families = FAMILIES

    def parameter_info(self) -> list[dict[str, str]]:
        """What is known of parameters, in the order of the configuration."""
        return [{"name": name, **each.model_dump()} for name, each in self.family(PARAMETER).items()]

    def history_fields(self) -> dict[str, HistoryFieldSettings]:
        """What is kept with each job, by name."""
        return self.family(HISTORY_FIELD)


class SensorsSettings(Settings):
    """Sensors by name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    __pydantic_extra__: dict[str, SensorSettings]

    @property
    def sensors(self) -> dict[str, SensorSettings]:
        """All of them."""
        return self.__pydantic_extra__
