"""Batch normalisation in training, with the pull-back that its three terms give.

With u = x - mean, r = 1/sqrt(var + eps) and means over the M places of a channel, the answer
is y = gamma·u·r + beta, and a cotangent g of it gives

    beta: sum g      gamma: r·sum g·u      x: gamma·r·(g - mean(g) - u·r²·mean(g·u)).

Each of the two directions so reads its arrays twice, where the pull-backs of means, squares
and roots, taken one by one, would read them many times.
"""

import math
from typing import Any

import numpy as np

from . import fastnorm
from .arrays import Array, exact, kind, namespace
from .elementwise import add, divide, multiply, sqrt, subtract
from .errors import AutogradError, where_from
from .reductions import mean as mean_of
from .shapes import shape_of, sum
from .tape import Traced, primitive, raw


def batch_norm(x: Any, gamma: Any = None, beta: Any = None, eps: Any = 1e-5) -> tuple[Any, ...]:
    """gamma·(x - mean)/sqrt(var + eps) + beta over all axes but the last, and mean and var.

    The mean and the (biased) variance of each channel are the batch's own; as the second
    and third result they are constants, meant for running statistics. Without gamma the
    factor is 1, without beta the shift is 0.

    >>> y, mean, var = batch_norm(np.array([[1.0], [3.0]]), eps=0)
    >>> y[:, 0], mean, var
    (array([-1.,  1.]), array([2.]), array([1.]))
    """
    shape = shape_of(x)
    if len(shape) < 2 or any(p is not None and shape_of(p) != shape[-1:] for p in (gamma, beta)):
        shapes = ", ".join(str(shape_of(a)) for a in (x, gamma, beta) if a is not None)
        why = "x needs (N, ..., C), gamma and beta (C,)"
        raise AutogradError(
            f"batch_norm: shapes {shapes} do not work together: {why}{where_from()}"
        )
    mean, var = _statistics(raw(x))
    args = x, 1 if gamma is None else gamma, 0 if beta is None else beta
    return _normalised(*args, mean=mean, var=var, eps=eps), mean, var


def _statistics(x: Array) -> tuple[Array, Array]:
    """Mean and variance of each channel.

    On JAX from one pass of sums of x less a pivot, the mean of the first item, and of its
    square. What cancels in E[(x-p)²] - (E[x]-p)² costs at most a factor N of the last digit:
    items of variance v have a pivot within sqrt(N·v) of the mean.
    """
    if fastnorm.takes(x):
        return fastnorm.statistics(x)
    over = tuple(range(x.ndim - 1))
    count = math.prod(x.shape[:-1])
    ns = namespace(x)
    if kind(x) != "jax":
        mean = ns.sum(x, axis=over) / exact(count, x)[0]
        return mean, _dot(x - mean, x - mean) / exact(count, x)[0]
    pivot = ns.mean(x[:1], axis=over)
    shifted = x - pivot
    off = ns.sum(shifted, axis=over) / count
    return pivot + off, ns.maximum(ns.sum(shifted * shifted, axis=over) / count - off * off, 0)


def _dot(x: Array, y: Array) -> Array:
    """The sum of x·y of each channel."""
    if kind(x, y) == "numpy":
        return np.asarray(np.einsum("ic,ic->c", *(a.reshape(-1, a.shape[-1]) for a in (x, y))))
    return namespace(x, y).sum(x * y, axis=tuple(range(x.ndim - 1)))


@primitive
def _normalised(x: Array, gamma: Array, beta: Array, *, mean: Any, var: Any, eps: Any) -> Array:
    """The affine map of each channel that its mean and variance, taken as given, ask for."""
    x, gamma, beta, var, eps = exact(x, gamma, beta, var, eps)
    factor = gamma / namespace(x).sqrt(var + eps)
    if fastnorm.takes(x):
        return fastnorm.affine(x, mean, factor, beta)
    return (x - mean) * factor + beta


def _joint(
    mine: tuple[int, ...], ans: Any, x: Any, gamma: Any, beta: Any, *, mean: Any, var: Any, eps: Any
) -> Any:
    over = tuple(range(len(shape_of(x)) - 1))
    count = math.prod(shape_of(x)[:-1])
    if isinstance(x, Traced):  # an older tape is to see how they depend on x
        mean = mean_of(x, axis=over)
        centred = subtract(x, mean)
        var = mean_of(multiply(centred, centred), axis=over)

    def pull(g: Any) -> list[Any]:
        if fastnorm.takes(g, x):
            return _fast(mine, g, x, mean, var, gamma, eps)
        centred = subtract(x, mean)
        r = divide(1, sqrt(add(var, eps)))
        total = sum(g, axis=over)
        along = multiply(r, sum(multiply(g, centred), axis=over))
        if 0 not in mine:
            return [total if i == 2 else along for i in mine]
        slope = divide(multiply(r, along), count)
        level = divide(total, count)
        inner = subtract(subtract(g, level), multiply(centred, slope))
        parts = multiply(multiply(gamma, r), inner), along, total
        return [parts[i] for i in mine]

    return pull


def _fast(
    mine: tuple[int, ...], g: Array, x: Array, mean: Array, var: Array, gamma: Any, eps: Any
) -> list[Any]:
    """The pull-back on NumPy floats; gamma and eps are exact in x's type."""
    gamma, eps = exact(gamma, eps, x)[:2]
    r = 1 / np.sqrt(var + eps)
    total, along = fastnorm.sums(g, x, mean)
    along *= r
    parts: list[Any] = [None, along, total]
    if 0 in mine:
        count = x.dtype.type(math.prod(x.shape[:-1]))
        parts[0] = fastnorm.adjoint(g, x, mean, r * along / count, total / count, gamma * r)
    return [parts[i] for i in mine]


_normalised.name = "batch_norm"
_normalised.defvjp_joint(_joint)
