"""Convolution and its adjoints on JAX arrays, by `lax.conv_general_dilated`.

Kernels of one position, or of the whole input's size, are matrix products: as such XLA
runs them faster on CPUs, the adjoint in the kernel 2 to 5 times, for it then copies no
operand to let batch and channels change places.
"""

from math import prod
from typing import Any

from .arrays import Array
from .convolution import Geometry, exchange


def _numbers(rank: int, kernel: str = "IO") -> Any:
    axes = "DHW"[3 - rank :]
    return (f"N{axes}C", f"{axes}{kernel}", f"N{axes}C")


def _is_product(spatial: tuple[int, ...], kernel: tuple[int, ...], geo: Geometry) -> bool:
    """One group, no padding, and one kernel position or one window: the whole input."""
    if geo.groups > 1 or any(p != (0, 0) for p in geo.pads):
        return False
    return set(kernel) == {1} or (kernel == spatial and set(geo.dilation) == {1})


def _flat(x: Array, kernel: tuple[int, ...]) -> Array:
    """x with the window of a kernel as large as it is made one position."""
    if set(kernel) == {1}:
        return x
    return x.reshape((x.shape[0], *(1,) * len(kernel), prod(x.shape[1:])))


def _read(x: Array, geo: Geometry) -> Array:
    """The positions that a kernel of one position reads."""
    if set(geo.stride) == {1}:
        return x
    return x[(slice(None), *(slice(None, None, s) for s in geo.stride))]


def forward(x: Array, w: Array, geo: Geometry) -> Array:
    from jax import lax

    kernel = w.shape[:-2]
    if _is_product(x.shape[1:-1], kernel, geo):
        read, matrix = _read(_flat(x, kernel), geo), w.reshape((-1, w.shape[-1]))
        return lax.dot_general(read, matrix, (((x.ndim - 1,), (0,)), ((), ())))
    return lax.conv_general_dilated(
        x, w, geo.stride, geo.pads, rhs_dilation=geo.dilation,
        dimension_numbers=_numbers(x.ndim - 2), feature_group_count=geo.groups,
    )  # fmt: skip


def input_adjoint(g: Array, w: Array, geo: Geometry, spatial: tuple[int, ...]) -> Array:
    """The convolution of g, dilated by the stride, with the flipped and exchanged kernel."""
    from jax import lax

    rank = g.ndim - 2
    if _is_product(spatial, w.shape[:-2], geo):
        return _product_input(g, w, geo, spatial)
    turned, letters = (w, "OI") if geo.groups == 1 else (exchange(w, geo.groups), "IO")
    flipped = lax.rev(turned, tuple(range(rank)))
    pads = []
    rest = zip(
        spatial, g.shape[1:-1], w.shape[:-2], geo.stride, geo.pads, geo.dilation, strict=True
    )
    for n, o, k, s, (b, _), d in rest:
        reach = d * (k - 1)
        # n = (o-1)s + 1 + before + after - reach, with before = reach - b
        pads.append((reach - b, n - (o - 1) * s - 1 + b))
    return lax.conv_general_dilated(
        g, flipped, (1,) * rank, pads, lhs_dilation=geo.stride, rhs_dilation=geo.dilation,
        dimension_numbers=_numbers(rank, letters), feature_group_count=geo.groups,
    )  # fmt: skip


def _product_input(g: Array, w: Array, geo: Geometry, spatial: tuple[int, ...]) -> Array:
    from jax import lax

    kernel, matrix = w.shape[:-2], w.reshape((-1, w.shape[-1]))
    found = lax.dot_general(g, matrix, (((g.ndim - 1,), (1,)), ((), ())))
    if set(kernel) != {1}:
        return found.reshape((g.shape[0], *spatial, w.shape[-2]))
    columns = zip(spatial, g.shape[1:-1], geo.stride, strict=True)
    holes = [(0, n - s * (o - 1) - 1, s - 1) for n, o, s in columns]
    if not any(map(any, holes)):
        return found
    return lax.pad(found, found.dtype.type(0), [(0, 0, 0), *holes, (0, 0, 0)])


def kernel_adjoint(x: Array, g: Array, geo: Geometry, kernel: tuple[int, ...]) -> Array:
    """The convolution of x with g as its kernel: batch and channels change places."""
    from jax import lax

    rank = g.ndim - 2
    barrier: Any = lax.optimization_barrier  # without it what makes them is computed again, slowly
    x, g = barrier((x, g))
    if _is_product(x.shape[1:-1], kernel, geo):
        over = tuple(range(rank + 1))
        pair = (_read(_flat(x, kernel), geo), g)
        narrow = g.shape[-1] < pair[0].shape[-1]  # XLA turns the first: let it be the smaller
        found = lax.dot_general(*(pair[::-1] if narrow else pair), ((over, over), ((), ())))
        return (found.T if narrow else found).reshape((*kernel, x.shape[-1], g.shape[-1]))
    axes = "DHW"[3 - rank :]
    pads = []
    rest = zip(
        x.shape[1:-1], g.shape[1:-1], kernel, geo.stride, geo.pads, geo.dilation, strict=True
    )
    for n, o, k, s, (b, _), d in rest:
        # d(k-1) + 1 = n + b + after - s(o-1): the trailing pad that makes it so, cut if negative
        pads.append((b, d * (k - 1) + 1 + s * (o - 1) - n - b))
    return lax.conv_general_dilated(
        x, g, geo.dilation, pads, rhs_dilation=geo.stride,
        dimension_numbers=(f"C{axes}N", f"I{axes}O", f"{axes}NC"),
        batch_group_count=geo.groups,
    )  # fmt: skip
