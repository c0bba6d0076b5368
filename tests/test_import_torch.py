"""PyTorch modules through torch.export: counts from the module itself, nothing allocated."""

import subprocess
import sys

import pytest

import cnncalc
from cnncalc.diagnostics import Problem

torch = pytest.importorskip("torch")

NETS = """
import torch
from torch import nn

F = nn.functional


class Net(nn.Module):
    def __init__(self, wide=8):
        super().__init__()
        self.stem = nn.Conv2d(3, wide, 3, 2, 1)
        self.norm = nn.BatchNorm2d(wide)
        deep = [nn.Conv2d(wide, wide, 3, padding=1, groups=wide) for _ in range(3)]
        self.deep = nn.ModuleList(deep)
        self.qkv = nn.Linear(wide, 3 * wide)
        self.position = nn.Parameter(torch.zeros(1, 64, wide))
        self.head = nn.Linear(wide, 10)
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, x):
        x = F.max_pool2d(F.hardswish(self.norm(self.stem(x))), 3, 2, 1)
        for conv in self.deep:
            x = x + F.silu(conv(x))
        x = x.flatten(2).transpose(1, 2) + self.position
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.head(x.mean(1)) @ torch.eye(10)


def huge():
    return nn.Sequential(nn.Flatten(), nn.Linear(224 * 224 * 3, 400_000))


def words():
    return nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 4))


def wrong():
    raise RuntimeError("not today")


number = 3
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    (folder / "nets_for_import.py").write_text(NETS)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def derived(target, *inputs):
    from cnncalc.importers.torch import convert

    text = convert(target, inputs)
    return cnncalc.load(text).derive(), text


def test_a_module_with_functional_calls(nets):
    report, text = derived("nets_for_import:Net", "32x32x3")
    assert report.ok, report.diagnostics
    assert report.dialect.name == "torch"
    import nets_for_import

    assert report.totals.params == sum(p.numel() for p in nets_for_import.Net().parameters())
    assert report.layers[-1].output == (10,)
    assert {"hardswish", "silu", "matmul", "positional", "maxpool"} <= {r.op for r in report.layers}
    assert "name: stem" in text


def test_no_weights_are_allocated(nets):
    """Two hundred gigabytes of weights, on fake tensors."""
    report, _ = derived("nets_for_import:huge")
    assert report.totals.params == (224 * 224 * 3 + 1) * 400_000


def test_words_are_whole_numbers(nets):
    report, _ = derived("nets_for_import:words", "7")
    assert report.totals.params == 50 * 16 + 68
    assert report.layers[-1].output == (7, 4)


@pytest.mark.parametrize(
    ("target", "inputs", "words"),
    [
        ("nets_for_import:wrong", [], "not today"),
        ("nets_for_import:absent", [], "no 'absent'"),
        ("no_such_module_here:f", [], "cannot be imported"),
        ("nets_for_import:number", [], "cannot be called"),
        ("nets_for_import:Net", ["axb"], "takes a volume"),
        ("nets_for_import:Net", ["8x8x5"], "fails"),
    ],
)
def test_factories_that_give_nothing(nets, target, inputs, words):
    with pytest.raises(Problem) as caught:
        derived(target, *inputs)
    assert words in caught.value.diagnostic.message


def test_the_command_says_that_code_is_run(nets, tmp_path):
    spec = tmp_path / "net.yaml"
    call = [sys.executable, "-m", "cnncalc", "import", "nets_for_import:words", "--input", "7",
            "-o", str(spec)]  # fmt: skip
    done = subprocess.run(call, capture_output=True, text=True, cwd=nets, env=_env())
    assert done.returncode == 0, done.stderr
    assert "runs the code of nets_for_import:words" in done.stderr
    assert cnncalc.check(str(spec), run=False).totals.params == 868


def _env():
    import os
    from pathlib import Path

    root = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root + os.pathsep + os.environ.get("PYTHONPATH", "")}
