"""What is plugged into the host: USB devices, serial ports, cameras, and CAN nodes that wait for a number."""

from typing import Literal

from pydantic import Field

from .base import Method, Model, NoParams, Params, Permission

OWNER = "peripherals"

_LOCATION = "Bus and device number, as in the list of USB devices; null for what is not on USB."


class UsbDevice(Model):
    """One device on USB; what is not known is null."""

    bus_num: int
    device_num: int
    usb_location: str = Field(description="Both with a colon between.")
    vendor_id: str = Field(description="Four hexadecimal digits, as `product_id`.")
    product_id: str
    manufacturer: str | None = Field(description="In the device's own words, as `product` and `serial`.")
    product: str | None
    serial: str | None
    device_class: str | None = Field(alias="class", description="In words, as `subclass` and `protocol`.")
    subclass: str | None
    protocol: str | None
    description: str | None = Field(description="Maker and product as the file usb.ids names them.")
    class_ids: list[str] = Field(description="Class, subclass and protocol: two hexadecimal digits each.")


class UsbDevices(Model):
    """By bus and number."""

    usb_devices: list[UsbDevice]


class SerialDevice(Model):
    """One serial port."""

    device_type: Literal["hardware_uart", "usb", "unknown"]
    device_path: str
    device_name: str
    driver_name: str
    path_by_hardware: str | None = Field(description="The link that tells the port it is on.")
    path_by_id: str | None = Field(description="The link that tells what it is.")
    usb_location: str | None = Field(description=_LOCATION)


class SerialDevices(Model):
    """By name."""

    serial_devices: list[SerialDevice]


class V4l2Mode(Model):
    """A format with its fixed sizes."""

    format: str = Field(description="Four characters.")
    description: str
    flags: list[Literal["COMPRESSED", "EMULATED"]]
    resolutions: list[str] = Field(description="Width and height with an `x` between.")


class V4l2Device(Model):
    """A video device that captures."""

    device_name: str
    device_path: str
    camera_name: str
    driver_name: str
    alt_name: str | None = Field(description="Its name in sysfs.")
    hardware_bus: str
    capabilities: list[str]
    version: str
    path_by_hardware: str | None
    path_by_id: str | None
    usb_location: str | None = Field(description=_LOCATION)
    modes: list[V4l2Mode] = Field(description="Those with fixed sizes.")


class LibcameraMode(Model):
    """A format with its sizes."""

    format: str
    resolutions: list[str]


class LibcameraDevice(Model):
    """A camera of libcamera's."""

    libcamera_id: str
    model: str | None
    modes: list[LibcameraMode]


class VideoDevices(Model):
    """Both kinds; the second needs the system package python3-libcamera."""

    v4l2_devices: list[V4l2Device]
    libcamera_devices: list[LibcameraDevice]


class CanParams(Params):
    """Which interface."""

    interface: str = Field("can0", min_length=1, max_length=15, description="Its name in Linux.")


class CanNode(Model):
    """A node without a number."""

    uuid: str = Field(description="Twelve hexadecimal digits.")
    application: Literal["Klipper", "Katapult", "Unknown"]


class CanNodes(Model):
    """In the order of their answers."""

    can_uuids: list[CanNode]


USB = Method(
    "machine.peripherals.usb",
    NoParams,
    UsbDevices,
    OWNER,
    Permission.READ,
    ("GET /machine/peripherals/usb",),
    summary="All USB devices of the host.",
)
SERIAL = Method(
    "machine.peripherals.serial",
    NoParams,
    SerialDevices,
    OWNER,
    Permission.READ,
    ("GET /machine/peripherals/serial",),
    summary="All serial ports of the host.",
)
VIDEO = Method(
    "machine.peripherals.video",
    NoParams,
    VideoDevices,
    OWNER,
    Permission.READ,
    ("GET /machine/peripherals/video",),
    summary="All cameras of the host.",
)
CANBUS = Method(
    "machine.peripherals.canbus",
    CanParams,
    CanNodes,
    OWNER,
    Permission.CONTROL,
    ("GET /machine/peripherals/canbus",),
    summary=(
        "Asks a CAN bus for nodes that neither Klipper nor Katapult has given a number; takes two seconds. Nodes that "
        "have one do not answer until they are reset. Where several wait, their answers collide, and a node that has "
        "seen too many errors goes off the bus until it is reset: best have one at a time, or else reset all of them "
        "before Klipper is run."
    ),
)
