"""Operators on every value alone, and the softmaxes."""

from typing import Any

from ..draft import decimal
from .core import Converter, Unknown, handles
from .reading import Node
from .values import Const, Tensor
from .weighted import last_at_end

PLAIN = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "HardSwish": "hardswish",
    "Softplus": "softplus", "Mish": "mish", "Swish": "silu", "Silu": "silu", "Gelu_": "gelu",
    "Exp": "exp", "Abs": "abs", "Softsign": "softsign", "Selu": "selu",
}  # fmt: skip
SAME = ("Identity", "Cast", "CastLike")


def keep(c: Converter, node: Node, op: str, fields: dict[str, Any], x: Tensor) -> None:
    """An operator that keeps the shape: the layout stays as it is."""
    if not c.has(op):
        raise Unknown
    c.set(node, x._replace(ref=c.emit(node, op, fields, [x.ref])))


@handles(*(op for op in PLAIN))
def activation(c: Converter, node: Node) -> None:
    keep(c, node, PLAIN[node.op], {}, c.tensor(node))


@handles("Gelu")
def gelu(c: Converter, node: Node) -> None:
    tanh = node.attributes.get("approximate") == "tanh"
    keep(c, node, "gelu", {"approximate": True} if tanh else {}, c.tensor(node))


@handles("LeakyRelu")
def leaky_relu(c: Converter, node: Node) -> None:
    slope = decimal(node.attributes.get("alpha", 0.01))
    keep(c, node, "leaky_relu", {"slope": slope}, c.tensor(node))


@handles("Elu", "Celu")
def elu(c: Converter, node: Node) -> None:
    alpha = decimal(node.attributes.get("alpha", 1.0))
    keep(c, node, node.op.lower(), {"alpha": alpha}, c.tensor(node))


@handles("HardSigmoid")
def hardsigmoid(c: Converter, node: Node) -> None:
    """torch's slope is 1/6; ONNX's own default is 1/5."""
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    fields: dict[str, Any] = {}
    if abs(alpha - 1 / 6) > 1e-4:
        fields["alpha"] = decimal(alpha)
    if abs(beta - 0.5) > 1e-6:
        fields["beta"] = decimal(beta)
    keep(c, node, "hardsigmoid", fields, c.tensor(node))


@handles("PRelu")
def prelu(c: Converter, node: Node) -> None:
    x, slope = c.tensor(node), c.const(node, 1)
    count = [n for n in slope.shape if n != 1]
    shared = not count
    if not shared and (len(count) != 1 or count[0] != x.sizes[1]):
        raise Unknown
    from ...layers import REGISTRY

    fields: dict[str, Any] = {}
    if shared and x.sizes[1] != 1:
        if "shared" not in REGISTRY["prelu"].fields:
            raise Unknown
        fields = {"shared": True}
    order = (*range(2, x.rank), 1)
    ref = c.emit(node, "prelu", fields, [c.image(x)], [slope])
    c.set(node, c.made(ref, order, x.rank))


@handles("Softmax", "LogSoftmax")
def softmax(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    axis = node.attributes.get("axis", -1 if c.opset >= 13 else 1) % x.rank
    op = "softmax" if node.op == "Softmax" else "log_softmax"
    if axis == x.rank - 1:
        held = last_at_end(c, x)
    elif axis in x.order and (c.opset >= 13 or all(n == 1 for n in x.sizes[axis + 1 :])):
        held = c.flat(x, (*(a for a in x.order if a != axis), axis))
    else:
        raise Unknown
    c.set(node, held._replace(ref=c.emit(node, op, {}, [held.ref])))


@handles("Clip")
def clip(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    low, high = _bound(c, node, "min", 1), _bound(c, node, "max", 2)
    if low == 0 and high == 6:
        keep(c, node, "relu6", {}, x)
    elif low == 0 and high is None:
        keep(c, node, "relu", {}, x)
    else:
        if not c.has("clip"):
            raise Unknown
        given = (("low", low), ("high", high))
        keep(c, node, "clip", {k: decimal(v) for k, v in given if v is not None}, x)


def _bound(c: Converter, node: Node, attribute: str, i: int) -> float | None:
    if attribute in node.attributes:
        value = float(node.attributes[attribute])
    else:
        found = c.numbers(node, i)
        value = float(found[0]) if found else float("inf")
    return None if abs(value) > 1e30 else value


@handles("Dropout")
def dropout(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    rate = node.attributes.get("ratio", 0.5)
    given = c.value(node, 1)
    if isinstance(given, Const) and (numbers := given.numbers()):
        rate = float(numbers[0])
    if not 0 <= rate < 1:
        raise Unknown
    c.set(node, x._replace(ref=c.emit(node, "dropout", {"rate": decimal(rate)}, [x.ref])))
    c.set(node, Const(x.sizes), 1)


@handles(*SAME)
def identity(c: Converter, node: Node) -> None:
    """A cast changes no size; that of a weight to a tensor's type keeps the weight."""
    found = c.value(node, 0)
    if found is None:
        raise Unknown
    c.set(node, found)


@handles("Sqrt", "Reciprocal")
def power(c: Converter, node: Node) -> None:
    exponent = {"Sqrt": "1/2", "Reciprocal": -1}[node.op]
    keep(c, node, "power", {"exponent": exponent}, c.tensor(node))


@handles("Neg")
def negative(c: Converter, node: Node) -> None:
    keep(c, node, "rescale", {"scale": -1}, c.tensor(node))


@handles("LpNormalization")
def normalise(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    axis = node.attributes.get("axis", -1) % x.rank
    if not c.has("normalise") or axis not in x.order:
        raise Unknown
    place = x.order.index(axis)
    last = place == len(x.order) - 1
    fields = {"p": node.attributes.get("p", 2), "axis": -1 if last else place}
    keep(c, node, "normalise", fields, x)
