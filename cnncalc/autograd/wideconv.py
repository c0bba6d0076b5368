"""The adjoints of a convolution of few places and many channels, position by position.

A kernel of 3x3x512x512 meets 8 images of 7x7: turning it, or adding up its gradient over
chunks, would take as long as half the product. Here every kernel position is a product (or one a
thread) of good shape, as in `plainconv`.
"""

import itertools
from collections.abc import Iterator
from math import prod

import numpy as np

from . import plainconv
from .arrays import Array
from .convolution import Geometry
from .threads import share, workers

FEW = 1 << 9  # places of all images
WIDE = 1 << 17  # channels times filters


def takes(w: tuple[int, ...], geo: Geometry, out: tuple[int, ...]) -> bool:
    """Whether the kernel is large beside windows and gradient, and images serve all threads."""
    few = workers() <= out[0] and prod(out[:-1]) < FEW
    return few and geo.groups == 1 and w[-2] * w[-1] >= WIDE


def input_adjoint(g: Array, w: Array, geo: Geometry, spatial: tuple[int, ...]) -> Array:
    """The x with <x, x'> = <g, conv(x', w)> for every x': some images a thread."""
    found = np.empty((len(g), *spatial, w.shape[-2]), g.dtype)

    def work(parts: Iterator[slice], _: None) -> None:
        for part in parts:
            found[part] = plainconv.input_adjoint(g[part], w, geo, spatial)

    parts = _parts(len(g))
    share(parts, [None] * len(parts), work)
    return found


def kernel_adjoint(x: Array, g: Array, geo: Geometry, kernel: tuple[int, ...]) -> Array:
    """The w with <w, w'> = <g, conv(x, w')> for every w': some channels of a position a product."""
    out, (c, f) = g.shape[1:-1], (x.shape[-1], g.shape[-1])
    x, rows = plainconv.padded(x, geo), g.reshape(-1, f)
    found = np.empty((*kernel, c, f), g.dtype)

    def work(tasks: Iterator[tuple[tuple[int, ...], slice]], _: None) -> None:
        for k, some in tasks:
            part = x[plainconv.places(geo, k, out)][..., some]
            np.matmul(part.reshape(len(rows), -1).T, rows, out=found[k][some])

    tasks = list(itertools.product(np.ndindex(*kernel), _parts(c)))
    share(tasks, [None] * min(workers(), len(tasks)), work, fixed=False)
    return found


def _parts(length: int) -> list[slice]:
    """Slices of an axis, one a thread."""
    step = -(-length // workers())
    return [slice(i, i + step) for i in range(0, length, step)]
