"""Max pooling on NumPy floats: the choice of each window, and where its gradient lands.

The same as the plain loops of `pooling`, which this is tested against, an image at a time so
that what it reads again is in the cache, shared by threads, and with arithmetic on masks in
place of choices: a product of a number's bits with 0 or 1 is many times faster than `where`.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from .arrays import Array
from .convolution import Geometry
from .plainconv import places
from .streams import LARGE, whole_numbers
from .threads import share, workers

Sizes = tuple[int, ...]


def positions(kernel: Sizes) -> list[Sizes]:
    return list(itertools.product(*map(range, kernel)))


def argmax(full: Array, kernel: Sizes, geo: Geometry, out: Sizes) -> tuple[Array, Array]:
    """Of each window of the padded input: the position of the first maximum, and its value."""
    ks = positions(kernel)
    shape = (len(full), *out, full.shape[-1])
    index = np.zeros(shape, np.uint8 if len(ks) < 256 else np.int16)
    best = np.empty(shape, full.dtype)

    def work(images: Iterator[int], _: None) -> None:
        for n in images:
            _argmax(full[n : n + 1], ks, geo, out, index[n : n + 1], best[n : n + 1])

    share(range(len(full)), _threads(full), work, fixed=False)
    return index, best


def _argmax(
    x: Array, ks: list[Sizes], geo: Geometry, out: Sizes, index: Array, best: Array
) -> None:
    """The last position whose entry passed all before it: positions grow, so the largest."""
    best[...] = x[places(geo, ks[0], out)]
    better, place = np.empty(best.shape, bool), np.empty_like(index)
    for number, k in enumerate(ks[1:], 1):
        part = x[places(geo, k, out)]
        np.greater(part, best, out=better)
        np.maximum(part, best, out=best)
        np.multiply(better.view(np.uint8), index.dtype.type(number), out=place)
        np.maximum(index, place, out=index)
    if np.isnan(best).any():  # a NaN that stands first stays, one that comes later is passed over
        _argmax_of_nans(x, ks, geo, out, index, best)


def _argmax_of_nans(
    x: Array, ks: list[Sizes], geo: Geometry, out: Sizes, index: Array, best: Array
) -> None:
    best[...] = x[places(geo, ks[0], out)]
    index[...] = 0
    for number, k in enumerate(ks[1:], 1):
        part = x[places(geo, k, out)]
        better = part > best
        best[...] = np.where(better, part, best)
        index[...] = np.where(better, index.dtype.type(number), index)


def drop(g: Array, index: Array, kernel: Sizes, geo: Geometry, full: Sizes) -> Array:
    """Every window's cotangent at its chosen position, in the padded input's sizes."""
    total = np.zeros((len(g), *full, g.shape[-1]), g.dtype)
    out, ks = g.shape[1:-1], positions(kernel)
    apart = geo.dilation == (1,) * len(out) and all(
        k <= s for k, s in zip(kernel, geo.stride, strict=True)
    )

    def work(images: Iterator[int], _: None) -> None:
        for n in images:
            one = slice(n, n + 1)
            chosen, part = np.empty(index[one].shape, bool), np.empty_like(g[one])
            for number, k in enumerate(ks):
                target = total[one][places(geo, k, out)]
                np.equal(index[one], number, out=chosen)
                if apart:  # no entry is in two windows
                    np.multiply(whole_numbers(g[one]), chosen, out=whole_numbers(target))
                else:
                    np.multiply(whole_numbers(g[one]), chosen, out=whole_numbers(part))
                    np.add(target, part, out=target)

    share(range(len(g)), _threads(total), work, fixed=False)
    return total


def _threads(x: Array) -> list[Any]:
    return [None] * (min(workers(), len(x)) if x.size >= LARGE else 1)
