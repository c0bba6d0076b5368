"""Networks that every exporter must write: bundled ones, one layer of each kind, hostile names."""

NETWORKS = (
    "alexnet", "convnext_tiny", "dcgan-generator", "densenet121", "efficientnet_b0",
    "googlenet-aux", "inception_v3", "lenet5", "m5-audio", "mobilenet_v1", "resnet18",
    "squeezenet1_0", "unet", "xception",
)  # fmt: skip


def net(*layers, input="12x12x8", head=""):
    return f"{head}input: {input}\nlayers:\n" + "".join(f"  - {line}\n" for line in layers)


SPECS = [
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
]  # fmt: skip

HOSTILE = (
    "a\"); import os; os.system(\"x\") #", "'''\"\"\"", "\\", "class", "forward", "self", "x",
    "__class__", "Network", "torch", "conv1.weight", "nn", "a\\nb", "{m}", "{0}", "%s", "é", "日本",
    "()", "-", "# coding: utf-7", "eval", "train", "x;y", "a" * 90,
)  # fmt: skip


def hostile():
    """A spec whose names try to become code."""

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
    return "\n".join(lines) + "\n"
