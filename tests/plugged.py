"""A Raspberry Pi with everything of the API's examples plugged in, as sysfs, /dev and usb.ids show it."""

from collections.abc import Mapping

from tests.machines import Files, Machine

HUB = "sys/devices/platform/soc/3f980000.usb/usb1"
UART = "sys/devices/platform/soc/3f201000.serial"
BASE = f"{UART}/3f201000.serial:0/3f201000.serial:0.0"  # as kernels since 6.5 have it
CAMERA = f"{HUB}/1-1/1-1.1"
BOARD = f"{HUB}/1-1/1-1.2"
ADAPTER = f"{HUB}/1-1/1-1.4"
USB_IDS = """\
#
#\tList of USB ID's
#
# Vendors, devices and interfaces. Please keep sorted.

0403  Future Technology Devices International, Ltd
\t0000  H4SMK 7 Port Hub / Bricked Counterfeit FT232 Serial (UART) IC
\t6001  FT232 Serial (UART) IC
046d  Logitech, Inc.
\t0082  Acer Aspire 5672 Webcam
\t0825  Webcam C270
1a40  Terminus Technology Inc.
\t0101  Hub
1d50  OpenMoko, Inc.
\t614e  Klipper 3d-Printer Firmware
1d6b  Linux Foundation
\t0002  2.0 root hub
# List of known device classes, subclasses and protocols
C 00  (Defined at Interface level)
C 02  Communications
\t01  Direct Line
\t02  Abstract (modem)
\t\t00  None
\t\t01  AT-commands (v.25ter)
C 09  Hub
\t00  Unused
\t\t00  Full speed (or root) hub
\t\t01  Single TT
\t\t02  TT per port
C ef  Miscellaneous Device
\t01  ?
\t\t01  Microsoft ActiveSync
\t02  ?
\t\t01  Interface Association
# List of Audio Class Terminal Types
AT 0100  USB Undefined
HID 21  HID
"""


def usb(place: str, bus: int, number: int, ids: str, classes: str, *texts: str) -> Files:
    """A device in sysfs: `vendor:product`, `class:subclass:protocol`, then manufacturer, product and serial."""
    vendor, product = ids.split(":")
    kind, subclass, protocol = classes.split(":")
    told: Mapping[str, str] = {
        "busnum": f"{bus}",
        "devnum": f"{number}",
        "idVendor": vendor,
        "idProduct": product,
        "bDeviceClass": kind,
        "bDeviceSubClass": subclass,
        "bDeviceProtocol": protocol,
        **dict(zip(("manufacturer", "product", "serial"), texts, strict=False)),
    }
    return {f"{place}/{name}": f"{content}\n" for name, content in told.items() if content}


def on_bus(*places: str) -> dict[str, str]:
    """The links by which devices are listed."""
    return {f"sys/bus/usb/devices/{place.rpartition('/')[2]}": place for place in places}


