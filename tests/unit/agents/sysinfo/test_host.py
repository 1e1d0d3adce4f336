"""What is found out about hosts of all kinds."""

from pathlib import Path
from typing import Any

import pytest

from agents.sysinfo.cpu import BITS
from agents.sysinfo.host import hardware, networks
from schemas.machine import SystemInfo
from tests.machines import MACHINES

Json = dict[str, Any]


def look(name: str, root: Path) -> Json:
    """All parts, as they are published."""
    machine = MACHINES[name]
    machine.build(root)
    parts = {**hardware(root, machine.processor, detector=None), **networks(root, machine.addresses)}
    services = {"provider": "none", "available_services": [], "service_state": {}}
    return SystemInfo(**parts, **services, instance_ids={"moonraker": "m", "klipper": "k"}).model_dump()


def cpu(**known: Any) -> Json:
    """With everything that is not given unknown."""
    empty = dict.fromkeys(("processor", "cpu_desc", "serial_number", "hardware_desc", "model"), "")
    return {"cpu_count": None, "bits": BITS, **empty, "total_memory": None, "memory_units": "", **known}


CPUS = {
    "Raspberry Pi 3": cpu(
        cpu_count=4,
        processor="armv7l",
        cpu_desc="ARMv7 Processor rev 4 (v7l)",
        serial_number="b898bdb4",
        hardware_desc="BCM2835",
        model="Raspberry Pi 3 Model B Rev 1.2",
        total_memory=945364,
        memory_units="kB",
    ),
    "Raspberry Pi 4": cpu(
        cpu_count=4,
        processor="aarch64",
        serial_number="100000001a2b3c4d",
        model="Raspberry Pi 4 Model B Rev 1.2",
        total_memory=3884360,
        memory_units="kB",
    ),
    "Raspberry Pi 5": cpu(
        cpu_count=4,
        processor="aarch64",
        serial_number="5f3a9c01d27e84b6",
        model="Raspberry Pi 5 Model B Rev 1.0",
        total_memory=8245456,
        memory_units="kB",
    ),
    "Raspberry Pi Zero 2": cpu(
        cpu_count=4,
        processor="aarch64",
        serial_number="9f1e2d3c",
        hardware_desc="BCM2835",
        model="Raspberry Pi Zero 2 W Rev 1.0",
        total_memory=436964,
        memory_units="kB",
    ),
    "x86 PC": cpu(
        cpu_count=6,
        processor="x86_64",
        cpu_desc="Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz",
        total_memory=16247316,
        memory_units="kB",
    ),
    "Orange Pi": cpu(
        cpu_count=4,
        processor="aarch64",
        serial_number="4c000017d2c8b1f",
        model="OrangePi Zero3",
        total_memory=1004324,
        memory_units="kB",
    ),
    "RISC-V board": cpu(
        cpu_count=4,
        processor="riscv64",
        cpu_desc="sifive,u74-mc",
        serial_number="VF7110B1-2253-D008E000-00001234",
        model="StarFive VisionFive 2 v1.3B",
        total_memory=8103012,
        memory_units="kB",
    ),
    "virtual machine": cpu(
        cpu_count=2,
        processor="x86_64",
        cpu_desc="Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz",
        total_memory=4025856,
        memory_units="kB",
    ),
    "container": cpu(
        cpu_count=2,
        processor="x86_64",
        cpu_desc="Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz",
        total_memory=4025856,
        memory_units="kB",
    ),
    "nothing at all": cpu(),
}
SANDISK = {
    "manufacturer_id": "03",
    "manufacturer": "Sandisk",
    "oem_id": "5344",
    "product_name": "SU32G",
    "product_revision": "8.0",
    "serial_number": "0046ba46",
    "manufacturer_date": "4/2018",
    "capacity": "29.7 GiB",
    "total_bytes": 31914983424,
}
SAMSUNG = {
    "manufacturer_id": "1b",
    "manufacturer": "Samsung",
    "oem_id": "534d",
    "product_name": "ED1S5",
    "product_revision": "3.0",
    "serial_number": "aabbccdd",
    "manufacturer_date": "9/2023",
    "capacity": "119.1 GiB",
    "total_bytes": 127865454592,
}
KINGSTON = {
    "manufacturer_id": "41",
    "manufacturer": "Kingston",
    "oem_id": "3432",
    "product_name": "SD001",
    "product_revision": "2.0",
    "serial_number": "01234567",
    "manufacturer_date": "11/2009",
    "capacity": "957.0 MiB",
    "total_bytes": 1003487232,
}
CARDS: dict[str, Json] = {
    **{name: {} for name in MACHINES},
    "Raspberry Pi 3": SANDISK,
    "Raspberry Pi 4": SAMSUNG,
    "Raspberry Pi Zero 2": KINGSTON,
    "Orange Pi": SANDISK,
}
VIRTUAL = {
    **dict.fromkeys(MACHINES, ("none", "none")),
    "virtual machine": ("vm", "qemu"),
    "container": ("container", "docker"),
}


