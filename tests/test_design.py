"""Design rules: they speak on known faults and leave well-known networks in peace."""

from pathlib import Path

import pytest

import cnncalc
from cnncalc.source import Source

ROOT = Path(__file__).parents[1]


def derived(text):
    return cnncalc.load(Source(text, "spec.yaml")).derive()


def warnings(text):
    return [d.code for d in derived(text).diagnostics if d.severity == "warning"]


def net(*layers, input="32x32x3", head=""):
    return f"{head}input: {input}\nlayers:\n" + "".join(f"  - {line}\n" for line in layers)


def test_shrinking_speaks_on_the_lectures_example():
    spec = net("repeat: {times: 7, layers: [{conv: {filters: 6, kernel: 5}}, relu]}")
    report = derived(spec)
    (found,) = [d for d in report.diagnostics if d.code == "W001"]
    assert "7 convolutions in a row without padding shrink 32x32 to 4x4" in found.message
    short = net("conv: {filters: 6, kernel: 5}", "relu", "conv: {filters: 6, kernel: 5}")
    assert warnings(short) == []


def test_shrinking_by_one_long_step():
    pool = "maxpool: {kernel: 8, stride: 8}"
    conv = "conv: {filters: 4, kernel: 3, pad: 1}"
    assert warnings(net(conv, "relu", pool, conv, input="64x64x3")) == ["W001"]
    assert warnings(net(conv, "relu", pool, "dense: 10", input="64x64x3")) == []
    patches = net("conv: {filters: 96, kernel: 16, stride: 16}", "relu", conv, input="64x64x3")
    assert warnings(patches) == []


def test_kernels_on_a_single_pixel():
    conv = "conv: {filters: 4, kernel: 3, pad: 1}"
    half = "maxpool: 2"
    assert warnings(net(conv, "relu", half, conv, "relu", half, conv, input="4x4x3")) == ["W001"]
    assert warnings(net(conv, "relu", half, conv, input="4x4x3")) == []


def test_bias_before_batchnorm_once_a_line():
    spec = net("repeat: {times: 3, layers: [{conv: {filters: 3, kernel: 1}}, batchnorm, relu]}")
    (found,) = [d for d in derived(spec).diagnostics if d.code == "W002"]
    assert "and 2 more layers" in found.message
    assert warnings(net("conv: {filters: 3, kernel: 1, bias: false}", "batchnorm", "relu")) == []


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["conv: {filters: 8, kernel: 3}", "conv: {filters: 8, kernel: 3}"], ["W003"]),
        (["dense: 64", "dropout: 0.5", "dense: 10"], ["W003"]),
        (["conv: {filters: 8, kernel: 3}", "avgpool: 2", "dense: 10"], ["W003"]),
        (["conv: {filters: 8, kernel: 3}", "maxpool: 2", "dense: 10"], []),
        (["dense: 64", "relu", "dense: 10"], []),
        (["dense: 4", "dense: 100"], []),  # a bottleneck
        (["depthwise_conv: {kernel: 3}", "conv: {filters: 8, kernel: 1}"], []),
        (["conv: {filters: 8, kernel: 1x3}", "conv: {filters: 8, kernel: 3x1}"], []),
        (["conv: {filters: 8, kernel: 1}",
          "conv_transpose: {filters: 8, kernel: 4, stride: 2, pad: 1}"], []),
        (["conv: {filters: 3, kernel: 1}",
          "add: [[{conv: {filters: 3, kernel: 3, pad: 1}}], []]"], []),
    ],
)  # fmt: skip
def test_linear_pairs(layers, expected):
    assert warnings(net(*layers, input="12x12x3")) == expected


def test_one_heavy_dense_layer():
    heavy = net("conv: {filters: 32, kernel: 3, pad: 1}", "relu", "dense: 1024", "relu",
                "dense: 10", input="64x64x3")  # fmt: skip
    assert warnings(heavy) == ["W004"]
    assert warnings(net("dense: 4096", "relu", "dense: 10", input="64x64x3")) == []
    note = [d for d in cnncalc.load("vgg16").derive().diagnostics if d.code == "W004"]
    assert [d.severity for d in note] == ["warning"]


def test_dead_ends():
    lost = net("conv: {filters: 8, kernel: 3}\n    name: a",
               "conv: {filters: 8, kernel: 3}\n    from: input")  # fmt: skip
    assert warnings(lost) == ["W006"]
    assert warnings(lost + "outputs: [a, conv1]\n") == []


def test_softmax_and_activations():
    assert warnings(net("dense: 10", "softmax", "softmax_cross_entropy")) == ["W007"]
    assert warnings(net("dense: 10", "softmax_cross_entropy")) == []
    assert warnings(net("dense: 10", "relu", "dropout: 0.5", "tanh")) == ["W008"]
    assert warnings(net("dense: 10", "relu", "softmax")) == ["W008"]


def test_work_on_padding():
    assert warnings(net("conv: {filters: 8, kernel: 1, pad: 1}")) == ["W009"]
    assert warnings(net("maxpool: 1")) == ["W009"]
    wide = "conv: {filters: 8, kernel: 3, pad: 18, dilation: 18}"
    assert warnings(net(wide, input="14x14x3")) == ["W009"]
    assert warnings(net(wide, input="33x33x3")) == []


# What an expert would be told of these networks too.
TOLD = {"shrinking": {"W001"}, "m5-audio": {"W002", "W005"}, "squeezenet1_0": {"W009"}}
TOLD |= {"maxvit_t": {"W003"}}
FLATTENED = ("alexnet", "alexnet-original", "alexnet-torchvision", "zfnet", "lenet-caffe",
             "vgg11", "vgg13", "vgg16", "vgg19")  # fmt: skip
TOLD |= {name: {"W004"} for name in FLATTENED}


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("specs/*.yaml"), *ROOT.glob("specs/lecture/*.yaml")]),
    ids=lambda path: path.stem,
)
def test_well_known_networks_are_left_in_peace(path):
    found = cnncalc.load(str(path)).derive().diagnostics
    assert {d.code for d in found if d.severity == "warning"} == TOLD.get(path.stem, set())


def test_a_long_chain_is_checked_in_time():
    report = derived(net("repeat: {times: 15000, layers: [identity]}", "relu"))
    assert report.ok
