"""An export imported again gives the derivation it was written from."""

import ast
from zlib import crc32

import numpy as np
import pytest
from export_cases import net

import cnncalc
from cnncalc.exporters import export
from cnncalc.exporters.onnx import model
from cnncalc.importers import convert
from cnncalc.sameness import compare
from cnncalc.source import Source

TORCH = "dialect: torch\n"
SPECS = {
    "half a normalisation": net("batchnorm: {scale: false}", "relu", "batchnorm: {shift: false}"),
    "one axis": net("conv: {filters: 6, kernel: 3}", "batchnorm", "maxpool: 2", "global_avgpool",
                    input="24x3", head=TORCH),
    "neighbours": net("conv: {filters: 6, kernel: 3}", "lrn: {size: 3, k: 2}", "dense: 4"),
    "moved axes": net("conv: {filters: 6, kernel: 3}", "layernorm", "linear: 5",
                      "mean: {axes: [0, 1]}"),
    "sums": net("subsample: 2", "dense: 3"),
    "three axes": net("conv: {filters: 4, kernel: 3}", "relu6", "avgpool: 2", input="6x6x6x3"),
    "dropped": net("add: [[], [{conv: {filters: 8, kernel: 1}}, {stochastic_depth: 0.1}]]",
                   "hardtanh: {low: 0, high: 6}", "roll: [0, 0]", head=TORCH),
}  # fmt: skip
CONNECTED = net("conv: {filters: 2, kernel: 3, connect: [[0, 1], [0, 2]]}", input="12x12x3")
RECURRENT = [
    net("lstm: {units: 4, return_sequences: true, bidirectional: true}", "lstm: 3", input="5x6",
        head=TORCH),
    net("gru: {units: 4, bidirectional: true}", "dense: 2", input="5x6", head=TORCH),
    net("gru: {units: 4, return_sequences: true, bidirectional: true, merge: sum}",
        "lstm: {units: 3, bidirectional: true, merge: average}", input="5x6", head=TORCH),
    net("lstm: {units: 3, return_sequences: true}", "lstm: 2", input="5x6",
        head="dialect: keras\n"),
]  # fmt: skip


def totals(report):
    t = report.totals
    return t.params, t.buffers, t.macs


def same(first, second):
    verdict = compare(first, second)
    assert verdict.same, verdict.parting
    assert totals(first) == totals(second)
    assert not any(row.op == "opaque" for row in second.layers)


def through_onnx(network, folder):
    path = folder / "net.onnx"
    report = network.derive()
    path.write_bytes(model(network, report, weights=False).SerializeToString())
    return report, cnncalc.load(str(path)).derive()


@pytest.mark.parametrize("name", SPECS)
def test_through_onnx(name, tmp_path):
    same(*through_onnx(cnncalc.load(Source(SPECS[name])), tmp_path))


@pytest.mark.parametrize("name", ["m5-audio", "inception_v3", "lenet5"])
def test_bundled_through_onnx(name, tmp_path):
    same(*through_onnx(cnncalc.load(name), tmp_path))


def test_connections_through_onnx(tmp_path):
    same(*through_onnx(cnncalc.load(Source(CONNECTED)), tmp_path))


@pytest.mark.parametrize("spec", RECURRENT)
def test_recurrence_through_onnx(spec, tmp_path):
    first, second = through_onnx(cnncalc.load(Source(spec)), tmp_path)
    same(first, second)
    assert [r.op for r in second.layers if r.macs] == [r.op for r in first.layers if r.macs]


def through_torch(spec, tmp_path, monkeypatch):
    from cnncalc.importers.torch import convert

    network = cnncalc.load(Source(spec))
    report = network.derive()
    source = export(network, "torch")
    module = f"exported_{crc32(spec.encode())}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    (*_, last) = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    (shape,) = report.input_shapes.values()
    text = convert(f"{module}:{last}", ["x".join(map(str, shape))])
    return report, cnncalc.load(Source(text)).derive()


@pytest.mark.parametrize("name", SPECS)
def test_through_torch(name, tmp_path, monkeypatch):
    same(*through_torch(SPECS[name], tmp_path, monkeypatch))


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("spec", RECURRENT)
def test_recurrence_through_torch(spec, tmp_path, monkeypatch):
    first, second = through_torch(spec, tmp_path, monkeypatch)
    same(first, second)
    assert [r.op for r in second.layers if r.macs] == [r.op for r in first.layers if r.macs]


@pytest.mark.parametrize(
    "layers",
    [
        ["maxpool: {kernel: 3, stride: 2, pad: [[0, 1], [1, 0]]}", "conv: {filters: 4, kernel: 1}"],
        ["conv: {filters: 4, kernel: 3, stride: 2, pad: [[0, 1], [0, 1]]}", "relu"],
        ["conv: {filters: 2, kernel: 3, connect: [[0, 1], [0, 2]]}", "relu"],
    ],
)
def test_borders_and_picked_channels_through_torch(layers, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    same(*through_torch(net(*layers, input="12x12x3", head=TORCH), tmp_path, monkeypatch))


def test_a_border_of_another_number_is_told(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def written(value):
        info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3, s, s])
                for n, s in (("x", 8), ("y", 4))]  # fmt: skip
        arrays = [("pads", np.array([0, 0, 0, 0, 0, 0, 1, 1])), ("v", np.float32([value])[0])]
        pool = helper.make_node("MaxPool", ["p"], ["y"], kernel_shape=[3, 3], strides=[2, 2])
        nodes = [helper.make_node("Pad", ["x", "pads", "v"], ["p"]), pool]
        tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in arrays]
        graph = helper.make_graph(nodes, "g", info[:1], info[1:], tensors)
        path = tmp_path / "net.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                    ir_version=8), str(path))  # fmt: skip
        return convert(str(path))

    assert "pad: [[0, 1], [0, 1]]" in written(-np.inf)
    assert "by" not in written(-np.inf)
    assert "padded with -1 in the source" in written(-1.0)
    assert "padded" not in written(0.0)
    assert "by: [[0, 1], [0, 1]]" in written(0.0)


def test_a_border_of_zeros_is_the_padding_of_a_convolution():
    def derived(*layers):
        return cnncalc.load(Source(net(*layers, input="12x12x3"))).derive()

    conv = "conv: {{filters: 4, kernel: 3, pad: {}}}".format
    apart = derived("pad: {by: [[0, 1], [2, 0]]}", conv(1), "relu")
    assert compare(apart, derived(conv("[[1, 2], [3, 1]]"), "relu")).same
    assert not compare(apart, derived(conv("[[2, 1], [3, 1]]"), "relu")).same
    pooled = derived("pad: 1", "maxpool: 3")  # zeros are not a pool's padding
    assert not compare(pooled, derived("maxpool: {kernel: 3, pad: 1}")).same
