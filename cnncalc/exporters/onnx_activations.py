"""ONNX nodes of activations and of arithmetic on single values."""

from math import sqrt
from typing import Any

import numpy as np

from ..rows import Row
from .onnx import Graph, Value, to, unary
from .volumes import FIRST, LAST, channels, rank

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
