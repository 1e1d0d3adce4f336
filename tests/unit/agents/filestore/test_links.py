"""Links in a root: those of the owner are followed for reading, and nobody else's lead out of it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.filestore import changes, entries, links
from agents.filestore.beneath import READ
from agents.filestore.entries import File, Folder, look, look_at_folder
from agents.filestore.links import Trust, follow
from agents.filestore.roots import Location, Reserved, Roots
from bus.errors import BusError, Forbidden

Make = Callable[..., Location]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes the root `config`; its argument are the folders that links may lead into."""
    made: list[Roots] = []
    (tmp_path / "config").mkdir()
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "mainsail.cfg").write_text("[pause_resume]")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    (tmp_path / "config" / "mainsail.cfg").symlink_to(tmp_path / "themes" / "mainsail.cfg")
    (tmp_path / "config" / "themes").symlink_to("../themes")
    (tmp_path / "config" / "key").symlink_to("../private/key")
    (tmp_path / "config" / "via").symlink_to("themes/../../private")
    (tmp_path / "config" / "memory").symlink_to("/proc/self/environ")
    (tmp_path / "config" / "zero").symlink_to("/dev/zero")
    (tmp_path / "config" / "loop").symlink_to("loop")

    def root(allowed: list[str] | None = None) -> Location:
        made.append(Roots([Reserved(str(tmp_path / "private"))], allowed))
        return Location(made[-1].add("config", tmp_path / "config", writable=True))

    root.roots = made  # type: ignore[attr-defined]
    yield root
    for each in made:
        each.close()


def test_a_link_to_a_folder_is_looked_into_once_and_only_so_far(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make()
    (tmp_path / "themes" / "again").symlink_to(tmp_path / "themes")
    (tmp_path / "config" / "above").symlink_to(tmp_path)
    (tmp_path / "config" / "here").symlink_to(".")
    seen = look(make.roots[-1], config)  # type: ignore[attr-defined]
    assert isinstance(seen, Folder) and all(seen.folders[name].link for name in ("themes", "above", "here"))
    themes = seen.folders["themes"]
    assert list(themes.files) == ["mainsail.cfg"] and themes.files["mainsail.cfg"].permissions == "r"
    assert not themes.folders["again"].files and not seen.folders["above"].folders and not seen.folders["here"].files
    monkeypatch.setattr(entries, "MAX_BEHIND", 1)
    again = look(make.roots[-1], config)  # type: ignore[attr-defined]
    assert isinstance(again, Folder)
    assert len(again.folders["themes"].files) + len(again.folders["themes"].folders) == 1


def content(roots: Roots, location: Location) -> str:
    with os.fdopen(roots.open_file(location), "r") as file:
        return file.read()


@pytest.fixture
def roots(make: Make) -> Roots:
    make()
    found: Roots = make.roots[-1]  # type: ignore[attr-defined]
    return found


def in_config(roots: Roots, path: str) -> Location:
    return roots.within("config", path)


@pytest.mark.parametrize("path", ["mainsail.cfg", "themes/mainsail.cfg"])
def test_links_of_the_owner_are_followed_for_reading(roots: Roots, path: str) -> None:
    location = in_config(roots, path)
    assert content(roots, location) == "[pause_resume]"
    assert roots.is_linked(location) and not roots.is_linked(in_config(roots, "nosuch"))


def test_what_they_lead_to_is_shown_as_read_only(roots: Roots) -> None:
    found = look(roots, in_config(roots, "mainsail.cfg"))
    assert isinstance(found, File) and (found.permissions, found.size) == ("r", 14)
    folder = look_at_folder(roots, in_config(roots, "themes"))
    assert folder is not None and folder.permissions == "r"
    assert folder.files["mainsail.cfg"].permissions == "r"


@pytest.mark.parametrize("path", ["key", "via/key", "memory", "zero", "loop", "loop/x", "themes/../../private/key"])
def test_not_to_what_is_reserved_nor_to_what_belongs_to_the_system(roots: Roots, path: str) -> None:
    with pytest.raises((OSError, BusError)):
        os.close(roots.open(in_config(roots, path), READ))


def test_nothing_is_changed_through_them(roots: Roots, tmp_path: Path) -> None:
    inside = in_config(roots, "themes/mainsail.cfg")
    with pytest.raises(Forbidden):
        changes.delete_file(roots, inside)
    with pytest.raises(Forbidden):
        changes.move(roots, inside, in_config(roots, "moved.cfg"))
    with pytest.raises(Forbidden):
        changes.make_folder(roots, in_config(roots, "themes/new"))
    changes.delete_file(roots, in_config(roots, "mainsail.cfg"))
    assert [path.name for path in (tmp_path / "themes").iterdir()] == ["mainsail.cfg"]


def test_a_relative_link_does_not_come_to_lead_elsewhere(roots: Roots, tmp_path: Path) -> None:
    changes.make_folder(roots, in_config(roots, "deep"))
    with pytest.raises(Forbidden):
        changes.move(roots, in_config(roots, "themes"), in_config(roots, "deep/themes"))
    changes.move(roots, in_config(roots, "themes"), in_config(roots, "renamed"))
    changes.move(roots, in_config(roots, "mainsail.cfg"), in_config(roots, "deep/mainsail.cfg"))
    assert content(roots, in_config(roots, "deep/mainsail.cfg")) == "[pause_resume]"


def test_others_links_lead_nowhere(roots: Roots, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config" / "own.cfg").write_text("inside")
    (tmp_path / "config" / "inside.cfg").symlink_to("own.cfg")
    monkeypatch.setattr(links, "trust_in", lambda _folder: Trust({12345}, {os.lstat("/").st_dev}))
    monkeypatch.setattr("agents.filestore.roots.trust_in", links.trust_in)
    with pytest.raises(Forbidden):
        roots.open_file(in_config(roots, "mainsail.cfg"))
    assert content(roots, in_config(roots, "inside.cfg")) == "inside"
    assert look(roots, in_config(roots, "mainsail.cfg")) is not None


def test_trust_needs_the_owner_and_the_disk(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    found = os.lstat(tmp_path / "link")
    start = os.path.realpath(tmp_path)
    assert follow(start, "link", Trust({found.st_uid}, {found.st_dev})).trusted
    for trust in (Trust({found.st_uid + 1}, {found.st_dev}), Trust({found.st_uid}, {found.st_dev + 1})):
        target = follow(start, "link", trust)
        assert target.path == os.path.realpath("/etc") and not target.trusted


def test_folders_that_are_configured_are_the_only_ones(make: Make, tmp_path: Path) -> None:
    make([str(tmp_path / "themes")])
    make([])
    some, none = make.roots[-2:]  # type: ignore[attr-defined]
    assert content(some, in_config(some, "mainsail.cfg")) == "[pause_resume]"
    with pytest.raises(Forbidden):
        none.open_file(in_config(none, "mainsail.cfg"))
