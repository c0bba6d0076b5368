"""ONNX nodes of dense layers and normalisations."""

from typing import Any

import numpy as np

from ..rows import Row
from .errors import refused
from .onnx import INT, Graph, Value, to
from .onnx_layers import bias
from .volumes import ANY, FIRST, LAST, channels, rank, whole


@to("dense")
def _dense(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    values = 1
    for n in row.input[0]:
        values *= whole(row, n, "the input's size")
    units = whole(row, row.output[0], "units")
    x = graph.read(sources[0], graph.canonical(sources[0].shape), row).name
    if rank(row):
        x = graph.node("Flatten", [x], row, last=False)
    inputs = [x, graph.param(row, "weight", (units, values)), *bias(graph, row, units)]
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
    if size % 2 == 0:
        raise refused(row, f"ONNX Runtime's LRN takes odd sizes, not {size}")
    alpha = float(layer.alpha) * (1 if row.dialect.lrn_divides else size)
    name = graph.node("LRN", [x.name], row, size=size, alpha=alpha, beta=float(layer.beta),
                      bias=float(layer.k))  # fmt: skip
    return Value(name, row.output, x.layout)


@to("scale", "layer_scale")
def _scale(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = sources[0]
    per = (channels(row), *(1,) * (rank(row) if x.layout == FIRST else 0))
    factor = graph.param(row, "scale", per, 1.0)
    y = graph.node("Mul", [x.name, factor], row, last="bias" not in row.weights)
    if "bias" in row.weights:
        y = graph.node("Add", [y, graph.param(row, "bias", per, 0.0)], row)
    return Value(y, row.output, x.layout)


@to("dropout", "stochastic_depth")
def _dropout(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    if row.op == "stochastic_depth":  # in inference nothing is dropped
        return Value(graph.node("Identity", [sources[0].name], row), row.output, sources[0].layout)
    ratio = graph.constant(row, float(layer.rate))
    name = graph.node("Dropout", [sources[0].name, ratio], row)
    return Value(name, row.output, sources[0].layout)
