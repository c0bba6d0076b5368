"""A convolution in `lax`, tap by tap: one matrix product for each position of the kernel.

    y[o] = sum over j of x[o*s + j*d] @ w[j]

XLA on CPUs has no fast convolution in float64: those with a stretched input (transposed ones)
are 40 times slower than these sums, large ones 5 times, and their gradients likewise. Nothing
here knows `formula` or our engine: it is a reference, differentiated by JAX.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

MOST_TAPS = 49  # more of them take long to compile
FEWEST_PRODUCTS = 30_000_000  # multiply-adds below which nothing is gained

Ends = Sequence[tuple[int, int]]


def faster(x: Any, w: Any, strides: Sequence[int]) -> bool:
    """Whether it is worth while: a float64 convolution with much to do, and few taps."""
    rank = x.ndim - 2
    if str(x.dtype) != "float64" or prod(w.shape[:rank]) > MOST_TAPS:
        return False
    places = prod(n // s for n, s in zip(x.shape[1:-1], strides, strict=True))
    return int(x.shape[0] * places * w.size) >= FEWEST_PRODUCTS


def convolve(
    x: Any, w: Any, strides: Sequence[int], ends: Ends, stretch: Sequence[int],
    dilations: Sequence[int], groups: int,
) -> Any:  # fmt: skip
    """`lax.conv_general_dilated` of x (N, *space, C) with w (*kernel, C/groups, filters).

    `ends` are the zeros around x, after it is stretched by `stretch` (its lhs_dilation).

    >>> import numpy as np
    >>> x, w = np.arange(5, dtype="float32").reshape(1, 5, 1), np.ones((3, 1, 1), "float32")
    >>> convolve(x, w, [2], [(0, 0)], [1], [1], 1).ravel().tolist()
    [3.0, 9.0]
    """
    import jax
    import jax.numpy as jnp

    rank = x.ndim - 2
    inner = [(a, b, t - 1) for (a, b), t in zip(ends, stretch, strict=True)]
    around = [(0, 0, 0), *inner, (0, 0, 0)]
    longer = [(n - 1) * t + 1 + a + b
              for n, t, (a, b) in zip(x.shape[1:-1], stretch, ends, strict=True)]  # fmt: skip
    columns = zip(longer, w.shape[:rank], dilations, strides, strict=True)
    outs = [(n - d * (k - 1) - 1) // s + 1 for n, k, d, s in columns]
    spans = [(o - 1) * s + 1 for o, s in zip(outs, strides, strict=True)]
    early = any(t > 1 for t in stretch)  # the product before the stretching: fewer places

    def term(x: Any, offsets: Any, matrix: Any) -> Any:
        y = _mixed(x, matrix, groups) if early else x
        y = _read(y, around, offsets, spans, strides)
        return y if early else _mixed(y, matrix, groups)

    def add(total: Any, tap: Any) -> Any:
        # what a tap reads is cut out again in the backward pass: nothing is kept of it
        return total + jax.checkpoint(term)(x, *tap), None

    grid = jnp.indices(w.shape[:rank]).reshape((rank, -1)).T * jnp.array(dilations)
    start = jnp.zeros((x.shape[0], *outs, w.shape[-1]), x.dtype)
    total, _ = jax.lax.scan(add, start, (grid, jnp.reshape(w, (-1, *w.shape[rank:]))))
    return total


def _read(x: Any, around: Any, offsets: Any, spans: Sequence[int], strides: Sequence[int]) -> Any:
    """The padded input from `offsets` on, every `strides` places."""
    from jax import lax

    padded = lax.pad(x, x.dtype.type(0), around)
    whole = (x.shape[0], *spans, x.shape[-1])
    cut = lax.dynamic_slice(padded, (0, *offsets, 0), whole)
    return lax.slice(cut, (0,) * x.ndim, whole, (1, *strides, 1))


def _mixed(x: Any, w: Any, groups: int) -> Any:
    """x (..., C) with the matrix w (C/groups, filters) of each group."""
    import jax.numpy as jnp

    if groups == 1:
        return jnp.matmul(x, w)
    inside, filters = w.shape
    parts = w.reshape((inside, groups, filters // groups))
    if inside == 1:
        return (x[..., None] * parts[0]).reshape((*x.shape[:-1], filters))
    split = x.reshape((*x.shape[:-1], groups, inside))
    return jnp.einsum("...gc,cgf->...gf", split, parts).reshape((*x.shape[:-1], filters))
