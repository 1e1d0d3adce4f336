"""What the host runs in: a container, a virtual machine or nothing, by the names of `systemd-detect-virt`."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bus.kernel_files import text
from schemas.machine import Virtualization

NONE = "none"
SECONDS = 5.0
DETECTOR = "systemd-detect-virt"
CONTAINERS = {"docker", "podman", "lxc", "lxc-libvirt", "systemd-nspawn", "openvz", "rkt", "wsl", "proot", "pouch"}
CONTAINERS |= {"container-other"}
# What firmware says in one of these files, and what it is the sign of.
FIRMWARE = ("product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version")
SIGNS: Mapping[str, str] = {
    "KVM": "kvm",
    "OpenStack": "kvm",
    "KubeVirt": "kvm",
    "Amazon EC2": "amazon",
    "Google Compute Engine": "google",
    "QEMU": "qemu",
    "VMware": "vmware",
    "VMW": "vmware",
    "innotek GmbH": "oracle",
    "VirtualBox": "oracle",
    "Xen": "xen",
    "Bochs": "bochs",
    "Parallels": "parallels",
    "BHYVE": "bhyve",
    "Hyper-V": "microsoft",
    "Virtual Machine": "microsoft",
    "Apple Virtualization": "apple",
}


def virtualization(root: Path, detector: str | None = DETECTOR) -> Virtualization:
    """As the detector says, or, without one, as files of the host tell."""
    found = (_asked(detector) if detector else None) or in_container(root) or in_machine(root) or NONE
    kind = "container" if found in CONTAINERS else "vm"
    return Virtualization.model_validate(
        {"virt_type": NONE if found == NONE else kind, "virt_identifier": found, "virt_id": found}
    )


def _asked(detector: str) -> str | None:
    """The program's answer; it fails (status 1) where it says none."""
    program = shutil.which(detector)
    if program is None:
        return None
    try:
        ran = subprocess.run([program], capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip() or None


def in_container(root: Path) -> str | None:
    """What container managers leave behind."""
    if "microsoft" in text(root / "proc/sys/kernel/osrelease").lower():
        return "wsl"
    if (root / "proc/vz").exists() and not (root / "proc/bc").exists():
        return "openvz"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    given = re.search(r"(?:^|\0)container=([^\0]+)", text(root / "proc/1/environ"))
    named = text(root / "run/systemd/container") or (given[1] if given else "")
    return named if named in CONTAINERS or not named else "container-other"


def in_machine(root: Path) -> str | None:
    """What hypervisors say about themselves in firmware, device tree and processor flags."""
    said = [text(root / "sys/class/dmi/id" / name) for name in FIRMWARE]
    for sign, found in SIGNS.items():
        if any(each.startswith(sign) for each in said):
            return found
    if (root / "proc/device-tree/hypervisor/compatible").exists():
        return "kvm" if "kvm" in text(root / "proc/device-tree/hypervisor/compatible") else "vm-other"
    if text(root / "proc/device-tree/compatible").startswith("linux,dummy-virt"):
        return "qemu"
    if text(root / "sys/hypervisor/type") == "xen":
        return "xen"
    return "vm-other" if re.search(r"^flags\s*:.*\bhypervisor\b", text(root / "proc/cpuinfo"), re.M) else None
