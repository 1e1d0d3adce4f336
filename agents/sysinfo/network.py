"""Network and CAN interfaces: hardware from sysfs, addresses through ifaddr, bit rates from the program `ip`."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from bus.kernel_files import text
from schemas.machine import CanInterface, IpAddress, NetworkInterface

UP, LOOPBACK = 0x1, 0x8  # IFF_ flags
CAN = "280"  # ARPHRD_CAN
SECONDS = 5.0
CAN_LINKS = ("ip", "-json", "-details", "link", "show", "type", "can")

Addresses = Mapping[str, Sequence[str]]  # by interface


def addresses() -> Addresses:
    """The IP addresses that this process sees."""
    import ifaddr  # not at the start

    return {
        adapter.name: [found.ip if isinstance(found.ip, str) else found.ip[0] for found in adapter.ips]
        for adapter in ifaddr.get_adapters()
    }


def interfaces(root: Path, known: Addresses) -> dict[str, NetworkInterface]:
    """Those that are up, with their addresses."""
    return {
        link.name: NetworkInterface(
            mac_address=text(link / "address"), ip_addresses=[_address(found) for found in known.get(link.name, ())]
        )
        for link in _links(root)
        if _flags(link) & (UP | LOOPBACK) == UP and text(link / "type") != CAN
    }


def can_interfaces(root: Path) -> dict[str, CanInterface]:
    """All there are; asks `ip` only where there is one."""
    links = [link for link in _links(root) if text(link / "type") == CAN]
    rates = bit_rates(_asked()) if links else {}
    return {
        link.name: CanInterface(
            tx_queue_len=int(text(link / "tx_queue_len") or 0), bitrate=rates.get(link.name, 0), driver=_driver(link)
        )
        for link in links
    }


def bit_rates(answer: bytes) -> dict[str, int]:
    """By interface, of what `ip` answers; nothing of an answer that is not understood."""
    try:
        links: list[Any] = json.loads(answer)
        found = {link["ifname"]: link["linkinfo"]["info_data"] for link in links if "linkinfo" in link}
        return {name: data["bittiming"]["bitrate"] for name, data in found.items() if "bittiming" in data}
    except (ValueError, LookupError, TypeError):
        return {}


def _links(root: Path) -> Iterator[Path]:
    return (link for link in sorted(root.glob("sys/class/net/*")) if link.is_dir())


def _flags(link: Path) -> int:
    return int(text(link / "flags") or "0", 16)


def _driver(link: Path) -> str:
    driver = link / "device/driver"
    return driver.resolve().name if driver.exists() else ""


def _address(found: str) -> IpAddress:
    address = ip_address(found)
    return IpAddress(
        family="ipv4" if address.version == 4 else "ipv6",
        address=str(address),
        is_link_local=address.is_link_local,
    )


def _asked() -> bytes:
    try:
        ran = subprocess.run(CAN_LINKS, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return ran.stdout
