"""`export --to onnx`: ONNX Runtime runs the model and finds the sizes and parameters derived."""

from math import prod

import numpy as np
import onnx
import onnxruntime
import pytest
from export_cases import HOSTILE, SPECS, hostile, net

import cnncalc
from cnncalc.__main__ import run
from cnncalc.exporters import ExportError, export
from cnncalc.exporters.onnx import model
from cnncalc.source import Source

NETWORKS = ("lenet5", "lenet-caffe", "m5-audio", "squeezenet1_1", "mobilenet_v2",
            "lecture/image-kernels", "symbolic-vgg-block")  # fmt: skip
SHAPES = ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet-aux",
          "inception_v3", "resnet50", "unet", "vgg16", "xception", "mobilenet_v1")  # fmt: skip


def network_of(spec):
    return cnncalc.load(spec if "\n" not in spec else Source(spec))


def tensor(shape, tokens=False):
    sizes = [n if isinstance(n, int) else 64 for n in shape]
    if len(sizes) == 1 or (tokens and len(sizes) == 2):
        return (2, *sizes)
    return (2, sizes[-1], *sizes[:-1])


def count(graph):
    return sum(prod(i.dims) for i in graph.graph.initializer)


def execute(data, feed):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def check(spec):
    network = network_of(spec)
    report = network.derive()
    data = export(network, "onnx")
    graph = onnx.load_model_from_string(data)
    onnx.checker.check_model(graph, full_check=True)
    assert count(graph) == report.totals.params + report.totals.buffers
    tokens = "layernorm" in spec
    random = np.random.default_rng(0)
    feed = {
        name: random.random(tensor(shape, tokens), np.float32)
        for name, shape in report.input_shapes.items()
    }
    found = execute(data, feed)
    if not report.symbols:
        wanted = [tensor(report.row(name).output, tokens) for name in report.outputs]
        assert [o.shape for o in found] == wanted
    assert all(np.isfinite(o).all() for o in found)
    return graph


@pytest.mark.parametrize("name", NETWORKS)
def test_bundled_networks_run(name):
    check(name)


@pytest.mark.parametrize("name", SHAPES)
def test_larger_networks_by_shape_inference(name):
    """Without weights: onnx's own inference meets every derived shape of a layer's output."""
    network = network_of(name)
    report = network.derive()
    graph = onnx.shape_inference.infer_shapes(
        model(network, report, weights=False), strict_mode=True, data_prop=True
    )
    assert count(graph) == report.totals.params + report.totals.buffers
    known = {v.name: v for v in [*graph.graph.value_info, *graph.graph.output]}
    for row in report.layers:
        dims = [d.dim_value for d in known[row.name].type.tensor_type.shape.dim][1:]
        assert sorted(dims) == sorted(row.output), row.name


@pytest.mark.parametrize("spec", SPECS)
def test_layers_and_joins(spec):
    check(spec)


def test_values_agree_with_torch():
    """A window of numbers through ONNX Runtime and through PyTorch."""
    import torch
    from torch.nn import functional

    spec = net("conv: {filters: 4, kernel: 3, stride: 2, pad: same}", "gelu", "layernorm",
               input="9x8x3", head="dialect: keras\n")  # fmt: skip
    data = export(network_of(spec), "onnx")
    x = np.random.default_rng(1).random((2, 3, 9, 8), np.float32)
    weights = {i.name: onnx.numpy_helper.to_array(i)
               for i in onnx.load_model_from_string(data).graph.initializer}  # fmt: skip
    padded = functional.pad(torch.tensor(x), (0, 1, 1, 1))
    y = functional.conv2d(padded, torch.tensor(weights["conv1.weight"]), stride=2)
    y = functional.layer_norm(functional.gelu(y).movedim(1, -1), (4,)).movedim(-1, 1)
    np.testing.assert_allclose(execute(data, {"input": x})[0], y.numpy(), atol=1e-5)


def test_hostile_names_stay_data():
    graph = check(hostile())
    assert {f"{text}/{text}" for text in HOSTILE} <= {n.name for n in graph.graph.node}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (net("dense: 10\n    name: head", input="HxWx3"), ["head", "--set"]),
        (net("avgpool: {kernel: 2, dilation: 2}\n    name: p"), ["p:", "dilation"]),
        (net("lrn: {size: 4}\n    name: s"), ["s:", "odd"]),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(spec, words):
    with pytest.raises(ExportError) as error:
        export(network_of(spec), "onnx")
    assert all(word in str(error.value) for word in words)


def test_command_line(tmp_path, capfdbinary, monkeypatch):
    target = tmp_path / "net.onnx"
    assert run(["export", "lenet-caffe", "--to", "onnx", "-o", str(target)]) == 0
    assert count(onnx.load(target)) == 431080
    assert run(["export", "lecture/exercise-1", "--to", "onnx"]) == 0
    data = capfdbinary.readouterr().out
    assert count(onnx.load_model_from_string(data)) == 760
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(["export", "lecture/exercise-1", "--to", "onnx"]) == 2
    assert b"-o FILE" in capfdbinary.readouterr().err


def test_the_seed_is_fixed():
    first, second = (export(network_of("lenet5"), "onnx") for _ in range(2))
    assert first == second
