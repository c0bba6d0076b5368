"""Gives traced values the operators and methods of arrays, and numpy's a clear refusal."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import primitives as p
from .errors import AutogradError, where_from
from .tape import Traced, raw


def _reshape(self: Any, *shape: Any) -> Any:
    return p.reshape(self, shape[0] if len(shape) == 1 else shape)


def _transpose(self: Any, *axes: Any) -> Any:
    return p.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)


def _iterate(self: Any) -> Iterator[Any]:
    return (p.getitem(self, i) for i in range(len(self)))


def _ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kw: Any) -> Any:
    """An operator between a numpy array and a traced value comes here; so does np.exp(x)."""
    if "out" in kw:
        raise AutogradError(
            "a traced value cannot be put into an array in place: write x = x + y instead of "
            "x += y" + where_from()
        )
    known = OPERATORS.get(ufunc.__name__) if method == "__call__" and not kw else None
    if known is not None:
        return known(*inputs)
    return _refuse(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}")


def _function(self: Any, function: Any, types: Any, args: Any, kw: Any) -> Any:
    if function in (np.shape, np.ndim, np.size, np.zeros_like, np.ones_like):
        return function(*map(raw, args), **kw)
    return _refuse(function.__name__)


def _refuse(name: str) -> Any:
    from cnncalc import autograd

    ours = {"absolute": "abs", "amax": "max", "power": "power"}.get(name, name)
    use = f"use ag.{ours}" if hasattr(autograd, ours) else "use functions of cnncalc.autograd"
    raise AutogradError(f"np.{name} cannot differentiate a traced value: {use}" + where_from())


OPERATORS: dict[str, Any] = {
    "add": p.add,
    "subtract": p.subtract,
    "multiply": p.multiply,
    "divide": p.divide,
    "true_divide": p.divide,
    "power": p.power,
    "matmul": p.matmul,
    "greater": p.greater,
    "greater_equal": p.greater_equal,
    "less": lambda x, y: p.greater(y, x),
    "less_equal": lambda x, y: p.greater_equal(y, x),
    "equal": p.equal,
    "not_equal": p.not_equal,
}

METHODS: dict[str, Any] = {
    "__add__": lambda x, y: p.add(x, y),
    "__radd__": lambda x, y: p.add(y, x),
    "__sub__": lambda x, y: p.subtract(x, y),
    "__rsub__": lambda x, y: p.subtract(y, x),
    "__mul__": lambda x, y: p.multiply(x, y),
    "__rmul__": lambda x, y: p.multiply(y, x),
    "__truediv__": lambda x, y: p.divide(x, y),
    "__rtruediv__": lambda x, y: p.divide(y, x),
    "__pow__": lambda x, y: p.power(x, y),
    "__rpow__": lambda x, y: p.power(y, x),
    "__matmul__": lambda x, y: p.matmul(x, y),
    "__rmatmul__": lambda x, y: p.matmul(y, x),
    "__neg__": lambda x: p.negative(x),
    "__abs__": lambda x: p.abs(x),
    "__getitem__": lambda x, key: p.getitem(x, key),
    "__gt__": lambda x, y: p.greater(x, y),
    "__ge__": lambda x, y: p.greater_equal(x, y),
    "__lt__": lambda x, y: p.greater(y, x),
    "__le__": lambda x, y: p.greater_equal(y, x),
    "__eq__": lambda x, y: p.equal(x, y),
    "__ne__": lambda x, y: p.not_equal(x, y),
    "__iter__": _iterate,
    "__array_ufunc__": _ufunc,
    "__array_function__": _function,
    "reshape": _reshape,
    "astype": lambda x, dtype: p.astype(x, dtype),
    "sum": lambda x, axis=None, keepdims=False: p.sum(x, axis=axis, keepdims=keepdims),
    "mean": lambda x, axis=None, keepdims=False: p.mean(x, axis=axis, keepdims=keepdims),
    "max": lambda x, axis=None, keepdims=False: p.max(x, axis=axis, keepdims=keepdims),
    "transpose": _transpose,
    "T": property(lambda x: p.transpose(x)),
}
for _name, _method in METHODS.items():
    setattr(Traced, _name, _method)
