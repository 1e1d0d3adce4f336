"""Webcams: where front ends find streams and snapshots, and how they show them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field

from .base import CHANGES, Bool, Int, Method, Model, NoParams, Notification, Params, Permission

OWNER = "webcams"
MAX_NAME, MAX_URL = 256, 2048  # characters
STORED_NAMES: Final[Mapping[str, str]] = {
    "stream_url": "urlStream",
    "snapshot_url": "urlSnapshot",
    "target_fps": "targetFps",
    "target_fps_idle": "targetFpsIdle",
    "flip_horizontal": "flipX",
    "flip_vertical": "flipY",
    "aspect_ratio": "aspectRatio",
}
"""What members are called in Moonraker's database, where that is something else."""
OUR_NAMES: Final = {stored: ours for ours, stored in STORED_NAMES.items()}


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _ratio(text: str) -> str:
    width, _, height = text.partition(":")
    if not all(part.isdecimal() and int(part) > 0 for part in (width, height)):
        raise ValueError("expected W:H, such as 16:9")
    return text


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Word = Annotated[str, Field(max_length=MAX_NAME)]
Url = Annotated[str, Field(max_length=MAX_URL)]
StreamUrl = Annotated[str, Field(min_length=1, max_length=MAX_URL)]
Rate = Annotated[Int, Field(ge=0, le=1000)]
Rotation = Annotated[Literal[0, 90, 180, 270], BeforeValidator(_number)]
AspectRatio = Annotated[str, Field(max_length=32), AfterValidator(_ratio)]


class Webcam(Model):
    """One webcam; addresses are absolute, or relative to this host."""

    name: Name = Field(description="Unique.")
    enabled: bool = True
    icon: Word = Field("mdiWebcam", description="One of the front ends' icons.")
    aspect_ratio: AspectRatio = Field("4:3", description="Width and height, `W:H`.")
    target_fps: Rate = Field(15, description="Frames a second while something is going on.")
    target_fps_idle: Rate = Field(5, description="Frames a second otherwise.")
    location: Word = Field("printer", description="What it looks at, in a word of the front ends'.")
    service: Word = Field("mjpegstreamer", description="What streams, in a word of the front ends'.")
    stream_url: Url
    snapshot_url: Url = Field("", description="Empty where there are no snapshots.")
    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation: Rotation = Field(0, description="Degrees, clockwise.")
    source: Literal["config", "database"] = Field("database", description="Those of `config` are read-only here.")
    extra_data: dict[str, Any] = Field({}, description="What front ends keep with it.")
    uid: str = Field(description="Stays what it is when the webcam is renamed.")

    @classmethod
    def from_stored(cls, uid: str, stored: Mapping[str, Any]) -> Self:
        """From the form of Moonraker's database. Raises ValidationError."""
        return cls(**cls.named(uid, stored))

    @classmethod
    def named(cls, uid: str, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Members in the form of Moonraker's database, by our names, unchecked; unknown ones become extra data."""
        found = {OUR_NAMES.get(name, name): value for name, value in stored.items() if value is not None}
        found.setdefault("rotation", found.pop("rotate", 0))  # as it was called once
        known = {name: found.pop(name) for name in cls.model_fields if name in found}
        extra = known.setdefault("extra_data", {})
        if isinstance(extra, dict):
            known["extra_data"] = {**extra, **found}
        return known | {"uid": uid, "source": "database"}

    def as_stored(self) -> dict[str, Any]:
        """In the form of Moonraker's database."""
        members = self.model_dump(mode="json", exclude={"uid", "source"})
        return {STORED_NAMES.get(name, name): value for name, value in members.items()}


class Webcams(Model):
    """All of them, those of the configuration first."""

    webcams: list[Webcam]


class OneWebcam(Model):
    """One of them."""

    webcam: Webcam


class WebcamParams(Params):
    """Which one: by `uid`, or, for older clients, by `name`."""

    uid: str | None = None
    name: str | None = Field(None, description="Only looked at without `uid`.")


class PostParams(Params):
    """What is to be changed, or a new webcam, which needs `name` and `stream_url`; null is as good as left out."""

    uid: str | None = Field(None, description="Of the webcam to change; without it, `name` may name one.")
    name: Name | None = None
    enabled: Bool | None = None
    icon: Word | None = None
    aspect_ratio: AspectRatio | None = None
    target_fps: Rate | None = None
    target_fps_idle: Rate | None = None
    location: Word | None = None
    service: Word | None = None
    stream_url: StreamUrl | None = None
    snapshot_url: Url | None = None
    flip_horizontal: Bool | None = None
    flip_vertical: Bool | None = None
    rotation: Rotation | None = None
    extra_data: dict[str, Any] | None = Field(None, description="Replaces what was there.")


class StoreParams(Params):
    """A place in the webcams in the form of Moonraker's database, and what is to be there; left out: nothing."""

    key: list[str] = Field(min_length=1, max_length=32, description="The uid, and where in that webcam.")
    value: Any = None


class Stored(Model):
    """What was there, null where there was nothing."""

    previous: Any


class Tested(Model):
    """What became of its addresses, and whether a snapshot can be had."""

    name: str
    snapshot_reachable: bool = Field(description="False as well where there is none, or not over HTTP.")
    snapshot_url: str = Field(description="As this host would ask for it.")
    stream_url: str


LIST = Method(
    "server.webcams.list",
    NoParams,
    Webcams,
    OWNER,
    Permission.READ,
    ("GET /server/webcams/list",),
    summary="All webcams.",
)
GET = Method(
    "server.webcams.get_item",
    WebcamParams,
    OneWebcam,
    OWNER,
    Permission.READ,
    ("GET /server/webcams/item",),
    summary="One webcam.",
)
POST = Method(
    "server.webcams.post_item",
    PostParams,
    OneWebcam,
    OWNER,
    Permission.CONTROL,
    ("POST /server/webcams/item",),
    flags=CHANGES,
    summary="Adds a webcam, or changes what is given of one.",
)
DELETE = Method(
    "server.webcams.delete_item",
    WebcamParams,
    OneWebcam,
    OWNER,
    Permission.CONTROL,
    ("DELETE /server/webcams/item",),
    flags=CHANGES,
    summary="Removes a webcam, and answers what it was.",
)
STORE = Method(
    "webcams.store",
    StoreParams,
    Stored,
    OWNER,
    Permission.CONTROL,
    flags=CHANGES,
    summary="Changes webcams in the form of the namespace `webcams`.",
)
TEST = Method(
    "server.webcams.test",
    WebcamParams,
    Tested,
    OWNER,
    Permission.CONTROL,
    ("POST /server/webcams/test",),
    summary="Resolves a webcam's addresses and asks for a snapshot.",
)

CHANGED = Notification("notify_webcams_changed", "A webcam was added, changed or removed.", tuple[Webcams])
