"""What the firmware of Raspberry Pis says, and how it is found out."""

from pathlib import Path

import pytest

from agents.procstats.throttling import described, throttled
from tests.machines import MACHINES, Machine

TOLD = {
    **dict.fromkeys(MACHINES),
    "Raspberry Pi 3": (0, []),
    "Raspberry Pi 4": (
        0x50005,
        ["Under-Voltage Detected", "Currently Throttled", "Previously Under-Volted", "Previously Throttled"],
    ),
    "Raspberry Pi 5": (1, ["Under-Voltage Detected"]),  # all that its kernel has is the voltage monitor
}


@pytest.mark.parametrize("name", MACHINES)
def test_what_hosts_say(name: str, tmp_path: Path) -> None:
    found = throttled(MACHINES[name].build(tmp_path))
    assert (found and (found.bits, found.flags)) == TOLD[name]


@pytest.mark.parametrize(
    ("bit", "flag"),
    [
        (0, "Under-Voltage Detected"),
        (1, "Frequency Capped"),
        (2, "Currently Throttled"),
        (3, "Temperature Limit Active"),
        (16, "Previously Under-Volted"),
        (17, "Previously Frequency Capped"),
        (18, "Previously Throttled"),
        (19, "Previously Temperature Limited"),
    ],
)
def test_each_bit_has_its_flag(bit: int, flag: str) -> None:
    assert described(1 << bit).flags == [flag]


def test_bits_without_a_meaning_are_kept() -> None:
    assert described(1 << 9).model_dump() == {"bits": 512, "flags": []}


@pytest.mark.parametrize(
    ("said", "bits"),
    [
        ("echo throttled=0x80008", 0x80008),
        ("echo VCHI initialization failed; exit 255", None),
        ("exit 1", None),
    ],
)
def test_where_the_kernel_does_not_tell_the_program_does(
    said: str, bits: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'#!/bin/sh\n[ "$*" = get_throttled ] || exit 9\n{said}\n'
    Machine("", {"dev/vcio": "", "bin/vcgencmd": script}).build(tmp_path)
    (tmp_path / "bin/vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = throttled(tmp_path)
    assert (found and found.bits) == bits


def test_without_the_mailbox_no_program_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine("", {"bin/vcgencmd": "#!/bin/sh\necho throttled=0x1\n"}).build(tmp_path)
    (tmp_path / "bin/vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert throttled(tmp_path) is None
