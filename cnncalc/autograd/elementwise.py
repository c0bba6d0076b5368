"""Primitives that work entry by entry, with broadcasting: arithmetic, functions, choice.

Each stands with its pull-backs beneath it. Notation: g is the cotangent of the answer; a
pull-back maps it to the cotangent of one argument, and is written in primitives, so that
it differentiates again.
"""

from typing import Any

import numpy as np

from . import streams
from .arrays import Array, exact, is_symbolic, kind, namespace
from .errors import in_user_terms
from .shapes import shape_of, unbroadcast
from .tape import primitive, raw

# --- arithmetic ---


def _large(x: Any, y: Any) -> bool:
    """Whether both are NumPy's and one is worth more than one thread."""
    if max(getattr(x, "size", 0), getattr(y, "size", 0)) < streams.LARGE:
        return False
    return kind(x, y) == "numpy"


@primitive
def add(x: Array, y: Array) -> Array:
    """x + y, with broadcasting."""
    x, y = exact(x, y)
    return streams.apply(np.add, x, y) if _large(x, y) else x + y


add.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(g, s),
    lambda ans, x, y: lambda g, s=shape_of(y): unbroadcast(g, s),
)


@primitive
def subtract(x: Array, y: Array) -> Array:
    """x - y, with broadcasting."""
    x, y = exact(x, y)
    return streams.apply(np.subtract, x, y) if _large(x, y) else x - y


subtract.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(g, s),
    lambda ans, x, y: lambda g, s=shape_of(y): unbroadcast(multiply(-1, g), s),
)


@primitive
def multiply(x: Array, y: Array) -> Array:
    """x * y, entry by entry, with broadcasting."""
    x, y = exact(x, y)
    return streams.apply(np.multiply, x, y) if _large(x, y) else x * y


multiply.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(multiply(g, y), s),
    lambda ans, x, y: lambda g, s=shape_of(y): unbroadcast(multiply(g, x), s),
)


@primitive
def divide(x: Array, y: Array) -> Array:
    """x / y, entry by entry, with broadcasting; a fraction where they are symbols."""
    x, y = exact(x, y)
    return x / y


divide.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): unbroadcast(divide(g, y), s),
    lambda ans, x, y: (
        lambda g, s=shape_of(y): unbroadcast(negative(divide(multiply(g, ans), y)), s)
    ),
)


@primitive
def negative(x: Array) -> Array:
    """-x."""
    return -x


negative.defvjp(lambda ans, x: negative)


@primitive
def power(x: Array, p: Any) -> Array:
    """x**p; by x the slope is p x**(p-1), and 0 where p is the number 0."""
    x, p = exact(x, p)
    return x**p


def _power_by_base(ans: Any, x: Any, p: Any) -> Any:
    if isinstance(p, int | float) and p == 0:
        return lambda g, s=shape_of(x): multiply(g, np.zeros(s, dtype=int))
    less = p - 1 if isinstance(p, int | float) else subtract(p, 1)  # a float64 0-d array widens x
    return lambda g, s=shape_of(x): unbroadcast(multiply(g, multiply(p, power(x, less))), s)


def _power_by_exponent(ans: Any, x: Any, p: Any) -> Any:
    if is_symbolic(raw(ans)):
        base = x if is_symbolic(raw(x)) else exact(x, raw(ans))[0]
    else:
        base = where(equal(x, 0), 1, x)  # 0**p has slope 0, not nan
    return lambda g, s=shape_of(p): unbroadcast(multiply(g, multiply(ans, log(base))), s)


power.defvjp(_power_by_base, _power_by_exponent)


# --- functions of one number ---


@primitive
def exp(x: Array) -> Array:
    """e to the x."""
    return namespace(x).exp(x)


exp.defvjp(lambda ans, x: lambda g: multiply(g, ans))


@primitive
def log(x: Array) -> Array:
    """The natural logarithm."""
    return namespace(x).log(x)


log.defvjp(lambda ans, x: lambda g: divide(g, x))


@primitive
def sqrt(x: Array) -> Array:
    """The square root."""
    return namespace(x).sqrt(x)


sqrt.defvjp(lambda ans, x: lambda g: divide(g, multiply(2, ans)))


