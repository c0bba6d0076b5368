"""Whole-process start-up: `check --no-run` of VGG-16 beside a bare typer + rich process.

    python tests/bench/startup.py [rounds]

Alternates the two commands, so that both meet the same noise, and prints the median of
each and the median of the pairwise ratios. The aim: a ratio of at most 1.6.
"""

import os
import platform
import statistics
import subprocess
import sys
import time

BARE = [sys.executable, "-c", "import typer, rich.table, yaml"]
CHECK = [sys.executable, "-m", "cnncalc", "check", "vgg16", "--no-run"]
AIM = 1.6


def seconds(command: list[str]) -> float:
    """Wall time of one whole process."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    for command in (BARE, CHECK):
        seconds(command)
    pairs = [(seconds(BARE), seconds(CHECK)) for _ in range(rounds)]
    bare, check = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{platform.python_implementation()} {platform.python_version()}, "
          f"{os.cpu_count()} processors, {rounds} rounds")  # fmt: skip
    print(f"bare import of typer, rich.table, yaml  {bare * 1000:7.1f} ms")
    print(f"cnncalc check vgg16 --no-run            {check * 1000:7.1f} ms")
    print(f"ratio (median of pairs)                 {ratio:7.2f}  (aim: at most {AIM})")


if __name__ == "__main__":
    main()
