"""What the section `webcams` may say."""

import pytest

from agents.webcams.cameras import of_configuration
from agents.webcams.settings import WebcamsSettings
from bus.config import ConfigError, checked


def test_a_uid_stays_and_belongs_to_instance_and_name() -> None:
    options = {"a": {"stream_url": "/a"}, "b": {"stream_url": "/b"}}
    uids = [webcam.uid for instance in ("one", "two", "one") for webcam in of_configuration(instance, options)]
    assert uids[:2] == uids[4:]
    assert len({*uids}) == 4


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "'webcams.bed.stream_url': is required"),
        ({"stream_url": "/a", "rotation": 45}, "'webcams.bed.rotation'"),
        ({"stream_url": "/a", "aspect_ratio": "16/9"}, "expected W:H, such as 16:9"),
        ({"stream_url": "/a", "target_fps": -1}, "'webcams.bed.target_fps'"),
        ({"stream_url": "/a", "snapshoturl": "/b"}, "did you mean 'snapshot_url'?"),
    ],
)
def test_a_mistake_is_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        checked(WebcamsSettings, {"bed": options}, "printer.yaml", prefix="webcams")
    assert complaint in str(refused.value)
