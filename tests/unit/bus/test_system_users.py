"""Who we are on a machine that may not know us."""

import os
import pwd
from pathlib import Path

import pytest

from bus.system_users import at_home, user_name


def test_a_user_without_an_entry_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_name() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 123456789)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert user_name() == "123456789"


def test_a_home_is_filled_in_and_one_that_is_not_there_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert at_home(Path("~/a")) == at_home(Path("a")) == tmp_path / "a"
    with pytest.raises(ValueError, match="~nobody-of-that-name/a: there is no such home"):
        at_home(Path("~nobody-of-that-name/a"))
