"""ONNX nodes of attention and of recurrent layers."""

from collections.abc import Sequence
from itertools import pairwise
from math import log
from typing import Any

import numpy as np

from ..layers._agseq import distances, hidden_pairs, log_distances
from ..layers.base import axes
from ..rows import Row
from .onnx import INT, Graph, Value, kept, to
from .volumes import LAST, channels, rank, whole


class _Chain:
    """Nodes inside one layer; the last one is named by `close`."""

    def __init__(self, graph: Graph, row: Row) -> None:
        self.graph, self.row = graph, row

    def __call__(self, op: str, *inputs: Any, **attributes: Any) -> str:
        names = [n if isinstance(n, str) else self.number(n) for n in inputs]
        return self.graph.node(op, names, self.row, last=False, **attributes)

    def number(self, value: Any) -> str:
        return self.graph.constant(self.row, value)

    def ints(self, values: Sequence[int]) -> str:
        return self.graph.constant(self.row, list(values), INT)

    def param(
        self, key: str, shape: Sequence[Any] | None = None, start: float | None = None
    ) -> str:
        sizes = [whole(self.row, n, "the size") for n in shape or self.row.weights[key]]
        return self.graph.param(self.row, key, sizes, start)

    def close(self, name: str) -> str:
        """The last node made carries the layer's name."""
        last = self.graph.nodes[-1]
        assert name == last.output[0]
        last.name = last.output[0] = self.row.name
        return self.row.name


@to("attention")
def _attention(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    do = _Chain(graph, row)
    xs = [graph.read(v, LAST, row).name for v in sources]
    heads = whole(row, layer.heads, "heads")
    lead = len(row.input[0]) - 1  # the batch and the axes of windows
    q, k, v = (
        do("Reshape", x, do.ints([*(0,) * (lead + 1), heads, -1])) for x in _projected(do, row, xs)
    )
    before = list(range(lead))
    q, v = (do("Transpose", x, perm=[*before, lead + 1, lead, lead + 2]) for x in (q, v))
    q, k = _weighed(do, row, q, k)
    k = do("Transpose", k, perm=[*before, lead + 1, lead + 2, lead])
    scores = do("MatMul", q, k)
    if layer.relative_bias is not None:
        scores = do("Add", scores, _relative(do, row))
    shape = row.input[0]
    tokens = [whole(row, s[-2], "the tokens") for s in layer._three(row.input)[:2]]
    mask = hidden_pairs(layer, shape, tokens) if layer.causal or _moved(layer) else None
    if mask is not None:
        scores = do("Add", scores, mask)
    y = do("MatMul", do("Softmax", scores, axis=-1), v)
    y = do("Transpose", y, perm=[*before, lead + 1, lead, lead + 2])
    y = do("Reshape", y, do.ints([*(0,) * (lead + 1), -1]))
    if layer.project:
        y = do("MatMul", y, do.param("output"))
        if "output_bias" in row.weights:
            y = do("Add", y, do.param("output_bias", start=0.0))
    return Value(do.close(y), row.output, LAST)


def _moved(layer: Any) -> bool:
    return layer.window is not None and any(axes(layer.shift, 1))


def _projected(do: _Chain, row: Row, xs: Sequence[str]) -> list[str]:
    """Queries, keys and values of all heads, side by side."""
    layer: Any = row.layer
    if "qkv" not in row.weights:
        found = []
        three = (xs[0], xs[min(1, len(xs) - 1)], xs[-1])
        for x, name in zip(three, ("query", "key", "value"), strict=True):
            y = do("MatMul", x, do.param(name))
            if f"{name}_bias" in row.weights:
                y = do("Add", y, do.param(f"{name}_bias", start=0.0))
            found.append(y)
        return found
    y = do("MatMul", xs[0], do.param("qkv"))
    keys, values, _ = (whole(row, n, "the width") for n in layer._widths(row.input))
    if "qkv_bias" in row.weights:
        bias = do.param("qkv_bias", start=0.0)
        if layer.cosine:  # the part of the keys stays zero
            bias = do("Mul", bias, np.repeat([1, 0, 1], [keys, keys, values]))
        y = do("Add", y, bias)
    axis = do.ints([len(row.input[0])])
    ends = (0, keys, 2 * keys, 2 * keys + values)
    cuts = pairwise(ends)
    return [do("Slice", y, do.ints([a]), do.ints([b]), axis) for a, b in cuts]


def _weighed(do: _Chain, row: Row, q: str, k: str) -> tuple[str, str]:
    """Queries times the scale of the scores; of a cosine, both of length 1."""
    layer: Any = row.layer
    if layer.cosine:
        heads = whole(row, layer.heads, "heads")
        factor = do.param("logit_scale", (heads, 1, 1), log(10))
        factor = do("Exp", do("Min", factor, log(100)))
        q, k = (do("LpNormalization", x, axis=-1, p=2) for x in (q, k))
        return do("Mul", q, factor), k
    keys = whole(row, layer._widths(row.input)[0], "the width")
    width = layer.scale_dim or keys // whole(row, layer.heads, "heads")
    return do("Mul", q, float(width) ** -0.5), k


def _relative(do: _Chain, row: Row) -> str:
    """(heads, T, T): for every pair of places the number of their distance."""
    layer: Any = row.layer
    window = tuple(whole(row, w, "the window") for w in layer.windows_of(row.input[0]))
    if layer.relative_bias == "table":
        table = do.param("relative")
    else:
        inner = do("MatMul", log_distances(window), do.param("relative_hidden"))
        inner = do("Relu", do("Add", inner, do.param("relative_hidden_bias", start=0.0)))
        table = do("Sigmoid", do("MatMul", inner, do.param("relative_output")))
        table = do("Mul", table, 16.0)
    rows = do.graph.constant(row, distances(window), INT)
    return do("Transpose", do("Gather", table, rows, axis=0), perm=[2, 0, 1])


# --- recurrence ------------------------------------------------------------------------

GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}  # ONNX's i, o, f, c and z, r, h
MERGED = {"sum": "ReduceSum", "average": "ReduceMean", "multiply": "ReduceProd"}


