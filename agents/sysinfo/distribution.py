"""The Linux distribution, through the package distro, which knows their release files."""

from pathlib import Path

from bus.kernel_files import text
from schemas.machine import Distribution, VersionParts


def distribution(root: Path) -> Distribution:
    """Names of all kinds; starts no programs."""
    from distro import LinuxDistribution  # not at the start

    found = LinuxDistribution(root_dir=str(root))
    major, minor, build = found.version_parts()
    return Distribution(
        name=found.name(pretty=True),
        id=found.id(),
        version=found.version(),
        version_parts=VersionParts(major=major, minor=minor, build_number=build, release=build),
        like=found.like(),
        codename=found.codename(),
        release_info={**found.os_release_info(), **found.distro_release_info()},
        kernel_version=text(root / "proc/sys/kernel/osrelease"),
    )
