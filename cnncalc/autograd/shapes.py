"""Primitives that move, repeat, drop or add up entries: linear maps, each with its adjoint.

Each stands with its pull-backs beneath it. Notation: g is the cotangent of the answer; a
pull-back maps it to the cotangent of one argument, and is written in primitives, so that
it differentiates again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import Array, as_array, exact, is_symbolic, namespace
from .tape import primitive, raw

Axis = int | Sequence[int] | None
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
SHORT = 64  # numbers in a row up to which its sum is a call's overhead
MANY = 1 << 18  # numbers up to which a plain running sum rounds no worse than by its length


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a traced value, an array or a number."""
    x = raw(x)
    return tuple(x.shape if hasattr(x, "shape") else np.shape(x))


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """The sum of g over the axes along which an array of `shape` was repeated."""
    if shape_of(g) == shape:
        return g
    extra = len(shape_of(g)) - len(shape)
    if extra:
        g = sum(g, axis=tuple(range(extra)))
    ones = tuple(i for i, (n, m) in enumerate(zip(shape_of(g), shape, strict=True)) if n != m)
    return sum(g, axis=ones, keepdims=True) if ones else g


def axes_of(axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes as numbers from 0; all of them for None."""
    if axis is None:
        return tuple(range(len(shape)))
    found = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    return tuple(int(a) % len(shape) for a in found)


def expand(g: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """g with the reduced axes put back with length 1."""
    if keepdims:
        return g
    gone = axes_of(axis, shape)
    return reshape(g, tuple(1 if i in gone else n for i, n in enumerate(shape)))


# --- repeating and adding up ---


@primitive
def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over `axis` (one, several or all)."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    if not keepdims and _of_rows(x, axis):
        rows = x.reshape(-1, x.shape[-1])
        return np.asarray(np.ones(len(rows), x.dtype) @ rows)
    return as_array(namespace(x).sum(x, axis=axis, keepdims=keepdims))


def _of_rows(x: Array, axis: Axis) -> bool:
    """Whether NumPy adds up short rows, a call each, where a product does it in one."""
    return (
        isinstance(x, np.ndarray) and x.dtype in FLOATS and x.flags.c_contiguous
        and x.ndim > 1 and axis == tuple(range(x.ndim - 1))
        and x.shape[-1] <= SHORT and SHORT * x.shape[-1] < x.size <= MANY
    )  # fmt: skip


sum.defvjp(
    lambda ans, x, axis=None, keepdims=False: (
        lambda g, s=shape_of(x): broadcast_to(expand(g, s, axis, keepdims), s)
    )
)


@primitive
def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """x repeated along axes of length 1 and new leading axes."""
    return namespace(x).broadcast_to(x, shape)


broadcast_to.defvjp(lambda ans, x, shape: lambda g, s=shape_of(x): unbroadcast(g, s))


# --- moving ---


@primitive
def reshape(x: Array, shape: Any) -> Array:
    """The same entries in row-major order in another shape."""
    return x.reshape(shape)


reshape.defvjp(lambda ans, x, shape: lambda g, s=shape_of(x): reshape(g, s))


@primitive
def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    """The axes in another order; reversed by default."""
    return namespace(x).transpose(x, axes)


def _transpose_pull(ans: Any, x: Any, axes: Sequence[int] | None = None) -> Any:
    back = None if axes is None else tuple(int(i) for i in np.argsort(axes))
    return lambda g: transpose(g, back)


transpose.defvjp(_transpose_pull)


@primitive
def pad(x: Array, widths: Sequence[tuple[int, int]]) -> Array:
    """Zeros around x; a negative width cuts off."""
    ns = namespace(x)
    wide = [(b if b > 0 else 0, a if a > 0 else 0) for b, a in widths]
    if any(w != (0, 0) for w in wide):
        x = _within_zeros(x, wide) if ns is np else ns.pad(x, wide)
    cut = tuple(slice(-b if b < 0 else 0, a if a < 0 else None) for b, a in widths)
    return x[cut]


def _within_zeros(x: Array, wide: Sequence[tuple[int, int]]) -> Array:
    """`numpy.pad`, whose own time is that of a small convolution."""
    found = np.zeros([n + b + a for n, (b, a) in zip(x.shape, wide, strict=True)], x.dtype)
    found[tuple(slice(b, b + n) for n, (b, _) in zip(x.shape, wide, strict=True))] = x
    return found


pad.defvjp(lambda ans, x, widths: lambda g: pad(g, [(-b, -a) for b, a in widths]))


@primitive
def concatenate(*xs: Array, axis: int = 0) -> Array:
    """The arrays one behind the other along an axis."""
    return namespace(*xs).concatenate(exact(*xs), axis=axis)


def _concatenate_joint(mine: tuple[int, ...], ans: Any, *xs: Any, axis: int = 0) -> Any:
    sizes = [shape_of(x)[axis] for x in xs]
    starts = [int(n) for n in np.cumsum([0, *sizes])]
    axis = axis % len(shape_of(xs[0]))

    def part(i: int, g: Any) -> Any:
        return getitem(g, (*[slice(None)] * axis, slice(starts[i], starts[i + 1])))

    return lambda g: [part(i, g) for i in mine]


concatenate.defvjp_joint(_concatenate_joint)


def squeeze(x: Any, axis: int) -> Any:
    """x without the axis of length 1."""
    shape = list(shape_of(x))
    del shape[axis]
    return reshape(x, tuple(shape))


# --- slices and gathers ---


@primitive
def getitem(x: Array, key: Any) -> Array:
    """x[key]: numbers, slices, index arrays or a mask."""
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
