"""Where files are, as it is configured."""

from pathlib import Path
from typing import Any

import pytest

from agents.filestore.settings import FileStoreSettings
from bus.config import ConfigError, checked


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = FileStoreSettings.model_validate(
        {"gcodes": "~/prints", "links": ["~"], "roots": {"usb": {"path": "/media/~"}}}
    )
    assert (settings.gcodes, settings.links, settings.config) == (tmp_path / "prints", [tmp_path], None)
    assert settings.roots["usb"].path == Path("/media/~")


@pytest.mark.parametrize(
    "options",
    [
        {"gcodes": "~nobodyhere/x"},
        {"config": "~nobodyhere"},
        {"logs": "~nobodyhere/x"},
        {"links": ["/media", "~nobodyhere/x"]},
        {"roots": {"usb": {"path": "~nobodyhere/x"}}},
    ],
    ids=lambda options: str(*options),
)
def test_the_home_of_nobody_is_a_mistake_that_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"~nobodyhere.*no such home folder"):
        checked(FileStoreSettings, options, "printer.yaml", prefix="filestore")
