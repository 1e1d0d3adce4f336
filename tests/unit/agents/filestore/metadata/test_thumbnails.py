import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from agents.filestore.metadata import excerpt, renamed
from agents.filestore.roots import TEMPORARY
from schemas.gcode_metadata import GcodeMetadata

from .pictures import block, picture
from .scans import scanned

BOMB = 30_000  # pixels of either side


class Folder:
    """A folder in which gcode is scanned."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def scan(self, comments: str, name: str = "part.gcode", after: str = "") -> list[tuple[str, int, int]]:
        """What the metadata of a gcode file with these comments (and these lines at the end) lists; it is there."""
        path = self.path / "upload.tmp"
        path.write_text(comments + "G28\n" + after)
        metadata, rewritten = scanned(path, self.descriptor, name)
        assert not rewritten
        listed = metadata.thumbnails
        assert not [path.name for path in self.path.rglob("*") if path.name.startswith(TEMPORARY)]
        assert all((self.path / each.relative_path).stat().st_size == each.size for each in listed)
        return [(each.relative_path, each.width, each.height) for each in listed]

    def thumbs(self) -> set[str]:
        """The names in `.thumbs`."""
        return {path.name for path in (self.path / ".thumbs").iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    os.close(made.descriptor)


def test_pictures_are_kept_as_they_are_and_a_small_one_is_made(folder: Folder) -> None:
    large = picture(220, 124)
    listed = folder.scan(block(picture(16, 16), "16x16") + block(large, "220x124"), "a b.c.gcode")
    assert listed == [
        (".thumbs/a b.c-32x32.png", 32, 18),
        (".thumbs/a b.c-16x16.png", 16, 16),
        (".thumbs/a b.c-220x124.png", 220, 124),
    ]
    assert (folder.path / ".thumbs" / "a b.c-220x124.png").read_bytes() == large


def test_a_small_picture_of_the_slicer_is_used(folder: Folder) -> None:
    listed = folder.scan(block(picture(300, 300), "300x300") + block(picture(32, 32), "32x32"))
    assert listed == [(".thumbs/part-300x300.png", 300, 300), (".thumbs/part-32x32.png", 32, 32)]


def test_jpg_stays_and_qoi_becomes_png(folder: Folder) -> None:
    comments = block(picture(48, 48, "JPEG"), "48x48", "thumbnail_JPG")
    comments += block(picture(64, 40, "QOI"), "64x40", "thumbnail_QOI")
    listed = folder.scan(comments)
    assert [path for path, _, _ in listed] == [
        ".thumbs/part-32x32.png",
        ".thumbs/part-48x48.jpg",
        ".thumbs/part-64x40.png",
    ]
    with Image.open(folder.path / ".thumbs" / "part-64x40.png") as image:
        assert (image.format, image.size, image.convert("RGB").getpixel((5, 5))) == ("PNG", (64, 40), (200, 80, 10))


def test_the_real_size_counts_not_the_stated_one(folder: Folder) -> None:
    assert folder.scan(block(picture(32, 32), "99999x1")) == [(".thumbs/part-32x32.png", 32, 32)]


def test_each_size_is_kept_once(folder: Folder) -> None:
    once = block(picture(50, 50), "50x50")
    assert folder.scan(once + once) == [(".thumbs/part-32x32.png", 32, 32), (".thumbs/part-50x50.png", 50, 50)]


def bomb(kind: str) -> bytes:
    """A small file that would unpack to 2.7 GB."""
    if kind == "qoi":
        return b"qoif" + struct.pack(">IIBB", BOMB, BOMB, 3, 0) + b"\xfd" * 1000
    header = struct.pack(">IIBBBBB", BOMB, BOMB, 8, 2, 0, 0, 0)
    body = b"".join(_chunk(name, data) for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 10**6))))
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize(
    "hostile",
    [
        block(bomb("png"), "32x32"),
        block(bomb("qoi"), "32x32", "thumbnail_QOI"),
        block(picture(40, 40, "QOI")[:30], "40x40", "thumbnail_QOI"),
        block(b"<svg onload=alert(1)>", "32x32"),
        block(b"", "32x32"),
        block(b"\x89PNG\r\n\x1a\n", "0x0"),
        "; thumbnail begin 32x32 8\n; ====!!!!\n; thumbnail end\n",
        "; thumbnail begin 32x32 8\n; iVBORw0KGgo\n",  # no end
        "; thumbnail begin ../../x 8\n; AAAA\n; thumbnail end\n",
        "; thumbnail begin 32x32 99999999999999999999\n; thumbnail end\n",
    ],
    ids=["png bomb", "qoi bomb", "half a qoi", "svg", "empty", "cut", "not base64", "no end", "path", "length"],
)
def test_broken_and_monstrous_pictures_are_left_out(folder: Folder, hostile: str) -> None:
    good = block(picture(32, 32), "32x32")
    assert folder.scan(hostile) == []
    assert folder.scan(good + hostile) == [(".thumbs/part-32x32.png", 32, 32)]


def test_a_broken_picture_is_no_reason_to_lose_the_others(folder: Folder) -> None:
    torn = picture(100, 100)[:60]  # has a size, and no more
    assert folder.scan(block(torn, "100x100") + block(picture(20, 20), "20x20"))[-1] == (
        ".thumbs/part-20x20.png",
        20,
        20,
    )


@pytest.mark.parametrize("moves", [0, 100_000, 400_000], ids=["small", "beyond the tail", "beyond the head"])
def test_pictures_after_the_commands_are_found(folder: Folder, moves: int) -> None:
    after = block(picture(100, 60), "100x60") + "G1 X1 Y1 E.01\n" * moves + block(picture(90, 90), "90x90") + "; end\n"
    assert folder.scan(block(picture(32, 32), "32x32"), after=after) == [
        (".thumbs/part-32x32.png", 32, 32),
        (".thumbs/part-100x60.png", 100, 60),
        (".thumbs/part-90x90.png", 90, 90),
    ]


def test_no_more_than_some_pictures_are_kept(folder: Folder) -> None:
    listed = folder.scan("".join(block(picture(10 + n, 10), f"{10 + n}x10") for n in range(30)))
    assert len(listed) == excerpt.MAX_PICTURES + 1


def test_a_link_in_place_of_thumbs_is_not_followed(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder.path / ".thumbs").symlink_to(elsewhere)
    assert folder.scan(block(picture(32, 32), "32x32")) == []
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_place_of_a_picture_is_replaced_not_followed(folder: Folder) -> None:
    victim = folder.path / "printer.cfg"
    victim.write_text("[printer]")
    (folder.path / ".thumbs").mkdir()
    (folder.path / ".thumbs" / "part-32x32.png").symlink_to(victim)
    assert len(folder.scan(block(picture(32, 32), "32x32"))) == 1
    assert victim.read_text() == "[printer]"


def test_names_that_no_json_can_say_have_no_pictures(folder: Folder) -> None:
    assert folder.scan(block(picture(32, 32), "32x32"), os.fsdecode(b"caf\xe9.gcode")) == []


def test_over_long_names_have_no_pictures(folder: Folder) -> None:
    assert folder.scan(block(picture(32, 32), "32x32"), "x" * 249 + ".gcode") == []


def test_pictures_of_an_earlier_version_go_and_those_of_others_stay(folder: Folder) -> None:
    folder.scan(block(picture(90, 90), "90x90"))
    folder.scan(block(picture(90, 90), "90x90"), "part-2.gcode")
    folder.scan(block(picture(32, 32), "32x32"))
    assert folder.thumbs() == {"part-32x32.png", "part-2-32x32.png", "part-2-90x90.png"}
    folder.scan("")
    assert folder.thumbs() == {"part-2-32x32.png", "part-2-90x90.png"}


def test_without_pillow_pictures_are_kept_and_none_is_drawn(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    comments = block(picture(220, 124), "220x124") + block(picture(48, 48, "JPEG"), "48x48", "thumbnail_JPG")
    comments += block(bomb("qoi"), "32x32", "thumbnail_QOI")
    assert folder.scan(comments) == [(".thumbs/part-220x124.png", 220, 124), (".thumbs/part-48x48.jpg", 48, 48)]


def test_pictures_follow_their_file_to_another_name(folder: Folder) -> None:
    paths = [path for path, _, _ in folder.scan(block(picture(90, 90), "90x90"))]
    entries = [{"width": 1, "height": 1, "size": 1, "relative_path": path} for path in paths]
    metadata = GcodeMetadata.model_validate({"size": 1, "modified": 1, "uuid": "x", "thumbnails": entries})
    moved, moves = renamed(metadata, "part.gcode", "new name.gcode")
    assert moves == [
        (".thumbs/part-32x32.png", ".thumbs/new name-32x32.png"),
        (".thumbs/part-90x90.png", ".thumbs/new name-90x90.png"),
    ]
    assert [each.relative_path for each in moved.thumbnails] == [new for _, new in moves]
    assert moved.model_fields_set == metadata.model_fields_set
