"""What the benchmarks share: a line of a table, the machine, how both are shown."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import NamedTuple


class Line(NamedTuple):
    """One claim: what was measured, the medians, their ratio, the aim."""

    what: str
    medians: str
    ratio: str
    aim: str


def processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    named = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return named[0] if named and named[0] != "unknown" else platform.machine()


def machine(*packages: str) -> str:
    """Interpreter, processor, cores, and the versions of packages."""
    found = f"{platform.python_implementation()} {platform.python_version()}, {processor()}, "
    found += f"{os.cpu_count()} processors"
    for name in packages:
        try:
            found += f", {name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            found += f", no {name}"
    return found


def show(lines: list[Line]) -> None:
    """The lines in columns."""
    widths = [max(len(row[i]) for row in lines) for i in range(4)]
    for line in lines:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())
