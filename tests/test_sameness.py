"""`diff` across formats: the same network in other words, and the first place where two part."""

import json
from pathlib import Path

import pytest

import cnncalc
from cnncalc.__main__ import run
from cnncalc.exporters import export
from cnncalc.sameness import compare
from cnncalc.source import Source

ROOT = Path(__file__).parents[1]
HEAD = "dialect: torch\ninput: 16x16x3\nlayers:\n"


def net(*layers):
    return cnncalc.load(Source(HEAD + "".join(f"  - {line}\n" for line in layers))).derive()


CONV = "conv: {filters: 8, kernel: 3, pad: 1}"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([CONV, "relu", "dropout: 0.5", "dense: 10"], [CONV, "identity", "relu", "flatten", "dense: 10"]),  # noqa: E501
        ([CONV, "global_avgpool", "dense: 5"], [CONV, "mean: {axes: [0, 1]}", "linear: 5"]),
        ([CONV, "global_avgpool"], [CONV, "adaptive_avgpool: 1", "flatten"]),
        ([CONV, "global_avgpool"], [CONV, "avgpool: 16"]),
        ([CONV, "adaptive_avgpool: 8"], [CONV, "avgpool: 2"]),
        ([CONV, "silu"], [CONV, "multiply: [[sigmoid], []]"]),
        ([CONV, "hardswish"], [CONV, "multiply: [[], [hardsigmoid]]"]),
        ([CONV, "add: [[relu], [tanh]]"], [CONV, "add: [[tanh], [relu]]"]),
        (["depthwise_conv: {kernel: 3}"], ["conv: {filters: 3, kernel: 3, groups: 3}"]),
        (["separable_conv: {filters: 5, kernel: 3}"],
         ["depthwise_conv: {kernel: 3, bias: false}", "conv: {filters: 5, kernel: 1}"]),
        ([CONV, "conv: {filters: 9, kernel: 16}", "flatten"], [CONV, "dense: 9"]),
        (["batchnorm"], ["batchnorm: {affine: false}", "scale: {bias: true}"]),
        (["conv: {filters: 8, kernel: 3, pad: same}"], [CONV]),
    ],
)  # fmt: skip
def test_other_words_for_the_same(a, b):
    assert compare(net(*a), net(*b)).same


@pytest.mark.parametrize(
    ("a", "b", "what"),
    [
        ([CONV], [CONV.replace("8", "9")], "output"),
        ([CONV, "relu"], [CONV, "tanh"], "op"),
        ([CONV, "maxpool: 2"], [CONV, "avgpool: 2"], "op"),
        (["batchnorm: 0.001"], ["batchnorm"], "eps"),
        (["conv: {filters: 8, kernel: 3, pad: 1, bias: false}"], [CONV], "bias"),
        (["conv: {filters: 8, kernel: 3, pad: 1}"], ["conv: {filters: 8, kernel: 5, pad: 2}"], "kernel"),  # noqa: E501
        ([CONV, "concat: [[relu], [tanh]]"], [CONV, "concat: [[tanh], [relu]]"], "inputs"),
    ],
)  # fmt: skip
def test_differences_are_found_and_named(a, b, what):
    verdict = compare(net(*a), net(*b))
    assert not verdict.same
    assert what in [name for name, _, _ in verdict.parting.differences]


def test_fused_batch_normalisation_is_said():
    plain = "conv: {filters: 8, kernel: 3, pad: 1, bias: false}"
    verdict = compare(net(plain, "batchnorm", "relu"), net(CONV, "relu"))
    assert (verdict.same, verdict.fused) == (False, True)
    assert not compare(net(plain, "batchnorm", "relu"), net(CONV, "tanh")).fused


PLAIN = "conv: {filters: 8, kernel: 3, pad: 1, bias: false}"


