"""What can be configured about services and power."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from bus.agent import Settings
from bus.uplink_settings import Secret


class MachineSettings(Settings):
    """Who manages services, and what a shutdown is."""

    provider: Literal["auto", "systemd_dbus", "systemd_cli", "supervisord_cli", "none"] = Field(
        "auto", description="`auto` takes the first of these that answers at the start."
    )
    shutdown_action: Literal["poweroff", "halt"] = "poweroff"
    supervisord_config_path: Path | None = Field(None, description="Where supervisord.conf is, if at no usual place.")
    refuse_while_printing: bool = Field(False, description="Whether the host stays on until a print has ended.")
    sudo_password: Secret | None = Field(None, description="Where the password for sudo is, for those who must.")
