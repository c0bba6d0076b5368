"""What the references share: windows, padding and interpolation, written in `lax` alone.

Nothing here uses `formula` or the rules of `dialects`: sizes are read off the arrays, and
each framework's padding and rounding follow its own published code. Sizes may be symbolic
dimensions of `jax.export`, so there is no int() on them.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

COUNTS_PADDING = {"cs231n", "caffe", "torch"}  # average pools, unless told otherwise
SAME_BY_SIZE = {"keras", "jax", "onnx"}  # `same` follows the input size and the stride
LRN_OVER_SIZE = {"cs231n", "caffe", "torch", "onnx"}  # alpha is divided by the window


def per_axis(value: Any, rank: int) -> tuple[Any, ...]:
    """One value an axis from a value or a tuple of them."""
    return value if isinstance(value, tuple) else (value,) * rank


def pairs(pad: Any, rank: int) -> list[tuple[int, int]]:
    """Numbers before and after, an axis."""
    return [p if isinstance(p, tuple) else (p, p) for p in per_axis(pad, rank)]


def flatten(x: Any) -> Any:
    return x.reshape((x.shape[0], prod(x.shape[1:])))


def _dimension_numbers(rank: int) -> Any:
    from jax import lax

    space = tuple(range(1, rank + 1))
    volume = (0, rank + 1, *space)
    return lax.ConvDimensionNumbers(volume, (rank + 1, rank, *range(rank)), volume)


def same_ends(run: Any, n: Any, K: int, s: int, lower: bool = False) -> tuple[Any, Any]:
    """Zeros before and after that `same` means in this run's dialect, along one axis."""
    from jax import lax

    name = run.dialect.name
    if name in SAME_BY_SIZE:
        word = "SAME_LOWER" if lower else "SAME"
        (ends,) = lax.padtype_to_pads((n,), (K,), (s,), word)
        return ends
    if name == "torch":  # aten _convolution_same: K - 1 in all, the odd one at the end
        left = (K - 1) // 2
        return (K - 1 - left, left) if lower else (left, K - 1 - left)
    return (K - 1) // 2, (K - 1) // 2


def window_ends(
    run: Any, sizes: Sequence[Any], extents: Sequence[int], strides: Sequence[int], pad: Any
) -> list[tuple[Any, Any]]:
    """Zeros before and after every spatial axis, from numbers or words."""
    rank = len(sizes)
    found = []
    for n, K, s, p in zip(sizes, extents, strides, per_axis(pad, rank), strict=True):
        if p == "valid":
            found.append((0, 0))
        elif isinstance(p, str):
            found.append(same_ends(run, n, K, s, p == "same_lower"))
        else:
            found.append(p if isinstance(p, tuple) else (p, p))
    return found


def conv(run: Any, x: Any, w: Any, stride: Any, pad: Any, dilation: Any, groups: int) -> Any:
    """Convolution of x (N, *space, C) with w (*kernel, C/groups, filters)."""
    from jax import lax

    rank = x.ndim - 2
    strides, dilations = per_axis(stride, rank), per_axis(dilation, rank)
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[:rank], strict=True)]
    ends = window_ends(run, x.shape[1:-1], extents, strides, pad)
    if not all(isinstance(n, int) for pair in ends for n in pair):  # the window takes no symbols
        x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((*pair, 0) for pair in ends), (0, 0, 0)])
        ends = [(0, 0)] * rank
    return _convolved(run, x, w, strides, ends, (1,) * rank, dilations, groups)


def _convolved(
    run: Any, x: Any, w: Any, strides: Any, ends: Any, stretch: Any, dilations: Any, groups: int
) -> Any:
    """The convolution itself; a run `by_taps` sums the kernel's taps where that is faster."""
    from jax import lax

    from . import _taps

    if getattr(run, "by_taps", False) and _taps.faster(x, w, strides):
        return _taps.convolve(x, w, strides, ends, stretch, dilations, groups)
    return lax.conv_general_dilated(
        x,
        w,
        strides,
        ends,
        lhs_dilation=stretch,
        rhs_dilation=dilations,
        dimension_numbers=_dimension_numbers(x.ndim - 2),
        feature_group_count=groups,
    )


