"""All primitives on arrays but the windowed ones, from where they are written."""

from .elementwise import (
    abs,
    add,
    divide,
    equal,
    erf,
    exp,
    greater,
    greater_equal,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    sqrt,
    subtract,
    tanh,
    where,
)
from .products import einsum, matmul
from .reductions import log_softmax, logsumexp, max, max_int, mean, softmax
from .shapes import (
    Axis,
    broadcast_to,
    concatenate,
    expand,
    getitem,
    pad,
    reshape,
    scatter,
    shape_of,
    squeeze,
    stack,
    sum,
    take,
    transpose,
    unbroadcast,
)

__all__ = [
    "Axis", "abs", "add", "broadcast_to", "concatenate", "divide", "einsum", "equal", "erf",
    "exp", "expand", "getitem", "greater", "greater_equal", "log", "log_softmax", "logsumexp",
    "matmul", "max", "max_int", "maximum", "mean", "minimum", "multiply", "negative", "pad",
    "power", "relu", "reshape", "scatter", "shape_of", "sigmoid", "softmax", "sqrt", "squeeze",
    "stack", "subtract", "sum", "take", "tanh", "transpose", "unbroadcast", "where",
]  # fmt: skip
