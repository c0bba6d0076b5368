"""Batch normalisation on NumPy floats, a cache's worth of rows at a time.

The same as the composed rules of `normalise`, which this is tested against. Each map reads its
arrays once or twice in all, in chunks that threads share; the sums of the chunks are kept apart
and added in order, so that runs repeat to the last bit.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .arrays import Array
from .threads import share, workers

CHUNK = 1 << 16  # numbers in a chunk
LARGE = 1 << 18  # numbers from which a second thread pays


def takes(*xs: Any) -> bool:
    """Whether these are arrays of NumPy floats of one type."""
    return all(isinstance(x, np.ndarray) for x in xs) and (
        {x.dtype for x in xs} in ({np.dtype(np.float32)}, {np.dtype(np.float64)})
    )


def statistics(x: Array) -> tuple[Array, Array]:
    """The mean and the biased variance of each channel of x (N, ..., C)."""
    rows = _rows(x)
    (total,) = _sums(rows, 1, lambda part, at: (_total(part),))
    mean = total / rows.dtype.type(len(rows))

    def squares(part: Array, _: slice) -> tuple[Array]:
        off = part - mean
        return (np.einsum("ic,ic->c", off, off),)

    (var,) = _sums(rows, 1, squares)
    return mean, var / rows.dtype.type(len(rows))


def affine(x: Array, mean: Array, factor: Array, shift: Array) -> Array:
    """(x - mean)·factor + shift."""
    found = np.empty(x.shape, np.result_type(x, mean, factor, shift))
    rows, out = _rows(x), _rows(found)

    def one(at: slice, _: int) -> None:
        part = out[at]
        np.subtract(rows[at], mean, out=part)
        part *= factor
        part += shift

    _each(rows, one)
    return found


def sums(g: Array, x: Array, mean: Array) -> tuple[Array, Array]:
    """sum g and sum g·(x - mean) of each channel."""
    rows, gs = _rows(x), _rows(g)

    def one(part: Array, at: slice) -> tuple[Array, Array]:
        return _total(gs[at]), np.einsum("ic,ic->c", gs[at], part - mean)

    first, second = _sums(rows, 2, one)
    return first, second


def adjoint(g: Array, x: Array, mean: Array, slope: Array, level: Array, factor: Array) -> Array:
    """factor·(g - level - slope·(x - mean))."""
    found = np.empty(x.shape, x.dtype)
    rows, gs, out = _rows(x), _rows(g), _rows(found)

    def one(at: slice, _: int) -> None:
        part = out[at]
        np.subtract(mean, rows[at], out=part)
        part *= slope
        part += gs[at]
        part -= level
        part *= factor

    _each(rows, one)
    return found


# --- chunks of rows ---------------------------------------------------------------------------


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _total(part: Array) -> Array:
    return np.asarray(np.matmul(np.ones(len(part), part.dtype), part))


def _each(rows: Array, work: Callable[[slice, int], None]) -> None:
    """work(the chunk's place, its number) for chunks of the rows."""
    step = max(1, CHUNK // max(1, rows.shape[1]))
    chunks = [(slice(i, i + step), n) for n, i in enumerate(range(0, len(rows), step))]

    def some(mine: Iterator[tuple[slice, int]], _: None) -> None:
        for at, number in mine:
            work(at, number)

    threads = min(workers(), len(chunks)) if rows.size >= LARGE else 1
    share(chunks, [None] * max(1, threads), some, fixed=False)


def _sums(rows: Array, count: int, of: Callable[[Array, slice], tuple[Array, ...]]) -> list[Array]:
    """`count` sums of each channel: of(the chunk's rows, its place), added chunk by chunk."""
    step = max(1, CHUNK // max(1, rows.shape[1]))
    parts = np.zeros((count, -(-len(rows) // step), rows.shape[1]), rows.dtype)

    def one(at: slice, number: int) -> None:
        for k, part in enumerate(of(rows[at], at)):
            parts[k, number] = part

    _each(rows, one)
    return list(parts.sum(axis=1))
