"""An export imported again gives the derivation it was written from."""

import ast
from zlib import crc32

import pytest
from export_cases import net

import cnncalc
from cnncalc.exporters import export
from cnncalc.exporters.onnx import model
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
