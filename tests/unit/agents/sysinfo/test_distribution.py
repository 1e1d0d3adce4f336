"""What is found out about Linux distributions."""

from pathlib import Path

import pytest

from agents.sysinfo.distribution import distribution
from tests.machines import MACHINES

# name, id, version, major and minor and third part, like, codename, kernel
FOUND = {
    "Raspberry Pi 3": (
        "Raspbian GNU/Linux 10 (buster)",
        "raspbian",
        "10",
        ("10", "", ""),
        "debian",
        "buster",
        "5.10.103-v7+",
    ),
    "x86 PC": ("Debian GNU/Linux 12 (bookworm)", "debian", "12", ("12", "", ""), "", "bookworm", "6.1.0-28-amd64"),
    "Orange Pi": (
        "Armbian 24.5.1 jammy",
        "ubuntu",
        "22.04",
        ("22", "04", ""),
        "debian",
        "jammy",
        "6.6.31-current-sunxi64",
    ),
    "container": ("Alpine Linux v3.20", "alpine", "3.20.3", ("3", "20", "3"), "", "", "6.8.0-45-generic"),
    "nothing at all": ("", "", "", ("", "", ""), "", "", ""),
}


@pytest.mark.parametrize("name", FOUND)
def test_names_and_versions(name: str, tmp_path: Path) -> None:
    found = distribution(MACHINES[name].build(tmp_path))
    parts = found.version_parts
    version = (parts.major, parts.minor, parts.build_number)
    assert parts.release == parts.build_number
    assert FOUND[name] == (
        found.name,
        found.id,
        found.version,
        version,
        found.like,
        found.codename,
        found.kernel_version,
    )


def test_the_release_file_is_told_as_it_is(tmp_path: Path) -> None:
    told = distribution(MACHINES["Raspberry Pi 3"].build(tmp_path)).release_info
    assert told["pretty_name"] == "Raspbian GNU/Linux 10 (buster)"
    assert (told["name"], told["version_id"], told["id_like"]) == ("Raspbian GNU/Linux", "10", "debian")
    assert told["home_url"] == "http://www.raspbian.org/"


def test_an_image_for_printers_is_called_what_it_calls_itself(tmp_path: Path) -> None:
    found = distribution(MACHINES["Raspberry Pi 4"].build(tmp_path))
    assert (found.name, found.id) == ("Debian GNU/Linux 12 (bookworm)", "debian")
    told = found.release_info
    assert (told["name"], told["version_id"], told["codename"]) == ("MainsailOS", "1.3.2", "bookworm")


def test_without_a_release_file_there_is_nothing_of_it(tmp_path: Path) -> None:
    assert distribution(tmp_path).release_info == {}
