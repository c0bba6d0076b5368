"""ONNX nodes of the layers that join, cut and reorder."""

from typing import Any

from ..layers.base import axes, pads
from ..layers.reshape import position
from ..rows import Row
from .errors import refused
from .onnx import INT, Graph, Value, kept, to
from .onnx_layers import adaptive
from .volumes import ANY, FIRST, LAST, channels, rank, tensor_axis, whole


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
    return Value(graph.node("Reshape", [x.name, shape], row), row.output, kept(row, layout))


@to("permute")
def _permute(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], LAST, row)
    order = [0, *((position(a, len(row.input[0])) or 0) + 1 for a in layer.axes)]
    return Value(graph.node("Transpose", [x.name], row, perm=order), row.output, kept(row, LAST))


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
    x, n = graph.read(sources[0], FIRST, row), rank(row)
    scales = [whole(row, s, "scale") for s in axes(layer.scale, n)]
    if n == 2 and len(set(scales)) == 1:
        name = graph.node("DepthToSpace", [x.name], row, blocksize=scales[0], mode="CRD")
        return Value(name, row.output, FIRST)
    sizes = [whole(row, m, "the size") for m in (*row.output[-1:], *row.output[:-1])]
    inside = [whole(row, m, "the size") for m in row.input[0][:-1]]
    split = graph.constant(row, [-1, sizes[0], *scales, *inside], INT)
    y = graph.node("Reshape", [x.name, split], row, last=False)
    order = [axis for i in range(n) for axis in (2 + n + i, 2 + i)]
    y = graph.node("Transpose", [y], row, last=False, perm=[0, 1, *order])
    shape = graph.constant(row, [-1, *sizes], INT)
    return Value(graph.node("Reshape", [y, shape], row), row.output, FIRST)


METHODS = {"nearest": "nearest", "nearest_exact": "nearest", "bilinear": "linear",
           "bicubic": "cubic"}  # fmt: skip


@to("resize")
def _resize(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    n = rank(row)
    sizes = [whole(row, o, "the size") for o in axes(layer.to, n)]
    if layer.method == "area":
        return adaptive(graph, row, sources[0], sizes)
    x = graph.read(sources[0], FIRST, row)
    c = whole(row, row.input[0][-1], "the channels")
    fields: dict[str, Any] = {
        "mode": METHODS[layer.method], "coordinate_transformation_mode": layer.coordinates,
    }  # fmt: skip
    if fields["mode"] == "nearest":
        # floor((i + 1/2)·n/o) is i·n/o + n/(2·o) - 1/2 at half pixels, rounded, halves up
        exact = layer.method == "nearest_exact"
        fields["coordinate_transformation_mode"] = "half_pixel" if exact else "asymmetric"
        fields["nearest_mode"] = "round_prefer_ceil" if exact else "floor"
    elif fields["mode"] == "cubic":
        fields["cubic_coeff_a"] = float(layer.cubic)
    name = x.name
    flat = n == 1 and fields["mode"] == "cubic"  # ONNX Runtime's cubic has two axes
    if flat:
        name = graph.node("Unsqueeze", [name, graph.constant(row, [2], INT)], row, last=False)
        sizes = [1, *sizes]
    batch = graph.node("Shape", [x.name], row, last=False, end=1)
    wanted = graph.constant(row, [c, *sizes], INT)
    size = graph.node("Concat", [batch, wanted], row, last=False, axis=0)
    name = graph.node("Resize", [name, "", "", size], row, last=not flat, **fields)
    if flat:
        name = graph.node("Squeeze", [name, graph.constant(row, [2], INT)], row)
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


REDUCED = {"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax"}


@to(*REDUCED)
def _reduced(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    ndim = len(row.input[0])
    gone = {position(a, ndim) for a in layer.axes}
    keep = layer.keepdims or len(gone) == ndim
    x = sources[0] if keep or ndim - 1 not in gone else graph.read(sources[0], LAST, row)
    where = sorted({tensor_axis(a, ndim, x.layout) for a in layer.axes})
    if row.op == "sum":  # its axes are an input from opset 13 on
        inputs = [x.name, graph.constant(row, where, INT)]
        name = graph.node("ReduceSum", inputs, row, keepdims=int(keep))
    else:
        name = graph.node(REDUCED[row.op], [x.name], row, axes=where, keepdims=int(keep))
    return Value(name, row.output, kept(row, x.layout))


@to("concat")
def _concat(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    names = [graph.read(v, at, row).name for v in sources]
    axis = tensor_axis(layer.axis, len(row.input[0]), at)
    return Value(graph.node("Concat", names, row, axis=axis), row.output, kept(row, at))


JOINED = {"add": "Sum", "maximum": "Max", "minimum": "Min", "average": "Mean",
          "subtract": "Sub", "divide": "Div"}  # fmt: skip


@to(*JOINED)
def _joined(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    names = [graph.read(v, at, row).name for v in sources]
    op = "Add" if row.op == "add" and len(names) == 2 else JOINED[row.op]
    return Value(graph.node(op, names, row), row.output, kept(row, at))


@to("matmul")
def _matmul(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    most = max(len(v.shape) for v in sources)
    names = []
    for value, turned in zip(sources, (layer.transpose_a, layer.transpose_b), strict=True):
        name, missing = graph.read(value, LAST, row).name, most - len(value.shape)
        if missing:
            ones = graph.constant(row, list(range(1, missing + 1)), INT)
            name = graph.node("Unsqueeze", [name, ones], row, last=False)
        if turned:
            order = [*range(most - 1), most, most - 1]
            name = graph.node("Transpose", [name], row, last=False, perm=order)
        names.append(name)
    return Value(graph.node("MatMul", names, row), row.output, LAST)


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
    return Value(total, row.output, kept(row, at))


@to("softmax_cross_entropy")
def _loss(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    """The mean over the batch and all places: one value, without a batch axis."""
    x = graph.read(sources[0], FIRST, row)
    if graph.loss or "target" in graph.taken:
        raise refused(row, "the loss is exported once, for labels in one input named target")
    graph.loss = row
    y = graph.node("SoftmaxCrossEntropyLoss", [x.name, "target"], row, last=False)
    shape = graph.constant(row, [1], INT)
    return Value(graph.node("Reshape", [y, shape], row), row.output, ANY)
