"""What a V4L2 device says about itself, by the ioctls of `linux/videodev2.h`."""

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Any

CAPABILITY = struct.Struct("=16s32s32sIII12x")
FORMAT = struct.Struct("=III32sI16x")
FRAME_SIZE = struct.Struct("=IIIII24x")
QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES = 0x80685600, 0xC0405602, 0xC02C564A
CAPTURE, CAPTURE_PLANES, HAS_DEVICE_CAPS = 0x1, 0x1000, 0x80000000
CAPABILITIES: Mapping[int, str] = {
    0x00000001: "VIDEO_CAPTURE",
    0x00000002: "VIDEO_OUTPUT",
    0x00000004: "VIDEO_OVERLAY",
    0x00000010: "VBI_CAPTURE",
    0x00000020: "VBI_OUTPUT",
    0x00000040: "SLICED_VBI_CAPTURE",
    0x00000080: "SLICED_VBI_OUTPUT",
    0x00000100: "RDS_CAPTURE",
    0x00000200: "VIDEO_OUTPUT_OVERLAY",
    0x00000400: "HW_FREQ_SEEK",
    0x00000800: "RDS_OUTPUT",
    0x00001000: "VIDEO_CAPTURE_MPLANE",
    0x00002000: "VIDEO_OUTPUT_MPLANE",
    0x00004000: "VIDEO_M2M_MPLANE",
    0x00008000: "VIDEO_M2M",
    0x00010000: "TUNER",
    0x00020000: "AUDIO",
    0x00040000: "RADIO",
    0x00080000: "MODULATOR",
    0x00100000: "SDR_CAPTURE",
    0x00200000: "EXT_PIX_FORMAT",
    0x00400000: "SDR_OUTPUT",
    0x00800000: "META_CAPTURE",
    0x01000000: "READWRITE",
    0x04000000: "STREAMING",
    0x08000000: "META_OUTPUT",
    0x10000000: "TOUCH",
    0x20000000: "IO_MC",
}
BUFFER_TYPES: Mapping[int, int] = {CAPTURE: 1, CAPTURE_PLANES: 9}  # of formats, by what the device can
FLAGS: Mapping[int, str] = {1: "COMPRESSED", 2: "EMULATED"}
DISCRETE = 1
BIG_ENDIAN = 1 << 31  # of a format, which then has `-BE` behind its name
MOST = 256  # formats of a device, and sizes of a format

Control = Callable[[int, bytearray], object]  # an ioctl on an open device: request, buffer; raises OSError


@dataclass(frozen=True, slots=True)
class Camera:
    """A device that captures."""

    card: str
    driver: str
    bus: str
    version: str
    capabilities: list[str]
    modes: list[dict[str, Any]]


def look(path: Path) -> Camera | None:
    """What is behind a path; None where it does not capture, or cannot be asked."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return ask(lambda request, buffer: ioctl(handle, request, buffer))
    except OSError:
        return None
    finally:
        os.close(handle)


def ask(control: Control) -> Camera | None:
    """What a device answers; raises OSError where it is none of V4L2's."""
    buffer = bytearray(CAPABILITY.size)
    control(QUERYCAP, buffer)
    driver, card, bus, version, every, own = CAPABILITY.unpack(buffer)
    able = own if every & HAS_DEVICE_CAPS else every
    kind = next((each for each in BUFFER_TYPES if able & each), None)
    if kind is None:
        return None
    modes = [mode for mode in _modes(control, BUFFER_TYPES[kind]) if mode["resolutions"]]
    return Camera(
        card=_word(card),
        driver=_word(driver),
        bus=_word(bus),
        version=f"{version >> 16}.{version >> 8 & 255}.{version & 255}",
        capabilities=[name for bit, name in CAPABILITIES.items() if able & bit],
        modes=modes,
    )


def _modes(control: Control, kind: int) -> Iterator[dict[str, Any]]:
    for answer in _listed(control, ENUM_FMT, lambda index: FORMAT.pack(index, kind, 0, b"", 0)):
        _, _, flags, description, pixels = FORMAT.unpack(answer)
        yield {
            "format": four_characters(pixels),
            "description": _word(description),
            "flags": [name for bit, name in FLAGS.items() if flags & bit],
            "resolutions": list(_sizes(control, pixels)),
        }


def _sizes(control: Control, pixels: int) -> Iterator[str]:
    """The fixed ones."""
    for answer in _listed(control, ENUM_FRAMESIZES, lambda index: FRAME_SIZE.pack(index, pixels, 0, 0, 0)):
        _, _, kind, width, height = FRAME_SIZE.unpack(answer)
        if kind != DISCRETE:
            return
        yield f"{width}x{height}"


def _listed(control: Control, request: int, question: Callable[[int], bytes]) -> Iterator[bytearray]:
    """Answers by index, until the device has no more."""
    for index in range(MOST):
        buffer = bytearray(question(index))
        try:
            control(request, buffer)
        except OSError:
            return
        yield buffer


def four_characters(pixels: int) -> str:
    """The name of a pixel format."""
    name = (pixels & ~BIG_ENDIAN).to_bytes(4, "little").decode("ascii", "replace").rstrip()
    return f"{name}-BE" if pixels & BIG_ENDIAN else name


def _word(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")
