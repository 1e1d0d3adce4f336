"""The SD card, decoded from its CID and CSD registers (SD Physical Layer Simplified Specification, section 5)."""

from pathlib import Path

from bus.kernel_files import text
from schemas.machine import SdInfo

MANUFACTURERS = {  # as Linux distributions and card readers know them; the SD Association does not publish its list
    0x01: "Panasonic",
    0x02: "Toshiba",
    0x03: "Sandisk",
    0x06: "Ritek",
    0x09: "ATP",
    0x13: "Kingmax",
    0x19: "Dynacard",
    0x1B: "Samsung",
    0x1D: "ADATA",
    0x27: "Phison",
    0x28: "Lexar",
    0x31: "Silicon Power",
    0x41: "Kingston",
    0x45: "TEAMGROUP",
    0x6F: "STMicroelectronics",
    0x74: "Transcend",
    0x76: "Patriot",
    0x82: "Sony",
    0x9B: "Patriot",
    0x9C: "Angelbird",
    0x9F: "Kingston",
    0xAD: "Longsys",
    0xDF: "Lenovo",
}
REGISTER_DIGITS = 32
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def sd_info(root: Path) -> SdInfo | None:
    """The first SD card of the host; an eMMC is none."""
    for card in sorted(root.glob("sys/block/mmcblk*/device")):
        cid, csd = text(card / "cid"), text(card / "csd")
        if text(card / "type") == "SD" and len(cid) == len(csd) == REGISTER_DIGITS:
            return decoded(int(cid, 16), int(csd, 16))
    return None


def decoded(cid: int, csd: int) -> SdInfo:
    """What both registers (128 bits) say."""
    revision, date = _bits(cid, 63, 56), _bits(cid, 19, 8)
    size = capacity(csd)
    return SdInfo(
        manufacturer_id=f"{_bits(cid, 127, 120):02x}",
        manufacturer=MANUFACTURERS.get(_bits(cid, 127, 120), ""),
        oem_id=f"{_bits(cid, 119, 104):04x}",
        product_name=_bits(cid, 103, 64).to_bytes(5).decode("ascii", "replace").strip("\0 "),
        product_revision=f"{revision >> 4}.{revision & 15}",
        serial_number=f"{_bits(cid, 55, 24):08x}",
        manufacturer_date=f"{date & 15}/{2000 + (date >> 4)}",
        capacity=readable(size),
        total_bytes=size,
    )


def capacity(csd: int) -> int:
    """Bytes; 0 for a version of the register that is not known."""
    match _bits(csd, 127, 126):
        case 0:  # up to 2 GB
            blocks = (_bits(csd, 73, 62) + 1) << (_bits(csd, 49, 47) + 2)
            return blocks << _bits(csd, 83, 80)
        case 1:  # SDHC and SDXC
            return (_bits(csd, 69, 48) + 1) << 19
        case 2:  # SDUC
            return (_bits(csd, 75, 48) + 1) << 19
        case _:
            return 0


def readable(size: float) -> str:
    """Bytes in the largest unit that fits, with one decimal."""
    for unit in UNITS[:-1]:
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {UNITS[-1]}"


def _bits(register: int, high: int, low: int) -> int:
    return register >> low & (1 << high - low + 1) - 1
