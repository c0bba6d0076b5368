"""All primitives on arrays but the windowed ones, from where they are written."""

from .elementwise import (
    abs,
    add,
    astype,
    divide,
    equal,
    erf,
    exp,
    floor,
    greater,
    greater_equal,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    relu,
    sigmoid,
    sign,
    sqrt,
    subtract,
    tanh,
    where,
)
from .products import einsum, matmul
from .reductions import first_conditions, log_softmax, logsumexp, max, mean, softmax
from .shapes import (
    Axis,
    axes_of,
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
    "Axis", "abs", "add", "astype", "axes_of", "broadcast_to", "concatenate", "divide",
    "einsum", "equal", "erf", "exp", "expand", "first_conditions", "floor", "getitem",
    "greater", "greater_equal", "log", "log_softmax", "logsumexp", "matmul", "max", "maximum",
    "mean", "minimum", "multiply", "negative", "not_equal", "pad", "power", "relu", "reshape",
    "scatter", "shape_of", "sigmoid", "sign", "softmax", "sqrt", "squeeze", "stack", "subtract",
    "sum", "take", "tanh", "transpose", "unbroadcast", "where",
]  # fmt: skip
