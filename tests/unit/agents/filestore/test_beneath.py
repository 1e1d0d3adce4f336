"""Opening beneath a folder, with the kernel's help and without: what leaves it is refused, also in a race."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agents.filestore import beneath
from agents.filestore.beneath import FOLDER, READ, make_folders, open_beneath


@pytest.fixture(params=["openat2", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "walk":
        monkeypatch.setattr(beneath, "KERNEL", False)
    elif not beneath.KERNEL:
        pytest.skip("this kernel has no openat2")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "root" / "link").symlink_to("../secret")
    (tmp_path / "root" / "self").symlink_to("self")
    (tmp_path / "root" / "out").symlink_to("..")
    handle = os.open(tmp_path / "root", FOLDER)
    yield handle
    os.close(handle)


@pytest.mark.usefixtures("way")
def test_what_is_inside_is_opened(folder: int) -> None:
    found = open_beneath(folder, "a/file", READ)
    assert os.read(found, 100) == b"inside"
    os.close(found)
    os.close(open_beneath(folder, ""))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("../secret", errno.EXDEV),
        ("a/../../secret", errno.EXDEV),
        ("link", errno.ELOOP),
        ("self", errno.ELOOP),
        ("out/secret", errno.ELOOP),
        ("nosuch", errno.ENOENT),
        ("a/file/x", errno.ENOTDIR),
    ],
)
def test_what_is_outside_is_not(folder: int, path: str, error: int) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError) as raised:
        open_beneath(folder, path, READ)
    assert raised.value.errno == error
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.usefixtures("way")
def test_a_folder_that_is_swapped_for_a_link_meanwhile_is_not_followed(folder: int, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("outside")
    root, stop = tmp_path / "root", threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with suppress(OSError):
                (root / "a").rename(root / "b")
                (root / "a").symlink_to(tmp_path / "elsewhere")
                (root / "a").unlink()
                (root / "b").rename(root / "a")

    swapping = threading.Thread(target=swap, name="swapping")
    swapping.start()
    seen = set()
    try:
        for _ in range(3000):
            with suppress(OSError):
                found = open_beneath(folder, "a/file", READ)
                seen.add(os.read(found, 100))
                os.close(found)
    finally:
        stop.set()
        swapping.join()
    assert seen <= {b"inside"}


@pytest.mark.usefixtures("way")
def test_folders_are_made_and_links_among_them_refused(folder: int, tmp_path: Path) -> None:
    make_folders(folder, "x/y/z")
    make_folders(folder, "x/y")
    assert (tmp_path / "root" / "x" / "y" / "z").is_dir()
    with pytest.raises(OSError):
        make_folders(folder, "out/new")
    assert not (tmp_path / "new").exists()
