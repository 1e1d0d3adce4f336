import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.filestore.metadata.errors import NotGcode
from agents.filestore.metadata.names import gcode_name
from agents.filestore.metadata.scan import Order, scan

from .pictures import picture

GCODE = b";TIME:60\n;Generated with Cura_SteamEngine 5.7.1\nG28\nG1 X1 Y1 E1\n" * 100


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def archive(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path / "upload.tmp", "w", method) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return path / "upload.tmp"


def unpack(path: Path, folder: int, output: str | None = ".new") -> dict[str, object]:
    with path.open("rb") as file:
        metadata, rewritten = scan(Order(file.fileno(), folder, "part.ufp", output), lambda share: None)
    assert rewritten
    return metadata


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_gcode_and_picture_are_unpacked(tmp_path: Path, folder: int, method: int) -> None:
    entries = {"/3D/model.gcode": GCODE, "/Metadata/thumbnail.png": picture(300, 300), "[Content_Types].xml": b"<x/>"}
    metadata = unpack(archive(tmp_path, entries, method), folder)
    assert (tmp_path / ".new").read_bytes() == GCODE
    assert (metadata["slicer"], metadata["size"], metadata["estimated_time"]) == ("Cura", len(GCODE), 60.0)
    assert [(entry["relative_path"], entry["width"]) for entry in metadata["thumbnails"]] == [  # type: ignore[attr-defined]
        (".thumbs/part-32x32.png", 32),
        (".thumbs/part.png", 300),
    ]


def test_the_picture_is_found_again_when_the_gcode_is_scanned_later(tmp_path: Path, folder: int) -> None:
    first = unpack(archive(tmp_path, {"3D/model.gcode": GCODE, "Metadata/thumbnail.png": picture(300, 300)}), folder)
    with (tmp_path / ".new").open("rb") as file:
        again, rewritten = scan(Order(file.fileno(), folder, "part.gcode"), lambda share: None)
    assert not rewritten
    assert again["thumbnails"] == first["thumbnails"]


def test_a_broken_picture_is_no_reason_to_refuse_the_gcode(tmp_path: Path, folder: int) -> None:
    metadata = unpack(archive(tmp_path, {"3D/model.gcode": GCODE, "Metadata/thumbnail.png": b"no"}), folder)
    assert "thumbnails" not in metadata


def encrypted(path: Path) -> Path:
    data = bytearray(archive(path, {"3D/model.gcode": GCODE}).read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    return rewritten(path, bytes(data))


def rewritten(path: Path, data: bytes) -> Path:
    (path / "upload.tmp").write_bytes(data)
    return path / "upload.tmp"


def torn(data: bytes) -> bytes:
    """With other bytes in the middle of what is compressed."""
    return data[:60] + bytes(20) + data[80:]


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "not a zip": lambda path: rewritten(path, b"G28\n" * 99),
    "empty": lambda path: rewritten(path, b""),
    "cut": lambda path: rewritten(path, archive(path, {"3D/model.gcode": GCODE}).read_bytes()[:-40]),
    "torn": lambda path: rewritten(
        path, archive(path, {"3D/model.gcode": GCODE}).read_bytes().replace(b"\x01", b"\x02")
    ),
    "no gcode": lambda path: archive(path, {"3D/other.gcode": GCODE}),
    "other place": lambda path: archive(path, {"../3D/model.gcode": GCODE, "x/3D/model.gcode": GCODE}),
    "bomb": lambda path: archive(path, {"3D/model.gcode": b"\0" * (20 << 20)}),
    "many entries": lambda path: archive(path, {"3D/model.gcode": GCODE} | {f"{n}": b"" for n in range(99)}),
    "slow method": lambda path: archive(path, {"3D/model.gcode": GCODE}, zipfile.ZIP_LZMA),
    "encrypted": encrypted,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(tmp_path: Path, folder: int, name: str) -> None:
    path = HOSTILE[name](tmp_path)
    with pytest.raises(NotGcode):
        unpack(path, folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["upload.tmp"]


def test_a_size_that_lies_is_refused(tmp_path: Path, folder: int) -> None:
    data = bytearray(archive(tmp_path, {"3D/model.gcode": GCODE}, zipfile.ZIP_STORED).read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = (10).to_bytes(4, "little")
    with pytest.raises(NotGcode):
        unpack(rewritten(tmp_path, bytes(data)), folder)


def test_links_are_read_as_what_they_are_never_made(tmp_path: Path, folder: int) -> None:
    entry = zipfile.ZipInfo("3D/model.gcode")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "upload.tmp", "w") as made:
        made.writestr(entry, "/etc/passwd")
    unpack(tmp_path / "upload.tmp", folder)
    assert not (tmp_path / ".new").is_symlink()
    assert (tmp_path / ".new").read_text() == "/etc/passwd"


def test_an_archive_needs_an_output(tmp_path: Path, folder: int) -> None:
    with pytest.raises(NotGcode):
        unpack(archive(tmp_path, {"3D/model.gcode": GCODE}), folder, None)


@pytest.mark.parametrize(
    ("name", "gcode"), [("a.ufp", "a.gcode"), ("a.b.UFP", "a.b.gcode"), ("a.gcode", "a.gcode"), (".ufp", ".ufp")]
)
def test_the_name_of_what_is_unpacked(name: str, gcode: str) -> None:
    assert gcode_name(name) == gcode
