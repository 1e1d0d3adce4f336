"""What is found out about CAN interfaces, and about the real ones of this machine."""

import json
from pathlib import Path

import pytest

from agents.sysinfo.network import addresses, bit_rates, can_interfaces, interfaces
from tests.machines import MACHINES, Machine, link

# As iproute2 answers.
ANSWER = [
    {},
    {
        "ifname": "can0",
        "flags": ["NOARP", "UP", "LOWER_UP", "ECHO"],
        "txqlen": 128,
        "link_type": "can",
        "linkinfo": {
            "info_kind": "can",
            "info_data": {
                "state": "ERROR-ACTIVE",
                "bittiming": {"bitrate": 500000, "sample_point": "0.875", "tq": 125},
                "bittiming_const": {"name": "mcp251x"},
            },
        },
    },
    {"ifname": "can1", "linkinfo": {"info_kind": "can", "info_data": {"state": "STOPPED"}}},
]


@pytest.fixture
def ip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `ip` that answers this and notes how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "answer").write_text(json.dumps(ANSWER))
    program = folder / "ip"
    program.write_text(f'#!/bin/sh\necho "$@" >>{folder}/calls\nread -r answer <{folder}/answer; echo "$answer"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_can_interfaces_up_or_down(ip: Path, tmp_path: Path) -> None:
    (ip / "answer").write_text(json.dumps(ANSWER) + "\n")
    found = can_interfaces(MACHINES["Raspberry Pi 3"].build(tmp_path / "root"))
    assert {name: tuple(each.model_dump().values()) for name, each in found.items()} == {
        "can0": (128, 500000, "mcp251x"),
        "can1": (128, 0, "gs_usb"),
    }
    assert (ip / "calls").read_text() == "-json -details link show type can\n"


def test_a_virtual_one_has_neither_driver_nor_bit_rate(ip: Path, tmp_path: Path) -> None:
    found = can_interfaces(MACHINES["x86 PC"].build(tmp_path / "root"))
    assert {name: tuple(each.model_dump().values()) for name, each in found.items()} == {"vcan0": (1000, 0, "")}


def test_without_can_nobody_is_asked(ip: Path, tmp_path: Path) -> None:
    assert can_interfaces(MACHINES["Raspberry Pi 4"].build(tmp_path / "root")) == {}
    assert not (ip / "calls").exists()


def test_without_the_program_the_bit_rate_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    root = Machine("", link("can0", "0x80\n", kind=280)).build(tmp_path)
    assert can_interfaces(root)["can0"].bitrate == 0


@pytest.mark.parametrize("answer", [b"", b"{", b"5", b"[5]", b'[{"linkinfo":{}}]', b'[{"ifname":"a","linkinfo":5}]'])
def test_an_answer_that_is_not_understood_says_nothing(answer: bytes) -> None:
    assert bit_rates(answer) == {}


def test_the_interfaces_of_this_machine() -> None:
    """Whatever they are: none is the loopback, and each has addresses of its own kind."""
    known = addresses()
    assert "127.0.0.1" in known["lo"]
    found = interfaces(Path("/"), known)
    assert "lo" not in found
    for each in found.values():
        for address in each.ip_addresses:
            assert (":" in address.address) == (address.family == "ipv6")
