"""Small sysfs, procfs and etc trees of hosts, as the kernel's documentation and the API's examples show them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ARM32_CORE = """\
processor\t: {number}
model name\t: ARMv7 Processor rev 4 (v7l)
BogoMIPS\t: 38.40
Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32
CPU implementer\t: 0x41
CPU architecture: 7
CPU variant\t: 0x0
CPU part\t: 0xd03
CPU revision\t: 4

"""
ARM64_CORE = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part}
CPU revision\t: 3

"""
X86_CORE = """\
processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 158
model name\t: Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz
stepping\t: 10
cpu MHz\t\t: 800.000
flags\t\t: fpu vme de pse tsc msr pae mce{flags}
bogomips\t: 4224.00

"""
RISCV_CORE = """\
processor\t: {number}
hart\t\t: {number}
isa\t\t: rv64imafdc_zicntr_zicsr_zifencei_zihpm_zba_zbb
mmu\t\t: sv39
uarch\t\t: sifive,u74-mc
mvendorid\t: 0x489

"""
MEMORY = """\
MemTotal:       {total:8d} kB
MemFree:          123456 kB
MemAvailable:   {available:8d} kB
Buffers:           45678 kB
Cached:           234567 kB
SwapTotal:        102396 kB
"""
BUSTER = """\
PRETTY_NAME="Raspbian GNU/Linux 10 (buster)"
NAME="Raspbian GNU/Linux"
VERSION_ID="10"
VERSION="10 (buster)"
VERSION_CODENAME=buster
ID=raspbian
ID_LIKE=debian
HOME_URL="http://www.raspbian.org/"
"""
BOOKWORM = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
"""
JAMMY = """\
PRETTY_NAME="Armbian 24.5.1 jammy"
NAME="Ubuntu"
VERSION_ID="22.04"
VERSION="22.04.4 LTS (Jammy Jellyfish)"
VERSION_CODENAME=jammy
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=jammy
"""
ALPINE = """\
NAME="Alpine Linux"
ID=alpine
VERSION_ID=3.20.3
PRETTY_NAME="Alpine Linux v3.20"
"""
SANDISK_32 = "0353445355333247800046ba460124c3"  # the card of the API's example
SANDISK_32_CSD = "400e00325b590000edc87f800a4040c3"
SAMSUNG_128 = "1b534d454431533530aabbccdd0179a1"
SAMSUNG_128_CSD = "400e0032db790003b8ab7f800a404067"
KINGSTON_1 = "41343253443030312001234567009b5f"
KINGSTON_1_CSD = "002600325f5983bcfefbcfff928040df"
EMMC = "150100424a544434520d5a8b6c1d2e87"
EMMC_CSD = "d02701320f5903fff6dbffef8e40400d"
UP, UP_LOOPBACK, DOWN = "0x1003\n", "0x9\n", "0x82\n"

Files = dict[str, str | bytes]


@dataclass(frozen=True)
class Machine:
    """One host: its files, symbolic links (to targets below its root), architecture and addresses by interface."""

    processor: str
    files: Files
    links: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def build(self, root: Path) -> Path:
        """Writes the tree into a folder."""
        for name, content in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        for name, target in self.links.items():
            (root / target).mkdir(parents=True, exist_ok=True)
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(root / target)
        return root


def cores(template: str, count: int, **values: str) -> str:
    """The processors' part of a cpuinfo."""
    return "".join(template.format(number=number, **values) for number in range(count))


def memory(total: int, available: int = 0) -> str:
    """A meminfo."""
    return MEMORY.format(total=total, available=available)


def card(name: str, kind: str, cid: str, csd: str) -> Files:
    """A card in sysfs, as its driver shows it."""
    device = f"sys/block/{name}/device"
    return {f"{device}/type": f"{kind}\n", f"{device}/cid": f"{cid}\n", f"{device}/csd": f"{csd}\n"}


def link(name: str, flags: str, mac: str = "", kind: int = 1, queue: int = 1000) -> Files:
    """A network interface in sysfs."""
    place = f"sys/class/net/{name}"
    return {
        f"{place}/flags": flags,
        f"{place}/address": f"{mac}\n",
        f"{place}/type": f"{kind}\n",
        f"{place}/tx_queue_len": f"{queue}\n",
    }


LOOPBACK = link("lo", UP_LOOPBACK, "00:00:00:00:00:00", 772)
LOCAL = ("127.0.0.1", "::1")

