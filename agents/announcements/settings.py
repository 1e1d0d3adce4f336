"""The section `announcements` of printer.yaml."""

from typing import Annotated

from pydantic import Field

from bus.agent import Settings
from schemas.announcements import Feed

MOONLIGHT = "https://arksine.github.io/moonlight/assets"  # where Moonraker and Klipper publish theirs
FIXED = ("moonraker", "klipper")
MAX_FEEDS = 20


class AnnouncementsSettings(Settings):
    """Which feeds are read, and where they are."""

    subscriptions: list[Feed] = Field([], max_length=MAX_FEEDS - len(FIXED), description="More feeds.")
    enable_moonlight: bool = Field(True, description="Whether feeds are read from the network.")
    dev_mode: bool = Field(False, description="Reads FEED.xml in `announcements` of the data folder instead.")
    moonlight_url: Annotated[str, Field(pattern=r"^https?://", max_length=2048)] = Field(
        MOONLIGHT, description="The folder of the feeds, for those who mirror it."
    )

    def feeds(self) -> list[str]:
        """Those that are read whatever clients add."""
        return list(dict.fromkeys((*FIXED, *self.subscriptions)))
