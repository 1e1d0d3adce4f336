"""USB devices and serial ports of the API's examples, found in sysfs."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from agents.peripherals.lists import SERIAL, USB, differences
from agents.peripherals.serial import serial_devices
from agents.peripherals.usb import usb_devices
from agents.peripherals.usb_ids import PLACES, UsbNames
from schemas.peripherals import SerialDevices, UsbDevices
from tests.machines import Machine
from tests.plugged import PRINTER, USB_IDS

Json = dict[str, Any]


def usb(number: int, ids: str, texts: tuple[str | None, ...], classes: tuple[str | None, ...], told: str) -> Json:
    """A device on bus 1."""
    vendor, product = ids.split(":")
    return {
        "device_num": number,
        "bus_num": 1,
        "usb_location": f"1:{number}",
        "vendor_id": vendor,
        "product_id": product,
        **dict(zip(("manufacturer", "product", "serial"), texts, strict=True)),
        **dict(zip(("class", "subclass", "protocol"), classes, strict=True)),
        "description": told,
    }


NOTHING = (None, None, None)
CONTROLLER = ("Linux 6.1.0-rpi7-rpi-v8 dwc_otg_hcd", "DWC OTG Controller", "3f980000.usb")
USB_DEVICES = [
    usb(1, "1d6b:0002", CONTROLLER, ("Hub", None, "Single TT"), "Linux Foundation 2.0 root hub"),
    usb(2, "1a40:0101", (None, "USB 2.0 Hub", None), ("Hub", None, "Single TT"), "Terminus Technology Inc. Hub"),
    usb(
        3,
        "046d:0825",
        (None, None, "66EF0390"),
        ("Miscellaneous Device", None, "Interface Association"),
        "Logitech, Inc. Webcam C270",
    ),
    usb(
        4,
        "1d50:614e",
        ("Klipper", "stm32f407xx", "12345"),
        ("Communications", None, None),
        "OpenMoko, Inc. Klipper 3d-Printer Firmware",
    ),
    usb(
        5,
        "0403:6001",
        ("FTDI", "FT232R USB UART", "A50285BI"),
        NOTHING,
        "Future Technology Devices International, Ltd FT232 Serial (UART) IC",
    ),
]


def port(
    kind: str, name: str, driver: str, path: str | None = None, by: str | None = None, usb: str | None = None
) -> Json:
    """A serial port."""
    return {
        "device_type": kind,
        "device_path": f"/dev/{name}",
        "device_name": name,
        "driver_name": driver,
        "path_by_hardware": path and f"/dev/serial/by-path/{path}",
        "path_by_id": by and f"/dev/serial/by-id/{by}",
        "usb_location": usb,
    }


PORTS = [
    port(
        "usb",
        "ttyACM0",
        "cdc_acm",
        "platform-3f980000.usb-usb-0:1.2:1.0",
        "usb-Klipper_stm32f407xx_12345-if00",
        "1:4",
    ),
    port("hardware_uart", "ttyAMA0", "uart-pl011"),
    port("unknown", "ttyGS0", ""),
    port("hardware_uart", "ttyS0", "serial8250"),
    port(
        "usb",
        "ttyUSB0",
        "ftdi_sio",
        "platform-3f980000.usb-usb-0:1.4:1.0-port0",
        "usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0",
        "1:5",
    ),
]


def test_usb_devices_are_those_of_the_example(tmp_path: Path) -> None:
    found = usb_devices(PRINTER.build(tmp_path))
    TypeAdapter(UsbDevices).validate_python({"usb_devices": found})
    ids = [device.pop("class_ids") for device in found]
    assert found == USB_DEVICES
    assert ids[2] == ["ef", "02", "01"]


def test_without_the_file_devices_have_no_names_but_their_own(tmp_path: Path) -> None:
    root = PRINTER.build(tmp_path)
    (root / PLACES[0]).unlink()
    board = usb_devices(root)[3]
    assert (board["product"], board["description"], board["class"]) == ("stm32f407xx", None, None)


@pytest.mark.parametrize("place", PLACES)
def test_the_file_is_found_where_distributions_put_it(place: str, tmp_path: Path) -> None:
    names = UsbNames(Machine("", {place: USB_IDS}).build(tmp_path))
    assert names.description("1d50", "614e") == "OpenMoko, Inc. Klipper 3d-Printer Firmware"


def test_of_an_unknown_product_the_maker_is_told(tmp_path: Path) -> None:
    names = UsbNames(Machine("", {PLACES[0]: USB_IDS}).build(tmp_path))
    assert names.description("046d", "614e") == "Logitech, Inc."
    assert names.description("ffff", "0825") is None
    assert names.classes("02", "02", "01") == ("Communications", "Abstract (modem)", "AT-commands (v.25ter)")
    assert names.classes("02", "01", "01") == ("Communications", "Direct Line", None)
    assert names.classes("09", "00", "09") == ("Hub", None, None)


def test_a_file_that_is_cut_off_is_no_harm(tmp_path: Path) -> None:
    for length in range(0, len(USB_IDS), 37):
        path = tmp_path / PLACES[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(USB_IDS[:length])
        UsbNames(tmp_path).description("1d6b", "0002")


def test_serial_ports_with_hardware_behind_them(tmp_path: Path) -> None:
    found = serial_devices(PRINTER.build(tmp_path))
    TypeAdapter(SerialDevices).validate_python({"serial_devices": found})
    assert found == PORTS


def test_a_host_without_anything_has_empty_lists(tmp_path: Path) -> None:
    assert (usb_devices(tmp_path), serial_devices(tmp_path)) == ([], [])


def test_what_has_come_and_gone(tmp_path: Path) -> None:
    root = PRINTER.build(tmp_path)
    before = USB.look(root)
    (root / "sys/bus/usb/devices/1-1.2").unlink()
    now = USB.look(root)
    board = {"kind": "usb", "device": "1:4", "name": "stm32f407xx"}
    assert list(differences(USB, before, now)) == [("device.unplugged.1", board)]
    assert list(differences(USB, now, before)) == [("device.plugged.1", board)]
    port = {"kind": "serial", "device": "/dev/ttyS0", "name": "/dev/ttyS0"}
    less = {"serial_devices": [each for each in PORTS if each["device_name"] != "ttyS0"]}
    assert list(differences(SERIAL, SERIAL.look(root), less)) == [("device.unplugged.1", port)]
