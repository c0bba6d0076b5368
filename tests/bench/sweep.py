"""Design points a second: `sweep` of ResNet-50 beside PyTorch's meta device and torch.export.

    python tests/bench/sweep.py [rounds]

Points are widths and input sizes; each gives parameters, MACs and the output's size. PyTorch
builds the network anew on the meta device per point and runs it there (parameters and output
only: it does not count MACs); torch.export traces it once with symbolic H and W, then solves its
symbolic shapes per point. Aims: two million points a second on one core; 10,000 times PyTorch.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from machine import Line, machine, show

from cnncalc.sweeping.settings import SweepOptions
from cnncalc.sweeping.sweep import Sweep

SETS = ("k=1..256", "H=64..575", "W=64..127")


def ours(form: str) -> tuple[float, float]:
    """Seconds of the one derivation, and points a second of the evaluation on one thread."""
    start = time.perf_counter()
    sweep = Sweep(SweepOptions("resnet50", set=SETS, form=form))
    sweep.evaluator(0)
    middle = time.perf_counter()
    count = sum(block.size for block in sweep.blocks())
    return middle - start, count / (time.perf_counter() - middle)


def resnet50() -> Any:
    """ResNet-50 as torchvision builds it."""
    from torch_models import resnet

    return resnet(True, 3, 4, 6, 3)


def meta(size: int) -> float:
    """Seconds of one point on PyTorch's meta device."""
    import torch

    start = time.perf_counter()
    with torch.device("meta"), torch.no_grad():
        net = resnet50().eval()
        out = net(torch.empty(1, 3, size, size))
    assert out.shape == (1, 1000)
    assert sum(p.numel() for p in net.parameters()) > 0
    return time.perf_counter() - start


def exported() -> tuple[float, float]:
    """Seconds of torch.export with symbolic sizes, and of one point of its shapes."""
    import torch

    with torch.device("meta"):
        net = resnet50().eval()
        x = torch.empty(1, 3, 224, 224)
    start = time.perf_counter()
    height, width = (torch.export.Dim(n, min=64, max=1024) for n in "HW")
    program = torch.export.export(net, (x,), dynamic_shapes=({2: height, 3: width},))
    values = [node.meta.get("val") for node in program.graph.nodes]
    shapes = [value.shape for value in values if hasattr(value, "shape")]
    sizes = [s.node.expr for shape in shapes for s in shape if isinstance(s, torch.SymInt)]
    symbols = sorted({x for s in sizes for x in s.free_symbols}, key=str)
    middle = time.perf_counter()
    for n in (96, 160, 224):
        at = dict.fromkeys(symbols, n)
        assert all(s.subs(at) >= 1 for s in sizes)
    return middle - start, (time.perf_counter() - middle) / 3


def lines(rounds: int = 3) -> list[Line]:
    """The claims and what was measured."""
    found = []
    best = 0.0
    for form in ("horner", "expanded"):
        runs = [ours(form) for _ in range(rounds)]
        first, rate = (statistics.median(column) for column in zip(*runs, strict=True))
        best = max(best, rate)
        found.append(
            Line(f"sweep of ResNet-50, {form} form (derived once in {first:.1f} s)",
                 f"{rate / 1e6:.1f} M points/s", f"{rate / 2e6:.1f}x", "2 M points/s")
        )  # fmt: skip
    try:
        meta(224)
        point = statistics.median(meta(64 + 32 * i) for i in range(1, 2 + rounds))
        text = f"{1e3 * point:.0f} ms a point"
        found.append(Line("beside PyTorch's meta device", text, f"{point * best:,.0f}x", "10,000x"))
        once, point = exported()
        text = f"{once:.1f} s once, {1e3 * point:.0f} ms a point"
        found.append(Line("beside torch.export's symbolic shapes (sizes alone)", text,
                          f"{point * best:,.0f}x", "10,000x"))  # fmt: skip
    except ImportError as error:
        found.append(Line("beside PyTorch", f"not measured: {error}", "", "10,000x"))
    return found


if __name__ == "__main__":
    print(machine("numpy", "torch"))
    show(lines(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
