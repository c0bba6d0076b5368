"""Convolution and its adjoints, plainly: one product a kernel position.

Serves NumPy arrays of any dtype, SymPy objects among them, and is what the fast versions
are tested against.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from .arrays import Array
from .convolution import Geometry

SMALL = 1 << 18  # numbers that stay in the cache


def padded(x: Array, geo: Geometry) -> Array:
    """x with its zero padding; negative pads cut off."""
    wide = [(max(b, 0), max(a, 0)) for b, a in geo.pads]
    if any(w != (0, 0) for w in wide):
        x = np.pad(x, [(0, 0), *wide, (0, 0)])
    cut = tuple(
        slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape[1:-1], geo.pads, strict=True)
    )
    return x[(slice(None), *cut)] if any(min(p) < 0 for p in geo.pads) else x


def places(geo: Geometry, position: tuple[int, ...], out: tuple[int, ...]) -> Any:
    """The slice of the padded input that kernel position `position` reads, over all windows."""
    return (
        slice(None),
        *(
            slice(d * k, d * k + s * (o - 1) + 1, s)
            for k, s, d, o in zip(position, geo.stride, geo.dilation, out, strict=True)
        ),
    )


def product(x: Array, w: Array) -> Array:
    """x @ w over the last axis of x, as one product of matrices."""
    return np.dot(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], w.shape[-1])


def _products(x: Array, ws: Array) -> Iterator[Array]:
    """x (m, f) @ w for each w (f, c) of ws: of small floats all in one call."""
    if x.dtype == object or len(ws) * len(x) * ws.shape[-1] > SMALL:
        return (np.dot(x, w) for w in ws)
    return iter(np.matmul(x, ws))


def forward(x: Array, w: Array, geo: Geometry) -> Array:
    kernel = w.shape[:-2]
    out = geo.sizes(x.shape[1:-1], kernel)
    x = padded(x, geo)
    groups, c = geo.groups, w.shape[-2]
    f = w.shape[-1] // groups
    y = np.zeros((x.shape[0], *out, w.shape[-1]), dtype=np.result_type(x, w))
    for k in itertools.product(*map(range, kernel)):
        part = x[places(geo, k, out)]
        for g in range(groups):
            block = w[k][:, g * f : (g + 1) * f]
            y[..., g * f : (g + 1) * f] += product(part[..., g * c : (g + 1) * c], block)
    return y


def input_adjoint(g: Array, w: Array, geo: Geometry, spatial: tuple[int, ...]) -> Array:
    kernel, out = w.shape[:-2], g.shape[1:-1]
    groups, c = geo.groups, w.shape[-2]
    f = w.shape[-1] // groups
    full = tuple(n + max(b, 0) + max(a, 0) for n, (b, a) in zip(spatial, geo.pads, strict=True))
    x = np.zeros((g.shape[0], *full, groups * c), dtype=np.result_type(g, w))
    inside = x[
        (
            slice(None),
            *(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(full, geo.pads, strict=True)),
        )
    ]
    rows = g.reshape(-1, groups * f)
    for i in range(groups):
        some = slice(i * f, (i + 1) * f)
        columns = w[..., some].reshape(-1, c, f).transpose(0, 2, 1)
        for k, part in zip(np.ndindex(*kernel), _products(rows[:, some], columns), strict=True):
            target = inside[places(geo, k, out)]
            target[..., i * c : (i + 1) * c] += part.reshape(*g.shape[:-1], c)
    cut = tuple(
        slice(max(b, 0), max(b, 0) + n) for n, (b, _) in zip(spatial, geo.pads, strict=True)
    )
    return x[(slice(None), *cut)]


def kernel_adjoint(x: Array, g: Array, geo: Geometry, kernel: tuple[int, ...]) -> Array:
    out = g.shape[1:-1]
    x = padded(x, geo)
    groups = geo.groups
    c, f = x.shape[-1] // groups, g.shape[-1] // groups
    w = np.zeros((*kernel, c, groups * f), dtype=np.result_type(x, g))
    axes = tuple(range(g.ndim - 1))
    for k in itertools.product(*map(range, kernel)):
        part = x[places(geo, k, out)]
        for i in range(groups):
            left, right = part[..., i * c : (i + 1) * c], g[..., i * f : (i + 1) * f]
            w[k][:, i * f : (i + 1) * f] = np.tensordot(left, right, (axes, axes))
    return w
