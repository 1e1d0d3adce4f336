import os
import zipfile
from pathlib import Path

import pytest

from agents.filestore.metadata.worker import answer
from schemas.gcode_metadata import GcodeMetadata

GCODE = b";Generated with Cura_SteamEngine 5.7.1\nG28\n"


def test_gcode_that_was_unpacked_and_cannot_be_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(_read: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("agents.filestore.metadata.scan.describe", describe)
    with zipfile.ZipFile(tmp_path / "upload.tmp", "w") as archive:
        archive.writestr("3D/model.gcode", GCODE)
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with (tmp_path / "upload.tmp").open("rb") as file:
        found = answer({"name": "part.ufp", "output": ".new"}, [file.fileno(), folder], lambda share: None)
    os.close(folder)
    status = (tmp_path / ".new").stat()
    assert (tmp_path / ".new").read_bytes() == GCODE and found["rewritten"]
    metadata = GcodeMetadata.model_validate(found["metadata"])
    assert (metadata.size, metadata.modified, metadata.slicer) == (status.st_size, status.st_mtime, "Unknown")
