"""How containers and virtual machines are told from machines of their own."""

from pathlib import Path

import pytest

from agents.sysinfo.virtualization import virtualization
from tests.machines import Files, Machine

HYPERVISOR = "flags\t\t: fpu vme hypervisor lahf_lm\n"
CASES: dict[str, tuple[Files, str, str]] = {
    "docker": ({".dockerenv": ""}, "container", "docker"),
    "podman": ({"run/.containerenv": "", ".dockerenv": ""}, "container", "podman"),
    "wsl": ({"proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}, "container", "wsl"),
    "openvz": ({"proc/vz/version": ""}, "container", "openvz"),
    "openvz host": ({"proc/vz/version": "", "proc/bc/0": ""}, "none", "none"),
    "nspawn": ({"run/systemd/container": "systemd-nspawn\n"}, "container", "systemd-nspawn"),
    "lxc": ({"proc/1/environ": b"TERM=linux\0container=lxc\0"}, "container", "lxc"),
    "someone's own": ({"proc/1/environ": b"container=mybox\0"}, "container", "container-other"),
    "kvm": ({"sys/class/dmi/id/product_name": "KVM\n"}, "vm", "kvm"),
    "vmware": ({"sys/class/dmi/id/sys_vendor": "VMware, Inc.\n"}, "vm", "vmware"),
    "virtualbox": ({"sys/class/dmi/id/sys_vendor": "innotek GmbH\n"}, "vm", "oracle"),
    "hyper-v": ({"sys/class/dmi/id/product_name": "Virtual Machine\n"}, "vm", "microsoft"),
    "a container in a machine": ({".dockerenv": "", "proc/cpuinfo": HYPERVISOR}, "container", "docker"),
    "arm on kvm": ({"proc/device-tree/hypervisor/compatible": b"linux,kvm\0"}, "vm", "kvm"),
    "arm on something": ({"proc/device-tree/hypervisor/compatible": b"acme,hyp\0"}, "vm", "vm-other"),
    "arm emulated": ({"proc/device-tree/compatible": b"linux,dummy-virt\0"}, "vm", "qemu"),
    "xen": ({"sys/hypervisor/type": "xen\n"}, "vm", "xen"),
    "microvm": ({"proc/cpuinfo": HYPERVISOR}, "vm", "vm-other"),
    "real": ({"sys/class/dmi/id/sys_vendor": "Dell Inc.\n", "proc/cpuinfo": "flags\t: fpu\n"}, "none", "none"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_files_tell(name: str, tmp_path: Path) -> None:
    files, kind, identifier = CASES[name]
    found = virtualization(Machine("", files).build(tmp_path), detector=None)
    assert (found.virt_type, found.virt_identifier, found.virt_id) == (kind, identifier, identifier)


@pytest.mark.parametrize(
    ("script", "kind", "identifier"),
    [
        ("echo podman", "container", "podman"),
        ("echo kvm", "vm", "kvm"),
        ("echo none; exit 1", "none", "none"),
        ("exit 127", "vm", "xen"),
    ],
)
def test_systemd_knows_better(
    script: str, kind: str, identifier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Machine("", {"sys/hypervisor/type": "xen\n", "bin/systemd-detect-virt": f"#!/bin/sh\n{script}\n"})
    root.build(tmp_path)
    (tmp_path / "bin/systemd-detect-virt").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = virtualization(tmp_path)
    assert (found.virt_type, found.virt_identifier) == (kind, identifier)


def test_without_systemd_files_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / ".dockerenv").touch()
    assert virtualization(tmp_path).virt_identifier == "docker"
