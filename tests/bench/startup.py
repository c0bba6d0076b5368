"""Whole processes: `check --no-run` beside its floor, and beside other tools' summaries.

    python tests/bench/startup.py [rounds] [--tools PYTHON]

The floor is an interpreter that composes the same YAML with the C loader, multiplies as many
integers and prints them. The other tools run from PYTHON (an environment that has torch,
torchinfo, fvcore, keras, flax, onnx; without one of them its line says so), each by a newcomer's
shortest script; keras.applications has no AlexNet. Commands alternate, so that all meet the same
noise. Aims: 3 times the floor; 20 times faster than torchinfo, 5 times faster than Flax's tabulate
and ONNX's inference (of a file that holds its weights).
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
NETS = {
    "alexnet-torchvision": ("alexnet((64, 192, 384, 256, 256), pad=2)", ""),
    "vgg16": ("vgg(2, 2, 3, 3, 3)", "VGG16"),
    "resnet50": ("resnet(True, 3, 4, 6, 3)", "ResNet50"),
}
FLOOR = """
import yaml, sys
def walk(n):
    return 1 + sum(walk(x) for x in n.value if not isinstance(x, tuple)) \\
        + sum(walk(v) for x in n.value if isinstance(x, tuple) for v in x) \\
        if isinstance(n.value, list) else 1
count = walk(yaml.compose(open(sys.argv[1]).read(), Loader=yaml.CSafeLoader))
print("\\n".join(f"{i} {i * i * 3 * 3}" for i in range(count)))
"""
TORCH = "import sys; sys.path.insert(0, 'tests')\nimport torch\nfrom torch_models import *\n"
FLAX = """
import jax, jax.numpy as jnp, flax.linen as nn
{net}
print(nn.tabulate(Net(), jax.random.key(0))(jnp.ones((1, 224, 224, 3))))
"""
FLAX_NETS = {
    "alexnet-torchvision": """
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(64, (11, 11), 4, 2)(x))
        x = nn.relu(nn.Conv(192, (5, 5), padding=2)(nn.max_pool(x, (3, 3), (2, 2))))
        x = nn.max_pool(x, (3, 3), (2, 2))
        for c in (384, 256, 256):
            x = nn.relu(nn.Conv(c, (3, 3))(x))
        x = nn.max_pool(x, (3, 3), (2, 2))
        x = x.reshape((x.shape[0], -1))
        for c in (4096, 4096):
            x = nn.relu(nn.Dense(c)(x))
        return nn.Dense(1000)(x)
""",
    "vgg16": """
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        for n, c in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(n):
                x = nn.relu(nn.Conv(c, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = x.reshape((x.shape[0], -1))
        for c in (4096, 4096):
            x = nn.relu(nn.Dense(c)(x))
        return nn.Dense(1000)(x)
""",
    "resnet50": """
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        norm = lambda y: nn.BatchNorm(use_running_average=True)(y)
        conv = lambda c, k, s=1: nn.Conv(c, (k, k), s, use_bias=False)
        x = nn.relu(norm(conv(64, 7, 2)(x)))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for c, n, s in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for i in range(n):
                y = nn.relu(norm(conv(c, 1)(x)))
                y = nn.relu(norm(conv(c, 3, s if i == 0 else 1)(y)))
                y = norm(conv(4 * c, 1)(y))
                x = nn.relu(y + (norm(conv(4 * c, 1, s)(x)) if i == 0 else x))
        return nn.Dense(1000)(x.mean((1, 2)))
""",
}


def scripts(name: str, folder: str) -> dict[str, str]:
    """A newcomer's shortest script for each tool, as far as the tool has the network."""
    net, keras = NETS[name]
    plain = "torch.randn(1, 3, 224, 224)"
    found = {
        "torchinfo": f"{TORCH}from torchinfo import summary\n"
        f"print(summary({net}, (1, 3, 224, 224), verbose=0))",
        "torchinfo, meta device": f"{TORCH}from torchinfo import summary\n"
        f"with torch.device('meta'):\n    print(summary({net}, input_data={plain}, "
        "device='meta', verbose=0))",
        "fvcore": f"{TORCH}from fvcore.nn import FlopCountAnalysis, flop_count_table\n"
        f"print(flop_count_table(FlopCountAnalysis({net}, {plain})))",
        "ONNX shape inference": "import onnx\n"
        f"m = onnx.shape_inference.infer_shapes(onnx.load('{folder}/{name}.onnx'))\n"
        "print([(v.name, v.type.tensor_type.shape) for v in m.graph.value_info])",
    }
    if keras:
        found["Keras summary"] = f"import keras\nkeras.applications.{keras}(weights=None).summary()"
    found["Flax tabulate"] = FLAX.format(net=FLAX_NETS[name])
    return found


def seconds(command: list[str]) -> float | None:
    """Wall time of one whole process; None where it fails."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, env=env, cwd=ROOT)
    return time.perf_counter() - start if done.returncode == 0 else None


def medians(commands: dict[str, list[str]], rounds: int) -> dict[str, float | None]:
    """The median of each, the commands taking turns."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        seconds(command)
    for _ in range(rounds):
        for name, command in commands.items():
            took = seconds(command)
            if took is not None:
                times[name].append(took)
    return {name: statistics.median(t) if t else None for name, t in times.items()}


def check(name: str) -> list[str]:
    return [sys.executable, "-m", "cnncalc", "check", name, "--no-run"]


def floors(rounds: int) -> list[Line]:
    found = []
    for name in NETS:
        bare = [sys.executable, "-c", FLOOR, str(ROOT / "specs" / f"{name}.yaml")]
        times = medians({"floor": bare, "check": check(name)}, rounds)
        floor, ours = times["floor"], times["check"]
        assert floor is not None
        assert ours is not None
        text = f"{1e3 * ours:.0f} ms, {1e3 * floor:.0f} ms"
        found.append(
            Line(f"check {name} --no-run, its floor", text, f"{ours / floor:.1f}x", "at most 3x")
        )
    return found


def others(python: str, rounds: int) -> list[Line]:
    aims = {"torchinfo": "20x", "torchinfo, meta device": "20x", "Flax tabulate": "5x",
            "ONNX shape inference": "5x"}  # fmt: skip
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in NETS:
            out = f"{folder}/{name}.onnx"
            seconds([sys.executable, "-m", "cnncalc", "export", name, "--to", "onnx", "-o", out])
            tools = {t: [python, "-c", text] for t, text in scripts(name, folder).items()}
            times = medians({"check": check(name), **tools}, rounds)
            ours = times.pop("check")
            assert ours
            for tool, took in times.items():
                text = "not measured" if took is None else f"{took:.2f} s, {1e3 * ours:.0f} ms"
                ratio = "" if took is None else f"{took / ours:.1f}x"
                found.append(Line(f"{tool}, {name}, beside check", text, ratio, aims.get(tool, "")))
    return found


def lines(rounds: int = 3, tools: str = sys.executable) -> list[Line]:
    """The claims and what was measured."""
    return [*floors(3 * rounds), *others(tools, rounds)]


if __name__ == "__main__":
    words = [w for w in sys.argv[1:] if w.isdigit()]
    tools = sys.argv[sys.argv.index("--tools") + 1] if "--tools" in sys.argv else sys.executable
    print(machine("typer", "PyYAML"))
    show(lines(int(words[0]) if words else 3, tools))