@pytest.mark.parametrize("name", MACHINES)
def test_processor_board_and_memory(name: str, tmp_path: Path) -> None:
    assert look(name, tmp_path)["cpu_info"] == CPUS[name]


@pytest.mark.parametrize("name", MACHINES)
def test_the_sd_card_as_its_registers_tell(name: str, tmp_path: Path) -> None:
    assert look(name, tmp_path)["sd_info"] == CARDS[name]


@pytest.mark.parametrize("name", MACHINES)
def test_what_it_runs_in(name: str, tmp_path: Path) -> None:
    kind, found = VIRTUAL[name]
    expected = {"virt_type": kind, "virt_identifier": found, "virt_id": found}
    assert look(name, tmp_path)["virtualization"] == expected


def ip(family: str, address: str, *, local: bool = False) -> Json:
    return {"family": family, "address": address, "is_link_local": local}


NETWORKS: dict[str, Json] = {
    "Raspberry Pi 3": {
        "wlan0": {
            "mac_address": "b8:27:eb:98:bd:b4",
            "ip_addresses": [
                ip("ipv4", "192.168.1.127"),
                ip("ipv6", "2001:db8::7"),
                ip("ipv6", "fe80::ba27:ebff:fe98:bdb4", local=True),
            ],
        }
    },
    "Raspberry Pi 4": {
        "eth0": {"mac_address": "dc:a6:32:01:02:03", "ip_addresses": [ip("ipv4", "10.0.0.4"), ip("ipv4", "10.0.0.5")]}
    },
    "Raspberry Pi 5": {
        "wlan0": {"mac_address": "2c:cf:67:01:02:04", "ip_addresses": [ip("ipv4", "169.254.7.7", local=True)]}
    },
    "Raspberry Pi Zero 2": {},
    "x86 PC": {
        "enp0s31f6": {"mac_address": "a4:bb:6d:01:02:03", "ip_addresses": [ip("ipv4", "192.168.1.9")]},
        "tun0": {"mac_address": "", "ip_addresses": [ip("ipv4", "10.8.0.2"), ip("ipv6", "fe80::1", local=True)]},
    },
    "Orange Pi": {"end0": {"mac_address": "02:00:14:a1:b2:c3", "ip_addresses": [ip("ipv4", "192.168.1.33")]}},
    "RISC-V board": {"end0": {"mac_address": "6c:cf:39:00:12:34", "ip_addresses": []}},
    "virtual machine": {
        "ens3": {"mac_address": "52:54:00:12:34:56", "ip_addresses": [ip("ipv6", "fd00::2"), ip("ipv4", "192.0.2.2")]}
    },
    "container": {"eth0": {"mac_address": "02:42:ac:11:00:02", "ip_addresses": [ip("ipv4", "172.17.0.2")]}},
    "nothing at all": {},
}


@pytest.mark.parametrize("name", MACHINES)
def test_interfaces_that_are_up(name: str, tmp_path: Path) -> None:
    assert look(name, tmp_path)["network"] == NETWORKS[name]
