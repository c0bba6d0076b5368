"""`export --to torch`: the source runs, and PyTorch finds the sizes and parameters derived."""

import ast
import tokenize
from functools import partial
from io import BytesIO

import pytest
import torch

import cnncalc
from cnncalc.__main__ import run
from cnncalc.exporters import ExportError, export
from cnncalc.source import Source

NETWORKS = (
    "alexnet", "convnext_tiny", "dcgan-generator", "densenet121", "efficientnet_b0",
    "googlenet-aux", "inception_v3", "lenet5", "m5-audio", "mobilenet_v1", "resnet18",
    "squeezenet1_0", "unet", "xception",
)  # fmt: skip


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


def net(*layers, input="12x12x8", head=""):
    return f"{head}input: {input}\nlayers:\n" + "".join(f"  - {line}\n" for line in layers)


@pytest.mark.parametrize(
    "spec",
    [
        net("conv: {filters: 4, kernel: 3, pad: [[1, 2], [0, 3]]}", head="dialect: keras\n"),
        net("conv: {filters: 4, kernel: 4, pad: same}", head="dialect: torch\n"),
        net("conv: {filters: 6, kernel: 3, stride: 2, pad: same}", head="dialect: keras\n",
            input="13x20x4"),
        net("conv: {filters: 6, kernel: 3, dilation: 2, groups: 2}", input="20x8"),
        net("conv: {filters: 6, kernel: [1, 3, 3], groups: 2}", input="5x6x7x4"),
        net("depthwise_conv: {kernel: 3, multiplier: 2}",
            "separable_conv: {filters: 5, kernel: 3}"),
        net("conv_transpose: {filters: 3, kernel: 4, stride: 2, pad: 1}"),
        net("conv_transpose: {filters: 3, kernel: 3, stride: 2, pad: same}",
            head="dialect: keras\n"),
        net("conv_transpose: {filters: 3, kernel: 3, stride: 2, pad: 1, output_pad: 1}"),
        net("maxpool: {kernel: 3, stride: 2, pad: same}", head="dialect: keras\n"),
        net("maxpool: {kernel: 2, stride: 3}", head="dialect: caffe\n", input="9x9x3"),
        net("maxpool: {kernel: 3, stride: 2, pad: 1}", head="dialect: caffe\n", input="7x7x3"),
        net("avgpool: {kernel: 3, stride: 2, pad: same}", head="dialect: keras\n"),
        net("avgpool: {kernel: 3, stride: 1, pad: 1}", head="dialect: onnx\n"),
        net("global_maxpool: {keepdims: true}", "flatten", "dense: 5"),
        net("adaptive_avgpool: [3, 5]", "dense: {units: 7, bias: false}"),
        net("linear: 5", "layernorm", "gelu: {approximate: true}", "linear: 2", input="7x8"),
        net("conv: {filters: 6, kernel: 3}", "relu", "linear: 5", "scale", "prelu"),
        net("batchnorm: {scale: false}", "groupnorm: 4", "lrn: {size: 3, k: 2}", "mish"),
        net("subsample: 2", "leaky_relu: 0.2", "elu: 0.5", "softplus", "hardswish"),
        net("dense: 48", "reshape: 4x4x3", "upsample: {scale: 2, method: bilinear}"),
        net("reshape: 6x6x32", "pixel_shuffle: 2", "channel_shuffle: 4", "permute: [2, 0, 1]"),
        net("slice: {axis: 1, start: 2, stop: -1}", "slice: {axis: -1, stop: 3}", "crop: 1",
            "pad: [[0, 2], [1, 0]]"),
        net("mean: {axes: [0, 1]}", "dense: 4"),
        net("mean: {axes: -1, keepdims: true}", "mean: {axes: [1]}"),
        net("multiply: [[], [global_avgpool, {dense: 8}, sigmoid]]"),
        net("concat: {axis: 0, branches: [[], [{maxpool: 2}, {upsample: 2}]]}", "silu"),
        net("concat: [[], [relu, {conv: {filters: 2, kernel: 1}}], [{linear: 3}]]",
            "add: [[], [tanh], [{repeat: {times: 3, layers: [{conv: {filters: 13, kernel: 3, pad: 1}}, relu]}}]]"),  # noqa: E501
        net("conv: {filters: 8, kernel: 1}\n    name: a", "relu",
            "conv: {filters: 8, kernel: 1}\n    share: a", "add:\n    from: [a, relu1, input]"),
        net("repeat: {times: 3, layers: [{conv: {filters: 8, kernel: 1}, name: c}, {add: [[], [relu]]}]}",  # noqa: E501
            "concat:\n    from: [repeat1/2/c, repeat1]"),
        net("dense: 10", "log_softmax", input="HxWx3").replace("HxWx3", "8x9x3"),
        net("global_avgpool", "dense: 10", input="HxWx3"),
    ],
)  # fmt: skip
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


HOSTILE = (
    "a\"); import os; os.system(\"x\") #", "'''\"\"\"", "\\", "class", "forward", "self", "x",
    "__class__", "Network", "torch", "conv1.weight", "nn", "a\\nb", "{m}", "{0}", "%s", "é", "日本",
    "()", "-", "# coding: utf-7", "eval", "train", "x;y", "a" * 90,
)  # fmt: skip


@pytest.mark.parametrize("target", ["torch"])
def test_hostile_names_stay_data(target):
    def quoted(text):
        return "'" + text.replace("'", "''") + "'"

    lines = ["name: " + quoted('"""\\") coding: utf-7 {m} ' + "".join(HOSTILE))]
    lines += ["blocks:"]
    lines += [f"  {quoted('b' + str(i) + text)}: {{args: [c], layers: [{{conv: {{filters: c, kernel: 1}}, name: {quoted(text)}}}, relu]}}"  # noqa: E501
              for i, text in enumerate(HOSTILE)]  # fmt: skip
    lines += ["input: 6x6x3", "layers:"]
    for i, text in enumerate(HOSTILE):
        lines.append(f"  - {quoted('b' + str(i) + text)}: {i + 1}\n    name: {quoted(text)}")
        lines.append(f"  - add: [[], [{{conv: {{filters: {i + 1}, kernel: 1}}}}]]")
    model, source = check("\n".join(lines) + "\n")
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
        (net("pixel_shuffle: 2\n    name: s", input="8x8"), ["s:", "PixelShuffle"]),
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
