"""What is measured on hosts whose counters a test moves."""

from pathlib import Path
from typing import Any

import pytest

from agents.procstats.meter import Meter
from agents.procstats.reading import PAGE
from bus.clock import Clock
from schemas.machine import Usage
from tests.machines import MACHINES, Files, Machine, memory

HEADINGS = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
"""
INTERRUPTS = "intr 123 0 0 0\nctxt 99\nbtime 1626612666\nprocesses 5\n"


class Hands(Clock):
    """Stands still until it is moved."""

    now = 100.0

    def wall(self) -> float:
        """Another beginning than the other."""
        return 1626612566.0 + self.now

    def monotonic(self) -> float:
        """Since the beginning."""
        return self.now


class Bench:
    """A meter on a tree."""

    def __init__(self, root: Path, files: dict[str, str] | None = None) -> None:
        self.root, self.clock, self.spent = root, Hands(), 5.0
        self.write(files or {})
        self.meter = Meter(root, self.clock, lambda: self.spent)

    def write(self, files: dict[str, str]) -> None:
        """Counters by the names of their files in proc."""
        Machine("", {f"proc/{name}": content for name, content in files.items()}).build(self.root)

    def after(self, seconds: float, files: dict[str, str] | None = None, *, spent: float = 0.0) -> dict[str, Any]:
        """What is measured then, in the form of the notification."""
        self.clock.now += seconds
        self.spent += spent
        self.write(files or {})
        found = self.meter.measure()
        usage = {"moonraker_stats": found.process, **found.host, "websocket_connections": 0}
        return Usage.model_validate(usage).model_dump()


def cpus(*rows: str) -> str:
    """A proc/stat."""
    return "\n".join(rows) + "\n" + INTERRUPTS


def net(*rows: str) -> str:
    """A proc/net/dev."""
    return HEADINGS + "\n".join(rows) + "\n"


def test_the_program_in_percent_of_a_processor(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"self/statm": "90000 6183 2000 1 0 40000 0\n"})
    bench.after(0)
    sample = bench.after(1.25, spent=0.03325)["moonraker_stats"]
    assert sample == {"time": 1626612667.25, "cpu_usage": 2.66, "memory": 6183 * PAGE, "mem_units": "kB"}
    assert bench.after(1, spent=1.7)["moonraker_stats"]["cpu_usage"] == 100


def test_processors_each_and_together(tmp_path: Path) -> None:
    before = cpus(
        "cpu  1000 10 500 8000 90 0 20 0 300 0",
        "cpu0 500 5 250 4000 45 0 10 0 150 0",
        "cpu1 500 5 250 4000 45 0 10 0 150 0",
    )
    # cpu0: 25 of 100 busy, with 5 waiting as idle; what guests use is part of user. cpu1 idle. cpu2 has come.
    now = cpus(
        "cpu  1020 10 504 8170 95 0 21 0 318 0",
        "cpu0 520 5 254 4070 50 0 11 0 168 0",
        "cpu1 500 5 250 4100 45 0 10 0 150 0",
        "cpu2 9 0 0 1 0 0 0 0 0 0",
    )
    bench = Bench(tmp_path, {"stat": before})
    assert bench.after(0)["system_cpu_usage"] == {"cpu": 0, "cpu0": 0, "cpu1": 0}
    assert bench.after(1, {"stat": now})["system_cpu_usage"] == {"cpu": 12.5, "cpu0": 25.0, "cpu1": 0.0}


def test_waiting_time_that_goes_back_is_no_use(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"stat": cpus("cpu 100 0 0 1000 50 0 0 0")})
    bench.after(0)
    assert bench.after(1, {"stat": cpus("cpu 100 0 0 1020 40 0 0 0")})["system_cpu_usage"] == {"cpu": 0.0}


def test_network_counters_and_what_goes_through(tmp_path: Path) -> None:
    before = net("    lo: 1000 10 0 0 0 0 0 0 1000 10 0 0 0 0 0 0", " wlan0:5000 50 1 2 0 0 0 9 7000 70 3 4 0 0 0 0")
    now = net("    lo: 1000 10 0 0 0 0 0 0 1000 10 0 0 0 0 0 0", " wlan0:9000 60 5 6 0 0 0 9 8000 80 7 8 0 0 0 0")
    bench = Bench(tmp_path, {"net/dev": before})
    bench.after(0)
    assert bench.after(2, {"net/dev": now})["network"] == {
        "lo": {
            "rx_bytes": 1000,
            "tx_bytes": 1000,
            "rx_packets": 10,
            "tx_packets": 10,
            "rx_errs": 0,
            "tx_errs": 0,
            "rx_drop": 0,
            "tx_drop": 0,
            "bandwidth": 0.0,
        },
        "wlan0": {
            "rx_bytes": 9000,
            "tx_bytes": 8000,
            "rx_packets": 60,
            "tx_packets": 80,
            "rx_errs": 5,
            "tx_errs": 7,
            "rx_drop": 6,
            "tx_drop": 8,
            "bandwidth": 2500.0,
        },
    }


def test_an_interface_that_counts_anew_or_has_come_has_no_bandwidth_yet(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"net/dev": net("usb0: 5000 5 0 0 0 0 0 0 5000 5 0 0 0 0 0 0")})
    bench.after(0)
    now = net("usb0: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0", "can0: 80 8 0 0 0 0 0 0 80 8 0 0 0 0 0 0")
    found = bench.after(1, {"net/dev": now})["network"]
    assert {name: each["bandwidth"] for name, each in found.items()} == {"usb0": 0.0, "can0": 0.0}


def test_memory_and_uptime(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"meminfo": memory(24684084, 23982612), "uptime": "2876970.38 11000000.00\n"})
    assert bench.after(0)["system_memory"] == {"total": 24684084, "available": 23982612, "used": 701472}
    assert bench.meter.measure().uptime == 2876970.38


def test_a_host_without_anything_has_nothing_to_tell(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.after(0) == {
        "moonraker_stats": {"time": 1626612666.0, "cpu_usage": 0.0, "memory": None, "mem_units": None},
        "cpu_temp": None,
        "network": {},
        "system_cpu_usage": {},
        "system_memory": {},
        "websocket_connections": 0,
    }
    assert (bench.meter.measure().uptime, bench.meter.measure().throttled) == (0.0, None)


TEMPERATURES = {
    **dict.fromkeys(MACHINES),
    "Raspberry Pi 3": 45.622,
    "Raspberry Pi 4": 48.199,  # of the monitor, not of the zone
    "Raspberry Pi 5": 51.25,
    "Raspberry Pi Zero 2": 39.704,
    "x86 PC": 42.0,  # of the package, not of the mainboard
    "Orange Pi": 53.9,  # of the processor, not of the first zone
    "RISC-V board": 58.0,
}


@pytest.mark.parametrize("name", MACHINES)
def test_the_processors_temperature(name: str, tmp_path: Path) -> None:
    meter = Meter(MACHINES[name].build(tmp_path), Hands())
    assert meter.measure().host["cpu_temp"] == TEMPERATURES[name]


def test_a_zone_of_any_kind_is_better_than_nothing(tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    files: Files = {f"{zone}/type": "acpitz\n", f"{zone}/temp": "27800\n"}
    assert Meter(Machine("", files).build(tmp_path), Hands()).measure().host["cpu_temp"] == 27.8


def test_when_a_sensor_falls_silent_another_is_found_within_ten_samples(tmp_path: Path) -> None:
    meter = Meter(MACHINES["Raspberry Pi 4"].build(tmp_path), Hands())
    assert meter.measure().host["cpu_temp"] == 48.199
    (tmp_path / "sys/class/hwmon/hwmon0/temp1_input").write_text("")
    found = [meter.measure().host["cpu_temp"] for _ in range(10)]
    assert (found[0], found[-1]) == (None, 48.686)


def test_the_firmware_is_asked_every_ten_samples(tmp_path: Path) -> None:
    meter = Meter(MACHINES["Raspberry Pi 3"].build(tmp_path), Hands())
    first = meter.measure().throttled
    (tmp_path / "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled").write_text("1\n")
    later = [meter.measure().throttled for _ in range(10)]
    assert [each.bits for each in (first, *later) if each] == [0] * 10 + [1]
