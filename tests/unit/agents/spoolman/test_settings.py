"""The section of the configuration."""

import pytest
from pydantic import ValidationError

from agents.spoolman.service import Service
from agents.spoolman.settings import SpoolmanSettings


@pytest.mark.parametrize(
    ("server", "events"),
    [
        ("http://192.168.1.5:7912", "ws://192.168.1.5:7912/api/v1/spool"),
        ("spoolman.local:7912", "ws://spoolman.local:7912/api/v1/spool"),
        ("192.168.1.5", "ws://192.168.1.5/api/v1/spool"),
        ("http://spoolman.local/", "ws://spoolman.local/api/v1/spool"),
        ("https://[::1]:7912/below/", "wss://[::1]:7912/below/api/v1/spool"),
    ],
)
def test_a_server_has_its_events_on_a_websocket(server: str, events: str) -> None:
    settings = SpoolmanSettings(server=server)
    assert Service(settings.server).events == events and settings.sync_rate == 5


WRONG = ["", "ftp://x", "http://", "http://x?a=1", "http://x/#a", "http://x:0", "http://x:99999"]
WRONG += ["http://x y", "http://x\r\n", "http://ü", "file:///etc/passwd", "http://[::1"]


@pytest.mark.parametrize("server", WRONG)
def test_what_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(ValidationError):
        SpoolmanSettings(server=server)


@pytest.mark.parametrize("rate", [0, -1, 1e9, "often"])
def test_a_rate_has_bounds(rate: object) -> None:
    with pytest.raises(ValidationError):
        SpoolmanSettings.model_validate({"server": "http://x", "sync_rate": rate})
