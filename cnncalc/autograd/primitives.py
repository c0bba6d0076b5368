"""The primitives on single arrays and pairs of them: arithmetic, reductions, shapes.

Each stands with its pull-backs beneath it. Notation: g is the cotangent of the answer; a
pull-back maps it to the cotangent of one argument, and is written in primitives, so that
it differentiates again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import Array, as_array, is_symbolic, kind, namespace
from .tape import primitive, raw

Axis = int | Sequence[int] | None


def shape_of(x: Any) -> tuple[int, ...]:
    return tuple(np.shape(raw(x)))


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """The sum of g over the axes along which an array of `shape` was repeated."""
    extra = len(shape_of(g)) - len(shape)
    if extra:
        g = sum(g, axis=tuple(range(extra)))
    ones = tuple(i for i, (n, m) in enumerate(zip(shape_of(g), shape, strict=True)) if n != m)
    return sum(g, axis=ones, keepdims=True) if ones else g


# --- arithmetic, with broadcasting ------------------------------------------------------


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


# --- functions of one number --------------------------------------------------------------


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


# --- comparison and choice ------------------------------------------------------------------


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


# --- reductions -------------------------------------------------------------------------------


@primitive
def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    axis = tuple(axis) if isinstance(axis, list) else axis
    return as_array(namespace(x).sum(x, axis=axis, keepdims=keepdims))


def _expand(g: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """g with the reduced axes put back with length 1."""
    if keepdims:
        return g
    axes = range(len(shape)) if axis is None else np.atleast_1d(np.asarray(axis)) % len(shape)
    kept = {int(a) for a in axes}
    return reshape(g, tuple(1 if i in kept else n for i, n in enumerate(shape)))


sum.defvjp(
    lambda ans, x, axis=None, keepdims=False: (
        lambda g, s=shape_of(x): broadcast_to(_expand(g, s, axis, keepdims), s)
    )
)


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
        return where(first, broadcast_to(_expand(g, shape, axis, keepdims), shape), 0)

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


def squeeze(x: Any, axis: int) -> Any:
    """x without the axis of length 1."""
    shape = list(shape_of(x))
    del shape[axis]
    return reshape(x, tuple(shape))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - logsumexp(x)."""
    return subtract(x, logsumexp(x, axis=axis, keepdims=True))


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) over its sum."""
    return exp(log_softmax(x, axis=axis))


# --- matrix products ------------------------------------------------------------------------------


@primitive
def matmul(x: Array, y: Array) -> Array:
    return as_array(namespace(x, y).matmul(x, y))


def _swap(x: Any) -> Any:
    axes = list(range(len(shape_of(x))))
    axes[-1], axes[-2] = axes[-2], axes[-1]
    return transpose(x, tuple(axes))


def _matmul_pull(left: bool) -> Any:
    def maker(ans: Any, x: Any, y: Any) -> Any:
        xs, ys = shape_of(x), shape_of(y)

        def pull(g: Any) -> Any:
            gg = reshape(g, _as_matrix(shape_of(g), len(xs) == 1, len(ys) == 1))
            if left:
                other = reshape(y, (*ys, 1)) if len(ys) == 1 else y
                found = matmul(gg, _swap(other))
                target = (1, *xs) if len(xs) == 1 else xs
            else:
                other = reshape(x, (1, *xs)) if len(xs) == 1 else x
                found = matmul(_swap(other), gg)
                target = (*ys, 1) if len(ys) == 1 else ys
            return reshape(unbroadcast(found, target), xs if left else ys)

        return pull

    return maker


def _as_matrix(shape: tuple[int, ...], row: bool, column: bool) -> tuple[int, ...]:
    """The shape with the axes that vectors lost in the product."""
    if row and column:
        return (1, 1)
    if row:
        return (*shape[:-1], 1, shape[-1])
    return (*shape, 1) if column else shape


matmul.defvjp(_matmul_pull(True), _matmul_pull(False))


@primitive
def _einsum(*xs: Array, spec: str) -> Array:
    ns = namespace(*xs)
    return as_array(ns.einsum(spec, *xs) if ns is not np else np.einsum(spec, *xs, optimize=True))


_einsum.name = "einsum"


def einsum(spec: str, *xs: Any) -> Any:
    """Einstein summation with an explicit answer, such as `einsum("ij,jk->ik", a, b)`."""
    spec = spec.replace(" ", "")
    if "->" not in spec or "." in spec:
        from .errors import AutogradError, where_from

        raise AutogradError(f"einsum needs the form 'ij,jk->ik', not '{spec}'" + where_from())
    return _einsum(*xs, spec=spec)


def _einsum_joint(mine: tuple[int, ...], ans: Any, *xs: Any, spec: str) -> Any:
    """The cotangent of one factor: the same sum with the answer's cotangent in its place.

    Letters that stand only in that factor were summed alone: they are repeated back.
    """
    left, _, out = spec.partition("->")
    terms = left.split(",")
    shapes = [shape_of(x) for x in xs]

    def one(i: int, g: Any) -> Any:
        others = [j for j in range(len(xs)) if j != i]
        known = set(out).union(*(terms[j] for j in others))
        kept = "".join(c for c in terms[i] if c in known)
        inner = ",".join([out, *(terms[j] for j in others)])
        found = _einsum(g, *(xs[j] for j in others), spec=f"{inner}->{kept}")
        widths = tuple(n if c in known else 1 for c, n in zip(terms[i], shapes[i], strict=True))
        return broadcast_to(reshape(found, widths), shapes[i])

    return lambda g: [one(i, g) for i in mine]


_einsum.defvjp_joint(_einsum_joint)


# --- shapes ---------------------------------------------------------------------------------------


@primitive
def reshape(x: Array, shape: Any) -> Array:
    return x.reshape(shape)


reshape.defvjp(lambda ans, x, shape: lambda g, s=shape_of(x): reshape(g, s))


@primitive
def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    return namespace(x).transpose(x, axes)


def _transpose_pull(ans: Any, x: Any, axes: Sequence[int] | None = None) -> Any:
    back = None if axes is None else tuple(int(i) for i in np.argsort(axes))
    return lambda g: transpose(g, back)


transpose.defvjp(_transpose_pull)


@primitive
def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    return namespace(x).broadcast_to(x, shape)


broadcast_to.defvjp(lambda ans, x, shape: lambda g, s=shape_of(x): unbroadcast(g, s))


@primitive
def pad(x: Array, widths: Sequence[tuple[int, int]]) -> Array:
    """Zeros around x; a negative width cuts off."""
    ns = namespace(x)
    wide = [(b if b > 0 else 0, a if a > 0 else 0) for b, a in widths]
    if any(w != (0, 0) for w in wide):
        x = ns.pad(x, wide)
    cut = tuple(slice(-b if b < 0 else 0, a if a < 0 else None) for b, a in widths)
    return x[cut]


pad.defvjp(lambda ans, x, widths: lambda g: pad(g, [(-b, -a) for b, a in widths]))


@primitive
def concatenate(*xs: Array, axis: int = 0) -> Array:
    return namespace(*xs).concatenate(xs, axis=axis)


def _concatenate_joint(mine: tuple[int, ...], ans: Any, *xs: Any, axis: int = 0) -> Any:
    sizes = [shape_of(x)[axis] for x in xs]
    starts = [int(n) for n in np.cumsum([0, *sizes])]
    axis = axis % len(shape_of(xs[0]))

    def part(i: int, g: Any) -> Any:
        return getitem(g, (*[slice(None)] * axis, slice(starts[i], starts[i + 1])))

    return lambda g: [part(i, g) for i in mine]


concatenate.defvjp_joint(_concatenate_joint)


# --- slices and gathers --------------------------------------------------------------------------


@primitive
def getitem(x: Array, key: Any) -> Array:
    return as_array(x[key])


@primitive
def scatter(g: Array, shape: tuple[int, ...], key: Any) -> Array:
    """Zeros of `shape` with g added at `key`: the adjoint of `getitem`."""
    ns = namespace(g)
    zeros = ns.zeros(shape, dtype=g.dtype)
    if ns is np or is_symbolic(g):
        if _basic(key):
            zeros[key] = g
        else:
            np.add.at(zeros, key, g)
        return zeros
    return zeros.at[key].add(g)


def _basic(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return all(p is None or p is Ellipsis or isinstance(p, int | slice) for p in parts)


getitem.defvjp(lambda ans, x, key: lambda g, s=shape_of(x): scatter(g, s, key))
scatter.defvjp(lambda ans, g, shape, key: lambda c: getitem(c, key))


def take(x: Any, indices: Any, axis: int = 0) -> Any:
    """The entries of x at `indices` along an axis: rows of a table, words of an embedding."""
    axis = axis % len(shape_of(x))
    return getitem(x, (*[slice(None)] * axis, raw(indices)))


def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape along a new axis."""
    shape = list(shape_of(xs[0]))
    shape.insert(axis % (len(shape) + 1), 1)
    return concatenate(*(reshape(x, tuple(shape)) for x in xs), axis=axis)
