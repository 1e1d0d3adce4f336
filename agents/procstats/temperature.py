"""The processor's temperature: which of the host's sensors it is, and what it says."""

from collections.abc import Iterator
from pathlib import Path

from bus.kernel_files import text

# Names of sensors that sit on the processor.
MONITORS = ("cpu_thermal", "coretemp", "k10temp", "zenpower", "soc_thermal", "cpu0_thermal", "cpu")
ZONES = ("cpu-thermal", "cpu_thermal", "cpu0-thermal", "soc-thermal", "x86_pkg_temp")


class Thermometer:
    """The sensor that was found; looks for another one when it falls silent."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sensor: Path | None = None

    def seek(self) -> None:
        """Looks for a sensor where none is known."""
        if self._sensor is None:
            self._sensor = next((sensor for sensor in _sensors(self._root) if celsius(sensor) is not None), None)

    def read(self) -> float | None:
        """Degrees Celsius."""
        found = None if self._sensor is None else celsius(self._sensor)
        if found is None:
            self._sensor = None
        return found


def celsius(sensor: Path) -> float | None:
    """What a sensor says, which counts in thousandths."""
    try:
        return int(text(sensor)) / 1000
    except ValueError:
        return None


def _sensors(root: Path) -> Iterator[Path]:
    """The best first: monitors of the processor, thermal zones of it, and the first zone whatever it is."""
    monitors = [(text(folder / "name"), folder) for folder in sorted(root.glob("sys/class/hwmon/hwmon*"))]
    for name in MONITORS:
        yield from (each for known, folder in monitors if known == name for each in sorted(folder.glob("temp*_input")))
    zones = [(text(folder / "type"), folder) for folder in sorted(root.glob("sys/class/thermal/thermal_zone*"))]
    for name in ZONES:
        yield from (folder / "temp" for known, folder in zones if known == name)
    yield root / "sys/class/thermal/thermal_zone0/temp"