PRINTER = Machine(
    "armv7l",
    {
        "usr/share/misc/usb.ids": USB_IDS,
        **usb(
            HUB,
            1,
            1,
            "1d6b:0002",
            "09:00:01",
            "Linux 6.1.0-rpi7-rpi-v8 dwc_otg_hcd",
            "DWC OTG Controller",
            "3f980000.usb",
        ),
        **usb(f"{HUB}/1-1", 1, 2, "1a40:0101", "09:00:01", "", "USB 2.0 Hub"),
        **usb(CAMERA, 1, 3, "046d:0825", "ef:02:01", "", "", "66EF0390"),
        **usb(BOARD, 1, 4, "1d50:614e", "02:00:00", "Klipper", "stm32f407xx", "12345"),
        **usb(ADAPTER, 1, 5, "0403:6001", "00:00:00", "FTDI", "FT232R USB UART", "A50285BI"),
        f"{BOARD}:1.0/bInterfaceClass": "02\n",
        f"{BOARD}/1-1.2:1.0/tty/ttyACM0/dev": "166:0\n",
        f"{ADAPTER}/1-1.4:1.0/ttyUSB0/tty/ttyUSB0/dev": "188:0\n",
        f"{BASE}/tty/ttyAMA0/type": "32\n",
        "sys/devices/platform/serial8250/tty/ttyS0/type": "16\n",
        "sys/devices/platform/serial8250/tty/ttyS1/type": "0\n",
        "sys/devices/virtual/tty/tty1/dev": "4:1\n",
        "sys/devices/platform/soc/3f980000.gadget/tty/ttyGS0/dev": "240:0\n",
        f"{CAMERA}/1-1.1:1.0/video4linux/video1/name": "UVC Camera (046d:0825)\n",
        "sys/devices/platform/bcm2835-isp/video4linux/video14/name": "bcm2835-isp-capture0\n",
        "sys/devices/platform/nameless/video4linux/video2/dev": "81:2\n",
    },
    links={
        **on_bus(HUB, f"{HUB}/1-1", CAMERA, BOARD, ADAPTER),
        "sys/bus/usb/devices/1-1.2:1.0": f"{BOARD}:1.0",
        f"{BOARD}/1-1.2:1.0/driver": "sys/bus/usb/drivers/cdc_acm",
        f"{BOARD}/1-1.2:1.0/tty/ttyACM0/device": f"{BOARD}/1-1.2:1.0",
        f"{ADAPTER}/1-1.4:1.0/driver": "sys/bus/usb/drivers/ftdi_sio_usb",
        f"{ADAPTER}/1-1.4:1.0/ttyUSB0/driver": "sys/bus/usb-serial/drivers/ftdi_sio",
        f"{ADAPTER}/1-1.4:1.0/ttyUSB0/tty/ttyUSB0/device": f"{ADAPTER}/1-1.4:1.0/ttyUSB0",
        f"{BASE}/driver": "sys/bus/serial-base/drivers/port",
        f"{UART}/3f201000.serial:0/driver": "sys/bus/serial-base/drivers/ctrl",
        f"{UART}/driver": "sys/bus/amba/drivers/uart-pl011",
        f"{BASE}/tty/ttyAMA0/device": BASE,
        "sys/devices/platform/serial8250/driver": "sys/bus/platform/drivers/serial8250",
        "sys/devices/platform/serial8250/tty/ttyS0/device": "sys/devices/platform/serial8250",
        "sys/devices/platform/serial8250/tty/ttyS1/device": "sys/devices/platform/serial8250",
        "sys/devices/platform/soc/3f980000.gadget/tty/ttyGS0/device": "sys/devices/platform/soc/3f980000.gadget",
        "sys/class/tty/ttyACM0": f"{BOARD}/1-1.2:1.0/tty/ttyACM0",
        "sys/class/tty/ttyUSB0": f"{ADAPTER}/1-1.4:1.0/ttyUSB0/tty/ttyUSB0",
        "sys/class/tty/ttyAMA0": f"{BASE}/tty/ttyAMA0",
        "sys/class/tty/ttyS0": "sys/devices/platform/serial8250/tty/ttyS0",
        "sys/class/tty/ttyS1": "sys/devices/platform/serial8250/tty/ttyS1",
        "sys/class/tty/ttyGS0": "sys/devices/platform/soc/3f980000.gadget/tty/ttyGS0",
        "sys/class/tty/tty1": "sys/devices/virtual/tty/tty1",
        "dev/serial/by-path/platform-3f980000.usb-usb-0:1.2:1.0": "dev/ttyACM0",
        "dev/serial/by-path/platform-3f980000.usb-usbv2-0:1.2:1.0": "dev/ttyACM0",
        "dev/serial/by-path/platform-3f980000.usb-usb-0:1.4:1.0-port0": "dev/ttyUSB0",
        "dev/serial/by-id/usb-Klipper_stm32f407xx_12345-if00": "dev/ttyACM0",
        "dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0": "dev/ttyUSB0",
        f"{CAMERA}/1-1.1:1.0/video4linux/video1/device": f"{CAMERA}/1-1.1:1.0",
        "sys/devices/platform/bcm2835-isp/video4linux/video14/device": "sys/devices/platform/bcm2835-isp",
        "sys/class/video4linux/video1": f"{CAMERA}/1-1.1:1.0/video4linux/video1",
        "sys/class/video4linux/video14": "sys/devices/platform/bcm2835-isp/video4linux/video14",
        "sys/class/video4linux/video2": "sys/devices/platform/nameless/video4linux/video2",
        "sys/class/video4linux/v4l-subdev0": "sys/devices/platform/unicam/video4linux/v4l-subdev0",
        "dev/v4l/by-path/platform-3f980000.usb-usb-0:1.1:1.0-video-index0": "dev/video1",
        "dev/v4l/by-id/usb-046d_0825_66EF0390-video-index0": "dev/video1",
    },
)