MACHINES: Mapping[str, Machine] = {
    "Raspberry Pi 3": Machine(
        "armv7l",
        {
            "proc/cpuinfo": cores(ARM32_CORE, 4) + "Hardware\t: BCM2835\nRevision\t: a02082\n"
            "Serial\t\t: 00000000b898bdb4\nModel\t\t: Raspberry Pi 3 Model B Rev 1.2\n",
            "proc/meminfo": memory(945364, 620112),
            "proc/device-tree/model": b"Raspberry Pi 3 Model B Rev 1.2\0",
            "proc/sys/kernel/osrelease": "5.10.103-v7+\n",
            "etc/os-release": BUSTER,
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "45622\n",
            "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled": "0\n",
            **card("mmcblk0", "SD", SANDISK_32, SANDISK_32_CSD),
            **LOOPBACK,
            **link("wlan0", UP, "b8:27:eb:98:bd:b4"),
            **link("eth0", DOWN, "b8:27:eb:cd:e8:e1"),
            **link("can0", "0x400c1\n", kind=280, queue=128),
            **link("can1", "0x40080\n", kind=280, queue=128),
        },
        links={
            "sys/class/net/can0/device/driver": "sys/bus/spi/drivers/mcp251x",
            "sys/class/net/can1/device/driver": "sys/bus/usb/drivers/gs_usb",
        },
        addresses={
            "lo": LOCAL,
            "wlan0": ("192.168.1.127", "2001:db8::7", "fe80::ba27:ebff:fe98:bdb4"),
            "eth0": ("192.168.9.9",),
        },
    ),
    "Raspberry Pi 4": Machine(
        "aarch64",
        {
            "proc/cpuinfo": cores(ARM64_CORE, 4, part="0xd08")
            + "Revision\t: c03112\nSerial\t\t: 100000001a2b3c4d\nModel\t\t: Raspberry Pi 4 Model B Rev 1.2\n",
            "proc/meminfo": memory(3884360, 3000000),
            "proc/sys/kernel/osrelease": "6.1.0-rpi7-rpi-v8\n",
            "etc/os-release": BOOKWORM,
            "etc/mainsailos-release": "MainsailOS release 1.3.2 (bookworm)\n",
            "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
            "sys/class/hwmon/hwmon0/temp1_input": "48199\n",
            "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
            "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "48686\n",
            "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled": "50005\n",
            **card("mmcblk0", "SD", SAMSUNG_128, SAMSUNG_128_CSD),
            **LOOPBACK,
            **link("eth0", UP, "dc:a6:32:01:02:03"),
        },
        addresses={"lo": LOCAL, "eth0": ("10.0.0.4", "10.0.0.5")},
    ),
    "Raspberry Pi 5": Machine(
        "aarch64",
        {
            "proc/cpuinfo": cores(ARM64_CORE, 4, part="0xd0b")
            + "Revision\t: d04170\nSerial\t\t: 5f3a9c01d27e84b6\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
            "proc/meminfo": memory(8245456, 7654321),
            "proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-2712\n",
            "etc/os-release": BOOKWORM,
            "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
            "sys/class/hwmon/hwmon0/temp1_input": "51250\n",
            "sys/class/hwmon/hwmon1/name": "rp1_adc\n",
            "sys/class/hwmon/hwmon1/temp1_input": "47853\n",
            "sys/class/hwmon/hwmon3/name": "rpi_volt\n",
            "sys/class/hwmon/hwmon3/in0_lcrit_alarm": "1\n",
            "sys/block/nvme0n1/device/model": "WD Blue SN570\n",
            **LOOPBACK,
            **link("eth0", "0x1002\n", "2c:cf:67:01:02:03"),
            **link("wlan0", UP, "2c:cf:67:01:02:04"),
        },
        addresses={"lo": LOCAL, "wlan0": ("169.254.7.7",)},
    ),
    "Raspberry Pi Zero 2": Machine(
        "aarch64",
        {
            "proc/cpuinfo": cores(ARM64_CORE, 4, part="0xd03")
            + "Hardware\t: BCM2835\nRevision\t: 902120\nSerial\t\t: 000000009f1e2d3c\n"
            + "Model\t\t: Raspberry Pi Zero 2 W Rev 1.0\n",
            "proc/meminfo": memory(436964, 280000),
            "proc/sys/kernel/osrelease": "6.1.21-v8+\n",
            "etc/os-release": BOOKWORM,
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "39704\n",
            **card("mmcblk0", "SD", KINGSTON_1, KINGSTON_1_CSD),
            **LOOPBACK,
        },
        addresses={"lo": LOCAL},
    ),
    "x86 PC": Machine(
        "x86_64",
        {
            "proc/cpuinfo": cores(X86_CORE, 6, flags=""),
            "proc/meminfo": memory(16247316, 12000000),
            "proc/sys/kernel/osrelease": "6.1.0-28-amd64\n",
            "etc/os-release": BOOKWORM,
            "etc/debian_version": "12.8\n",
            "sys/class/dmi/id/product_name": "OptiPlex 3060\n",
            "sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
            "sys/class/hwmon/hwmon0/name": "nvme\n",
            "sys/class/hwmon/hwmon0/temp1_input": "38850\n",
            "sys/class/hwmon/hwmon2/name": "coretemp\n",
            "sys/class/hwmon/hwmon2/temp1_label": "Package id 0\n",
            "sys/class/hwmon/hwmon2/temp1_input": "42000\n",
            "sys/class/hwmon/hwmon2/temp2_label": "Core 0\n",
            "sys/class/hwmon/hwmon2/temp2_input": "40000\n",
            "sys/class/thermal/thermal_zone0/type": "acpitz\n",
            "sys/class/thermal/thermal_zone0/temp": "27800\n",
            **LOOPBACK,
            **link("enp0s31f6", UP, "a4:bb:6d:01:02:03"),
            **link("tun0", "0x1091\n", kind=65534),
            **link("vcan0", "0xc1\n", kind=280),
        },
        addresses={"lo": LOCAL, "enp0s31f6": ("192.168.1.9",), "tun0": ("10.8.0.2", "fe80::1")},
    ),
    "Orange Pi": Machine(
        "aarch64",
        {
            "proc/cpuinfo": cores(ARM64_CORE, 4, part="0xd03") + "Serial\t\t: 0000000000000000\n",
            "proc/meminfo": memory(1004324, 700000),
            "proc/device-tree/model": b"OrangePi Zero3\0",
            "proc/device-tree/serial-number": b"04c000017d2c8b1f\0",
            "proc/device-tree/compatible": b"xunlong,orangepi-zero3\0allwinner,sun50i-h618\0",
            "proc/sys/kernel/osrelease": "6.6.31-current-sunxi64\n",
            "etc/os-release": JAMMY,
            "sys/class/thermal/thermal_zone0/type": "gpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "52100\n",
            "sys/class/thermal/thermal_zone2/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone2/temp": "53900\n",
            **card("mmcblk0", "MMC", EMMC, EMMC_CSD),
            **card("mmcblk1", "SD", SANDISK_32, SANDISK_32_CSD),
            **LOOPBACK,
            **link("end0", UP, "02:00:14:a1:b2:c3"),
        },
        addresses={"lo": LOCAL, "end0": ("192.168.1.33",)},
    ),
    "RISC-V board": Machine(
        "riscv64",
        {
            "proc/cpuinfo": cores(RISCV_CORE, 4),
            "proc/meminfo": memory(8103012, 7000000),
            "proc/device-tree/model": b"StarFive VisionFive 2 v1.3B\0",
            "proc/device-tree/serial-number": b"VF7110B1-2253-D008E000-00001234\0",
            "proc/sys/kernel/osrelease": "6.6.20-starfive\n",
            "etc/os-release": BOOKWORM,
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "58000\n",
            **card("mmcblk0", "MMC", EMMC, EMMC_CSD),
            **LOOPBACK,
            **link("end0", UP, "6c:cf:39:00:12:34"),
        },
        addresses={"lo": LOCAL},
    ),
    "virtual machine": Machine(
        "x86_64",
        {
            "proc/cpuinfo": cores(X86_CORE, 2, flags=" hypervisor"),
            "proc/meminfo": memory(4025856, 3500000),
            "proc/sys/kernel/osrelease": "6.1.0-28-cloud-amd64\n",
            "etc/os-release": BOOKWORM,
            "sys/class/dmi/id/product_name": "Standard PC (Q35 + ICH9, 2009)\n",
            "sys/class/dmi/id/sys_vendor": "QEMU\n",
            **LOOPBACK,
            **link("ens3", UP, "52:54:00:12:34:56"),
        },
        addresses={"lo": LOCAL, "ens3": ("fd00::2", "192.0.2.2")},
    ),
    "container": Machine(
        "x86_64",
        {
            "proc/cpuinfo": cores(X86_CORE, 2, flags=" hypervisor"),
            "proc/meminfo": memory(4025856, 3500000),
            "proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
            ".dockerenv": "",
            "etc/os-release": ALPINE,
            **LOOPBACK,
            **link("eth0", UP, "02:42:ac:11:00:02"),
        },
        addresses={"lo": LOCAL, "eth0": ("172.17.0.2",)},
    ),
    "nothing at all": Machine("", {}),
}
