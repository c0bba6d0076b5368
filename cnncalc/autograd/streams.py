"""Passes over large NumPy arrays, shared by threads; small ones as NumPy does them."""

from typing import Any

import numpy as np

from .arrays import Array
from .threads import share, workers

LARGE = 1 << 20  # numbers from which a second thread pays


def apply(ufunc: Any, x: Any, y: Any) -> Any:
    """ufunc(x, y) of NumPy floats, cut along the first axis of the larger, if it is large."""
    sizes = np.size(x), np.size(y)
    large, small = (x, y) if sizes[0] >= sizes[1] else (y, x)
    count = min(workers(), len(large)) if max(sizes) >= LARGE and large.ndim else 1
    shape = np.shape(small)
    whole = shape == np.shape(large)
    row = len(shape) < np.ndim(large) and shape == np.shape(large)[np.ndim(large) - len(shape) :]
    if count < 2 or not (whole or row):
        return ufunc(x, y)
    out = np.empty(large.shape, np.result_type(x, y))

    def work(parts: Any, _: None) -> None:
        for part in parts:
            some = large[part], small[part] if whole else small
            ufunc(*(some if large is x else some[::-1]), out=out[part])

    share(_parts(len(large), count), [None] * count, work, fixed=False)
    return out


def kept(mask: Array, x: Array) -> Array:
    """x where mask holds, else 0: the bits of each number times 1 or 0."""
    out = np.empty(x.shape, x.dtype)
    bits, found = whole_numbers(x), whole_numbers(out)
    count = min(workers(), len(x)) if x.ndim and x.size >= LARGE else 1

    def work(parts: Any, _: None) -> None:
        for part in parts:
            np.multiply(bits[part], mask[part], out=found[part])

    share(_parts(len(x), count) if count > 1 else [...], [None] * count, work, fixed=False)
    return out


def whole_numbers(x: Array) -> Array:
    """The bits of float32 or float64 numbers as integers of that width."""
    return x.view(f"i{x.dtype.itemsize}")


def keepable(mask: Any, x: Any, y: Any) -> bool:
    """Whether `kept` gives where(mask, x, y)."""
    return (
        isinstance(y, int | float) and y == 0
        and isinstance(x, np.ndarray) and x.dtype in (np.float32, np.float64)
        and isinstance(mask, np.ndarray) and mask.shape == x.shape
    )  # fmt: skip


def _parts(length: int, count: int) -> list[Any]:
    """Slices of a first axis: about two a thread, so that a late one costs little."""
    step = -(-length // (2 * count))
    return [slice(i, i + step) for i in range(0, length, step)]
