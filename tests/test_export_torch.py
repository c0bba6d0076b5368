"""`export --to torch`: the source runs, and PyTorch finds the sizes and parameters derived."""

import ast
import tokenize
from functools import partial
from io import BytesIO

import pytest
import torch
from export_cases import HOSTILE, NETWORKS, SPECS, hostile, net

import cnncalc
from cnncalc.__main__ import run
from cnncalc.exporters import ExportError, export
from cnncalc.source import Source


def source_of(spec):
    network = cnncalc.load(spec if isinstance(spec, str) and "\n" not in spec else Source(spec))
    return network, export(network, "torch")


def built(source):
    """The module of the last class, on the meta device (no arrays are allocated)."""
    space = {"__name__": "exported"}
    exec(compile(source, "exported.py", "exec"), space)
    (*_, last) = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    return space[last]()


def tensor(shape, size=64, tokens=False):
    """Channels first, but for tokens."""
    sizes = [n if isinstance(n, int) else size for n in shape]
    if tokens and len(shape) == 2:
        return (2, *sizes)
    return (2, *((sizes[-1], *sizes[:-1]) if len(sizes) > 1 else sizes))


def check(spec):
    network, source = source_of(spec)
    layout = partial(tensor, tokens="layernorm" in str(spec))
    report = network.derive()
    with torch.device("meta"):
        model = built(source).eval()
        found = model(*(torch.empty(layout(s)) for s in report.input_shapes.values()))
    outputs = found if isinstance(found, tuple) else (found,)
    assert sum(p.numel() for p in model.parameters()) == report.totals.params
    kept = [b for n, b in model.named_buffers() if not n.endswith("num_batches_tracked")]
    assert sum(b.numel() for b in kept) == report.totals.buffers
    if not report.symbols:
        wanted = [layout(report.row(name).output) for name in report.outputs]
        assert [tuple(o.shape) for o in outputs] == wanted
    return model, source


@pytest.mark.parametrize("name", NETWORKS)
def test_bundled_networks(name):
    _, source = check(name)
    assert max(map(len, source.splitlines())) <= 100 or name == "lenet5"


@pytest.mark.parametrize("spec", SPECS)
def test_layers_and_joins(spec):
    check(spec)


def test_several_inputs_and_outputs():
    spec = """
inputs: {image: 8x8x3, "code vector": 4}
layers:
  - conv: {filters: 4, kernel: 3, pad: 1}
    from: image
    name: a
  - multiply: {}
    from: [a, "code vector"]
    name: b
outputs: [a, b]
"""
    _, source = check(spec)
    assert "def forward(self, image, code_vector):" in source


def test_blocks_are_classes_and_repeats_are_loops():
    source = check("resnet50")[1]
    assert source.count("class ") == 5
    assert "for _ in range(depth - 1)" in source
    assert "nn.Conv2d(c, 4 * c, kernel_size=1, bias=False)" in source
    assert "x = self.layer1(x)  # (N, 256, 56, 56)" in source


def test_hostile_names_stay_data():
    model, source = check(hostile())
    assert source.isascii()
    comments = [t for t in tokenize.tokenize(BytesIO(source.encode()).readline)
                if t.type == tokenize.COMMENT]  # fmt: skip
    assert all(t.start[0] == 1 or t.string.startswith("# (N") for t in comments)
    calls = {ast.unparse(n.func) for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)}
    used = {c for c in calls if not c.startswith(("self.", "model", "B"))}
    assert used <= {"nn.Conv2d", "F.relu", "super", "super().__init__", "nn.Sequential", "nn.ReLU",
                    "torch.randn", "print", "sum", "p.numel", "isinstance", "tuple",
                    *(n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)),
                    *(f"{n.name}().eval" for n in ast.parse(source).body
                      if isinstance(n, ast.ClassDef))}  # fmt: skip
    assert len(list(model.children())) >= len(HOSTILE)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (net("dense: 10\n    name: head", input="HxWx3"), ["head", "--set"]),
        (net("avgpool: {kernel: 2, dilation: 2}\n    name: p"), ["p:", "dilation"]),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(spec, words):
    with pytest.raises(ExportError) as error:
        source_of(spec)
    assert all(word in str(error.value) for word in words)


def test_command_line(tmp_path, capsys):
    target = tmp_path / "net.py"
    assert run(["export", "lenet-caffe", "--to", "torch", "-o", str(target)]) == 0
    assert capsys.readouterr().out == ""
    model = built(target.read_text())
    assert sum(p.numel() for p in model.parameters()) == 431080
    assert tuple(model(torch.zeros(2, 1, 28, 28)).shape) == (2, 10)
    assert [p.name for p in tmp_path.iterdir()] == ["net.py"]
    assert run(["export", "symbolic-vgg-block", "--to", "torch", "--set", "k=8"]) == 0
    assert "nn.Conv2d(3, 8," in capsys.readouterr().out
    spec = tmp_path / "s.yaml"
    spec.write_text(net("dense: 10\n    name: head", input="HxWx3"))
    assert run(["export", str(spec), "--to", "torch"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["export", "no-such-spec", "--to", "torch"]) == 2
    assert run(["export", "alexnet", "--to", "basic"]) == 2
    spec.write_text("input: 7x7x1\nlayers:\n  - conv: {filters: 1, kernel: 3, stride: 3}\n")
    assert run(["export", str(spec), "--to", "torch"]) == 1


def test_the_check_can_fail(monkeypatch):
    """A wrong padding in the source is seen."""
    from cnncalc.exporters import torch_layers

    monkeypatch.setattr(torch_layers, "squeeze", lambda values: values[0] + 1)
    with pytest.raises((AssertionError, RuntimeError)):
        check("lecture/exercise-2")
