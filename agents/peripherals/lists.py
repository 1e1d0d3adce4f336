"""The three lists of devices: how each is made, and what a device of it is known by."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .serial import serial_devices
from .usb import usb_devices
from .video import video_devices

Lists = Mapping[str, Any]  # as the method answers


@dataclass(frozen=True, slots=True)
class Kind:
    """One list; `member` has the devices that come and go, `key` and `label` are members of those."""

    name: str
    look: Callable[[Path], Lists]  # blocks
    member: str
    key: str
    label: tuple[str, ...]  # the first that is known


USB = Kind(
    "usb",
    lambda root: {"usb_devices": usb_devices(root)},
    "usb_devices",
    "usb_location",
    ("product", "description", "usb_location"),
)
SERIAL = Kind(
    "serial",
    lambda root: {"serial_devices": serial_devices(root)},
    "serial_devices",
    "device_path",
    ("path_by_id", "device_path"),
)
VIDEO = Kind("video", video_devices, "v4l2_devices", "device_path", ("camera_name", "device_path"))
KINDS: Mapping[str, Kind] = {"usb": USB, "tty": SERIAL, "video4linux": VIDEO}  # by what udev calls it


def differences(kind: Kind, before: Lists, now: Lists) -> Iterator[tuple[str, dict[str, str]]]:
    """Event types and data of what has gone and come."""
    old, new = _by_key(kind, before), _by_key(kind, now)
    yield from (("device.unplugged.1", _told(kind, old[key])) for key in old.keys() - new.keys())
    yield from (("device.plugged.1", _told(kind, new[key])) for key in new.keys() - old.keys())


def _by_key(kind: Kind, lists: Lists) -> dict[str, dict[str, Any]]:
    return {device[kind.key]: device for device in lists[kind.member]}


def _told(kind: Kind, device: dict[str, Any]) -> dict[str, str]:
    name = next(filter(None, (device[label] for label in kind.label)))
    return {"kind": kind.name, "device": device[kind.key], "name": name}
