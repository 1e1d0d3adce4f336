"""One look at the counters of program and host in procfs."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bus.kernel_files import text

PAGE = os.sysconf("SC_PAGE_SIZE") >> 10  # kB
NETWORK_HEADINGS = 2  # lines
MEMORY_LINES = 3  # that tell total, free and available
IDLE, WAITING, GUEST = 3, 4, 8  # columns of /proc/stat; what guests use is in the columns before as well


class Ticks(NamedTuple):
    """Time of a processor, in whatever the kernel counts it in."""

    busy: int
    total: int


class Traffic(NamedTuple):
    """Counters of a network interface."""

    rx_bytes: int
    tx_bytes: int
    rx_packets: int
    tx_packets: int
    rx_errs: int
    tx_errs: int
    rx_drop: int
    tx_drop: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What the counters were at a moment; what is not known is empty or None."""

    wall: float
    monotonic: float
    process: float  # seconds of processor time
    resident: int | None  # kB
    cpus: Mapping[str, Ticks]
    network: Mapping[str, Traffic]
    memory: Mapping[str, int]  # kB, as in /proc/meminfo
    uptime: float


class Counters:
    """Where procfs has them."""

    def __init__(self, root: Path) -> None:
        proc = root / "proc"
        self._self, self._uptime, self._stat = proc / "self/statm", proc / "uptime", proc / "stat"
        self._network, self._memory = proc / "net/dev", proc / "meminfo"

    def read(self, wall: float, monotonic: float, process: float) -> Reading:
        """Reads them; the caller has looked at the clocks."""
        resident = text(self._self).split()
        uptime = text(self._uptime).split()
        return Reading(
            wall=wall,
            monotonic=monotonic,
            process=process,
            resident=int(resident[1]) * PAGE if resident else None,
            cpus=dict(_cpus(text(self._stat))),
            network=dict(_network(text(self._network))),
            memory=dict(_memory(text(self._memory))),
            uptime=float(uptime[0]) if uptime else 0.0,
        )


def _cpus(content: str) -> Iterator[tuple[str, Ticks]]:
    for line in content.splitlines():
        name, *columns = line.split()
        if not name.startswith("cpu"):
            return
        spent = [int(column) for column in columns[:GUEST]]
        yield name, Ticks(sum(spent) - sum(spent[IDLE : WAITING + 1]), sum(spent))


def _network(content: str) -> Iterator[tuple[str, Traffic]]:
    for line in content.splitlines()[NETWORK_HEADINGS:]:
        name, _, columns = line.rpartition(":")
        counters = [int(column) for column in columns.split()]
        received, sent = counters[:4], counters[8:12]
        yield name.strip(), Traffic(*(each for pair in zip(received, sent, strict=True) for each in pair))


def _memory(content: str) -> Iterator[tuple[str, int]]:
    for line in filter(None, content.split("\n", MEMORY_LINES)[:MEMORY_LINES]):
        name, _, amount = line.partition(":")
        yield name, int(amount.split()[0])
