"""Caffe's prototxt in its three syntaxes; counts that the models' authors publish."""

import pytest

import cnncalc
from cnncalc.diagnostics import Problem
from cnncalc.importers import convert
from cnncalc.importers.caffe.prototxt import parse

LENET = """
name: "LeNet"  # examples/mnist/lenet.prototxt
layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 64 dim: 1 dim: 28 dim: 28 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 stride: 1 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param { num_output: 50 kernel_size: 5 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" inner_product_param { num_output: 500 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""
# ruff: noqa: E501
# The same in the syntax of 2014 and in that of 2013.
OLD = LENET.replace("layer {", "layers {").replace("dim: 64 ", "dim: 1 ")
for _new, _old in (("Convolution", "CONVOLUTION"), ("Pooling", "POOLING"), ("ReLU", "RELU"),
                   ("InnerProduct", "INNER_PRODUCT"), ("Softmax", "SOFTMAX")):  # fmt: skip
    OLD = OLD.replace(f'"{_new}"', _old)
OLDEST = """
name: "LeNet"
input: "data" input_dim: 64 input_dim: 1 input_dim: 28 input_dim: 28
layers { layer { name: "conv1" type: "conv" num_output: 20 kernelsize: 5 } bottom: "data" top: "c1" }
layers { layer { name: "pool1" type: "pool" pool: MAX kernelsize: 2 stride: 2 } bottom: "c1" top: "p1" }
layers { layer { name: "conv2" type: "conv" num_output: 50 kernelsize: 5 } bottom: "p1" top: "c2" }
layers { layer { name: "pool2" type: "pool" pool: MAX kernelsize: 2 stride: 2 } bottom: "c2" top: "p2" }
layers { layer { name: "ip1" type: "innerproduct" num_output: 500 } bottom: "p2" top: "i1" }
layers { layer { name: "relu1" type: "relu" } bottom: "i1" top: "i1" }
layers { layer { name: "ip2" type: "innerproduct" num_output: 10 } bottom: "i1" top: "i2" }
layers { layer { name: "prob" type: "softmax" } bottom: "i2" top: "prob" }
"""


def written(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("text", [LENET, OLD, OLDEST], ids=["layer", "layers", "V0"])
def test_lenet_in_three_syntaxes(tmp_path, text):
    report = cnncalc.check(written(tmp_path, text), run=False)
    assert report.ok, report.diagnostics
    assert report.dialect.name == "caffe"
    assert report.totals.params == 431080
    assert report.totals.macs == 2293000
    assert [row.name for row in report.layers][:2] == ["conv1", "pool1"]


def conv(name, bottom, out, k, **more):
    """A convolution with its batch normalisation and scale, as Caffe's ResNets write them."""
    rest = " ".join(f"{key}: {value}" for key, value in more.items())
    relu = f'layer {{ name: "{name}_relu" type: "ReLU" bottom: "{name}" top: "{name}" }}'
    return f"""
layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
  convolution_param {{ num_output: {out} kernel_size: {k} bias_term: false {rest} }} }}
layer {{ name: "bn_{name}" type: "BatchNorm" bottom: "{name}" top: "{name}"
  batch_norm_param {{ use_global_stats: true }} }}
layer {{ name: "scale_{name}" type: "Scale" bottom: "{name}" top: "{name}"
  scale_param {{ bias_term: true }} }}""" + (relu if not name.endswith(("c", "1")) else "")


