"""Means, maxima and log-sum-exp along axes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import Array, as_array, is_symbolic, namespace
from .elementwise import add, divide, exp, log, subtract, where
from .shapes import Axis, axes_of, broadcast_to, expand, shape_of, squeeze, sum
from .tape import primitive, raw


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean over `axis` (one, several or all)."""
    shape = shape_of(x)
    return divide(
        sum(x, axis=axis, keepdims=keepdims), math.prod(shape[i] for i in axes_of(axis, shape))
    )


@primitive
def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest entry over `axis` (one, several or all); a tie's gradient goes to the first.

    `jax.numpy.max` splits it, as `torch.amax` does.
    """
    axis = tuple(axis) if isinstance(axis, list) else axis
    return as_array(namespace(x).max(x, axis=axis, keepdims=keepdims))


def _max_pull(ans: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    shape = shape_of(x)
    first = _first_max(raw(x), axes_of(axis, shape))
    return lambda g: where(first, broadcast_to(expand(g, shape, axis, keepdims), shape), 0)


def _first_max(x: Array, axes: tuple[int, ...]) -> Array:
    """True at the first largest entry over the axes, in row-major order."""
    ns = namespace(x)
    ends = tuple(range(-len(axes), 0))
    moved = ns.moveaxis(x, axes, ends)
    flat = moved.reshape((*moved.shape[: x.ndim - len(axes)], -1))
    if is_symbolic(x):
        mask = np.stack(first_conditions([flat[..., i] for i in range(flat.shape[-1])]), axis=-1)
    else:
        mask = ns.arange(flat.shape[-1]) == ns.argmax(flat, axis=-1)[..., None]
    return ns.moveaxis(mask.reshape(moved.shape), ends, axes)


def first_conditions(parts: Sequence[Array]) -> list[Array]:
    """For symbols: the condition under which each of these is the first of the largest."""
    ns = namespace(*parts)
    masks = []
    for i, part in enumerate(parts):
        mask = ns.asarray(np.full(part.shape, ns.sympy.true, dtype=object))
        for j, other in enumerate(parts):
            if j != i:
                above = ns.greater if j < i else ns.greater_equal
                mask = ns.logical_and(mask, above(part, other))
        masks.append(mask)
    return masks


max.defvjp(_max_pull)


def logsumexp(x: Any, axis: int = -1, keepdims: bool = False) -> Any:
    """log of the sum of exp along an axis, shifted by the maximum so that it cannot overflow.

    >>> float(logsumexp(np.array([1000.0, 1000.0])))
    1000.6931471805599
    """
    plain = raw(x)
    if is_symbolic(plain):
        return log(sum(exp(x), axis=axis, keepdims=keepdims))
    ns = namespace(plain)
    top = ns.max(plain, axis=axis, keepdims=True)
    top = ns.where(ns.isfinite(top), top, 0)
    found = add(log(sum(exp(subtract(x, top)), axis=axis, keepdims=True)), top)
    return found if keepdims else squeeze(found, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - logsumexp(x)."""
    return subtract(x, logsumexp(x, axis=axis, keepdims=True))


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) over its sum."""
    return exp(log_softmax(x, axis=axis))
