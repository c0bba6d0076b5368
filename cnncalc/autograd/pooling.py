"""Max and average pooling over windows, for 1 to 3 spatial axes, channels last.

Both loop over the kernel's positions and work on strided slices of the whole volume, the
same on every kind of array. At a tie the gradient of a maximum goes to the first position
in row-major order, as in lax and PyTorch.
"""

import itertools
import operator
from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from . import fastpool
from .arrays import Array, is_jax, is_symbolic, namespace
from .convolution import Geometry, geometry
from .plainconv import places
from .primitives import divide, first_conditions, getitem, multiply, shape_of, sum, where
from .tape import primitive, raw

Sizes = tuple[int, ...]


def max_pool(
    x: Any,
    kernel: Any,
    stride: Any = None,
    pad: Any = 0,
    dilation: Any = 1,
) -> Any:
    """The largest value under every window; padding never wins.

    Pads may reach past the last window (ceil-mode pools: give pairs with a larger end).

    >>> max_pool(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    rank = len(shape_of(x)) - 2
    sizes = geometry(rank, kernel, 0, 1, 1).stride
    geo = geometry(rank, kernel if stride is None else stride, pad, dilation, 1)
    index, best = _argmax(raw(x), sizes, geo)
    found = _pick(x, index=index, kernel=sizes, geo=geo, known=best)
    columns = zip(sizes, geo.pads, geo.dilation, strict=True)
    if all(max(p) < k and (d == 1 or p == (0, 0)) for k, p, d in columns):
        return found
    within = geometry(rank, 1, 0, 1, 1).pads  # of padding alone the maximum is -infinity
    return where(_counts(shape_of(x)[1:-1], sizes, geo, within) > 0, found, -np.inf)


def _fill(x: Array, geo: Geometry, value: Any) -> Array:
    """x inside its padding, which holds `value`."""
    if all(p == (0, 0) for p in geo.pads):
        return x
    ns = namespace(x)
    return ns.pad(x, [(0, 0), *geo.pads, (0, 0)], constant_values=value)


def _positions(kernel: Sizes) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, kernel)))


def _argmax(x: Array, kernel: Sizes, geo: Geometry) -> tuple[Any, Array | None]:
    """Of each window the number of the position that holds its (first) maximum, and that."""
    out = geo.sizes(x.shape[1:-1], kernel)
    if is_symbolic(x):
        return _symbolic_masks(x, kernel, geo, out), None
    ns = namespace(x)
    full = _fill(x, geo, -np.inf)
    if _is_fast(full):
        return fastpool.argmax(full, kernel, geo, out)
    best = full[places(geo, (0,) * len(kernel), out)]
    index = ns.zeros(best.shape, dtype=np.int32 if ns is not np else np.int16)
    for number, k in enumerate(_positions(kernel)[1:], 1):
        part = full[places(geo, k, out)]
        better = part > best
        best = ns.where(better, part, best)
        index = ns.where(better, index.dtype.type(number), index)
    return index, best


def _is_fast(x: Array) -> bool:
    return isinstance(x, np.ndarray) and x.dtype in (np.float32, np.float64)


def _symbolic_masks(x: Array, kernel: Sizes, geo: Geometry, out: Sizes) -> list[Array]:
    """For symbols: the condition under which each position is the first maximum."""
    ns = namespace(x)
    full = _fill(x, geo, -ns.sympy.oo)
    parts = [full[places(geo, k, out)] for k in _positions(kernel)]
    return first_conditions(parts)


def _is(index: Any, number: int) -> Any:
    return index[number] if isinstance(index, list) else index == number


@primitive
def _pick(
    x: Array, *, index: Any, kernel: Sizes, geo: Geometry, known: Array | None = None
) -> Array:
    """The entry of each window at its chosen position: linear in x. `known` is the answer."""
    if known is not None:
        return known
    out = geo.sizes(x.shape[1:-1], kernel)
    ns = namespace(x)
    full = _fill(x, geo, 0)
    found = ns.zeros((x.shape[0], *out, x.shape[-1]), dtype=x.dtype)
    for number, k in enumerate(_positions(kernel)):
        found = ns.where(_is(index, number), full[places(geo, k, out)], found)
    return found


@primitive
def _drop(g: Array, *, index: Any, kernel: Sizes, geo: Geometry, spatial: Sizes) -> Array:
    """The adjoint of `_pick`: every window's cotangent lands at its chosen position."""
    ns = namespace(g)
    if _is_fast(g):
        full = tuple(n + b + a for n, (b, a) in zip(spatial, geo.pads, strict=True))
        inside = tuple(slice(b, b + n) for n, (b, _) in zip(spatial, geo.pads, strict=True))
        return fastpool.drop(g, index, kernel, geo, full)[(slice(None), *inside)]
    parts = [ns.where(_is(index, n), g, 0) for n, _ in enumerate(_positions(kernel))]
    return _spread(parts, kernel, geo, spatial)


_pick.name, _drop.name = "max_pool", "max_pool's gradient"
_pick.defvjp(
    lambda ans, x, index, kernel, geo, known=None: (
        lambda g, s=shape_of(x)[1:-1]: _drop(g, index=index, kernel=kernel, geo=geo, spatial=s)
    )
)
_drop.defvjp(
    lambda ans, g, index, kernel, geo, spatial: (
        lambda c: _pick(c, index=index, kernel=kernel, geo=geo)
    )
)


