"""Convolution, its two adjoints, and transposed convolution, for 1 to 3 spatial axes.

Channels last: x (N, *spatial, C), w (*kernel, C/groups, filters), y (N, *out, filters).
Per group, with stride s, dilation d and padding p before,

    y[n, o, f] = sum over kernel positions k and channels c of x[n, s·o + d·k - p, c] w[k, c, f]

(correlation, as every framework calls convolution). The map is linear in x and in w, so the
three primitives `conv`, `conv_input` (its adjoint in x) and `conv_kernel` (in w) are each
other's pull-backs, and any order of derivative needs no more.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .arrays import Array, exact, is_symbolic, kind
from .errors import AutogradError, where_from
from .primitives import pad as add_zeros
from .primitives import reshape, shape_of, transpose
from .tape import primitive

Pairs = tuple[tuple[int, int], ...]


class Geometry(NamedTuple):
    """Where the windows lie; one entry a spatial axis."""

    stride: tuple[int, ...]
    pads: Pairs
    dilation: tuple[int, ...]
    groups: int

    def sizes(self, spatial: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """Places each axis has: (n + p + q - d(k-1) - 1)//s + 1."""
        return tuple(
            (n + b + a - d * (k - 1) - 1) // s + 1
            for n, k, s, (b, a), d in zip(
                spatial, kernel, self.stride, self.pads, self.dilation, strict=True
            )
        )


def geometry(rank: int, stride: Any, pad: Any, dilation: Any, groups: int) -> Geometry:
    """Fields as given (a number, one an axis, or pairs of pads) as one entry an axis."""
    return Geometry(_each(stride, rank), _pairs(pad, rank), _each(dilation, rank), int(groups))


def _each(value: Any, rank: int) -> tuple[int, ...]:
    if isinstance(value, int | np.integer):
        return (int(value),) * rank
    found = tuple(int(v) for v in value)
    if len(found) != rank:
        message = f"{len(found)} values for {rank} spatial axes: {value}"
        raise AutogradError(message + where_from())
    return found


def _pairs(pad: Any, rank: int) -> Pairs:
    if isinstance(pad, int | np.integer):
        return ((int(pad), int(pad)),) * rank
    if len(pad) != rank:
        raise AutogradError(f"{len(pad)} pads for {rank} spatial axes: {pad}" + where_from())
    return tuple(
        (int(p), int(p)) if isinstance(p, int | np.integer) else (int(p[0]), int(p[1])) for p in pad
    )


