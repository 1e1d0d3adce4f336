"""Run by the system's Python, as a program: tells what libcamera knows about cameras, as JSON."""

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any


def cameras(libcamera: Any) -> Iterator[dict[str, Any]]:
    """In the form of peripherals.LibcameraDevice."""
    for camera in libcamera.CameraManager.singleton().cameras:
        yield {
            "libcamera_id": camera.id,
            "model": camera.properties.get(libcamera.properties.Model),
            "modes": modes(libcamera, camera),
        }


def modes(libcamera: Any, camera: Any) -> list[dict[str, Any]]:
    """Of the sensor itself, or, where it shows none, of what comes out."""
    for role in (libcamera.StreamRole.Raw, libcamera.StreamRole.VideoRecording):
        configuration = camera.generate_configuration([role])
        if configuration is not None and configuration.size:
            formats = configuration.at(0).formats
            return [
                {"format": str(pixels), "resolutions": [str(size) for size in formats.sizes(pixels)]}
                for pixels in formats.pixel_formats
            ]
    return []


if __name__ == "__main__":
    json.dump(list(cameras(importlib.import_module("libcamera"))), sys.stdout)