@primitive
def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
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
    """The absolute value, with slope 0 at 0."""
    return namespace(x).abs(x)


abs.defvjp(lambda ans, x: lambda g: multiply(g, sign(x)))


@primitive
def relu(x: Array) -> Array:
    """max(x, 0), with slope 0 at 0, as lax and PyTorch have it."""
    if _large(x, 0):
        return streams.apply(np.maximum, x, x.dtype.type(0))
    return namespace(x).maximum(*exact(x, 0))


def _relu_pull(ans: Any, x: Any) -> Any:
    kept = x if is_symbolic(raw(x)) else ans  # the answer is often stored anyway
    return lambda g: where(greater(kept, 0), g, 0)


relu.defvjp(_relu_pull)


# --- comparison and choice ---


def greater(x: Any, y: Any) -> Any:
    """x > y on the plain values: no gradient flows through a comparison."""
    return _compare("greater", x, y)


def greater_equal(x: Any, y: Any) -> Any:
    """x >= y on the plain values."""
    return _compare("greater_equal", x, y)


def equal(x: Any, y: Any) -> Any:
    """x == y on the plain values."""
    return _compare("equal", x, y)


def not_equal(x: Any, y: Any) -> Any:
    """x != y on the plain values."""
    found = _compare("equal", x, y)
    return namespace(found).logical_not(found)


def sign(x: Any) -> Any:
    """-1, 0 or 1 on the plain values, a constant."""
    return _apply("sign", x)


def floor(x: Any) -> Any:
    """The next integer below or at x on the plain values, a constant."""
    return _apply("floor", x)


def _apply(name: str, x: Any) -> Any:
    (plain,) = exact(raw(x))
    return getattr(namespace(plain), name)(plain)


def _compare(name: str, x: Any, y: Any) -> Any:
    plain = exact(raw(x), raw(y))
    try:
        return getattr(namespace(*plain), name)(*plain)
    except (ValueError, TypeError) as error:
        raise in_user_terms(name, plain, {}, error) from error


@primitive
def _where(x: Array, y: Array, *, mask: Any) -> Array:
    if streams.keepable(mask, x, y):
        return streams.kept(mask, x)
    return namespace(x, y, mask).where(mask, *exact(x, y))


_where.name = "where"
_where.defvjp(
    lambda ans, x, y, mask: lambda g, s=shape_of(x): unbroadcast(where(mask, g, 0), s),
    lambda ans, x, y, mask: lambda g, s=shape_of(y): unbroadcast(where(mask, 0, g), s),
)


def where(mask: Any, x: Any, y: Any) -> Any:
    """x where mask holds, else y; the mask is constant.

    >>> where(np.array([True, False]), np.array([1.0, 2.0]), 0)
    array([1., 0.])
    """
    return _where(x, y, mask=raw(mask))


@primitive
def maximum(x: Array, y: Array) -> Array:
    """The larger entry; a tie gives each half of the gradient, as in lax and PyTorch."""
    x, y = exact(x, y)
    return namespace(x, y).maximum(x, y)


@primitive
def minimum(x: Array, y: Array) -> Array:
    """The smaller entry; a tie gives each half of the gradient, as in lax and PyTorch."""
    x, y = exact(x, y)
    return namespace(x, y).minimum(x, y)


def _chosen(larger: Any, smaller: Any, g: Any, shape: tuple[int, ...]) -> Any:
    tied = where(equal(larger, smaller), divide(g, 2), 0)
    return unbroadcast(where(greater(larger, smaller), g, tied), shape)


maximum.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): _chosen(x, y, g, s),
    lambda ans, x, y: lambda g, s=shape_of(y): _chosen(y, x, g, s),
)
minimum.defvjp(
    lambda ans, x, y: lambda g, s=shape_of(x): _chosen(y, x, g, s),
    lambda ans, x, y: lambda g, s=shape_of(y): _chosen(x, y, g, s),
)


# --- precision ---


@primitive
def astype(x: Array, dtype: Any) -> Array:
    """x in another floating dtype; the gradient comes back in x's."""
    return x.astype(dtype)


astype.defvjp(lambda ans, x, dtype: lambda g, d=raw(x).dtype: astype(g, d))
