"""ONNX nodes of convolutions, pools, dense layers, normalisations and activations."""

from math import sqrt
from typing import Any

import numpy as np

from ..dialects import clipped_rule, floor_rule
from ..layers.base import axes
from ..rows import Row
from .errors import ExportError
from .onnx import Graph, Value, to, unary
from .torch_layers import ANY, FIRST, LAST

INT = np.int64


def whole(row: Row, value: Any, what: str) -> int:
    if not isinstance(value, int):
        raise ExportError(
            f"{row.name}: ONNX needs {what} as a number, but it is {value}; give --set"
        )
    return value


def rank(row: Row) -> int:
    return len(row.input[0]) - 1


def channels(row: Row) -> int:
    return whole(row, row.input[0][-1], "the input's channels")


def window_fields(row: Row) -> dict[str, Any]:
    """Kernel, strides and pads; `same` on symbolic sizes stays a word."""
    ws = row.windows
    found: dict[str, Any] = {
        "kernel_shape": [whole(row, w.k, "the kernel") for w in ws],
        "strides": [whole(row, w.s, "the stride") for w in ws],
    }
    if any(w.d != 1 for w in ws):
        found["dilations"] = [whole(row, w.d, "the dilation") for w in ws]
    ends = [*(w.before for w in ws), *(w.after for w in ws)]
    pad = row.layer.values().get("pad")
    if all(isinstance(n, int) for n in ends):
        found["pads"] = ends
    elif pad in ("same", "same_lower") and row.dialect.tf_same:
        found["auto_pad"] = "SAME_UPPER" if pad == "same" else "SAME_LOWER"
    else:
        whole(row, next(n for n in ends if not isinstance(n, int)), "the padding")
    return found


def _bias(graph: Graph, row: Row, count: int) -> list[str]:
    return [graph.param(row, "bias", (count,), 0.0)] if "bias" in row.weights else []


