"""The autograd engine: reverse mode over NumPy, JAX and SymPy arrays.

>>> import numpy as np
>>> from cnncalc import autograd as ag
>>> x = np.arange(25.0).reshape(1, 5, 5, 1)
>>> ag.grad(lambda w: ag.sum(ag.conv(x, w)))(np.zeros((3, 3, 1, 1)))[:, :, 0, 0]
array([[ 54.,  63.,  72.],
       [ 99., 108., 117.],
       [144., 153., 162.]])
"""

from . import operators as _operators
from .convolution import conv, conv_transpose
from .errors import AutogradError
from .normalise import batch_norm
from .pooling import avg_pool, max_pool
from .primitives import (
    abs,
    add,
    astype,
    broadcast_to,
    concatenate,
    divide,
    einsum,
    equal,
    erf,
    exp,
    floor,
    getitem,
    greater,
    greater_equal,
    log,
    log_softmax,
    logsumexp,
    matmul,
    max,
    maximum,
    mean,
    minimum,
    multiply,
    negative,
    not_equal,
    pad,
    power,
    relu,
    reshape,
    sigmoid,
    sign,
    softmax,
    sqrt,
    squeeze,
    stack,
    subtract,
    sum,
    take,
    tanh,
    transpose,
    where,
)
from .printing import formula, latex, symbols
from .segments import checkpoint, custom_vjp, stored_bytes
from .tape import Traced, debug_nans, no_grad, primitive, stop_gradient
from .transforms import (
    grad,
    hessian,
    jvp,
    value_and_grad,
    vjp,
)

__all__ = [
    "AutogradError", "Traced", "abs", "add", "astype", "avg_pool", "batch_norm", "broadcast_to",
    "checkpoint", "concatenate", "conv", "conv_transpose", "custom_vjp", "debug_nans", "divide",
    "einsum", "equal", "erf", "exp", "floor", "formula", "getitem", "grad", "greater",
    "greater_equal", "hessian", "jvp", "latex", "log", "log_softmax", "logsumexp", "matmul",
    "max", "max_pool", "maximum", "mean", "minimum", "multiply", "negative", "no_grad",
    "not_equal", "pad", "power", "primitive", "relu", "reshape", "sigmoid", "sign", "softmax",
    "sqrt", "squeeze", "stack", "stop_gradient", "stored_bytes", "subtract", "sum", "symbols",
    "take", "tanh", "transpose", "value_and_grad", "vjp", "where",
]  # fmt: skip

del _operators
