"""Files where their owner has put them: Klipper's log and configuration elsewhere, links, and a stick in a root."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_print import get, until
from tests.fault.test_log_full_disk import mountable
from tests.file_client import download, request, upload
from tests.program import Addresses, running
from tests.unit.agents.filestore.metadata.pictures import block, picture
from tests.virtual_printer import virtual_printer

GCODE = Path(__file__).parent.parent / "data" / "gcode" / "prusaslicer.gcode"


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """A server whose Klipper keeps its files beside the data folder."""
    folder = tmp_path_factory.mktemp("places")
    own, data = folder / "klipper", folder / "data"
    own.mkdir()
    (own / "printer.cfg").write_text("[printer]\n")
    (folder / "mainsail-config").mkdir()
    (folder / "mainsail-config" / "mainsail.cfg").write_text("[virtual_sdcard]\n")
    (data / "config").mkdir(parents=True)
    (data / "config" / "mainsail.cfg").symlink_to(folder / "mainsail-config" / "mainsail.cfg")
    (data / "config" / "mainsail").symlink_to(folder / "mainsail-config")
    options = ("--config", str(own / "printer.cfg"), "--log", str(own / "klippy.log"))
    with virtual_printer(*options) as printer, running(data, "--klippy", str(printer.socket)) as (_, addresses):
        until(lambda: bool(get(addresses, "/server/info")["klippy_state"] == "ready"))
        yield addresses


def test_klippers_log_is_found_where_it_is(where: Addresses) -> None:
    log = where.data.parent / "klipper" / "klippy.log"
    log.write_text("of this Klipper\n")
    (where.data / "logs" / "klippy.log").write_text("of another one\n")
    until(lambda: bool(download(where, "klippy.log").body == b"of this Klipper\n"))
    log.unlink()
    assert download(where, "klippy.log").body == b"of another one\n"
    assert "klippy.log" in download(where, "klippy.log").headers["content-disposition"]


def test_a_configuration_elsewhere_is_warned_of(where: Addresses) -> None:
    until(lambda: any("klipper/printer.cfg" in text for text in get(where, "/server/info")["warnings"]))


def test_links_of_the_owner_can_be_read_but_not_changed(where: Addresses) -> None:
    found = get(where, "/server/files/directory?path=config")
    (link,) = [file for file in found["files"] if file["filename"] == "mainsail.cfg"]
    assert (link["permissions"], link["size"]) == ("r", 17)
    (inside,) = get(where, "/server/files/directory?path=config/mainsail")["files"]
    assert (inside["filename"], inside["permissions"]) == ("mainsail.cfg", "r")
    for path in ("config/mainsail.cfg", "config/mainsail/mainsail.cfg"):
        assert download(where, path).body == b"[virtual_sdcard]\n"
    assert upload(where, "mainsail.cfg", b"mine", root="config").status == 400
    assert upload(where, "mainsail.cfg", b"mine", root="config", path="mainsail").status in (400, 403)
    assert request(where, "DELETE", "/server/files/config/mainsail/mainsail.cfg").status == 403
    copied = request(where, "POST", "/server/files/copy?source=config/mainsail.cfg&dest=config/own.cfg")
    assert copied.status == 200 and not (where.data / "config" / "own.cfg").is_symlink()
    assert upload(where, "own.cfg", b"mine", root="config").status == 201
    target = where.data.parent / "mainsail-config" / "mainsail.cfg"
    assert target.read_text() == "[virtual_sdcard]\n"


def test_folders_behind_links_are_listed_and_their_gcode_is_described(where: Addresses) -> None:
    library, link = where.data.parent / "library", where.data / "gcodes" / "shelf"
    (library / "deep").mkdir(parents=True)
    with_picture = block(picture(32, 32), "32x32") + GCODE.read_text()
    (library / "deep" / "part.gcode").write_text(with_picture)
    (where.data / "gcodes" / "own.gcode").write_text(with_picture)
    (library / "up").symlink_to(where.data)
    link.symlink_to(library)
    until(lambda: "shelf/deep/part.gcode" in paths(where))
    (found,) = [file for file in get(where, "/server/files/list") if file["path"] == "shelf/deep/part.gcode"]
    assert found["permissions"] == "r"
    described = get(where, "/server/files/metadata?filename=shelf/deep/part.gcode")
    assert described["slicer"] == "PrusaSlicer" and "thumbnails" not in described
    assert not (library / "deep" / ".thumbs").exists()  # nothing is written behind a link
    assert get(where, "/server/files/metadata?filename=own.gcode")["thumbnails"]
    (library / "late.gcode").write_text("G28\n")
    until(lambda: "shelf/late.gcode" in paths(where))
    assert not any(path.startswith("shelf/up/") for path in paths(where))
    link.unlink()
    until(lambda: not any(path.startswith("shelf") for path in paths(where)))
    assert (library / "deep" / "part.gcode").exists()


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """A small disk of its own in a folder; for root only."""
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "stick", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def paths(where: Addresses) -> list[str]:
    return [file["path"] for file in get(where, "/server/files/list")]


@pytest.mark.skipif(not mountable(), reason="this machine lets us mount nothing")
def test_a_stick_is_seen_when_it_comes_and_when_it_goes(where: Addresses) -> None:
    stick = where.data / "gcodes" / "usb"
    stick.mkdir()
    with mounted(stick):
        (stick / "stick.gcode").write_text("G28\n")
        (stick / "out.gcode").symlink_to(where.data.parent / "klipper" / "printer.cfg")
        until(lambda: "usb/stick.gcode" in paths(where))
        assert download(where, "gcodes/usb/stick.gcode").body == b"G28\n"
        assert download(where, "gcodes/usb/out.gcode").status == 403
        assert upload(where, "new.gcode", path="usb").status == 201
        assert (
            request(where, "POST", "/server/files/move?source=gcodes/usb/new.gcode&dest=gcodes/x.gcode").status == 200
        )
    until(lambda: "usb/stick.gcode" not in paths(where))
    assert "x.gcode" in paths(where)