def conv(x: Any, w: Any, stride: Any = 1, pad: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """Convolution of x (N, *spatial, C) with w (*kernel, C/groups, filters).

    `pad` is one number, one an axis, or pairs. Raises `AutogradError` where shapes disagree.

    >>> conv(np.ones((1, 5, 5, 2)), np.ones((3, 3, 2, 4))).shape
    (1, 3, 3, 4)
    """
    rank = len(shape_of(x)) - 2
    geo = geometry(rank, stride, pad, dilation, groups)
    _agree(shape_of(x), shape_of(w), geo)
    return conv_forward(x, w, geo=geo)


def _agree(x: tuple[int, ...], w: tuple[int, ...], geo: Geometry) -> None:
    rank = len(x) - 2
    why = ""
    if rank < 1 or len(w) != rank + 2:
        why = "x needs (N, *spatial, C) and w (*kernel, C/groups, filters)"
    elif x[-1] != w[-2] * geo.groups:
        why = f"x has {x[-1]} channels, w reads {w[-2]} in each of {geo.groups} groups"
    elif w[-1] % geo.groups:
        why = f"{geo.groups} groups do not divide {w[-1]} filters"
    elif any(n < 1 for n in geo.sizes(x[1:-1], w[:-2])):
        why = "the kernel is larger than the padded input"
    if why:
        raise AutogradError(f"conv: shapes {x} and {w} do not work together: {why}" + where_from())


@primitive
def conv_forward(x: Array, w: Array, *, geo: Geometry) -> Array:
    """The convolution itself: lax on JAX, `fastconv` on NumPy, `plainconv` on symbols."""
    x, w = exact(x, w)
    return _engine(x, w).forward(x, w, geo)


@primitive
def conv_input(g: Array, w: Array, *, geo: Geometry, spatial: tuple[int, ...]) -> Array:
    """The adjoint in x: the x (N, *spatial, C) with <x, x'> = <g, conv(x', w)> for all x'."""
    g, w = exact(g, w)
    return _engine(g, w).input_adjoint(g, w, geo, spatial)


@primitive
def conv_kernel(x: Array, g: Array, *, geo: Geometry, kernel: tuple[int, ...]) -> Array:
    """The adjoint in w: the w (*kernel, C/groups, filters) with <w, w'> = <g, conv(x, w')>."""
    x, g = exact(x, g)
    return _engine(x, g).kernel_adjoint(x, g, geo, kernel)


def _engine(x: Array, w: Array) -> Any:
    found = kind(x, w)
    if found == "jax":
        from . import laxconv

        return laxconv
    if found == "symbolic" or 0 in (*x.shape, *w.shape):
        from . import plainconv

        return plainconv
    from . import fastconv

    return fastconv


conv_forward.name = "conv"
conv_input.name = "conv's gradient by x"
conv_kernel.name = "conv's gradient by w"
conv_forward.defvjp(
    lambda ans, x, w, geo: lambda g, s=shape_of(x)[1:-1]: conv_input(g, w, geo=geo, spatial=s),
    lambda ans, x, w, geo: lambda g, k=shape_of(w)[:-2]: conv_kernel(x, g, geo=geo, kernel=k),
)
conv_input.defvjp(
    lambda ans, g, w, geo, spatial: lambda c: conv_forward(c, w, geo=geo),
    lambda ans, g, w, geo, spatial: (
        lambda c, k=shape_of(w)[:-2]: conv_kernel(c, g, geo=geo, kernel=k)
    ),
)
conv_kernel.defvjp(
    lambda ans, x, g, geo, kernel: (
        lambda c, s=shape_of(x)[1:-1]: conv_input(g, c, geo=geo, spatial=s)
    ),
    lambda ans, x, g, geo, kernel: lambda c: conv_forward(x, c, geo=geo),
)


def conv_transpose(
    x: Any,
    w: Any,
    stride: Any = 1,
    pad: Any = 0,
    output_pad: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Transposed convolution: w (*kernel, C/groups, filters), size (n-1)s - p - q + K + output_pad.

    The adjoint in its input of the convolution from `filters` channels to C.

    >>> conv_transpose(np.ones((1, 4, 4, 2)), np.ones((2, 2, 2, 3)), stride=2).shape
    (1, 8, 8, 3)
    """
    xs, ws = shape_of(x), shape_of(w)
    rank = len(xs) - 2
    geo = geometry(rank, stride, pad, dilation, groups)
    extra = _each(output_pad, rank)
    if len(ws) != rank + 2 or xs[-1] != ws[-2] * groups or ws[-1] % groups:
        why = f"conv_transpose: shapes {xs} and {ws} do not work together in {groups} groups"
        raise AutogradError(why + where_from())
    # appended positions take back what the trailing pad cuts, then are zeros
    pads = tuple((b, max(a - e, 0)) for (b, a), e in zip(geo.pads, extra, strict=True))
    zeros = [(0, max(e - a, 0)) for (_, a), e in zip(geo.pads, extra, strict=True)]
    spatial = tuple(
        (n - 1) * s - b - a + d * (k - 1) + 1
        for n, k, s, (b, a), d in zip(
            xs[1:-1], ws[:-2], geo.stride, pads, geo.dilation, strict=True
        )
    )
    y = conv_input(x, exchange(w, groups), geo=geo._replace(pads=pads), spatial=spatial)
    return add_zeros(y, [(0, 0), *zeros, (0, 0)]) if any(max(z) for z in zeros) else y


def exchange(w: Any, groups: int) -> Any:
    """(*kernel, A/groups, B) -> (*kernel, B/groups, A): input and output channels swapped."""
    shape = shape_of(w)
    kernel, a, b = shape[:-2], shape[-2], shape[-1] // groups
    split = reshape(w, (*kernel, a, groups, b))
    rank = len(kernel)
    turned = transpose(split, (*range(rank), rank + 2, rank + 1, rank))
    return reshape(turned, (*kernel, b, groups * a))


__all__ = ["Geometry", "conv", "conv_transpose", "exchange", "geometry", "is_symbolic"]
