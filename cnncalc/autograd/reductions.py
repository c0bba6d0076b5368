"""Means, maxima and log-sum-exp along axes."""

from typing import Any

import numpy as np

from .arrays import Array, as_array, is_symbolic, namespace
from .elementwise import add, divide, exp, log, subtract, where
from .shapes import Axis, broadcast_to, expand, shape_of, squeeze, sum
from .tape import primitive, raw


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean over `axis`, or over all entries."""
    total = sum(x, axis=axis, keepdims=keepdims)
    count = int(np.prod(shape_of(x), dtype=object)) // max_int(
        np.prod(shape_of(total), dtype=object)
    )
    return divide(total, count)


def max_int(n: Any) -> int:
    return int(n) if int(n) > 0 else 1


@primitive
def max(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The largest entry along one axis (or of all); ties give the gradient to the first."""
    return as_array(namespace(x).max(x, axis=axis, keepdims=keepdims))


def _max_pull(ans: Any, x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    shape = shape_of(x)
    first = _first_max(raw(x), axis)

    def pull(g: Any) -> Any:
        return where(first, broadcast_to(expand(g, shape, axis, keepdims), shape), 0)

    return pull


def _first_max(x: Array, axis: int | None) -> Array:
    """True at the first largest entry along the axis."""
    ns = namespace(x)
    flat = x.reshape(-1) if axis is None else ns.moveaxis(x, axis, -1)
    if is_symbolic(x):
        mask = _first_max_symbolic(ns, flat)
    else:
        mask = ns.arange(flat.shape[-1]) == ns.argmax(flat, axis=-1)[..., None]
    return mask.reshape(x.shape) if axis is None else ns.moveaxis(mask, -1, axis)


def _first_max_symbolic(ns: Any, flat: Array) -> Array:
    masks = []
    for i in range(flat.shape[-1]):
        mask = ns.asarray(np.full(flat.shape[:-1], ns.sympy.true, dtype=object))
        for j in range(flat.shape[-1]):
            if j != i:
                above = ns.greater if j < i else ns.greater_equal
                mask = ns.logical_and(mask, above(flat[..., i], flat[..., j]))
        masks.append(mask)
    return np.stack(masks, axis=-1)


max.defvjp(_max_pull)


def logsumexp(x: Any, axis: int = -1, keepdims: bool = False) -> Any:
    """log of the sum of exp along an axis, shifted by the maximum so that it cannot overflow."""
    top = raw(max(raw(x), axis=axis, keepdims=True))
    if is_symbolic(raw(x)):
        return log(sum(exp(x), axis=axis, keepdims=keepdims))
    total = log(sum(exp(subtract(x, top)), axis=axis, keepdims=True))
    found = add(total, top)
    return found if keepdims else squeeze(found, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - logsumexp(x)."""
    return subtract(x, logsumexp(x, axis=axis, keepdims=True))


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) over its sum."""
    return exp(log_softmax(x, axis=axis))
