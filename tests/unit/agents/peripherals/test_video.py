"""Cameras: what V4L2's structures mean, byte by byte, and what libcamera tells."""

import errno
import json
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agents.peripherals import video
from agents.peripherals.v4l2 import ENUM_FMT, ENUM_FRAMESIZES, QUERYCAP, Camera, ask, four_characters, look
from agents.peripherals.video import libcamera_devices, video_devices
from schemas.peripherals import VideoDevices
from tests.hardware import CAMERAS
from tests.plugged import PRINTER

C270 = 0x84A00001  # VIDEO_CAPTURE, META_CAPTURE, EXT_PIX_FORMAT, STREAMING, DEVICE_CAPS: of all its nodes
CAPTURES, METADATA, OUTPUT = 0x04200001, 0x04A00000, 0x04200002
Mode = tuple[bytes, bytes, int, Sequence[tuple[int, int]]]
MODES: Sequence[Mode] = [
    (b"YUYV", b"YUYV 4:2:2", 0, [(640, 480), (160, 120)]),
    (b"MJPG", b"Motion-JPEG", 1, [(1280, 720)]),
    (b"RGGB", b"8-bit Bayer", 2, []),
]


class Driver:
    """Answers ioctls as a kernel driver does, with the structures of videodev2.h written out."""

    def __init__(self, own: int = CAPTURES, modes: Sequence[Mode] = MODES, every: int = C270) -> None:
        self.own, self.modes, self.every = own, modes, every

    def __call__(self, request: int, buffer: bytearray) -> int:
        """One ioctl; its structure is changed in place."""
        assert request >> 16 & 0x3FFF == len(buffer)
        if request == QUERYCAP:
            words = struct.pack("=III", 6 << 16 | 1 << 8 | 63, self.every, self.own)
            text = b"uvcvideo".ljust(16, b"\0") + b"UVC Camera (046d:0825)".ljust(32, b"\0")
            buffer[:] = text + b"usb-3f980000.usb-1.1".ljust(32, b"\0") + words + bytes(12)
        elif request == ENUM_FMT:
            index, kind = struct.unpack_from("=II", buffer)
            if kind != 1 or index >= len(self.modes):
                raise OSError(errno.EINVAL, "no more")
            pixels, name, flags, _ = self.modes[index]
            buffer[8:48] = struct.pack("=I32s4s", flags, name, pixels)
        elif request == ENUM_FRAMESIZES:
            self.size(buffer)
        return 0

    def size(self, buffer: bytearray) -> None:
        """One size; a format without fixed ones has a range."""
        index, pixels = struct.unpack_from("=I4s", buffer)
        sizes = next(sizes for known, _, _, sizes in self.modes if known == pixels)
        if not sizes:
            struct.pack_into("=IIIIIII", buffer, 8, 3, 16, 1920, 2, 16, 1080, 2)
        elif index >= len(sizes):
            raise OSError(errno.EINVAL, "no more")
        else:
            struct.pack_into("=III", buffer, 8, 1, *sizes[index])


CAMERA = Camera(
    card="UVC Camera (046d:0825)",
    driver="uvcvideo",
    bus="usb-3f980000.usb-1.1",
    version="6.1.63",
    capabilities=["VIDEO_CAPTURE", "EXT_PIX_FORMAT", "STREAMING"],
    modes=[
        {"format": "YUYV", "description": "YUYV 4:2:2", "flags": [], "resolutions": ["640x480", "160x120"]},
        {"format": "MJPG", "description": "Motion-JPEG", "flags": ["COMPRESSED"], "resolutions": ["1280x720"]},
    ],
)


def test_a_camera_with_its_modes_of_fixed_sizes() -> None:
    assert ask(Driver()) == CAMERA


@pytest.mark.parametrize("able", [METADATA, OUTPUT])
def test_what_does_not_capture_is_none(able: int) -> None:
    assert ask(Driver(own=able)) is None


def test_an_old_driver_says_only_what_the_whole_device_can() -> None:
    found = ask(Driver(own=0, every=0x05000001))
    assert found is not None and found.capabilities == ["VIDEO_CAPTURE", "READWRITE", "STREAMING"]


def test_an_emulated_format_is_marked() -> None:
    found = ask(Driver(modes=[(b"BGR3", b"24-bit BGR", 3, [(2, 2)])]))
    assert found is not None and found.modes[0]["flags"] == ["COMPRESSED", "EMULATED"]


def test_names_of_formats() -> None:
    pixels = int.from_bytes(b"Y16 ", "little")
    assert (four_characters(pixels), four_characters(pixels | 1 << 31)) == ("Y16", "Y16-BE")


