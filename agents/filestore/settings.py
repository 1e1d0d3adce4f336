"""What can be configured about files."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bus.agent import Settings
from bus.system_users import at_home

HomePath = Annotated[Path, AfterValidator(at_home)]


class RootSettings(BaseModel):
    """One more root."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: HomePath
    writable: bool = False


class FileStoreSettings(Settings):
    """Where files are, and what may be done with them."""

    gcodes: HomePath | None = Field(None, description="By default `gcodes` in the data folder, as config and logs.")
    config: HomePath | None = None
    logs: HomePath | None = None
    roots: dict[str, RootSettings] = Field({}, description="More roots, by name.")
    links: list[HomePath] | None = Field(
        None,
        description="Folders outside the roots that links may lead into, for reading; without it, links that root or "
        "the user of this server has made on this machine's own disks may lead anywhere.",
    )
    check_klipper_config_path: bool = Field(True, description="Warn when Klipper's configuration is outside of config.")
    enable_config_write_access: bool = Field(True, description="Whether the config root can be changed.")
    max_upload_size: int = Field(1024, ge=1, le=1 << 20, description="MiB of one file.")
    observe: bool = Field(True, description="Whether changes that others make are noticed at once.")
    rescan_interval: float = Field(
        30.0, ge=1, le=86_400, description="Seconds between looks at roots and folders that cannot be observed."
    )
    queue_gcode_uploads: bool = Field(
        False, description="Whether an upload that is to be printed waits in the job queue while it cannot be."
    )
    enable_object_processing: bool = Field(False, description="Whether objects in gcode can be excluded from a print.")
    metadata_timeout: float = Field(20.0, gt=0, le=3600, description="Seconds that reading metadata may take.")
