"""The table of status objects: every name in Klipper's order, with where its fields come from."""

import copy
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .printer import Printer

Status = dict[str, object]
Source = Callable[[float], Status]
STATISTICS_INTERVAL = 1.0
FREQUENCY = 50_000_000
QUIET_LINE: Status = {
    **{"mcu_awake": 0.001, "mcu_task_avg": 8e-06, "mcu_task_stddev": 6e-06},
    **{"bytes_retransmit": 0, "bytes_invalid": 0, "retransmit_seq": 0, "ready_bytes": 0, "upcoming_bytes": 0},
    **{"srtt": 0.0, "rttvar": 0.0, "rto": 0.025},
}
MACROS = ("PRINT_START", "PRINT_END", "PAUSE", "RESUME", "CANCEL_PRINT", "CALL_REMOTE", "RAISE", "EMERGENCY")


class Objects:
    """Looks up the status of an object by name; event time is the argument everywhere."""

    def __init__(self, sources: dict[str, Source]) -> None:
        self._sources = sources

    def names(self) -> list[str]:
        """Every object there is."""
        return list(self._sources)

    def status(self, name: str, now: float) -> Status:
        """The fields of an object; none for an unknown one."""
        source = self._sources.get(name)
        return source(now) if source else {}


class Statistics:
    """Counters of the micro-controller and the host, renewed once a second."""

    def __init__(self) -> None:
        self._due = 0.0
        self._mcu: Status = {}
        self._host: Status = {}

    def mcu(self, now: float) -> Status:
        """The `last_stats` of the micro-controller."""
        self._renew(now)
        return self._mcu

    def host(self, now: float) -> Status:
        """The `system_stats` object."""
        self._renew(now)
        return self._host

    def _renew(self, now: float) -> None:
        if now < self._due:
            return
        self._due = now + STATISTICS_INTERVAL
        used = os.times()
        pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
        self._host = {"sysload": os.getloadavg()[0], "cputime": used.user + used.system, "memavail": pages}
        count = int(now)
        self._mcu = {
            **QUIET_LINE,
            "bytes_write": count * 6,
            "bytes_read": count * 350,
            "send_seq": count,
            "receive_seq": count,
            "freq": FREQUENCY - count % 7,
        }


def build(printer: "Printer", constants: dict[str, Status], settings: Status) -> Objects:
    """The objects of a whole printer; `constants` are those that the model does not move."""
    fixed: dict[str, Source] = {name: partial(_constant, copy.deepcopy(status)) for name, status in constants.items()}
    commands = printer.gcode.status()
    sources: dict[str, Source] = {
        "gcode": lambda _: commands,
        "webhooks": printer.state.status,
        "configfile": partial(_constant, _configfile(settings)),
        "mcu": partial(_mcu, constants["mcu"], printer.statistics),
        **{f"gcode_macro {name}": _ignoring_time(printer.macros.status, name) for name in MACROS},
        "heaters": fixed["heaters"],
        **_temperatures_and_outputs(printer, fixed),
        "pause_resume": printer.pausing.status,
        "filament_switch_sensor fila": _ignoring_time(printer.outputs.filament_status, "fila"),
        "filament_motion_sensor fila_motion": _ignoring_time(printer.outputs.filament_status, "fila_motion"),
        "gcode_button panic": fixed["gcode_button panic"],
        "probe": fixed["probe"],
        "gcode_move": printer.coordinates.status,
        **{name: fixed[name] for name in ("bed_mesh", "bed_screws", "screws_tilt_adjust")},
        "query_endstops": printer.endstops.status,
        "motion_report": printer.toolhead.motion_status,
        "print_stats": printer.stats.status,
        "virtual_sdcard": printer.card.status,
        "display_status": printer.messages.status,
        "exclude_object": printer.exclusion.status,
        "idle_timeout": printer.activity.status,
        "firmware_retraction": printer.extruder.retraction_status,
        **{name: fixed[name] for name in ("skew_correction", "save_variables")},
        "z_thermal_adjust": partial(_z_adjust, constants["z_thermal_adjust"], printer),
        "toolhead": printer.toolhead.status,
        "extruder": partial(_extruder, printer),
        "system_stats": printer.statistics.host,
        "manual_probe": fixed["manual_probe"],
    }
    return Objects(sources)