def resnet(depths):
    """He's deploy files (KaimingHe/deep-residual-networks): stride in the first 1x1."""
    text = 'name: "ResNet"\ninput: "data"\ninput_shape { dim: 1 dim: 3 dim: 224 dim: 224 }\n'
    text += conv("conv_stem", "data", 64, 7, stride=2, pad=3).replace("false", "true")
    text += """layer { name: "pool_stem" type: "Pooling" bottom: "conv_stem" top: "pool1"
  pooling_param { kernel_size: 3 stride: 2 pool: MAX } }"""
    at = "pool1"
    for i, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512), strict=True), 2):
        for j in range(depth):
            block = f"{i}{chr(97 + j)}" if depth < 27 else f"{i}b{j}"
            stride = 2 if j == 0 and i > 2 else 1
            shortcut = at
            if j == 0:
                shortcut = f"res{block}_branch1"
                text += conv(shortcut, at, 4 * width, 1, stride=stride)
            a, b, c = (f"res{block}_branch2{x}" for x in "abc")
            text += conv(a, at, width, 1, stride=stride)
            text += conv(b, a, width, 3, pad=1) + conv(c, b, 4 * width, 1)
            at = f"res{block}"
            text += f"""
layer {{ bottom: "{shortcut}" bottom: "{c}" top: "{at}" name: "{at}" type: "Eltwise" }}
layer {{ bottom: "{at}" top: "{at}" name: "{at}_relu" type: "ReLU" }}"""
    return (
        text
        + f"""
layer {{ name: "pool5" type: "Pooling" bottom: "{at}" top: "pool5" pooling_param {{ kernel_size: 7 stride: 1 pool: AVE }} }}
layer {{ name: "fc1000" type: "InnerProduct" bottom: "pool5" top: "fc1000" inner_product_param {{ num_output: 1000 }} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc1000" top: "prob" }}"""
    )


def test_resnet_50_of_caffe(tmp_path):
    """torchvision's published count, and a bias in the first convolution."""
    path = written(tmp_path, resnet((3, 4, 6, 3)))
    report = cnncalc.check(path, run=False)
    assert report.ok, report.diagnostics
    assert report.totals.params == 25557032 + 64
    assert report.layers[-1].output == (1000,)
    assert report.row("pool_stem").output == (56, 56, 64)  # a pool that rounds up
    text = convert(path)
    assert len(text.splitlines()) < 160  # four stages of blocks
    assert "blocks:" in text


def test_only_the_test_phase_and_no_losses(tmp_path):
    head = """
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 24 } }
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 32 } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "slow" type: "Dropout" bottom: "c" top: "c" exclude { phase: TEST } }
layer { name: "acc" type: "Accuracy" bottom: "c" bottom: "label" top: "acc" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "loss" }
"""
    report = cnncalc.check(written(tmp_path, head), run=False)
    assert [(row.name, row.output) for row in report.layers] == [("c", (30, 30, 4))]


def test_a_siamese_pair_shares_by_the_names_of_its_parameters(tmp_path):
    branch = """layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s"
  param { name: "w" } param { name: "b" } inner_product_param { num_output: 6 } }"""
    text = (
        'input: "data" input_shape { dim: 1 dim: 10 } input: "pair" input_shape { dim: 1 dim: 10 }'
    )
    text += branch % ("left", "data", "l") + branch % ("right", "pair", "r")
    text += 'layer { name: "both" type: "Concat" bottom: "l" bottom: "r" top: "both" }'
    report = cnncalc.check(written(tmp_path, text), run=False)
    assert report.ok, report.diagnostics
    assert report.totals.params == 66


def test_a_type_that_is_not_covered(tmp_path):
    text = LENET + 'layer { name: "odd" type: "SpatialProduct" bottom: "prob" top: "odd" }'
    report = cnncalc.check(written(tmp_path, text), run=False)
    assert [d.code for d in report.diagnostics if d.severity == "warning"][-1:] == ["W010"]
    assert report.totals.params == 431080


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("layer {", "the end of the file"),
        ("layer { name: }", "expected a value"),
        ("a " * 9, "expected ':'"),
        ("x { " * 5000, "deeper than"),
        ('net: "x" base_lr: 1', "no layers"),
        (LENET.replace('bottom: "conv1"', 'bottom: "nowhere"'), "no layer above makes it"),
        (LENET.replace("num_output: 20", "num_output: lots"), "must be a number"),
        (LENET.replace("kernel_size: 5 stride", "kernel_size: -5 stride"), "makes no sense"),
        (LENET.replace("dim: 28 dim: 28", "dim: 0 dim: 28"), "impossible sizes"),
        ("\x00\x01", "cannot read"),
    ],
)
def test_files_that_make_no_sense(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(Problem, match=r".") as caught:
        convert(path)
    assert words in caught.value.diagnostic.message
    assert cnncalc.check(path).status() == 2


def test_prototxt_values():
    found = parse("a: 1 a: 0x10, b < c: [1, 2.5e1] > d: 'x' \"y\" e: MAX f: -3 # end")
    assert found.all("a") == [1, 16]
    assert found.message("b").all("c") == [1, 25.0]
    assert (found.get("d"), found.get("e"), found.get("f")) == ("xy", "MAX", -3)
