"""What the registers of SD cards mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.sysinfo.sdcard import capacity, decoded, readable


def test_a_card_of_the_largest_kind() -> None:
    register = 2 << 126 | 0x1FFFFFF << 48
    assert capacity(register) == 16 << 40  # a C_SIZE of 25 bits
    assert readable(capacity(register)) == "16.0 TiB"


def test_of_a_register_that_is_not_known_the_size_is_not_either() -> None:
    assert capacity(3 << 126) == 0


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0.0 B"), (1023, "1023.0 B"), (1536, "1.5 KiB"), (5 << 50, "5120.0 TiB")]
)
def test_sizes_for_people(size: int, said: str) -> None:
    assert readable(size) == said


def test_a_maker_that_is_not_known_has_no_name() -> None:
    assert decoded(0xEE << 120, 0).manufacturer == ""


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_any_registers_can_be_told(cid: int, csd: int) -> None:
    found = decoded(cid, csd)
    assert (len(found.manufacturer_id), len(found.oem_id), len(found.serial_number)) == (2, 4, 8)
    month, year = map(int, found.manufacturer_date.split("/"))
    assert 0 <= month < 16 and 2000 <= year < 2256
    assert found.total_bytes >= 0