@given(st.lists(st.none() | st.binary(min_size=104, max_size=104), max_size=12))
def test_any_bytes_that_a_driver_answers_can_be_told(answers: list[bytes | None]) -> None:
    waiting = iter(answers)

    def rubbish(_request: int, buffer: bytearray) -> None:
        answer = next(waiting, None)
        if answer is None:
            raise OSError
        buffer[:] = answer[: len(buffer)]

    try:
        found = ask(rubbish)
    except OSError:
        return
    json.dumps(found and found.modes)


def test_a_file_that_is_no_camera_is_none(tmp_path: Path) -> None:
    (tmp_path / "video0").write_text("")
    assert (look(tmp_path / "video0"), look(tmp_path / "missing")) == (None, None)


def test_devices_that_capture_are_listed_with_their_places(tmp_path: Path) -> None:
    root = PRINTER.build(tmp_path)
    asked: list[Path] = []

    def ask_some(path: Path) -> Camera | None:
        asked.append(path)
        return None if path.name == "video2" else CAMERA

    found = video_devices(root, ask_some)
    TypeAdapter(VideoDevices).validate_python(found)
    assert asked == [root / "dev" / name for name in ("video1", "video2", "video14")]
    first, second = found["v4l2_devices"]
    assert first == {
        "device_name": "video1",
        "device_path": "/dev/video1",
        "camera_name": "UVC Camera (046d:0825)",
        "driver_name": "uvcvideo",
        "hardware_bus": "usb-3f980000.usb-1.1",
        "modes": CAMERA.modes,
        "capabilities": ["VIDEO_CAPTURE", "EXT_PIX_FORMAT", "STREAMING"],
        "version": "6.1.63",
        "path_by_hardware": "/dev/v4l/by-path/platform-3f980000.usb-usb-0:1.1:1.0-video-index0",
        "path_by_id": "/dev/v4l/by-id/usb-046d_0825_66EF0390-video-index0",
        "alt_name": "UVC Camera (046d:0825)",
        "usb_location": "1:3",
    }
    assert (second["alt_name"], second["usb_location"]) == ("bcm2835-isp-capture0", None)
    assert found["libcamera_devices"] == []


LIBCAMERA = '''
"""The part of libcamera's Python binding that is used, with the camera of the API's example."""
from types import SimpleNamespace as Is
class Size:
    def __init__(self, width, height): self.width, self.height = width, height
    def __str__(self): return f"{self.width}x{self.height}"
class StreamRole: Raw, VideoRecording = "raw", "video"
properties = Is(Model=7)
class Formats:
    def __init__(self, name): self.pixel_formats = [name]
    def sizes(self, pixels): return [Size(640, 480), Size(1296, 972)]
class Camera:
    def __init__(self, id, model, role, name): self.id, self.properties, self.role, self.name = id, model, role, name
    def generate_configuration(self, roles):
        return Is(size=1, at=lambda index: Is(formats=Formats(self.name))) if roles == [self.role] else None
class CameraManager:
    singleton = classmethod(lambda cls: cls)
    cameras = [Camera("/base/soc/i2c0mux/i2c@1/ov5647@36", {7: "ov5647"}, "raw", "SGBRG10_CSI2P"),
               Camera("/base/soc/usb", {}, "video", "MJPEG"), Camera("/base/none", {}, "", "")]
'''
SIZES = ["640x480", "1296x972"]


def test_what_libcamera_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libcamera.py").write_text(LIBCAMERA)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found: list[Any] = libcamera_devices(sys.executable, str(video.CHILD))
    TypeAdapter(VideoDevices).validate_python({"v4l2_devices": [], "libcamera_devices": found})
    assert found == [
        {
            "libcamera_id": "/base/soc/i2c0mux/i2c@1/ov5647@36",
            "model": "ov5647",
            "modes": [{"format": "SGBRG10_CSI2P", "resolutions": SIZES}],
        },
        {"libcamera_id": "/base/soc/usb", "model": None, "modes": [{"format": "MJPEG", "resolutions": SIZES}]},
        {"libcamera_id": "/base/none", "model": None, "modes": []},
    ]


def test_where_libcamera_fails_there_is_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libcamera.py").write_text("raise OSError('no cameras here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert libcamera_devices(sys.executable, str(video.CHILD)) == []
    assert libcamera_devices(str(tmp_path / "missing")) == []


def test_the_cameras_of_this_machine() -> None:
    """Whatever they are; the test run says where there are none."""
    for camera in filter(None, map(look, CAMERAS)):
        assert camera.driver and camera.capabilities
