"""ONNX nodes of the layers that pick parts of a volume, repeat it, or cut it into windows."""

from typing import Any

import numpy as np

from ..layers.base import axes
from ..layers.reshape import position
from ..rows import Row
from .onnx import INT, Graph, Value, kept, to
from .volumes import ANY, LAST, rank, tensor, tensor_axis, whole

END = int(np.iinfo(INT).max)
Cut = tuple[int, int, int, int]  # axis of the tensor, start, stop, step


def sliced(graph: Graph, row: Row, name: str, cuts: list[Cut], last: bool = True) -> str:
    """A part of some axes of a tensor."""
    axes_, starts, stops, steps = zip(*cuts, strict=True)
    ends = [graph.constant(row, list(v), INT) for v in (starts, stops, axes_, steps)]
    return graph.node("Slice", [name, *ends], row, last=last)


@to("slice")
def _slice(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x, ndim = sources[0], len(row.input[0])
    cuts = []
    for axis, start, stop, step in layer._cuts(ndim):
        end = END if stop is None else whole(row, stop, "stop")
        begin, by = whole(row, start, "start"), whole(row, step, "step")
        if (begin, end, by) != (0, END, 1):
            cuts.append((tensor_axis(axis, ndim, x.layout), begin, end, by))
    if not cuts:
        return Value(graph.node("Identity", [x.name], row), row.output, x.layout)
    return Value(sliced(graph, row, x.name, cuts), row.output, x.layout)


@to("split", "chunk")
def _part(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x, ndim = sources[0], len(row.input[0])
    place = position(layer.axis, ndim) or 0
    start, stop = layer._bounds(row.input[0][place])
    cut = (whole(row, start, "the start"), whole(row, stop, "the stop"), 1)
    name = sliced(graph, row, x.name, [(tensor_axis(layer.axis, ndim, x.layout), *cut)])
    return Value(name, row.output, x.layout)


@to("gather")
def _gather(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    several = isinstance(layer.indices, tuple)
    x = sources[0] if several else graph.read(sources[0], LAST, row)
    axis = tensor_axis(layer.axis, len(row.input[0]), x.layout)
    chosen = list(layer.indices) if several else layer.indices
    name = graph.node("Gather", [x.name, graph.constant(row, chosen, INT)], row, axis=axis)
    return Value(name, row.output, kept(row, x.layout))


@to("expand")
def _expand(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    new = len(row.output) - len(row.input[0])
    x = graph.read(sources[0], LAST, row) if new else sources[0]
    name = x.name
    if new:
        places = graph.constant(row, list(range(1, new + 1)), INT)
        name = graph.node("Unsqueeze", [name, places], row, last=False)
    layout = LAST if new else x.layout
    sizes = [whole(row, n, "the shape") for n in tensor(row.output, layout)]
    shape = graph.constant(row, [1, *sizes], INT)
    return Value(graph.node("Expand", [name, shape], row), row.output, kept(row, layout))


@to("squeeze", "unsqueeze")
def _squeeze(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    if len(row.output) == 1:  # all else is 1: every order of the axes is the same
        return Value(graph.node("Flatten", [sources[0].name], row), row.output, ANY)
    x = graph.read(sources[0], LAST, row)
    op = "Squeeze" if row.op == "squeeze" else "Unsqueeze"
    ndim = max(len(row.input[0]), len(row.output))
    places = sorted({(position(a, ndim) or 0) + 1 for a in layer.axes})
    name = graph.node(op, [x.name, graph.constant(row, places, INT)], row)
    return Value(name, row.output, LAST)


@to("roll")
def _roll(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    """Along each axis the end, then the rest."""
    layer: Any = row.layer
    x, ndim = sources[0], len(row.input[0])
    total: dict[int, int] = {}
    for axis, by in layer._shifts(ndim):
        place = position(axis, ndim) or 0
        total[place] = total.get(place, 0) + whole(row, by, "the shift")
    moves = []
    for place, by in total.items():
        n = whole(row, row.input[0][place], "the size")
        if by % n:
            moves.append((tensor_axis(place, ndim, x.layout), n - by % n))
    if not moves:
        return Value(graph.node("Identity", [x.name], row), row.output, x.layout)
    name = x.name
    for i, (axis, at_) in enumerate(moves, 1):
        parts = [
            sliced(graph, row, name, [(axis, at_, END, 1)], last=False),
            sliced(graph, row, name, [(axis, 0, at_, 1)], last=False),
        ]
        name = graph.node("Concat", parts, row, last=i == len(moves), axis=axis)
    return Value(name, row.output, x.layout)


@to("window_partition")
def _partition(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x, n = graph.read(sources[0], LAST, row), rank(row)
    pairs = []
    for size, window in zip(row.input[0], axes(layer.window, n), strict=False):
        w = whole(row, window, "the window")
        count = whole(row, size, "the size") // w
        pairs += [w, count] if layer.grid else [count, w]
    c = whole(row, row.input[0][-1], "the channels")
    y = _reshaped(graph, row, x.name, [*pairs, c])
    outer, inner = list(range(1, 2 * n, 2)), list(range(2, 2 * n + 1, 2))
    outer, inner = (inner, outer) if layer.grid else (outer, inner)
    y = graph.node("Transpose", [y], row, last=False, perm=[0, *outer, *inner, 2 * n + 1])
    return Value(_reshaped(graph, row, y, row.output, last=True), row.output, LAST)


@to("window_reverse")
def _reverse(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x, n = graph.read(sources[0], LAST, row), rank(row) - 1
    windows = [whole(row, w, "the window") for w in axes(layer.window, n)]
    counts = row.input[0][:n]
    y = _reshaped(graph, row, x.name, [*counts, *windows, row.output[-1]])
    order = [0]
    for i in range(1, n + 1):
        order += [n + i, i] if layer.grid else [i, n + i]
    y = graph.node("Transpose", [y], row, last=False, perm=[*order, 2 * n + 1])
    return Value(_reshaped(graph, row, y, row.output, last=True), row.output, LAST)


def _reshaped(graph: Graph, row: Row, name: str, sizes: Any, last: bool = False) -> str:
    shape = [-1, *(whole(row, n, "the shape") for n in sizes)]
    return graph.node("Reshape", [name, graph.constant(row, shape, INT)], row, last=last)
