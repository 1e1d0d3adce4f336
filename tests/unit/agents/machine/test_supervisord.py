"""Where supervisord is found."""

from pathlib import Path

import pytest

from agents.machine import supervisord_place
from agents.machine.provider import Unreachable
from agents.machine.supervisord import Server


@pytest.fixture(autouse=True)
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisord_place, "PLACES", ())
    monkeypatch.delenv("SUPERVISOR_SERVER_URL", raising=False)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("[unix_http_server]\nfile=/run/s.sock ; here\n", Server("/run/s.sock")),
        (
            "[unix_http_server]\nfile=%(here)s/s.sock\nusername=u\npassword=a%%b:c\n",
            Server("{here}/s.sock", "", "u", "a%b:c"),
        ),
        ("[inet_http_server]\nport=*:9001\n", Server(None, "127.0.0.1:9001")),
        ("[inet_http_server]\nport=9001\n", Server(None, "127.0.0.1:9001")),
        ("[inet_http_server]\nport=10.0.0.5:9001\n", Server(None, "10.0.0.5:9001")),
        ("[unix_http_server]\nfile=%(ENV_PLACE)s\n", Server("/run/env.sock")),
    ],
)
def test_a_configuration_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, server: Server) -> None:
    monkeypatch.setenv("PLACE", "/run/env.sock")
    path = tmp_path / "supervisord.conf"
    path.write_text(text)
    found = Server.find(path)
    assert (found.socket, found.address, found.user, found.password) == (
        server.socket and server.socket.format(here=tmp_path),
        server.address,
        server.user,
        server.password,
    )


@pytest.mark.parametrize(
    "text", ["", "[supervisord]\n", "no section", "[unix_http_server]\nfile=%(no", "[a]\n[a", "\xff\xfe"]
)
def test_one_that_does_not_is_a_reason(tmp_path: Path, text: str) -> None:
    path = tmp_path / "supervisord.conf"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Unreachable):
        Server.find(path)


def test_its_programs_find_it_in_their_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable):
        Server.find(None)
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", "unix:///run/supervisor.sock")
    assert Server.find(None) == Server("/run/supervisor.sock")
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", "http://127.0.0.1:9001")
    assert Server.find(None) == Server(None, "127.0.0.1:9001")
