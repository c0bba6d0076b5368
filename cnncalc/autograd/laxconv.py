"""Convolution and its adjoints on JAX arrays, by `lax.conv_general_dilated`.

Kernels of one position are matrix products: as such XLA runs them faster on CPUs, the
adjoint in the kernel 2 to 5 times, for it copies no operand to change batch and channels.
"""

from typing import Any

from .arrays import Array
from .convolution import Geometry, exchange


def _numbers(rank: int) -> Any:
    axes = "DHW"[3 - rank :]
    return (f"N{axes}C", f"{axes}IO", f"N{axes}C")


def _is_product(kernel: tuple[int, ...], geo: Geometry) -> bool:
    """Does every output read one position, in one group, and no padding?"""
    return set(kernel) == {1} and geo.groups == 1 and all(p == (0, 0) for p in geo.pads)


def _read(x: Array, geo: Geometry) -> Array:
    """The positions that a kernel of one position reads."""
    if set(geo.stride) == {1}:
        return x
    return x[(slice(None), *(slice(None, None, s) for s in geo.stride))]


def forward(x: Array, w: Array, geo: Geometry) -> Array:
    from jax import lax

    if _is_product(w.shape[:-2], geo):
        return lax.dot_general(
            _read(x, geo), w.reshape(w.shape[-2:]), (((x.ndim - 1,), (0,)), ((), ()))
        )
    return lax.conv_general_dilated(
        x, w, geo.stride, geo.pads, rhs_dilation=geo.dilation,
        dimension_numbers=_numbers(x.ndim - 2), feature_group_count=geo.groups,
    )  # fmt: skip


def input_adjoint(g: Array, w: Array, geo: Geometry, spatial: tuple[int, ...]) -> Array:
    """The convolution of g, dilated by the stride, with the flipped and exchanged kernel."""
    from jax import lax

    rank = g.ndim - 2
    if _is_product(w.shape[:-2], geo):
        found = lax.dot_general(g, w.reshape(w.shape[-2:]), (((rank + 1,), (1,)), ((), ())))
        columns = zip(spatial, g.shape[1:-1], geo.stride, strict=True)
        holes = [(0, n - s * (o - 1) - 1, s - 1) for n, o, s in columns]
        zero = found.dtype.type(0)
        return (
            lax.pad(found, zero, [(0, 0, 0), *holes, (0, 0, 0)]) if any(map(any, holes)) else found
        )
    flipped = exchange(w, geo.groups)[(slice(None, None, -1),) * rank]
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
        dimension_numbers=_numbers(rank), feature_group_count=geo.groups,
    )  # fmt: skip


def kernel_adjoint(x: Array, g: Array, geo: Geometry, kernel: tuple[int, ...]) -> Array:
    """The convolution of x with g as its kernel: batch and channels change places."""
    from jax import lax

    rank = g.ndim - 2
    if _is_product(kernel, geo):
        over = tuple(range(rank + 1))
        found = lax.dot_general(_read(x, geo), g, ((over, over), ((), ())))
        return found.reshape((*kernel, *found.shape))
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
