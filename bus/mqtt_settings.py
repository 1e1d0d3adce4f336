"""The `mqtt` section of `printer.yaml`: Moonraker's options of that name, as far as they are about what is said."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from schemas.mqtt import Qos

Objects = Mapping[str, tuple[str, ...] | None]

KLIPPERS_INTERVAL = 0.25  # seconds; Klipper itself tells no sooner


def _objects(given: Any) -> Any:
    """The mapping, out of any form: `object` or `object=field,field` per line or item, or the mapping itself."""
    if isinstance(given, str):
        given = [line for line in map(str.strip, given.splitlines()) if line]
    if isinstance(given, Mapping):
        return {
            name: _names(fields.split(",")) if isinstance(fields, str) else fields for name, fields in given.items()
        }
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        parts = [each.partition("=") for each in given]
        return {name.strip(): _names(fields.split(",")) if sign else None for name, sign, fields in parts}
    return given


def _names(found: Iterable[str]) -> list[str]:
    return [name.strip() for name in found if name.strip()]


def _interval(seconds: float | None) -> float | None:
    if seconds and seconds <= KLIPPERS_INTERVAL:
        raise ValueError(f"expected 0, or more than {KLIPPERS_INTERVAL:g} seconds")
    return seconds


class MqttSettings(BaseModel):
    """Frozen, and an unknown key is an error, as in all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enable_moonraker_api: bool = Field(True, description="Whether MQTT clients may send requests.")
    status_objects: Annotated[Objects | None, BeforeValidator(_objects)] = Field(
        None, description="The printer objects, or fields of them, that are published; all of them by default."
    )
    status_interval: Annotated[float | None, Field(ge=0), AfterValidator(_interval)] = Field(
        None,
        description="Seconds between two publications, changes merged; 0 for none. By default klipper/status has each "
        "change, and the topic of a field one value a second.",
    )
    publish_split_status: bool | None = Field(
        None, description="True: a retained topic per field only. False: klipper/status only. By default both."
    )
    default_qos: Qos = Field(0, description="Of what is published, and where server.mqtt.* and macros do not say.")
    api_qos: Qos | None = Field(None, description="Of answers; by default as default_qos.")

    @property
    def answer_qos(self) -> Qos:
        """With which quality of service answers are published."""
        return self.default_qos if self.api_qos is None else self.api_qos