def connected_kernel(run: Any, kernel: Any, channels: int, connect: Any) -> Any:
    """A kernel (*kernel, channels, filters) that is zero where a filter skips a map.

    The parameter lists the connections in order, filter by filter.
    """
    import jax.numpy as jnp

    maps = [m for row in connect for m in row]
    filters = [f for f, row in enumerate(connect) for _ in row]
    reads = prod(kernel) * max(len(row) for row in connect)
    given = run.param("kernel", (*kernel, len(maps)), fan_in=reads)
    dense = jnp.zeros((*kernel, channels, len(connect)), given.dtype)
    return dense.at[..., jnp.array(maps), jnp.array(filters)].set(given)


def _transpose_ends(run: Any, K: int, s: int, p: Any, extra: int, given: bool) -> tuple[int, int]:
    """Zeros around the stretched input of a transposed convolution, along one axis.

    `given`: some axis has output padding, after which Keras counts otherwise on all of them.
    """
    longer = max(s - K, 0)
    keras_like = run.dialect.name in ("keras", "jax")
    if run.dialect.name == "keras" and isinstance(p, str) and given:
        # (n - 1)s + K, or with `same` (n - 1)s + K % 2, each plus the output padding
        half = 0 if p == "valid" else K // 2
        cut, after = (half, half), 0
    elif p == "valid":
        cut, after = (0, 0), longer if keras_like else 0
    elif isinstance(p, str):  # the output is n·s: the gradient of a `same` convolution
        small = max(K - s, 0) // 2
        rest = max(K - s, 0) - small
        cut, after = (rest, small) if p == "same_lower" else (small, rest), longer
    else:
        cut, after = p if isinstance(p, tuple) else (p, p), 0
    return K - 1 - cut[0], K - 1 - cut[1] + after + extra


def conv_transpose(run: Any, x: Any, w: Any, layer: Any) -> Any:
    """Transposed convolution of x (N, *space, C) with w (*kernel, C/groups, filters).

    The adjoint of a convolution: the input is stretched by the stride and read by the
    flipped kernel, so that x[i] is spread over outputs i·s + j with weights w[j].
    """
    from jax import lax

    rank = x.ndim - 2
    strides, dilations = per_axis(layer.stride, rank), per_axis(layer.dilation, rank)
    extras, given = per_axis(layer.output_pad, rank), per_axis(layer.pad, rank)
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[:rank], strict=True)]
    columns = zip(extents, strides, given, extras, strict=True)
    ends = [_transpose_ends(run, K, s, p, extra, any(extras)) for K, s, p, extra in columns]
    flipped = lax.rev(w, tuple(range(rank)))
    return _convolved(run, x, flipped, (1,) * rank, ends, strides, dilations, layer.groups)


def smaller(a: Any, b: Any) -> Any:
    from jax import core

    return min(a, b) if isinstance(a, int) and isinstance(b, int) else core.min_dim(a, b)


def _rounded_up(run: Any, layer: Any, ends: tuple[Any, Any]) -> tuple[bool, bool]:
    """Whether the number of windows is rounded up, and whether it is then clipped.

    Clipped: the last window must start inside the map or the padding before it. Caffe
    clips only where it pads (pooling_layer.cpp), torch and ONNX Runtime always (Pool.h).
    """
    same = isinstance(layer.pad, str) and layer.pad != "valid"
    if layer.round == "floor" or (same and run.dialect.name in SAME_BY_SIZE):
        return False, False
    if run.dialect.name == "caffe":
        return True, ends != (0, 0)
    return layer.round == "ceil", layer.round == "ceil"


