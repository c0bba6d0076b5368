"""The memory a convolution takes besides its arguments and its answer, known beforehand.

The sums are over the buffers that `fastconv` and `winograd` allocate, by the plans they
allocate by; a test holds them against what NumPy asked for. With T threads, direct maps take T
chunks of windows; the gradient in w two kernels a thread more; Winograd's take T chunks of tiles
and the transformed kernel, of a²/r² the kernel's size. None grows with the batch, once it
fills the chunks.
"""

from math import prod
from typing import NamedTuple

from . import fastconv, wideconv, winograd
from .convolution import Geometry
from .threads import workers

Shape = tuple[int, ...]


class Workspace(NamedTuple):
    """Bytes for y, for the gradient in x and for the gradient in w."""

    forward: int
    input: int
    kernel: int


def workspace(x: Shape, w: Shape, geo: Geometry, itemsize: int = 4) -> Workspace:
    """Bytes at work in each of the three maps, for x (N, *spatial, C), w (*kernel, C/groups, F).

    >>> same = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    >>> small, large = (workspace((n, 56, 56, 64), (3, 3, 64, 64), same) for n in (256, 512))
    >>> small == large
    True
    """
    y = (x[0], *geo.sizes(x[1:-1], w[:-2]), w[-1])
    if fastconv._is_product(x, w, geo):
        return Workspace(0, 0, 0)
    return Workspace(
        itemsize * _correlation(w, geo, y),
        itemsize * _input(x, w, geo, y),
        itemsize * _kernel(x, w, geo, y),
    )


def _correlation(w: Shape, geo: Geometry, out: Shape) -> int:
    if tile := fastconv._winograd(w, geo, out):
        layout = winograd.plan(tile, out, w[-2], workers())
        chunks = min(workers(), len(layout.chunks()))
        return chunks * sum(layout.most().values()) + tile.a**2 * w[-2] * w[-1]
    plan = fastconv.plan(geo, out[0], out[1:-1], w)
    return plan.shares * sum(plan.most().values())


def _input(x: Shape, w: Shape, geo: Geometry, y: Shape) -> int:
    """The largest of its residues' convolutions, and the turned part of the kernel."""
    spatial, rank = x[1:-1], len(x) - 2
    if fastconv._is_plain(w, geo, y) or wideconv.takes(w, geo, y):
        return _padded(x, geo) + 2 * prod(y[:-1]) * w[-2]  # `plainconv`
    most = 0
    for kernel, place, pads in fastconv.residues(w[:-2], geo, spatial, y[1:-1]):
        part = tuple(len(range(*k.indices(n))) for k, n in zip(kernel, w, strict=False))
        target = tuple(len(range(*i.indices(n))) for i, n in zip(place, spatial, strict=True))
        if 0 in part or 0 in target:
            continue
        turned = Geometry((1,) * rank, pads, geo.dilation, geo.groups)
        out = (x[0], *target, x[-1])
        swapped = (*part, w[-1] // geo.groups, x[-1])
        direct = not fastconv._winograd((*part, *w[-2:]), turned, out)
        most = max(most, _correlation(swapped, turned, out) + direct * prod(swapped))
    return most


def _padded(x: Shape, geo: Geometry) -> int:
    sizes = (n + sum(max(p, 0) for p in b) for n, b in zip(x[1:-1], geo.pads, strict=True))
    return x[0] * prod(sizes) * x[-1]


def _kernel(x: Shape, w: Shape, geo: Geometry, y: Shape) -> int:
    """The chunks, and a sum and a product a thread."""
    if wideconv.takes(w, geo, y):
        copied = any(p > 0 for pads in geo.pads for p in pads)
        return copied * _padded(x, geo) + prod(y[:-1]) * w[-2]
    if tile := fastconv._winograd(w, geo, y):
        tiled = winograd.plan(tile, y, w[-2], workers(), summed=True)
        numbers = sum(tiled.most().values()) + 2 * tile.a**2 * w[-2] * w[-1]
        return min(workers(), len(tiled.chunks())) * numbers
    plan = fastconv.plan(geo, y[0], y[1:-1], w)
    return plan.shares * (sum(plan.most().values()) + 2 * prod(w))
