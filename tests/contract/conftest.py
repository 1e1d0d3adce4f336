"""Certificates, and a word at the end about brokers to which the contract could not be held: they are not installed."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from tests.foreign_brokers import MISSING


class Terminal(Protocol):
    """The part of pytest's terminal that is used."""

    section: Callable[[str], None]
    line: Callable[[str], None]


def pytest_terminal_summary(terminalreporter: Terminal) -> None:
    """Lists them."""
    if MISSING:
        terminalreporter.section("not installed, so uplinks to them were not tried")
        terminalreporter.line(", ".join(MISSING))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server and a client certificate it signed."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    key = (*curve, "-addext", "keyUsage=critical,digitalSignature,keyCertSign")  # Python 3.13 verifies strictly
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    for name in ("server", "client"):
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
        openssl("req", "-x509", *key, *signed, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    return folder
