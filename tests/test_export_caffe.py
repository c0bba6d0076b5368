"""`export --to caffe`: read back by the prototxt importer, sizes and parameters stay the same."""

import pytest
from export_cases import SPECS, hostile, net

import cnncalc
from cnncalc.__main__ import run
from cnncalc.exporters import ExportError, export
from cnncalc.importers.caffe.prototxt import parse
from cnncalc.source import Source

NETWORKS = ("lenet-caffe", "alexnet", "alexnet-original", "vgg16", "googlenet-aux", "resnet18",
            "squeezenet1_0", "mobilenet_v2", "dcgan-generator", "unet")  # fmt: skip
LACKING = ("layernorm", "gelu", "groupnorm", "hardswish", "upsample", "pixel_shuffle", "HxWx3",
           "log_softmax", "pad: same", "pad: [[", "output_pad", "dialect: onnx", "output: [3, 5]",
           "adaptive_avgpool: [3", "slice: {axis: 1", "axes: -1")  # fmt: skip


def network_of(spec):
    return cnncalc.load(spec if "\n" not in spec else Source(spec))


def check(spec, folder):
    """The derivation of the export's import, which must be that of the spec."""
    network = network_of(spec)
    first = network.derive()
    text = export(network, "caffe")
    path = folder / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    second = cnncalc.check(str(path), run=False)
    assert second.status() == 0, second.diagnostics
    outputs = [sorted(r.row(name).output for name in r.outputs) for r in (first, second)]
    assert outputs[0] == outputs[1]
    for kind in ("params", "trainable", "buffers"):
        assert getattr(first.totals, kind) == getattr(second.totals, kind), kind
    return text, first, second


@pytest.mark.parametrize("name", NETWORKS)
def test_bundled_networks(name, tmp_path):
    _, first, second = check(name, tmp_path)
    assert first.totals.macs == second.totals.macs
    trained = [[row.output for row in r.layers if row.macs] for r in (first, second)]
    assert trained[0] == trained[1]


@pytest.mark.parametrize("spec", [s for s in SPECS if not any(word in s for word in LACKING)])
def test_layers_and_joins(spec, tmp_path):
    check(spec, tmp_path)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (net("batchnorm: {scale: false}", "batchnorm: {shift: false}", "batchnorm: {eps: 0.001}"),
         ['"Bias"', '"Scale"', "eps: 0.001"]),
        (net("maxpool: {kernel: 3, stride: 2}", head="dialect: torch\n"), ["round_mode: FLOOR"]),
        (net("maxpool: {kernel: [3, 2], stride: [2, 1]}"),
         ["kernel_h: 3", "kernel_w: 2", "stride_h: 2", "stride_w: 1"]),
        (net("leaky_relu: 0.2", "elu: 0.5", "prelu", "relu6", "silu", "tanh", "softplus"),
         ["negative_slope: 0.2", "alpha: 0.5", "PReLU", "max: 6", "Swish", "TanH", "BNLL"]),
        (net("lrn: {size: 3, alpha: 0.1}", head="dialect: keras\n"), ["alpha: 0.3"]),
        (net("softmax: {axis: 0}", "slice: {axis: 2, start: 2, stop: 5}", "crop: 0"),
         ["axis: 2", "slice_point: 2\n    slice_point: 5", "Silence"]),
        (net("subsample: 3"), ["scale: 9", "AVE"]),
        (net("subtract: [[], [relu]]", "maximum: [[], [tanh]]"), ["coeff: -1", "MAX"]),
        (net("dense: 48", "reshape: 4x3x4", "linear: {units: 5, bias: false}"),
         ["shape { dim: 0 dim: 4 dim: 4 dim: 3 }", "kernel_size: 1", "bias_term: false"]),
        (net("conv: {filters: 4, kernel: 3}\n    name: a", "relu", "tanh:\n    from: a",
             "add:\n    from: [relu1, tanh1]"), ['bottom: "a"\n  top: "relu1"']),
        (net("conv: {filters: 4, kernel: 3}\n    name: a", "relu")
         + "outputs: [a, relu1]\n", ['"Split"']),
        (net("conv: {filters: 8, kernel: 1}\n    name: a", "conv: {filters: 8, kernel: 1}\n"
             "    share: a"), ['param { name: "a/0" }']),
    ],
)  # fmt: skip
def test_what_is_written(spec, words, tmp_path):
    text, _, _ = check(spec, tmp_path)
    assert all(word in text for word in words), text


def test_text_that_a_person_would_write():
    text = export(cnncalc.load("lenet-caffe"), "caffe")
    assert text.endswith("\n")
    assert (
        """layer {
  name: "relu1"
  type: "ReLU"
  bottom: "ip1"
  top: "ip1"
}
"""
        in text
    )  # in place
    assert "pool: MAX\n    kernel_size: 2\n    stride: 2\n" in text


def test_hostile_names_stay_strings(tmp_path):
    text, first, second = check(hostile(), tmp_path)
    root = parse(text)
    assert {name for name, _ in root.fields} == {"name", "layer"}
    assert len(first.layers) == len(second.layers)
    assert "\\" not in text


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (net("layernorm:\n    name: n"), ["n:", "layernorm"]),
        (
            net("conv: {filters: 4, kernel: 4, pad: same}\n    name: c", head="dialect: torch\n"),
            ["c:", "1 before and 2 after"],
        ),
        (
            net(
                "maxpool: {kernel: 2, stride: 3, round: ceil}\n    name: p",
                input="4x3x3",
                head="dialect: torch\n",
            ),
            ["p:", "up along one axis"],
        ),
        (
            net(
                "maxpool: {kernel: 3, stride: 2, pad: [[0, 3], [0, 3]]}\n    name: p",
                head="dialect: keras\n",
            ),
            ["p:", "takes 6, down 5"],
        ),
        (
            net("avgpool: {kernel: 3, stride: 1, pad: 1}\n    name: p", head="dialect: onnx\n"),
            ["p:", "does not count its padding"],
        ),
        (net("maxpool: 2\n    name: p", input="8x8x8x3"), ["p:", "3 spatial axes"]),
        (
            net("conv_transpose: {filters: 3, kernel: 3, stride: 2, pad: 1, output_pad: 1}"),
            ["conv_transpose1:", "gives 23"],
        ),
        (net("lrn: {size: 4}"), ["lrn1:", "odd"]),
        (net("reshape: 6x6x32\n    name: r"), ["r:", "regroup"]),
        (net("relu", input="HxWx3"), ["input:", "--set"]),
    ],
)
def test_what_caffe_lacks_is_refused_by_name(spec, words):
    with pytest.raises(ExportError) as error:
        export(network_of(spec), "caffe")
    assert all(word in str(error.value) for word in words), error.value


def test_command_line(tmp_path, capfd):
    target = tmp_path / "net.prototxt"
    assert run(["export", "lenet-caffe", "--to", "caffe", "-o", str(target)]) == 0
    assert cnncalc.check(str(target), run=False).totals.params == 431080
    assert run(["export", "m5-audio", "--to", "caffe"]) == 2
    error = capfd.readouterr().err
    assert "log_softmax1" in error
    assert len(error.splitlines()) == 1