def _spread(parts: Sequence[Array], kernel: Sizes, geo: Geometry, spatial: Sizes) -> Array:
    """The sum of one array of window entries a kernel position, put back where they lay."""
    first = parts[0]
    out = first.shape[1:-1]
    full = tuple(n + b + a for n, (b, a) in zip(spatial, geo.pads, strict=True))
    inside = tuple(slice(b, b + n) for n, (b, _) in zip(spatial, geo.pads, strict=True))
    if is_jax(first):
        return _spread_jax(parts, kernel, geo, full)[(slice(None), *inside)]
    total = namespace(first).zeros((first.shape[0], *full, first.shape[-1]), dtype=first.dtype)
    for k, part in zip(_positions(kernel), parts, strict=True):
        total[places(geo, k, out)] += part
    return total[(slice(None), *inside)]


def _spread_jax(parts: Sequence[Array], kernel: Sizes, geo: Geometry, full: Sizes) -> Array:
    """By interior padding: JAX arrays take no assignment, and sums of pads fuse."""
    import jax.numpy as jnp
    from jax import lax

    total: Any = 0
    zero = jnp.zeros((), parts[0].dtype)
    for k, part in zip(_positions(kernel), parts, strict=True):
        widths = [(0, 0, 0)]
        axes = zip(k, part.shape[1:-1], geo.stride, geo.dilation, full, strict=True)
        for i, o, s, d, n in axes:
            widths.append((d * i, n - d * i - s * (o - 1) - 1, s - 1))
        total = total + lax.pad(part, zero, [*widths, (0, 0, 0)])
    return total


@primitive
def _window_sum(x: Array, *, kernel: Sizes, geo: Geometry) -> Array:
    """The sum of each window, padding counted as zero."""
    out = geo.sizes(x.shape[1:-1], kernel)
    total = _fill(x, geo, 0)
    for axis, k in enumerate(kernel):  # along one axis after the other
        parts = [total[_along(axis, i, geo, out)] for i in range(k)]
        total = reduce(operator.add, parts[1:], parts[0] + 0 if k == 1 else parts[0])
    return total


def _along(axis: int, k: int, geo: Geometry, out: Sizes) -> tuple[slice, ...]:
    """What position k of each window's `axis` reads, of an array (N, *spatial, C)."""
    s, start = geo.stride[axis], geo.dilation[axis] * k
    return (*[slice(None)] * (axis + 1), slice(start, start + s * (out[axis] - 1) + 1, s))


@primitive
def _window_spread(g: Array, *, kernel: Sizes, geo: Geometry, spatial: Sizes) -> Array:
    """The adjoint of `_window_sum`."""
    if is_jax(g):
        return _spread([g] * len(_positions(kernel)), kernel, geo, spatial)
    out, total = g.shape[1:-1], g
    for axis in reversed(range(len(kernel))):
        total = _spread_along(total, axis, kernel[axis], geo, out, spatial[axis])
    return total


def _spread_along(g: Array, axis: int, k: int, geo: Geometry, out: Sizes, n: int) -> Array:
    """Of one axis, of n places: g added at each of the k positions of its windows."""
    before, after = geo.pads[axis]
    if geo.pads[axis] == (0, 0) and k == geo.stride[axis] == n / out[axis]:
        return np.repeat(g, k, axis=axis + 1)
    shape = (*g.shape[: axis + 1], before + n + after, *g.shape[axis + 2 :])
    total = namespace(g).zeros(shape, dtype=g.dtype)
    for i in range(k):
        total[_along(axis, i, geo, out)] += g
    return total[(*[slice(None)] * (axis + 1), slice(before, before + n))]


_window_sum.name, _window_spread.name = "avg_pool", "avg_pool's gradient"
_window_sum.defvjp(
    lambda ans, x, kernel, geo: (
        lambda g, s=shape_of(x)[1:-1]: _window_spread(g, kernel=kernel, geo=geo, spatial=s)
    )
)
_window_spread.defvjp(
    lambda ans, g, kernel, geo, spatial: lambda c: _window_sum(c, kernel=kernel, geo=geo)
)


def avg_pool(
    x: Any,
    kernel: Any,
    stride: Any = None,
    pad: Any = 0,
    dilation: Any = 1,
    count_include_pad: bool = True,
    counted: Any = None,
) -> Any:
    """The mean of every window; `counted` pads (pairs) are those that count as entries.

    Without padding in the count, or where pads reach past what counts (ceil mode), every
    window is divided by the number of counted positions it covers.
    """
    rank = len(shape_of(x)) - 2
    sizes = geometry(rank, kernel, 0, 1, 1).stride
    geo = geometry(rank, kernel if stride is None else stride, pad, dilation, 1)
    within = geometry(rank, 1, (pad if counted is None else counted) if count_include_pad else 0,
                      1, 1).pads  # fmt: skip
    total = _window_sum(x, kernel=sizes, geo=geo)
    counts = np.maximum(_counts(shape_of(x)[1:-1], sizes, geo, within), 1)
    if np.all(counts == np.prod(sizes)):
        return divide(total, int(np.prod(sizes)))
    if is_symbolic(raw(x)):
        return divide(total, counts.astype(object))
    return multiply(total, (1 / counts).astype(str(raw(x).dtype)))


@lru_cache(maxsize=64)
def _counts(spatial: Sizes, kernel: Sizes, geo: Geometry, within: Any) -> Array:
    """How many counted positions each window covers: (1, *out, 1)."""
    ones = np.zeros([n + b + a for n, (b, a) in zip(spatial, geo.pads, strict=True)])
    inside = tuple(
        slice(b - min(b, c), b + n + min(a, e))
        for n, (b, a), (c, e) in zip(spatial, geo.pads, within, strict=True)
    )
    ones[inside] = 1
    out = geo.sizes(spatial, kernel)
    shaped = ones[None, ..., None]
    found = np.zeros((1, *out, 1))
    for k in _positions(kernel):
        found += shaped[places(geo, k, out)]
    counts = found.astype(int)
    counts.setflags(write=False)  # the answer is kept
    return counts


__all__ = ["avg_pool", "getitem", "max_pool", "sum"]
