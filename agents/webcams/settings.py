"""The section `webcams` of printer.yaml: each webcam by its name."""

from typing import Any

from pydantic import ConfigDict

from bus.agent import Settings
from schemas.webcams import AspectRatio, Rate, Rotation, StreamUrl, Url, Word


class WebcamSettings(Settings):
    """One webcam, with the meaning that `server.webcams.post_item` gives these options."""

    stream_url: StreamUrl
    snapshot_url: Url = ""
    location: Word = "printer"
    icon: Word = "mdiWebcam"
    enabled: bool = True
    service: Word = "mjpegstreamer"
    target_fps: Rate = 15
    target_fps_idle: Rate = 5
    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation: Rotation = 0
    aspect_ratio: AspectRatio = "4:3"


class WebcamsSettings(Settings):
    """Webcams by name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    __pydantic_extra__: dict[str, WebcamSettings]

    def options(self) -> dict[str, dict[str, Any]]:
        """The options of each webcam."""
        return {name: each.model_dump() for name, each in self.__pydantic_extra__.items()}
