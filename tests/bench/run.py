"""Whole processes: `check` with real parameters, beside PyTorch's same forward at batch 1.

    python tests/bench/run.py [rounds] [--tools PYTHON] [--quick]

`check` derives the network, draws every parameter, runs each layer on JAX and compares; once
with JAX's compilation cache warm, as from the second call on, and once without any. PyTorch
builds the network by a newcomer's shortest script and runs it: torchvision's model from PYTHON
(without torchvision its line says so), and `nn` modules alone (`tests/torch_models.py`).
Commands take turns, so that all meet the same noise. Aim: 0.3 of torchvision's time.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
from machine import Line, machine, show

ROOT = Path(__file__).parents[2]
TORCH = """
import torch, torchvision
net = torchvision.models.{}().eval()
with torch.no_grad():
    print(net(torch.randn(1, 3, 224, 224)).shape)
"""
PLAIN = """
import sys; sys.path.insert(0, 'tests')
from torch_models import *
with torch.no_grad():
    print({}.eval()(torch.randn(1, 3, 224, 224)).shape)
"""
NETS = {
    "vgg16": ("vgg16", "vgg(2, 2, 3, 3, 3)"),
    "alexnet-torchvision": ("alexnet", "alexnet((64, 192, 384, 256, 256), pad=2)"),
    "resnet50": ("resnet50", "resnet(True, 3, 4, 6, 3)"),
}
AIM = 0.3


def seconds(command: list[str], cache: str) -> tuple[float, float] | None:
    """Wall and processor time of one whole process; None where it fails."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": cache, "JAX_PLATFORMS": "cpu"}
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, env=env, cwd=ROOT)
    took, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return (took, used) if done.returncode == 0 else None


def medians(
    commands: dict[str, tuple[list[str], str]], rounds: int
) -> dict[str, tuple[float, float] | None]:
    """Median wall and processor time of each, the commands taking turns after one of warmth."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for i in range(rounds + 1):
        turn = i % len(commands)  # who comes after whom matters: memory just freed is quicker had
        for name in [*commands][turn:] + [*commands][:turn]:
            command, cache = commands[name]
            took = seconds(command, cache)
            if took is not None and i:
                times[name].append(took)
    return {
        name: (statistics.median(w for w, _ in t), statistics.median(c for _, c in t))
        if t else None
        for name, t in times.items()
    }  # fmt: skip


def compared(name: str, rounds: int, tools: str) -> list[Line]:
    vision, plain = NETS[name]
    check = [sys.executable, "-m", "cnncalc", "check", name]
    with tempfile.TemporaryDirectory() as cache:
        found = medians(
            {
                "check": (check, cache),
                "check, nothing cached": (check, "/dev/null"),
                "torchvision": ([tools, "-c", TORCH.format(vision)], cache),
                "torch.nn": ([sys.executable, "-c", PLAIN.format(plain)], cache),
            },
            rounds,
        )
    lines = []
    for ours in ("check", "check, nothing cached"):
        for theirs in ("torchvision", "torch.nn"):
            a, b = found[ours], found[theirs]
            if a is None or b is None:
                lines.append(Line(f"{ours}, {name}, beside {theirs}", "not measured", "", ""))
                continue
            text = f"{a[0]:.2f} s ({a[1]:.2f} of CPU), {b[0]:.2f} s ({b[1]:.2f})"
            aim = f"{AIM}x" if name == "vgg16" and theirs == "torchvision" else ""
            lines.append(Line(f"{ours}, {name}, beside {theirs}", text, f"{a[0] / b[0]:.2f}x", aim))
    return lines


def lines(rounds: int = 5, tools: str = sys.executable, quick: bool = False) -> list[Line]:
    """The claims and what was measured."""
    names = list(NETS)[:1] if quick else list(NETS)
    return [line for name in names for line in compared(name, rounds, tools)]


if __name__ == "__main__":
    words = [w for w in sys.argv[1:] if w.isdigit()]
    tools = sys.argv[sys.argv.index("--tools") + 1] if "--tools" in sys.argv else sys.executable
    print(machine("jax", "torch", "torchvision"))
    show(lines(int(words[0]) if words else 5, tools, "--quick" in sys.argv))
