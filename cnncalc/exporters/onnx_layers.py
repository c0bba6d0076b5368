"""ONNX nodes of convolutions and pools."""

from typing import Any

import numpy as np

from ..dialects import clipped_rule, floor_rule
from ..layers.base import axes
from ..rows import Row
from .errors import refused
from .onnx import INT, Graph, Value, to
from .volumes import ANY, FIRST, channels, rank, whole


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


def bias(graph: Graph, row: Row, count: int) -> list[str]:
    """The name of the bias, where the layer has one."""
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
    inputs = [x.name, weight, *bias(graph, row, filters)]
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
    name = graph.node("Conv", [y, second, *bias(graph, row, filters)], row)
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
    inputs = [x.name, weight, *bias(graph, row, filters)]
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
        raise refused(row, f"ONNX (opset {17}) has no average pool with {what}")
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
    layer: Any = row.layer
    wanted = [whole(row, n, "the output size") for n in axes(layer.size, rank(row))]
    return adaptive(graph, row, sources[0], wanted)


def adaptive(graph: Graph, row: Row, source: Value, wanted: list[int]) -> Value:
    """Means of the windows' rows, then of their columns: the windows are boxes."""
    x = graph.read(source, FIRST, row)
    sizes = [whole(row, n, "the input's size") for n in row.input[0][:-1]]
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
