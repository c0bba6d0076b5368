"""The bytes a run needs, and the bytes that are free: compared before anything is allocated."""

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from ..diagnostics import Problem
from ..rows import BYTES
from .devices import Device
from .sizes import Net, whole

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60


def last_uses(net: Net) -> dict[str, int]:
    """For each volume the position of the last layer that reads it."""
    return {name: i for i, row in enumerate(net.rows) for name in row.inputs}


def needed_bytes(net: Net, batch: int = 1, width: int = BYTES) -> int:
    """Weights, buffers, and the most values that are live at once while `net` runs.

    Every layer writes a new volume, and a volume is dropped after its last reader.
    """
    held = sum(sum(whole((row.params, row.buffers))) for row in net.rows)
    return width * (held + batch * _peak_values(net))


def _peak_values(net: Net) -> int:
    ends = last_uses(net)
    live = {name: _count(shape) for name, shape in net.inputs.items()}
    peak = total = sum(live.values())
    for i, row in enumerate(net.rows):
        total += _count(row.output)
        live[row.name] = _count(row.output)
        peak = max(peak, total)
        for name in {row.name, *row.inputs}:
            if ends.get(name, -1) <= i:
                total -= live.pop(name, 0)
    return peak


def _count(shape: tuple[Any, ...]) -> int:
    return prod(whole(shape))


def free_bytes(device: Device) -> int | None:
    """Free memory of the device in bytes; None where it cannot be known."""
    stats = _device_stats(device)
    if stats and "bytes_limit" in stats:
        return max(0, int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0)))
    if device.platform not in ("cpu", "METAL"):
        return None
    found = [n for n in (_available(), _cgroup_free(), _address_space()) if n is not None]
    return min(found, default=None)


def _device_stats(device: Device) -> Mapping[str, int] | None:
    try:
        stats: Mapping[str, int] | None = device.handle.memory_stats()
    except Exception:  # not every backend implements it
        return None
    return stats


def _available() -> int | None:
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _cgroup_free() -> int | None:
    """The tightest of the control groups (v1 and v2) this process runs in."""
    found = []
    for line in _read(Path("/proc/self/cgroup")).splitlines() or ["0::/"]:
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            names = ("memory.max", "memory.current", "inactive_file")
            found += _group_free(CGROUP, path, names)
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found += _group_free(CGROUP / "memory", path, names)
    return min(found, default=None)


def _group_free(root: Path, path: str, names: tuple[str, str, str]) -> list[int]:
    """Free bytes of the group at `path` and of every group around it."""
    limit_name, usage_name, cache_name = names
    folder = root / path.strip("/")
    found = []
    for group in (folder, *folder.parents):
        limit, usage = _number(group / limit_name), _number(group / usage_name)
        if limit is not None and usage is not None and limit < UNLIMITED:
            found.append(max(0, limit - usage + _cache(group / "memory.stat", cache_name)))
        if group == root:
            break
    return found


def _cache(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return 0


def _address_space() -> int | None:
    """What `ulimit -v` leaves."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    except (ImportError, OSError, ValueError):
        return None
    used = _read(Path("/proc/self/statm")).split()
    if limit == resource.RLIM_INFINITY or limit >= UNLIMITED or not used:
        return None
    return max(0, limit - int(used[0]) * os.sysconf("SC_PAGE_SIZE"))


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def in_words(count: int) -> str:
    """Bytes in the unit that suits them.

    >>> in_words(553_430_176), in_words(3 << 30)
    ('527.8 MiB', '3.0 GiB')
    """
    unit, name = (1 << 30, "GiB") if count >= 1 << 30 else (1 << 20, "MiB")
    return f"{count / unit:,.1f} {name}"


def host() -> int | None:
    """Free memory beside the processor, in bytes; needs no JAX."""
    return free_bytes(Device("cpu", 1, None))


def require(needed: int, device: Device, batch: int, spare: int | None = None) -> None:
    """Raises `Problem` R004 with both figures where the run would not fit.

    `spare` is what was free on the host before the run took any of it.
    """
    free = spare if device.platform == "cpu" and spare is not None else free_bytes(device)
    if free is None or needed <= free:
        return
    help_ = ["--run-only-shapes compares every shape without allocating"]
    if batch > 1:
        help_.append(f"a batch smaller than {batch} needs less")
    raise Problem(
        "R004",
        f"the run needs {in_words(needed)} ({needed:,} bytes), but {in_words(free)} "
        f"are free on {device.platform}",
        help=help_,
    )