def _pool_windows(run: Any, x: Any, layer: Any) -> list[tuple[Any, ...]]:
    """For every spatial axis kernel, stride, dilation, pads, and zeros to append."""
    rank = x.ndim - 2
    kernels, dilations = per_axis(layer.kernel, rank), per_axis(layer.dilation, rank)
    strides = kernels if layer.stride is None else per_axis(layer.stride, rank)
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, kernels, strict=True)]
    ends = window_ends(run, x.shape[1:-1], extents, strides, layer.pad)
    found = []
    for axis in range(rank):
        n, K, s = x.shape[axis + 1], extents[axis], strides[axis]
        before, after = ends[axis]
        last = (n + before + after - K) // s  # number of the last window, from 0
        up, clip = _rounded_up(run, layer, ends[axis])
        if up:
            last = (n + before + after - K + s - 1) // s
        if clip:
            last = smaller(last, (n + before - 1) // s)
        total = last * s + K if up else n + before + after
        found.append((kernels[axis], s, dilations[axis], before, after, total - n - before))
    return found


def _reduce(x: Any, initial: float, operation: Any, windows: list[tuple[Any, ...]]) -> Any:
    from jax import lax

    config = [(w[3], w[5], 0) for w in windows]
    x = lax.pad(x, x.dtype.type(initial), [(0, 0, 0), *config, (0, 0, 0)])
    if any(w[2] != 1 for w in windows):
        # XLA drops a pad of which dilated windows see nothing else (jax 0.10.2: one position,
        # k = d = 2)
        barrier: Any = lax.optimization_barrier
        x = barrier(x)
    return lax.reduce_window(
        x,
        x.dtype.type(initial),
        operation,
        (1, *(w[0] for w in windows), 1),
        (1, *(w[1] for w in windows), 1),
        "VALID",
        window_dilation=(1, *(w[2] for w in windows), 1),
    )


def max_pool(run: Any, x: Any, layer: Any) -> Any:
    """The largest value under every window; padding is -infinity."""
    from jax import lax

    return _reduce(x, -float("inf"), lax.max, _pool_windows(run, x, layer))


def avg_pool(run: Any, x: Any, layer: Any) -> Any:
    """The mean under every window; the divisor counts the positions the dialect counts."""
    import jax.numpy as jnp
    from jax import lax

    windows = _pool_windows(run, x, layer)
    total = _reduce(x, 0.0, lax.add, windows)
    include = layer.count_include_pad
    if include is None:
        include = run.dialect.name in COUNTS_PADDING
    for axis, (k, s, d, before, after, appended) in enumerate(windows, 1):
        n = x.shape[axis]
        ones = jnp.ones((1, n + before + after if include else n, 1), x.dtype)
        outer = (0, appended - after) if include else (before, appended)
        count = _reduce(ones, 0.0, lax.add, [(k, s, d, outer[0], 0, outer[1])])
        shape = [1] * x.ndim
        shape[axis] = count.shape[1]
        total = total / jnp.maximum(count, 1).reshape(shape)
    return total


def window_sums(x: Any, kernel: Any) -> Any:
    """The sum under every one of the windows that lie side by side."""
    from jax import lax

    sizes = (1, *per_axis(kernel, x.ndim - 2), 1)
    return lax.reduce_window(x, x.dtype.type(0), lax.add, sizes, sizes, "VALID")


def _along(values: Any, axis: int, rank: int) -> Any:
    shape = [1] * rank
    shape[axis] = values.shape[0]
    return values.reshape(shape)


def adaptive_avg_pool(x: Any, output: Any) -> Any:
    """Means between floor(i·n/o) and ceil((i+1)·n/o) (torch AdaptivePooling.h)."""
    import jax.numpy as jnp

    for axis, o in enumerate(per_axis(output, x.ndim - 2), 1):
        n = x.shape[axis]
        places = jnp.arange(o)
        starts, stops = places * n // o, -(-(places + 1) * n // o)
        at = jnp.arange(n)
        inside = (at >= starts[:, None]) & (at < stops[:, None])
        weights = inside / _along(stops - starts, 0, 2)
        moved = jnp.tensordot(x, weights.astype(x.dtype), ((axis,), (1,)))
        x = jnp.moveaxis(moved, -1, axis)
    return x


def upsample(x: Any, scale: Any, method: str) -> Any:
    """Repetition or linear interpolation at half-pixel centres (torch UpSample.h)."""
    import jax.numpy as jnp

    for axis, s in enumerate(per_axis(scale, x.ndim - 2), 1):
        n = x.shape[axis]
        places = jnp.arange(n * s.numerator // s.denominator)
        if method == "nearest":
            source = places * s.denominator // s.numerator
            x = jnp.take(x, jnp.minimum(source, n - 1), axis=axis)
            continue
        exact = jnp.maximum((places + 0.5) * (s.denominator / s.numerator) - 0.5, 0.0)
        low = jnp.minimum(jnp.floor(exact).astype(int), n - 1)
        high = jnp.minimum(low + 1, n - 1)
        share = _along((exact - low).astype(x.dtype), axis, x.ndim)
        x = jnp.take(x, low, axis=axis) * (1 - share) + jnp.take(x, high, axis=axis) * share
    return x


def pixel_shuffle(x: Any, scale: Any) -> Any:
    """Channel c·s² + i·s + j goes to channel c at offset (i, j)."""
    rank = x.ndim - 2
    scales = per_axis(scale, rank)
    sizes = x.shape[1:-1]
    channels = x.shape[-1] // prod(scales)
    x = x.reshape((x.shape[0], *sizes, channels, *scales))
    order = [0]
    for axis in range(rank):
        order += [1 + axis, 2 + rank + axis]
    x = x.transpose((*order, 1 + rank))
    grown = [n * s for n, s in zip(sizes, scales, strict=True)]
    return x.reshape((x.shape[0], *grown, channels))


def cut(x: Any, axis: int, start: int, stop: int | None, step: int) -> Any:
    """x[start:stop:step] along one axis, counted without the batch."""
    from jax import lax

    axis = axis + 1 if axis >= 0 else axis + x.ndim
    n = x.shape[axis]
    stop = n if stop is None else stop
    ends = [n + end if isinstance(end, int) and end < 0 else end for end in (start, stop)]
    return lax.slice_in_dim(x, ends[0], ends[1], step, axis)


def standardize(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    """Less the mean, over the square root of the (biased) variance plus eps."""
    import jax.numpy as jnp
    from jax import lax

    centred = x - jnp.mean(x, axis=axes, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred * centred, axis=axes, keepdims=True) + eps)


def group_standardize(x: Any, groups: int, eps: float) -> Any:
    """`standardize` over the map and the channels of each group."""
    split = x.reshape((*x.shape[:-1], groups, x.shape[-1] // groups))
    inner = (*range(1, x.ndim - 1), x.ndim)
    return standardize(split, inner, eps).reshape(x.shape)


def lrn(run: Any, x: Any, layer: Any) -> Any:
    """x / (k + a·sum of squares over neighbouring maps)^beta; size//2 maps lie before."""
    from jax import lax

    size = layer.size
    before = size // 2
    ones = (1,) * (x.ndim - 1)
    ends = [(0, 0)] * (x.ndim - 1) + [(before, size - 1 - before)]
    total = lax.reduce_window(x * x, x.dtype.type(0), lax.add, (*ones, size), (*ones, 1), ends)
    alpha = float(layer.alpha)
    if run.dialect.name in LRN_OVER_SIZE:
        alpha /= size
    return x / (float(layer.k) + alpha * total) ** float(layer.beta)


def cross_entropy(x: Any) -> Any:
    """Mean of -log softmax(x)[label] over the positions of each item: (N, 1)."""
    import jax
    import jax.numpy as jnp

    classes = x.shape[-1]
    rows = x.reshape((x.shape[0], prod(x.shape[1:-1]), classes))
    labels = jnp.arange(rows.shape[1]) + jnp.arange(rows.shape[0])[:, None]
    chosen = jax.nn.one_hot(labels % classes, classes, dtype=x.dtype)
    losses = -jnp.sum(jax.nn.log_softmax(rows, axis=-1) * chosen, axis=-1)
    return jnp.mean(losses, axis=1, keepdims=True)
