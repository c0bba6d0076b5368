"""ONNX nodes of activations and of arithmetic on single values."""

from math import sqrt
from typing import Any

import numpy as np

from ..layers.reshape import position
from ..rows import Row
from .onnx import INT, Graph, Value, to, unary
from .onnx_select import sliced
from .volumes import FIRST, channels, rank, tensor_axis, whole

PLAIN = {
    "identity": "Identity", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "softplus": "Softplus", "hardswish": "HardSwish",
    "softsign": "Softsign", "selu": "Selu", "abs": "Abs", "exp": "Exp",
}  # fmt: skip


@to(*PLAIN)
def _plain(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    return unary(graph, row, sources, at, PLAIN[row.op])


@to("hardsigmoid")
def _hardsigmoid(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    slope, offset = float(layer.alpha), float(layer.beta)
    return unary(graph, row, sources, at, "HardSigmoid", alpha=slope, beta=offset)


@to("relu6", "clip", "hardtanh")
def _clip(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    ends = (0, 6) if row.op == "relu6" else (layer.low, layer.high)
    limits = ["" if v is None else graph.constant(row, float(v)) for v in ends]
    if not limits[-1]:
        limits.pop()
    return unary(graph, row, sources, at, "Clip", *limits)


@to("celu", "hardshrink", "softshrink")
def _with_number(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    value = float(next(iter(row.layer.values().values())))
    if row.op == "celu":
        return unary(graph, row, sources, at, "Celu", alpha=value)
    bias = value if row.op == "softshrink" else 0.0
    return unary(graph, row, sources, at, "Shrink", lambd=value, bias=bias)


@to("power")
def _power(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    exponent = graph.constant(row, float(layer.exponent))
    return unary(graph, row, sources, at, "Pow", exponent)


@to("rescale")
def _rescale(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x, shifted = sources[0], layer.offset != 0
    y = graph.node("Mul", [x.name, graph.constant(row, float(layer.scale))], row, last=not shifted)
    if shifted:
        y = graph.node("Add", [y, graph.constant(row, float(layer.offset))], row)
    return Value(y, row.output, x.layout)


@to("log_sigmoid", "tanhshrink")
def _two_steps(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    x = sources[0].name
    if row.op == "tanhshrink":
        y = graph.node("Tanh", [x], row, last=False)
        return Value(graph.node("Sub", [x, y], row), row.output, sources[0].layout)
    y = graph.node("Softplus", [graph.node("Neg", [x], row, last=False)], row, last=False)
    return Value(graph.node("Neg", [y], row), row.output, sources[0].layout)


@to("glu")
def _glu(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    layer: Any = row.layer
    x, ndim = sources[0], len(row.input[0])
    axis = tensor_axis(layer.axis, ndim, x.layout)
    half = whole(row, row.output[position(layer.axis, ndim) or 0], "the size")
    a, b = (
        sliced(graph, row, x.name, [(axis, *ends, 1)], last=False)
        for ends in ((0, half), (half, 2 * half))
    )
    gate = graph.node("Sigmoid", [b], row, last=False)
    return Value(graph.node("Mul", [a, gate], row), row.output, x.layout)


@to("normalise")
def _normalise(graph: Graph, row: Row, sources: list[Value], at: str) -> Value:
    """x/max(|x|, eps)"""
    layer: Any = row.layer
    x = sources[0]
    axis = tensor_axis(layer.axis, len(row.input[0]), x.layout)
    p = whole(row, layer.p, "p")
    if p in (1, 2):
        norm = graph.node(f"ReduceL{p}", [x.name], row, last=False, axes=[axis], keepdims=1)
    else:
        y = graph.node("Abs", [x.name], row, last=False)
        y = graph.node("Pow", [y, graph.constant(row, float(p))], row, last=False)
        axes_ = graph.constant(row, [axis], INT)
        y = graph.node("ReduceSum", [y, axes_], row, last=False, keepdims=1)
        norm = graph.node("Pow", [y, graph.constant(row, 1 / p)], row, last=False)
    least = graph.constant(row, float(layer.eps))
    norm = graph.node("Max", [norm, least], row, last=False)
    return unary(graph, row, sources, at, "Div", norm)


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
    layer: Any = row.layer
    op = "Softmax" if row.op == "softmax" else "LogSoftmax"
    axis = tensor_axis(layer.axis, len(row.input[0]), sources[0].layout)
    return unary(graph, row, sources, at, op, axis=axis)


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
