"""Primitives that work entry by entry, with broadcasting: arithmetic, functions, choice.

Each stands with its pull-backs beneath it. Notation: g is the cotangent of the answer; a
pull-back maps it to the cotangent of one argument, and is written in primitives, so that
it differentiates again.
"""

from typing import Any

import numpy as np

from .arrays import Array, is_symbolic, kind, namespace
from .shapes import shape_of, unbroadcast
from .tape import primitive, raw

# --- arithmetic ---


@primitive
def add(x: Array, y: Array) -> Array:
    return x + y


add.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(g, s),
    lambda ans, x, y: lambda g, s=shape_of(y): unbroadcast(g, s),
)


@primitive
def subtract(x: Array, y: Array) -> Array:
    return x - y


subtract.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(g, s),
    lambda ans, x, y: lambda g, s=shape_of(y): unbroadcast(multiply(-1, g), s),
)


@primitive
def multiply(x: Array, y: Array) -> Array:
    return x * y


multiply.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(multiply(g, y), s),
    lambda ans, x, y: lambda g, s=shape_of(y): unbroadcast(multiply(g, x), s),
)


@primitive
def divide(x: Array, y: Array) -> Array:
    return _exact(x, y) / y


divide.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(divide(g, y), s),
    lambda ans, x, y: (
        lambda g, s=shape_of(y): unbroadcast(negative(divide(multiply(g, ans), y)), s)
    ),
)


def _exact(x: Any, y: Any) -> Any:
    """Integers over symbols or whole object arrays stay exact."""
    if kind(x, y) == "symbolic" and isinstance(x, int):
        return namespace(y).exact(x)
    return x


@primitive
def negative(x: Array) -> Array:
    return -x


negative.defvjp(lambda ans, x: negative)


@primitive
def power(x: Array, p: Any) -> Array:
    return x**p


power.defvjp(
    lambda ans, x, p: (
        lambda g, s=shape_of(x): unbroadcast(multiply(g, multiply(p, power(x, subtract(p, 1)))), s)
    ),
    lambda ans, x, p: lambda g, s=shape_of(p): unbroadcast(multiply(g, multiply(ans, log(x))), s),
)


# --- functions of one number ---


@primitive
def exp(x: Array) -> Array:
    return namespace(x).exp(x)


exp.defvjp(lambda ans, x: lambda g: multiply(g, ans))


@primitive
def log(x: Array) -> Array:
    return namespace(x).log(x)


log.defvjp(lambda ans, x: lambda g: divide(g, x))


@primitive
def sqrt(x: Array) -> Array:
    return namespace(x).sqrt(x)


sqrt.defvjp(lambda ans, x: lambda g: divide(g, multiply(2, ans)))


@primitive
def tanh(x: Array) -> Array:
    return namespace(x).tanh(x)


tanh.defvjp(lambda ans, x: lambda g: multiply(g, subtract(1, multiply(ans, ans))))


@primitive
def sigmoid(x: Array) -> Array:
    """1/(1 + exp(-x)), without overflow: (1 + tanh(x/2))/2."""
    ns = namespace(x)
    if is_symbolic(x):
        return 1 / (1 + ns.exp(-x))
    return (ns.tanh(x * 0.5) + 1) * 0.5


sigmoid.defvjp(lambda ans, x: lambda g: multiply(g, multiply(ans, subtract(1, ans))))


@primitive
def erf(x: Array) -> Array:
    """The error function, of every kind of array to the precision of its numbers."""
    if kind(x) == "jax":
        from jax.scipy.special import erf as of_jax

        return of_jax(x)
    if is_symbolic(x):
        return namespace(x).erf(x)
    from .special import erf as of_numpy

    return of_numpy(x)


def _erf_slope(x: Any) -> Any:
    scale: Any = 2 / np.sqrt(np.pi)
    if is_symbolic(raw(x)):
        import sympy

        scale = 2 / sympy.sqrt(sympy.pi)
    else:
        scale = float(scale)
    return multiply(scale, exp(negative(multiply(x, x))))


erf.defvjp(lambda ans, x: lambda g: multiply(g, _erf_slope(x)))


@primitive
def abs(x: Array) -> Array:
    return namespace(x).abs(x)


abs.defvjp(lambda ans, x: lambda g: where(greater_equal(x, 0), g, negative(g)))


@primitive
def relu(x: Array) -> Array:
    """max(x, 0), with slope 0 at 0, as lax and PyTorch have it."""
    return namespace(x).maximum(x, 0)


relu.defvjp(lambda ans, x: lambda g: where(greater(ans, 0), g, 0))


# --- comparison and choice ---


def greater(x: Any, y: Any) -> Any:
    """x > y on the plain values: no gradient flows through a comparison."""
    x, y = raw(x), raw(y)
    ns = namespace(x, y)
    return ns.greater(x, y)


def greater_equal(x: Any, y: Any) -> Any:
    x, y = raw(x), raw(y)
    return namespace(x, y).greater_equal(x, y)


def equal(x: Any, y: Any) -> Any:
    x, y = raw(x), raw(y)
    return namespace(x, y).equal(x, y)


@primitive
def _where(x: Array, y: Array, *, mask: Any) -> Array:
    return namespace(x, y, mask).where(mask, x, y)


_where.name = "where"
_where.defvjp(
    lambda ans, x, y, mask: lambda g, s=shape_of(x): unbroadcast(where(mask, g, 0), s),
    lambda ans, x, y, mask: lambda g, s=shape_of(y): unbroadcast(where(mask, 0, g), s),
)


def where(mask: Any, x: Any, y: Any) -> Any:
    """x where mask holds, else y; the mask is constant."""
    return _where(x, y, mask=raw(mask))


@primitive
def maximum(x: Array, y: Array) -> Array:
    """The larger entry; at a tie the gradient goes to x."""
    return namespace(x, y).maximum(x, y)


maximum.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(where(greater_equal(x, y), g, 0), s),
    lambda ans, x, y: lambda g, s=shape_of(y): unbroadcast(where(greater_equal(x, y), 0, g), s),
)


@primitive
def minimum(x: Array, y: Array) -> Array:
    """The smaller entry; at a tie the gradient goes to x."""
    return namespace(x, y).minimum(x, y)


minimum.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(where(greater_equal(y, x), g, 0), s),
    lambda ans, x, y: lambda g, s=shape_of(y): unbroadcast(where(greater_equal(y, x), 0, g), s),
)