def build_unconfigured(printer: "Printer") -> Objects:
    """The few objects of a printer whose configuration could not be read at all."""
    commands = printer.gcode.status()
    nothing: Status = {"config": {}, "warnings": [], "save_config_pending": False, "save_config_pending_items": {}}
    return Objects(
        {
            "gcode": lambda _: commands,
            "webhooks": printer.state.status,
            "configfile": partial(_constant, {**nothing, "settings": {}}),
        }
    )


def _temperatures_and_outputs(printer: "Printer", fixed: dict[str, Source]) -> dict[str, Source]:
    heat, outputs = printer.heat, printer.outputs
    heater, sensor, fan = heat.heater_status, heat.sensor_status, outputs.fan_status
    return {
        "heater_bed": _ignoring_time(heater, "heater_bed"),
        "heater_generic chamber_heater": _ignoring_time(heater, "heater_generic chamber_heater"),
        "fan": _ignoring_time(fan, "fan"),
        "heater_fan hotend_fan": _ignoring_time(fan, "heater_fan hotend_fan"),
        "stepper_enable": printer.toolhead.stepper_status,
        "controller_fan electronics_fan": _ignoring_time(fan, "controller_fan electronics_fan"),
        "fan_generic aux_fan": _ignoring_time(fan, "fan_generic aux_fan"),
        "temperature_fan host_fan": _ignoring_time(fan, "temperature_fan host_fan"),
        "temperature_sensor chamber": _ignoring_time(sensor, "temperature_sensor chamber"),
        "temperature_combined ambient_combined": lambda _: {
            "temperature": heat.read("temperature_sensor ambient_combined")
        },
        "temperature_sensor ambient_combined": _ignoring_time(sensor, "temperature_sensor ambient_combined"),
        "temperature_host host": lambda _: {"temperature": heat.read("temperature_sensor host")},
        "temperature_sensor host": _ignoring_time(sensor, "temperature_sensor host"),
        "output_pin caselight": _ignoring_time(outputs.pin_status, "caselight"),
        "output_pin relay": _ignoring_time(outputs.pin_status, "relay"),
        "pwm_tool laser": _ignoring_time(outputs.pin_status, "laser"),
        "servo arm": _ignoring_time(outputs.pin_status, "arm"),
        "led case_rgb": _ignoring_time(outputs.light_status, "case_rgb"),
        "neopixel strip": _ignoring_time(outputs.light_status, "strip"),
    }


def _ignoring_time(read: Callable[[str], Status], name: str) -> Source:
    return lambda _: read(name)


def _constant(status: Status, _now: float) -> Status:
    return status


def _mcu(constant: Status, statistics: Statistics, now: float) -> Status:
    return {**constant, "last_stats": statistics.mcu(now)}


def _z_adjust(constant: Status, printer: "Printer", _now: float) -> Status:
    return {**constant, **printer.heat.sensor_status("z_thermal_adjust")}


def _extruder(printer: "Printer", _now: float) -> Status:
    status = printer.heat.heater_status("extruder")
    return {**status, "can_extrude": printer.coordinates.can_extrude(), **printer.extruder.advance_status()}


def _configfile(settings: Status) -> Status:
    """The configuration as Klipper shows it: as text in `config`, with its types in `settings`."""
    config = {section: {k: _as_text(v) for k, v in options.items()} for section, options in _sections(settings)}
    return {
        "config": config,
        "warnings": [],
        "save_config_pending": False,
        "save_config_pending_items": {},
        "settings": {section.lower(): options for section, options in _sections(settings)},
    }


def _sections(settings: Status) -> list[tuple[str, Status]]:
    return [(name, options) for name, options in settings.items() if isinstance(options, dict)]


def _as_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
