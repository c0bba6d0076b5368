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
    >>> x, w = np.arange(5.0).reshape(1, 5, 1), np.ones((3, 1, 1))
    >>> convolve(x, w, [2], [(0, 0)], [1], [1], 1).ravel().tolist()
    [3.0, 9.0]
    """
    from itertools import product

    rank = x.ndim - 2
    total: Any = None
    for at in product(*(range(k) for k in w.shape[:rank])):
        offsets = [j * d for j, d in zip(at, dilations, strict=True)]
        extents = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[:rank], strict=True)]
        read = _stretched if any(s > 1 for s in stretch) else _cut
        term = read(x, w[at], offsets, extents, strides, ends, stretch, groups)
        total = term if total is None else total + term
    return total


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


def _cut(
    x: Any, w: Any, offsets: Sequence[int], extents: Sequence[int], strides: Sequence[int],
    ends: Ends, stretch: Sequence[int], groups: int,
) -> Any:  # fmt: skip
    """What one tap reads, cut out of the padded input, times its matrix."""
    import jax.numpy as jnp
    from jax import lax

    zero = jnp.zeros((), x.dtype)
    padded = lax.pad(x, zero, [(0, 0, 0), *((a, b, 0) for a, b in ends), (0, 0, 0)])
    columns = zip(padded.shape[1:-1], offsets, extents, strides, strict=True)
    places = [(o, o + (n - K) // s * s + 1, s) for n, o, K, s in columns]
    first, last, steps = zip((0, x.shape[0], 1), *places, (0, x.shape[-1], 1), strict=True)
    return _mixed(lax.slice(padded, first, last, steps), w, groups)


def _stretched(
    x: Any, w: Any, offsets: Sequence[int], extents: Sequence[int], strides: Sequence[int],
    ends: Ends, stretch: Sequence[int], groups: int,
) -> Any:  # fmt: skip
    """The input times one tap's matrix, then stretched and shifted to where it is read.

    Only at stride 1, which is what a transposed convolution has after the stretching.
    """
    import jax.numpy as jnp
    from jax import lax

    y = _mixed(x, w, groups)
    places = []
    columns = zip(offsets, extents, ends, stretch, strict=True)
    for o, K, (before, after), s in columns:
        places.append((before - o, after + o - K + 1, s - 1))
    return lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0), *places, (0, 0, 0)])
