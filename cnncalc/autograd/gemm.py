"""Matrix products on NumPy floats, shared by Python threads with one BLAS thread each.

BLAS's own threads are left alone: once used, they wait for more in a busy loop, some 25 ms with
OpenBLAS, and take a processor from the threads that copy windows and transform tiles.

A dense layer has another need. Its batch of 8 rows meets a matrix of tens of millions of weights,
so that the time is that of reading or writing the matrix once. BLAS is made for the other case:
it copies the large matrix into packed panels first, or passes the answer twice. A block of the
matrix that fits the cache costs neither. Of the products, with few rows m,

    x (m, k) @ w (k, n)     sums over blocks of w's rows,
    g (m, n) @ w' (n, k)    makes the answer's columns a block of w's rows at a time,
    x' (k, m) @ g (m, n)    makes the answer's rows in blocks.

Sums are made in fixed shares, so that runs repeat to the last bit.
"""

from collections.abc import Callable, Iterator

import numpy as np

from .arrays import Array
from .threads import one_blas_thread, share, workers

FEW = 12  # rows up to which the matrix is read once
LARGE = 1 << 20  # numbers in the matrix from which it pays
BLOCK = 1 << 16  # numbers in a block: a quarter of a MiB in float32
ALONE = 1 << 24  # multiplications below which one thread does all
SMALL = 1 << 18  # multiplications that OpenBLAS itself gives one thread


def product(x: Array, y: Array) -> Array:
    """x @ y, of NumPy arrays of any kind and rank."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
        return _alone(x, y)
    (m, k), n = x.shape, y.shape[1]
    if x.dtype != y.dtype or x.dtype not in (np.float32, np.float64) or m * k * n < ALONE:
        return _alone(x, y) if m * k * n > SMALL else np.asarray(np.matmul(x, y))
    if m <= FEW and k * n >= LARGE:
        if y.flags.c_contiguous and m * n <= BLOCK:
            return _summed(x, y)
        return _by_columns(x, y, max(1, BLOCK // k))
    if k <= FEW and m * n >= LARGE:
        return _by_rows(x, y, max(1, BLOCK // n))
    if m >= n:
        return _by_rows(x, y, -(-m // workers()))
    return _by_columns(x, y, -(-n // workers()))


def _alone(x: Array, y: Array) -> Array:
    with one_blas_thread():
        return np.asarray(np.matmul(x, y))


def _summed(x: Array, w: Array) -> Array:
    blocks = _blocks(len(w), max(1, BLOCK // w.shape[1]))
    totals = [np.zeros((len(x), w.shape[1]), x.dtype) for _ in range(_threads(blocks))]

    def work(mine: Iterator[slice], total: Array) -> None:
        piece = np.empty_like(total)
        for block in mine:
            total += np.matmul(x[:, block], w[block], out=piece)

    share(blocks, totals, work)
    for other in totals[1:]:
        totals[0] += other
    return totals[0]


def _by_columns(x: Array, y: Array, step: int) -> Array:
    found = np.empty((len(x), y.shape[1]), x.dtype)
    _each(_blocks(y.shape[1], step), lambda b: np.matmul(x, y[:, b], out=found[:, b]))
    return found


def _by_rows(x: Array, y: Array, step: int) -> Array:
    found = np.empty((len(x), y.shape[1]), x.dtype)
    _each(_blocks(len(x), step), lambda b: np.matmul(x[b], y, out=found[b]))
    return found


def _each(blocks: list[slice], make: Callable[[slice], object]) -> None:
    def work(mine: Iterator[slice], _: None) -> None:
        for block in mine:
            make(block)

    share(blocks, [None] * _threads(blocks), work, fixed=False)


def _blocks(length: int, step: int) -> list[slice]:
    return [slice(i, min(i + step, length)) for i in range(0, length, step)]


def _threads(blocks: list[slice]) -> int:
    return max(1, min(workers(), len(blocks)))
