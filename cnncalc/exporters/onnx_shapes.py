"""ONNX nodes of the layers that join, cut and reorder."""

from typing import Any

import numpy as np

from ..layers.base import axes, pads
from ..layers.reshape import position
from ..rows import Row
from .errors import refused
from .onnx import Graph, Value, to
from .onnx_layers import INT
from .volumes import ANY, FIRST, LAST, channels, rank, tensor_axis, whole


def _kept(row: Row, layout: str) -> str:
    return layout if len(row.output) > 1 else ANY


@to("flatten")
def _flatten(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = graph.read(sources[0], graph.canonical(sources[0].shape), row)
    return Value(graph.node("Flatten", [x.name], row), row.output, ANY)


@to("reshape")
def _reshape(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    sizes = [whole(row, n, "the shape") for n in row.output]
    layout = graph.canonical(row.output)
    if rank(row) == 0:
        sizes = [sizes[-1], *sizes[:-1]] if layout == FIRST else sizes
        x = sources[0]
    else:
        x, layout = graph.read(sources[0], LAST, row), LAST
    shape = graph.constant(row, [-1, *sizes], INT)
    return Value(graph.node("Reshape", [x.name, shape], row), row.output, _kept(row, layout))


@to("permute")
def _permute(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], LAST, row)
    order = [0, *((position(a, len(row.input[0])) or 0) + 1 for a in layer.axes)]
    return Value(graph.node("Transpose", [x.name], row, perm=order), row.output, _kept(row, LAST))


@to("pad", "crop")
def _pad(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    sign = 1 if row.op == "pad" else -1
    ends = [by if isinstance(by, tuple) else (by, by) for by in pads(layer.by, rank(row))]
    before = [sign * whole(row, a, "by") for a, _ in ends]
    after = [sign * whole(row, b, "by") for _, b in ends]
    border = graph.constant(row, [0, 0, *before, 0, 0, *after], INT)
    return Value(graph.node("Pad", [x.name, border], row), row.output, FIRST)


@to("upsample")
def _upsample(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    scales = graph.constant(row, [1, 1, *(float(s) for s in axes(layer.scale, rank(row)))])
    if layer.method == "nearest":
        fields: dict[str, Any] = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                  "nearest_mode": "floor"}  # fmt: skip
    else:
        fields = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return Value(graph.node("Resize", [x.name, "", scales], row, **fields), row.output, FIRST)


@to("pixel_shuffle")
def _pixel_shuffle(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    scales = {whole(row, s, "scale") for s in axes(layer.scale, rank(row))}
    if rank(row) != 2 or len(scales) != 1:
        raise refused(row, "ONNX's DepthToSpace takes 2-D maps and one scale")
    name = graph.node("DepthToSpace", [x.name], row, blocksize=scales.pop(), mode="CRD")
    return Value(name, row.output, FIRST)


@to("channel_shuffle")
def _channel_shuffle(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], FIRST, row)
    groups, c = whole(row, layer.groups, "groups"), channels(row)
    shape = graph.node("Shape", [x.name], row, last=False)
    split = graph.constant(row, [0, groups, c // groups, -1], INT)
    y = graph.node("Reshape", [x.name, split], row, last=False)
    y = graph.node("Transpose", [y], row, last=False, perm=[0, 2, 1, 3])
    return Value(graph.node("Reshape", [y, shape], row), row.output, x.layout)


@to("slice")
def _slice(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = sources[0]
    axis = tensor_axis(layer.axis, len(row.input[0]), x.layout)
    stop = np.iinfo(INT).max if layer.stop is None else whole(row, layer.stop, "stop")
    numbers = (whole(row, layer.start, "start"), stop, axis, whole(row, layer.step, "step"))
    ends = [graph.constant(row, [n], INT) for n in numbers]
    return Value(graph.node("Slice", [x.name, *ends], row), row.output, x.layout)


@to("mean")
def _mean(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    ndim = len(row.input[0])
    keep = layer.keepdims or len(row.output) == ndim
    gone = {position(a, ndim) for a in layer.axes}
    stays = keep or ndim - 1 not in gone
    x = sources[0] if stays else graph.read(sources[0], LAST, row)
    where = sorted(tensor_axis(a, ndim, x.layout) for a in layer.axes)
    name = graph.node("ReduceMean", [x.name], row, axes=where, keepdims=int(keep))
    return Value(name, row.output, _kept(row, x.layout))


@to("concat")
def _concat(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    names = [graph.read(v, at, row).name for v in sources]
    axis = tensor_axis(layer.axis, len(row.input[0]), at)
    return Value(graph.node("Concat", names, row, axis=axis), row.output, _kept(row, at))


@to("add")
def _add(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    names = [graph.read(v, at, row).name for v in sources]
    op = "Add" if len(names) == 2 else "Sum"
    return Value(graph.node(op, names, row), row.output, _kept(row, at))


@to("multiply")
def _multiply(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    most = max(len(v.shape) for v in sources)
    names = []
    for value in sources:
        name = graph.read(value, at, row).name
        if len(value.shape) == 1 and most > 1:
            where = range(2, most + 1) if at == FIRST else range(1, most)
            name = graph.node("Unsqueeze", [name, graph.constant(row, list(where), INT)], row,
                              last=False)  # fmt: skip
        names.append(name)
    total = names[0]
    for i, name in enumerate(names[1:], 2):
        total = graph.node("Mul", [total, name], row, last=i == len(names))
    return Value(total, row.output, _kept(row, at))


@to("softmax_cross_entropy")
def _loss(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = graph.read(sources[0], FIRST, row)
    if rank(row) or graph.loss or "target" in graph.taken:
        raise refused(row, "the loss is exported once, for one label an item")
    graph.loss = True
    y = graph.node("SoftmaxCrossEntropyLoss", [x.name, "target"], row, last=False)
    shape = graph.constant(row, [1], INT)
    return Value(graph.node("Reshape", [y, shape], row), row.output, ANY)
