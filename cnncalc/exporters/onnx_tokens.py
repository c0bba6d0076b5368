"""ONNX nodes of tokens, positions and arrays of their own."""

from typing import Any

import numpy as np

from ..rows import Row
from .onnx import INT, Graph, Value, kept, to
from .volumes import LAST, channels, whole


def _repeated(graph: Graph, row: Row, array: str, like: str, sizes: list[int], lead: int) -> str:
    """An array for every item: `lead` first axes are those of `like`, the others `sizes`."""
    shape = graph.node("Shape", [like], row, last=False, end=lead)
    shape = graph.node("Concat", [shape, graph.constant(row, sizes, INT)], row, last=False, axis=0)
    return graph.node("Expand", [array, shape], row, last=row.op == "parameter")


@to("class_token")
def _class_token(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], LAST, row)
    sizes = [whole(row, layer.count, "count"), channels(row)]
    token = graph.param(row, "token", sizes)
    wide = _repeated(graph, row, token, x.name, sizes, len(row.input[0]) - 1)
    pair = [wide, x.name] if layer.position == "first" else [x.name, wide]
    name = graph.node("Concat", pair, row, axis=len(row.input[0]) - 1)
    return Value(name, row.output, LAST)


@to("positional")
def _positional(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x = graph.read(sources[0], LAST, row)
    if layer.kind == "learned":
        sizes = [whole(row, n, "the shape") for n in row.weights["position"]]
        waves = graph.param(row, "position", sizes)
    else:
        tokens, c = (whole(row, n, "the shape") for n in row.input[0][-2:])
        angle = np.arange(tokens)[:, None] / 10000.0 ** (np.arange(c) // 2 * 2 / c)
        odd = np.arange(c) % 2 == 1
        waves = graph.constant(row, np.where(odd, np.cos(angle), np.sin(angle)))
    return Value(graph.node("Add", [x.name, waves], row), row.output, kept(row, LAST))


@to("parameter")
def _parameter(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    sizes = [whole(row, n, "the shape") for n in row.output]
    value = graph.param(row, "value", sizes)
    name = _repeated(graph, row, value, sources[0].name, sizes, 1)
    return Value(name, row.output, kept(row, LAST))


@to("constant")
def _constant(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    from onnx import numpy_helper

    layer: Any = row.layer
    sizes = [whole(row, n, "the shape") for n in row.output]
    shape = graph.node("Shape", [sources[0].name], row, last=False, end=1)
    shape = graph.node("Concat", [shape, graph.constant(row, sizes, INT)], row, last=False, axis=0)
    value = numpy_helper.from_array(np.array([float(layer.value)], np.float32))
    name = graph.node("ConstantOfShape", [shape], row, value=value)
    return Value(name, row.output, kept(row, LAST))


@to("embedding")
def _embedding(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    from onnx import TensorProto

    layer: Any = row.layer
    x = graph.read(sources[0], LAST, row)
    words = graph.node("Cast", [x.name], row, last=False, to=TensorProto.INT64)
    sizes = [whole(row, layer.vocab, "vocab"), whole(row, layer.dim, "dim")]
    table = graph.param(row, "table", sizes)
    return Value(graph.node("Gather", [table, words], row, axis=0), row.output, LAST)