@to("conv", "depthwise_conv")
def _conv(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    fields = window_fields(row)
    c = channels(row)
    filters = whole(row, row.output[-1], "filters")
    if row.op == "conv" and layer.connect is not None:
        return _connected(graph, row, x, fields)
    groups = c if row.op == "depthwise_conv" else whole(row, layer.groups, "groups")
    weight = graph.param(row, "weight", (filters, c // groups, *fields["kernel_shape"]))
    inputs = [x.name, weight, *_bias(graph, row, filters)]
    name = graph.node("Conv", inputs, row, group=groups, **fields)
    return Value(name, row.output, FIRST)


def _connected(graph: Graph, row: Row, x: Value, fields: dict[str, Any]) -> Value:
    """A table of connections: one convolution a filter, over the maps it reads."""
    layer: Any = row.layer
    maps = []
    for i, chosen in enumerate(layer.connect):
        index = graph.constant(row, chosen, INT)
        part = graph.node("Gather", [x.name, index], row, last=False, axis=1)
        weight = graph.param(row, f"{i}.weight", (1, len(chosen), *fields["kernel_shape"]))
        bias = [graph.param(row, f"{i}.bias", (1,), 0.0)] if layer.bias else []
        maps.append(graph.node("Conv", [part, weight, *bias], row, last=False, **fields))
    return Value(graph.node("Concat", maps, row, axis=1), row.output, FIRST)


@to("separable_conv")
def _separable(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    fields, c = window_fields(row), channels(row)
    middle = c * whole(row, layer.multiplier, "multiplier")
    filters = whole(row, layer.filters, "filters")
    first = graph.param(row, "depthwise", (middle, 1, *fields["kernel_shape"]))
    second = graph.param(row, "pointwise", (filters, middle, *(1,) * rank(row)))
    y = graph.node("Conv", [x.name, first], row, last=False, group=c, **fields)
    name = graph.node("Conv", [y, second, *_bias(graph, row, filters)], row)
    return Value(name, row.output, FIRST)


@to("conv_transpose")
def _transpose(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    c, groups = channels(row), whole(row, layer.groups, "groups")
    filters = whole(row, layer.filters, "filters")
    begins, ends, extras = [], [], []
    for w in row.windows:
        before, after = whole(row, w.before, "the padding"), whole(row, w.after, "the padding")
        slack = w.out - ((w.n - 1) * w.s + w.extent - before - after)
        extra = whole(row, slack, "the size")
        begins.append(before)
        ends.append(after + max(0, -extra))
        extras.append(max(0, extra))
    fields: dict[str, Any] = {
        "kernel_shape": [whole(row, w.k, "the kernel") for w in row.windows],
        "strides": [whole(row, w.s, "the stride") for w in row.windows],
        "dilations": [whole(row, w.d, "the dilation") for w in row.windows],
        "pads": [*begins, *ends],
    }
    if any(extras):
        fields["output_padding"] = extras
    weight = graph.param(row, "weight", (c, filters // groups, *fields["kernel_shape"]))
    inputs = [x.name, weight, *_bias(graph, row, filters)]
    return Value(
        graph.node("ConvTranspose", inputs, row, group=groups, **fields), row.output, FIRST
    )


# --- pools ---------------------------------------------------------------------------------


def _rounding(row: Row) -> int | None:
    """ONNX's ceil_mode that gives the windows; None where neither does."""
    modes = set()
    for w in row.windows:
        floor = floor_rule(w.n, w.extent, w.s, w.before, w.after) == w.out
        ceil = clipped_rule(w.n, w.extent, w.s, w.before, w.after) == w.out
        modes.add({(True, True): 2, (True, False): 0, (False, True): 1}.get((floor, ceil), -1))
    modes.discard(2)
    if -1 in modes or len(modes) > 1:
        return None
    return 1 if 1 in modes else 0


@to("maxpool")
def _maxpool(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = graph.read(sources[0], FIRST, row)
    fields = window_fields(row)
    mode = 0 if "auto_pad" in fields else _rounding(row)
    pads, kernel = fields.get("pads", []), fields["kernel_shape"]
    wide = any(p >= k for p, k in zip(pads, kernel * 2, strict=False))
    if mode is not None and not wide:
        extra: dict[str, Any] = {"ceil_mode": mode} if mode else {}
        return Value(graph.node("MaxPool", [x.name], row, **fields, **extra), row.output, FIRST)
    ends = []
    for w in row.windows:
        need = (w.out - 1) * w.s + w.extent - w.n - w.before
        ends.append(max(whole(row, need, "the size"), 0))
    border = [0, 0, *pads[: rank(row)], 0, 0, *ends]
    lowest = graph.constant(row, np.float32(-np.inf))
    padded = graph.node("Pad", [x.name, graph.constant(row, border, INT), lowest], row, last=False)
    del fields["pads"]
    return Value(graph.node("MaxPool", [padded], row, **fields), row.output, FIRST)


@to("avgpool")
def _avgpool(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    fields = window_fields(row)
    mode = 0 if "auto_pad" in fields else _rounding(row)
    if "dilations" in fields or mode is None:
        what = "dilation" if "dilations" in fields else "windows that start beyond the input"
        raise ExportError(f"{row.name}: ONNX (opset {17}) has no average pool with {what}")
    include = layer.count_include_pad
    include = row.dialect.include_pad if include is None else include
    if mode:
        fields["ceil_mode"] = 1
    name = graph.node("AveragePool", [x.name], row, count_include_pad=int(include), **fields)
    return Value(name, row.output, FIRST)


@to("subsample")
def _subsample(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = graph.read(sources[0], FIRST, row)
    fields, c = window_fields(row), channels(row)
    count = 1
    for k in fields["kernel_shape"]:
        count *= k
    y = graph.node("AveragePool", [x.name], row, last=False, **fields)
    y = graph.node("Mul", [y, graph.constant(row, count)], row, last=False)
    shape = (c, *(1,) * rank(row))
    y = graph.node("Mul", [y, graph.param(row, "coefficient", shape, 1.0)], row, last=False)
    name = graph.node("Add", [y, graph.param(row, "bias", shape, 0.0)], row)
    return Value(name, row.output, FIRST)


@to("global_avgpool", "global_maxpool")
def _global(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    op = "GlobalAveragePool" if row.op == "global_avgpool" else "GlobalMaxPool"
    if layer.keepdims:
        return Value(graph.node(op, [x.name], row), row.output, FIRST)
    y = graph.node(op, [x.name], row, last=False)
    return Value(graph.node("Flatten", [y], row), row.output, ANY)


@to("adaptive_avgpool")
def _adaptive(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    """Means of the windows' rows, then of their columns: the windows are boxes."""
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    sizes = [whole(row, n, "the input's size") for n in row.input[0][:-1]]
    wanted = [whole(row, n, "the output size") for n in axes(layer.size, len(sizes))]
    if all(n % o == 0 for n, o in zip(sizes, wanted, strict=True)):
        steps = [n // o for n, o in zip(sizes, wanted, strict=True)]
        if all(step == 1 for step in steps):
            return Value(graph.node("Identity", [x.name], row), row.output, FIRST)
        name = graph.node("AveragePool", [x.name], row, kernel_shape=steps, strides=steps)
        return Value(name, row.output, FIRST)
    y = x.name
    for axis, (n, o) in enumerate(zip(sizes, wanted, strict=True), 2):
        parts = []
        for i in range(o):
            ends = [graph.constant(row, [v], INT) for v in (i * n // o, -(-(i + 1) * n // o), axis)]
            part = graph.node("Slice", [y, *ends], row, last=False)
            parts.append(graph.node("ReduceMean", [part], row, last=False, axes=[axis]))
        y = graph.node("Concat", parts, row, last=axis == len(sizes) + 1, axis=axis)
    return Value(y, row.output, FIRST)


# --- dense and normalisation -------------------------------------------------------------------


@to("dense")
def _dense(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    values = 1
    for n in row.input[0]:
        values *= whole(row, n, "the input's size")
    units = whole(row, row.output[0], "units")
    x = graph.read(sources[0], graph.canonical(sources[0].shape), row).name
    if rank(row):
        x = graph.node("Flatten", [x], row, last=False)
    inputs = [x, graph.param(row, "weight", (units, values)), *_bias(graph, row, units)]
    return Value(graph.node("Gemm", inputs, row, transB=1), row.output, ANY)


@to("linear")
def _linear(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = graph.read(sources[0], LAST, row)
    units = whole(row, row.output[-1], "units")
    weight = graph.param(row, "weight", (channels(row), units))
    biased = "bias" in row.weights
    y = graph.node("MatMul", [x.name, weight], row, last=not biased)
    if biased:
        y = graph.node("Add", [y, graph.param(row, "bias", (units,), 0.0)], row)
    return Value(y, row.output, LAST)


@to("batchnorm")
def _batchnorm(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    c = channels(row)
    arrays = [
        graph.param(row, "weight", (c,), 1.0) if "gamma" in row.weights
        else graph.constant(row, np.ones(c)),
        graph.param(row, "bias", (c,), 0.0) if "beta" in row.weights
        else graph.constant(row, np.zeros(c)),
        graph.param(row, "running_mean", (c,), 0.0),
        graph.param(row, "running_var", (c,), 1.0),
    ]  # fmt: skip
    eps = float(layer.eps)
    name = graph.node("BatchNormalization", [x.name, *arrays], row, epsilon=eps)
    return Value(name, row.output, x.layout)


@to("layernorm")
def _layernorm(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], LAST, row)
    c = channels(row)
    if layer.affine:
        arrays = [graph.param(row, "weight", (c,), 1.0), graph.param(row, "bias", (c,), 0.0)]
    else:
        arrays = [graph.constant(row, np.ones(c))]
    eps = float(layer.eps)
    name = graph.node("LayerNormalization", [x.name, *arrays], row, axis=-1, epsilon=eps)
    return Value(name, row.output, LAST)


@to("groupnorm")
def _groupnorm(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    """Instance normalisation of the groups as channels (GroupNormalization is opset 18)."""
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    groups, c = whole(row, layer.groups, "groups"), channels(row)
    shape = graph.node("Shape", [x.name], row, last=False)
    split = graph.constant(row, [0, groups, -1], INT)
    y = graph.node("Reshape", [x.name, split], row, last=False)
    ones, zeros = graph.constant(row, np.ones(groups)), graph.constant(row, np.zeros(groups))
    y = graph.node("InstanceNormalization", [y, ones, zeros], row, last=False,
                   epsilon=float(layer.eps))  # fmt: skip
    y = graph.node("Reshape", [y, shape], row, last=not layer.affine)
    if layer.affine:
        per = (c, *(1,) * rank(row))
        y = graph.node("Mul", [y, graph.param(row, "weight", per, 1.0)], row, last=False)
        y = graph.node("Add", [y, graph.param(row, "bias", per, 0.0)], row)
    return Value(y, row.output, x.layout)


@to("lrn")
def _lrn(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    size = whole(row, layer.size, "size")
    alpha = float(layer.alpha) * (1 if row.dialect.lrn_divides else size)
    name = graph.node("LRN", [x.name], row, size=size, alpha=alpha, beta=float(layer.beta),
                      bias=float(layer.k))  # fmt: skip
    return Value(name, row.output, x.layout)


@to("scale")
def _scale(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = sources[0]
    per = (channels(row), *(1,) * (rank(row) if x.layout == FIRST else 0))
    factor = graph.param(row, "scale", per, 1.0)
    y = graph.node("Mul", [x.name, factor], row, last=not layer.bias)
    if layer.bias:
        y = graph.node("Add", [y, graph.param(row, "bias", per, 0.0)], row)
    return Value(y, row.output, x.layout)


@to("dropout")
def _dropout(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    ratio = graph.constant(row, float(layer.rate))
    name = graph.node("Dropout", [sources[0].name, ratio], row)
    return Value(name, row.output, sources[0].layout)


# --- activations ----------------------------------------------------------------------

PLAIN = {
    "identity": "Identity", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "softplus": "Softplus", "hardswish": "HardSwish",
}  # fmt: skip


@to(*PLAIN)
def _plain(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    return unary(graph, row, sources, at, PLAIN[row.op])


@to("hardsigmoid")
def _hardsigmoid(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    return unary(graph, row, sources, at, "HardSigmoid", alpha=1 / 6, beta=0.5)


@to("relu6")
def _relu6(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    limits = [graph.constant(row, 0.0), graph.constant(row, 6.0)]
    name = graph.node("Clip", [sources[0].name, *limits], row)
    return Value(name, row.output, sources[0].layout)


@to("leaky_relu")
def _leaky(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    return unary(graph, row, sources, at, "LeakyRelu", alpha=float(layer.slope))


@to("elu")
def _elu(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    return unary(graph, row, sources, at, "Elu", alpha=float(layer.alpha))


@to("softmax", "log_softmax")
def _softmax(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    op = "Softmax" if row.op == "softmax" else "LogSoftmax"
    return unary(graph, row, sources, at, op, axis=-1 if sources[0].layout == LAST else 1)


@to("silu", "mish")
def _gated(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = sources[0].name
    if row.op == "silu":
        gate = graph.node("Sigmoid", [x], row, last=False)
    else:
        gate = graph.node("Tanh", [graph.node("Softplus", [x], row, last=False)], row, last=False)
    return Value(graph.node("Mul", [x, gate], row), row.output, sources[0].layout)


@to("gelu")
def _gelu(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    """x/2·(1 + erf(x/sqrt 2)), or with tanh(sqrt(2/pi)·(x + 0.044715·x^3))."""
    layer: Any = row.layer
    x = sources[0].name

    def step(op: str, a: str, b: str | float) -> str:
        other = b if isinstance(b, str) else graph.constant(row, b)
        return graph.node(op, [a, other], row, last=False)

    if layer.approximate:
        cube = step("Mul", step("Mul", x, x), x)
        inside = step("Mul", step("Add", x, step("Mul", cube, 0.044715)), sqrt(2 / np.pi))
        gate = graph.node("Tanh", [inside], row, last=False)
    else:
        gate = graph.node("Erf", [step("Mul", x, sqrt(0.5))], row, last=False)
    half = step("Mul", x, 0.5)
    name = graph.node("Mul", [half, step("Add", gate, 1.0)], row)
    return Value(name, row.output, sources[0].layout)


@to("prelu")
def _prelu(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = sources[0]
    per = (channels(row), *(1,) * (rank(row) if x.layout == FIRST else 0))
    slope = graph.param(row, "weight", per, 0.25)
    return Value(graph.node("PRelu", [x.name, slope], row), row.output, x.layout)
