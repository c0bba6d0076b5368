"""Gives traced values the operators and methods of arrays."""

from typing import Any

from . import primitives as p
from .tape import Traced


def _reshape(self: Any, *shape: Any) -> Any:
    return p.reshape(self, shape[0] if len(shape) == 1 else shape)


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
    "reshape": _reshape,
    "sum": lambda x, axis=None, keepdims=False: p.sum(x, axis=axis, keepdims=keepdims),
    "mean": lambda x, axis=None, keepdims=False: p.mean(x, axis=axis, keepdims=keepdims),
    "max": lambda x, axis=None, keepdims=False: p.max(x, axis=axis, keepdims=keepdims),
    "transpose": lambda x, *axes: p.transpose(x, axes or None),
    "T": property(lambda x: p.transpose(x)),
}
for _name, _method in METHODS.items():
    setattr(Traced, _name, _method)