@to("lstm", "gru")
def _recurrent(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    """Steps come first in ONNX: (T, N, C) to (T, directions, N, units)."""
    layer: Any = row.layer
    do = _Chain(graph, row)
    x = graph.read(sources[0], LAST, row).name
    lead = [whole(row, n, "the size") for n in row.input[0][: rank(row) - 1]]
    steps = row.input[0][-2]
    if lead:
        sizes = [-1, whole(row, steps, "the steps"), channels(row)]
        x = do("Reshape", x, do.ints(sizes))
    units, two = whole(row, layer.units, "units"), len(layer.directions())
    wide = units * layer.gates
    inputs = [
        do("Transpose", x, perm=[1, 0, 2]),
        do.param("W", (two, wide, channels(row))),
        do.param("R", (two, wide, units)),
    ]
    if layer.bias:
        inputs.append(_biases(do, row, two, wide, units))
    direction = "bidirectional" if two == 2 else "reverse" if layer.reverse else "forward"
    fields: dict[str, Any] = {"hidden_size": units, "direction": direction}
    if row.op == "gru":
        fields["linear_before_reset"] = int(layer.resets_after(row.dialect))
    sequence, state = graph.fresh(f"{row.name}/Y"), graph.fresh(f"{row.name}/Y_h")
    outputs = [sequence] if layer.return_sequences else ["", state]
    graph.several(row.op.upper(), inputs, outputs, row, **fields)
    if layer.return_sequences:  # (T, directions, N, units) to (N, T, directions, units)
        y, before = do("Transpose", sequence, perm=[2, 0, 1, 3]), [0, 0]
    else:
        y, before = do("Transpose", state, perm=[1, 0, 2]), [0]
    if two == 2 and layer.merge != "concat":
        y = _merged(do, y, MERGED[layer.merge], len(before))
    else:
        y = do("Reshape", y, do.ints([*before, two * units]))
    if lead:
        tail = [whole(row, n, "the size") for n in row.output[len(lead) :]]
        y = do("Reshape", y, do.ints([-1, *lead, *tail]))
    return Value(do.close(y), row.output, kept(row, LAST))


def _merged(do: _Chain, y: str, op: str, axis: int) -> str:
    if op == "ReduceSum":  # its axes are an input from opset 13 on
        return do(op, y, do.ints([axis]), keepdims=0)
    return do(op, y, axes=[axis], keepdims=0)


def _biases(do: _Chain, row: Row, two: int, wide: int, units: int) -> str:
    """Those of both products, one after another; zeros stand for what is not there."""
    if "recurrent_bias" in row.weights:
        return do.param("B", (two, 2 * wide), 0.0)
    first = do.param("bias", (two, wide), 0.0)
    if "candidate_bias" in row.weights:
        zeros = do.number(np.zeros((two, 2 * units)))
        return do("Concat", first, zeros, do.param("candidate", (two, units), 0.0), axis=1)
    return do("Concat", first, do.number(np.zeros((two, wide))), axis=1)
