"""What two readings one after the other mean; plain values, since it is every second."""

from typing import Any

from .reading import Reading, Ticks, Traffic

ALL = 100.0  # percent


def process_sample(before: Reading, now: Reading) -> dict[str, Any]:
    """The program between them (machine.ProcessSample)."""
    elapsed = now.monotonic - before.monotonic
    used = (now.process - before.process) / elapsed * ALL if elapsed > 0 else 0.0
    return {
        "time": now.wall,
        "cpu_usage": min(round(used, 2), ALL),
        "memory": now.resident,
        "mem_units": None if now.resident is None else "kB",
    }


def cpu_usage(before: Reading, now: Reading) -> dict[str, float]:
    """Percent by processor; those that were not there before are left out."""
    return {name: _share(before.cpus[name], ticks) for name, ticks in now.cpus.items() if name in before.cpus}


def network_usage(before: Reading, now: Reading) -> dict[str, dict[str, float]]:
    """Counters as they are, and the bandwidth in between (machine.InterfaceUsage)."""
    elapsed = now.monotonic - before.monotonic
    return {
        name: {**traffic._asdict(), "bandwidth": _bandwidth(before.network.get(name, traffic), traffic, elapsed)}
        for name, traffic in now.network.items()
    }


def memory_usage(now: Reading) -> dict[str, int]:
    """Of the host (machine.MemoryUsage, or nothing)."""
    total, available = now.memory.get("MemTotal"), now.memory.get("MemAvailable")
    if total is None or available is None:
        return {}
    return {"total": total, "available": available, "used": total - available}


def _share(before: Ticks, now: Ticks) -> float:
    total = now.total - before.total
    return min(max(round((now.busy - before.busy) / total * ALL, 2), 0.0), ALL) if total > 0 else 0.0


def _bandwidth(before: Traffic, now: Traffic, elapsed: float) -> float:
    """Bytes a second; none for an interface that has begun to count anew."""
    moved = now.rx_bytes + now.tx_bytes - before.rx_bytes - before.tx_bytes
    return round(max(moved, 0) / elapsed, 2) if elapsed > 0 else 0.0
