"""USB devices: what sysfs tells about them, and what the file usb.ids calls them."""

from pathlib import Path
from typing import Any

from bus.kernel_files import text

from .usb_ids import UsbNames

CLASS_FILES = ("bDeviceClass", "bDeviceSubClass", "bDeviceProtocol")


def usb_devices(root: Path) -> list[dict[str, Any]]:
    """All of them (peripherals.UsbDevice), by bus and number."""
    names = UsbNames(root)
    found = [_device(folder, names) for folder in root.glob("sys/bus/usb/devices/*")]
    return sorted(filter(None, found), key=lambda device: (device["bus_num"], device["device_num"]))


def _device(folder: Path, names: UsbNames) -> dict[str, Any] | None:
    """None for what is only a part of one, or has gone meanwhile."""
    bus, number = text(folder / "busnum"), text(folder / "devnum")
    if not (bus and number):
        return None
    vendor, product = text(folder / "idVendor"), text(folder / "idProduct")
    ids = [text(folder / name) for name in CLASS_FILES]
    kind, subclass, protocol = names.classes(*ids)
    return {
        "device_num": int(number),
        "bus_num": int(bus),
        "vendor_id": vendor,
        "product_id": product,
        "usb_location": f"{bus}:{number}",
        "manufacturer": text(folder / "manufacturer") or None,
        "product": text(folder / "product") or None,
        "serial": text(folder / "serial") or None,
        "class": kind,
        "subclass": subclass,
        "protocol": protocol,
        "description": names.description(vendor, product),
        "class_ids": ids,
    }