def test_folded_layers_are_counted_as_torch_folds_them():
    """Parameters and buffers of PyTorch's own fusion of the two modules."""
    from torch import nn
    from torch.nn.utils import fusion

    conv, norm = nn.Conv2d(3, 8, 3, padding=1, bias=False).eval(), nn.BatchNorm2d(8).eval()
    whole = fusion.fuse_conv_bn_eval(conv, norm)
    before = sum(p.numel() for m in (conv, norm) for p in m.parameters())
    after = sum(p.numel() for p in whole.parameters())
    a, b = net(PLAIN, "batchnorm", "relu"), net(CONV, "relu")
    for one, two in ((a, b), (b, a)):
        verdict = compare(one, two)
        (fold,) = verdict.folds or verdict.folds_b
        assert verdict.fused
        assert (fold.params, fold.buffers) == (after - before, -16)
        assert [row.op for row in fold.folded] == ["batchnorm"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([PLAIN, "relu", "batchnorm"], [CONV, "relu"]),  # no layer takes it in
        ([PLAIN, "batchnorm", "add:\n    from: [conv1, batchnorm1]"], [CONV, "add: [[], []]"]),
        ([PLAIN, "batchnorm"], [PLAIN]),  # the shift is lost
    ],
)
def test_what_cannot_be_folded(a, b):
    assert not compare(net(*a), net(*b)).fused


def test_what_folding_does_not_explain(capsys, tmp_path):
    a = [PLAIN, "batchnorm", "relu", "conv: {filters: 4, kernel: 3}"]
    b = [CONV, "relu", "conv: {filters: 4, kernel: 5}"]
    verdict = compare(net(*a), net(*b))
    assert not verdict.fused
    assert len(verdict.folds) == 1
    assert ("kernel", "3x3", "5x5") in verdict.parting.differences
    paths = []
    for name, layers in (("a", a), ("b", [CONV, "relu", a[-1]])):
        paths.append(str(tmp_path / f"{name}.yaml"))
        Path(paths[-1]).write_text(HEAD + "".join(f"  - {line}\n" for line in layers))
    assert run(["diff", *paths]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "the same network once batch normalisation is folded" in out
    assert "exactly -8 parameters and -16 running statistics" in out
    assert "removed" not in out
    assert "2 folded" in out
    assert run(["diff", *paths, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["same"], found["same_when_fused"]) == (False, True)
    assert found["folded"] == [{"side": "a", "layers": ["batchnorm1"], "into": "conv1",
                                "params": -8, "buffers": -16}]  # fmt: skip
    assert {layer["kind"] for layer in found["layers"]} == {"folded", "same"}


def test_the_first_parting_is_the_first():
    report = cnncalc.load("resnet50").derive()
    text = (ROOT / "specs/resnet50.yaml").read_text()
    other = cnncalc.load(Source(text.replace(", 6, 2]", ", 6, 1]"))).derive()
    verdict = compare(report, other)
    assert verdict.parting.a.name == "layer3/project1/add1/1/convs1/conv2"
    assert ("stride", "2x2", "1x1") in verdict.parting.differences


@pytest.mark.parametrize("name", ["lenet-caffe", "squeezenet1_1", "mobilenet_v2", "densenet121",
                                  "unet", "convnext_tiny"])  # fmt: skip
def test_an_export_to_onnx_is_imported_as_the_same_network(name, tmp_path):
    from cnncalc.exporters.onnx import model

    path = tmp_path / "model.onnx"
    network = cnncalc.load(name)
    report = network.derive()
    path.write_bytes(model(network, report, weights=False).SerializeToString())
    found = cnncalc.load(str(path)).derive()
    verdict = compare(report, found)
    assert verdict.same, verdict.parting
    assert found.totals.params == report.totals.params
    assert found.totals.macs == report.totals.macs


def test_command_line(tmp_path, capsys):
    path = tmp_path / "model.onnx"
    path.write_bytes(export(cnncalc.load("lenet-caffe"), "onnx"))
    assert run(["diff", "lenet-caffe", str(path)]) == 0
    assert "the same network" in capsys.readouterr().out
    assert run(["diff", "resnet18", "resnet34"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "not the same network; they first part at layer2/project1" in out
    assert run(["diff", "resnet18", "resnet34", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is False
    assert found["parting"]["differences"][0]["what"] == "stride"
