"""The host: what it is made of, and how busy it is."""

from typing import Literal

from pydantic import Field

from .base import Method, Model, NoParams, Notification, Permission

SYSINFO = "sysinfo"
PROCSTATS = "procstats"
SERVICES = "machine"  # the agent that knows the host's services


class Nothing(Model):
    """An empty object, where there is nothing to tell."""


# ---- what it is


class PythonInfo(Model):
    """The interpreter that runs the agent."""

    version: list[int | str] = Field(description="As in `sys.version_info`.")
    version_string: str


class CpuInfo(Model):
    """Processor and memory; what is not known is empty or null."""

    cpu_count: int | None
    bits: str = Field(description="Of the Python interpreter, such as `64bit`.")
    processor: str = Field(description="The architecture, such as `aarch64`.")
    cpu_desc: str = Field(description="The processor's name as the kernel tells it.")
    serial_number: str = Field(description="Without leading zeros.")
    hardware_desc: str = Field(description="The chip, where `/proc/cpuinfo` names it.")
    model: str = Field(description="The board.")
    total_memory: int | None = Field(description="Kilobytes.")
    memory_units: str = Field(description="`kB`, or empty where the memory is not known.")


class SdInfo(Model):
    """The SD card, as its registers tell."""

    manufacturer_id: str = Field(description="Two hexadecimal digits.")
    manufacturer: str = Field(description="Empty where the number says nothing to us.")
    oem_id: str = Field(description="Four hexadecimal digits.")
    product_name: str
    product_revision: str = Field(description="Major and minor, such as `8.0`.")
    serial_number: str = Field(description="Eight hexadecimal digits.")
    manufacturer_date: str = Field(description="Month and year, such as `4/2018`.")
    capacity: str = Field(description="For people, such as `29.7 GiB`.")
    total_bytes: int


class VersionParts(Model):
    """The version of a distribution, in parts; empty where it has fewer."""

    major: str
    minor: str
    build_number: str
    release: str = Field(description="The same as `build_number`.")


class Distribution(Model):
    """The Linux distribution; what is not known is empty."""

    name: str
    id: str
    version: str
    version_parts: VersionParts
    like: str = Field(description="What it is derived from.")
    codename: str
    release_info: dict[str, str] = Field(
        description="What os-release says, and over it the release file of an image for printers, where it has one."
    )
    kernel_version: str


class Virtualization(Model):
    """What the host runs in, by the names of `systemd-detect-virt`; `none` twice on a machine of its own."""

    virt_type: Literal["none", "container", "vm"]
    virt_identifier: str = Field(description="Such as `docker` or `kvm`.")
    virt_id: str = Field(description="The same as `virt_identifier`.")


class IpAddress(Model):
    """One address of an interface."""

    family: Literal["ipv4", "ipv6"]
    address: str
    is_link_local: bool


class NetworkInterface(Model):
    """An interface that is up."""

    mac_address: str = Field(description="Empty where it has none.")
    ip_addresses: list[IpAddress]


class CanInterface(Model):
    """A CAN interface, up or down."""

    tx_queue_len: int
    bitrate: int = Field(description="0 where none is set, or the program `ip` is missing that tells it.")
    driver: str = Field(description="Empty for a virtual one.")


class UnitState(Model):
    """A service in the words of its provider."""

    active_state: str
    sub_state: str


class InstanceIds(Model):
    """What the services of this printer are called."""

    moonraker: str
    klipper: str


class Services(Model):
    """The services of the host that may be managed from here."""

    provider: Literal["none", "systemd_cli", "systemd_dbus", "supervisord_cli"]
    available_services: list[str]
    service_state: dict[str, UnitState] = Field(description="By service; empty where none is watched.")
    instance_ids: InstanceIds


NO_SERVICES = Services(
    provider="none",
    available_services=[],
    service_state={},
    instance_ids=InstanceIds(moonraker="moonraker", klipper="klipper"),
)


class SystemInfo(Services):
    """Everything that is known about the host and changes rarely."""

    python: PythonInfo
    cpu_info: CpuInfo
    sd_info: SdInfo | Nothing = Field(description="Empty without an SD card.")
    distribution: Distribution
    virtualization: Virtualization
    network: dict[str, NetworkInterface] = Field(
        description="All interfaces that are up, but those of CAN and loopback."
    )
    canbus: dict[str, CanInterface]


class SystemInfoResult(Model):
    """One object, for what may be added."""

    system_info: SystemInfo


SYSTEM_INFO = Method(
    "machine.system_info",
    NoParams,
    SystemInfoResult,
    SYSINFO,
    Permission.READ,
    ("GET /machine/system_info",),
    summary="What the host is made of, its networks and its services.",
)

# ---- how busy it is


class ProcessSample(Model):
    """The program in one second."""

    time: float = Field(description="Unix seconds.")
    cpu_usage: float = Field(description="Percent of one processor, at most 100.")
    memory: int | None = Field(description="What it occupies in memory, in kilobytes.")
    mem_units: Literal["kB"] | None


class InterfaceUsage(Model):
    """What went through a network interface since it was brought up."""

    rx_bytes: int
    tx_bytes: int
    rx_packets: int
    tx_packets: int
    rx_errs: int
    tx_errs: int
    rx_drop: int
    tx_drop: int
    bandwidth: float = Field(description="Bytes a second, both ways together.")


class MemoryUsage(Model):
    """Kilobytes."""

    total: int
    available: int
    used: int


class HostUsage(Model):
    """The host in one second; what is not known is empty or null."""

    cpu_temp: float | None = Field(description="Degrees Celsius.")
    network: dict[str, InterfaceUsage]
    system_cpu_usage: dict[str, float] = Field(description="Percent: `cpu` of all, `cpu0` and so on of each.")
    system_memory: MemoryUsage | Nothing
    websocket_connections: int


class Usage(HostUsage):
    """What each sample tells."""

    moonraker_stats: ProcessSample


class Throttled(Model):
    """Whether a Raspberry Pi has to slow down, as its firmware tells."""

    bits: int = Field(description="As `vcgencmd get_throttled` has them.")
    flags: list[str] = Field(description="The same in words.")


class ProcStats(HostUsage):
    """The last samples of the program, and the latest of the host."""

    moonraker_stats: list[ProcessSample] = Field(description="The last 30, a second apart, oldest first.")
    throttled_state: Throttled | None = Field(description="Null where the hardware does not tell.")
    system_uptime: float = Field(description="Seconds since the host was started.")


PROC_STATS = Method(
    "machine.proc_stats",
    NoParams,
    ProcStats,
    PROCSTATS,
    Permission.READ,
    ("GET /machine/proc_stats",),
    summary="How busy program and host are.",
)
PROC_STAT_UPDATE = Notification("notify_proc_stat_update", "A sample was taken, once a second.", tuple[Usage])
CPU_THROTTLED = Notification("notify_cpu_throttled", "The firmware throttles otherwise than before.", tuple[Throttled])
