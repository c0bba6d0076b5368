"""What the forwards share: windows, exact numbers and weights, on the engine's primitives.

Shapes are read off the arrays, geometry off the layers' own windows. Everything works on
NumPy, JAX and SymPy arrays alike; NumPy is imported inside functions only.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import pi, prod, sqrt
from typing import TYPE_CHECKING, Any

from .base import Window, axes

if TYPE_CHECKING:
    from ..execute import Pass


def number(value: Any, x: Any) -> Any:
    """A rational constant beside x: a float, or exact beside symbols."""
    if x.dtype != object:
        return float(value)
    import sympy

    return sympy.Rational(value.numerator, value.denominator)


def biased(run: "Pass", y: Any, wanted: bool) -> Any:
    """y plus the bias of its channels."""
    return y + run.param("bias", (y.shape[-1],)) if wanted else y


def flatten(x: Any) -> Any:
    from .. import autograd as ag

    return ag.reshape(x, (x.shape[0], prod(x.shape[1:])))


# --- windows ---------------------------------------------------------------------------


def conv(x: Any, w: Any, windows: Sequence[Window], groups: int = 1) -> Any:
    """Convolution over the windows of a layer."""
    from .. import autograd as ag

    pads = [(v.before, v.after) for v in windows]
    strides, dilations = [v.s for v in windows], [v.d for v in windows]
    return ag.conv(x, w, stride=strides, pad=pads, dilation=dilations, groups=groups)


def conv_work(
    x: Sequence[Any], w: Sequence[Any], windows: Sequence[Any], groups: Any, itemsize: int
) -> int:
    """The most bytes at work in a convolution or one of its adjoints, x with its batch axis."""
    from ..autograd.convolution import Geometry
    from ..autograd.workspace import workspace

    geo = Geometry(
        tuple(v.s for v in windows), tuple((v.before, v.after) for v in windows),
        tuple(v.d for v in windows), groups,
    )  # fmt: skip
    return max(workspace(tuple(x), tuple(w), geo, itemsize))


def conv_transpose(x: Any, w: Any, windows: Sequence[Window], groups: int) -> Any:
    """Transposed convolution: the windows' sizes say how much is appended."""
    from .. import autograd as ag

    extra = [v.out - ((v.n - 1) * v.s + v.extent - v.before - v.after) for v in windows]
    return ag.conv_transpose(
        x,
        w,
        stride=[v.s for v in windows],
        pad=[(v.before, v.after) for v in windows],
        output_pad=extra,
        dilation=[v.d for v in windows],
        groups=groups,
    )


def connected(kernel: Any, connect: Sequence[Sequence[int]], channels: int) -> Any:
    """A kernel (*kernel, channels, filters), zero where a filter skips a map.

    The given one (*kernel, connections) lists the connections filter by filter: every
    place of the whole kernel takes its number, or that of a zero put after the last.
    """
    import numpy as np

    from .. import autograd as ag

    total = kernel.shape[-1]
    table = np.full((channels, len(connect)), total)
    pairs = [(m, f) for f, row in enumerate(connect) for m in row]
    for i, (m, f) in enumerate(pairs):
        table[m, f] = i
    with_zero = ag.pad(kernel, [*((0, 0),) * (kernel.ndim - 1), (0, 1)])
    whole = ag.take(with_zero, table.reshape(-1), axis=-1)
    return ag.reshape(whole, (*kernel.shape[:-1], *table.shape))


def pool_fields(windows: Sequence[Window]) -> dict[str, Any]:
    """Arguments of the engine's pools; zeros are appended or cut for the last window."""
    ends: list[Any] = [(v.out - 1) * v.s + v.extent - v.n - v.before for v in windows]
    return {
        "kernel": [v.k for v in windows],
        "stride": [v.s for v in windows],
        "pad": [(v.before, max(end, 0)) for v, end in zip(windows, ends, strict=True)],
        "dilation": [v.d for v in windows],
    }


# --- normalisation ---------------------------------------------------------------------


def moments(x: Any, over: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Mean, x less its mean, and the (biased) variance, over the axes `over`."""
    from .. import autograd as ag

    mean = ag.mean(x, axis=over, keepdims=True)
    centred = x - mean
    return mean, centred, ag.mean(centred * centred, axis=over, keepdims=True)


def standardize(x: Any, over: tuple[int, ...], eps: Any) -> Any:
    """x less its mean, over the square root of the variance plus eps."""
    from .. import autograd as ag

    _, centred, var = moments(x, over)
    return centred * (1 / ag.sqrt(var + number(eps, x)))


def normalised(x: Any, axis: int, p: Any, eps: Any) -> Any:
    """x over its p-norm along an axis, or over eps where that is larger.

    The power sum is compared before the root is taken, whose slope has no end at 0.
    """
    from .. import autograd as ag

    size = x * x if p == 2 else ag.abs(x) ** p
    total = ag.sum(size, axis=axis, keepdims=True)
    least = number(Fraction(eps) ** p, x)
    return x * ag.maximum(total, least) ** number(Fraction(-1, p), x)


def keep_statistics(run: "Pass", old: Any, batch: Any, count: int) -> None:
    """Running mean and variance go a tenth of the way to the batch's, its variance unbiased."""
    from .. import autograd as ag

    shares = 0.1, 0.1 * count / max(count - 1, 1)
    for name, kept, new, share in zip(("mean", "var"), old, batch, shares, strict=True):
        run.update(name, kept * 0.9 + ag.stop_gradient(new).reshape(kept.shape) * share)


def neighbour_mean(x: Any, size: int) -> Any:
    """The sum over `size` neighbouring channels divided by `size`; size//2 lie before."""
    from .. import autograd as ag

    flat = ag.reshape(x, (prod(x.shape[:-1]), x.shape[-1], 1))
    before = size // 2
    found = ag.avg_pool(flat, size, stride=1, pad=[(before, size - 1 - before)])
    return ag.reshape(found, x.shape)


# --- functions of one number -----------------------------------------------------------


def expm1(x: Any) -> Any:
    """exp(x) - 1 without cancellation: tanh(x/2)·(exp(x) + 1)."""
    from .. import autograd as ag

    if x.dtype == object:
        return ag.exp(x) - 1
    return ag.tanh(x * 0.5) * (ag.exp(x) + 1)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), shifted by a constant t = max(x, 0) so that it cannot overflow."""
    from .. import autograd as ag

    if x.dtype == object:
        return ag.log(ag.exp(x) + 1)
    t = ag.stop_gradient(ag.relu(x))
    return ag.log(ag.exp(x - t) + ag.exp(-t)) + t


def six_step(x: Any) -> Any:
    """min(max(0, x), 6); slope 0 at both kinks, as lax.clamp and torch have it."""
    from .. import autograd as ag

    return ag.where(ag.greater_equal(x, 6), 6, ag.relu(x))


def gelu(x: Any) -> Any:
    """x·Phi(x) by the error function: x/2·(1 + erf(x/sqrt(2)))."""
    from .. import autograd as ag

    return x * _half(x) * (ag.erf(x * _root(Fraction(1, 2), x)) + 1)


def gelu_tanh(x: Any) -> Any:
    """x/2·(1 + tanh(sqrt(2/pi)·(x + 0.044715·x^3)))."""
    from .. import autograd as ag

    cubic = x + x * x * x * number(Fraction(44715, 1_000_000), x)
    slope = _root(Fraction(2), x) / _root_of_pi(x)
    return x * _half(x) * (ag.tanh(cubic * slope) + 1)


def _half(x: Any) -> Any:
    return number(Fraction(1, 2), x)


def _root(value: Fraction, x: Any) -> Any:
    """The square root of a rational, exact beside symbols."""
    return number(value, x) ** _half(x)


def _root_of_pi(x: Any) -> Any:
    if x.dtype != object:
        return sqrt(pi)
    import sympy

    return sympy.sqrt(sympy.pi)


# --- weights along an axis -------------------------------------------------------------

Rows = list[list[tuple[int, Fraction]]]  # for each output: the inputs it reads, with weights


def weighted(x: Any, axis: int, rows: Rows) -> Any:
    """Every output along the axis is a weighted sum of inputs: a product with a matrix."""
    import numpy as np

    from .. import autograd as ag

    matrix = np.zeros((len(rows), x.shape[axis]), dtype=object)
    for i, row in enumerate(rows):
        for at, weight in row:
            matrix[i, at] += weight
    if x.dtype == object:
        matrix = np.vectorize(lambda w: number(w, x), otypes=[object])(matrix)
    else:
        matrix = matrix.astype(str(x.dtype))
    letters = "abcdefgh"[: x.ndim]
    out = letters.replace(letters[axis], "z")
    return ag.einsum(f"z{letters[axis]},{letters}->{out}", matrix, x)


def adaptive_avg_pool(x: Any, size: Any) -> Any:
    """Means between floor(i·n/o) and ceil((i+1)·n/o) along every axis."""
    from .. import autograd as ag

    sizes, outs = x.shape[1:-1], axes(size, x.ndim - 2)
    if all(n % o == 0 for n, o in zip(sizes, outs, strict=True)):
        return ag.avg_pool(x, [n // o for n, o in zip(sizes, outs, strict=True)])
    for axis, (n, o) in enumerate(zip(sizes, outs, strict=True), 1):
        spans = [(i * n // o, -(-(i + 1) * n // o)) for i in range(o)]
        x = weighted(x, axis, [[(j, Fraction(1, b - a)) for j in range(a, b)] for a, b in spans])
    return x


def repeat(x: Any, scale: Any) -> Any:
    """Output i along an axis copies input floor(i/scale)."""
    import numpy as np

    from .. import autograd as ag

    scales = axes(scale, x.ndim - 2)
    sizes = [n * s // 1 for n, s in zip(x.shape[1:-1], scales, strict=True)]
    if all(s.denominator == 1 for s in scales):
        ones = [m for n in x.shape[1:-1] for m in (n, 1)]
        wide = [m for n, s in zip(x.shape[1:-1], scales, strict=True) for m in (n, int(s))]
        split = ag.reshape(x, (x.shape[0], *ones, x.shape[-1]))
        split = ag.broadcast_to(split, (x.shape[0], *wide, x.shape[-1]))
        return ag.reshape(split, (x.shape[0], *sizes, x.shape[-1]))
    for axis, (s, o) in enumerate(zip(scales, sizes, strict=True), 1):
        x = ag.take(x, np.array([i * s.denominator // s.numerator for i in range(o)]), axis=axis)
    return x


def interpolate(x: Any, scale: Any) -> Any:
    """Linear interpolation along every axis at half-pixel centres, clamped to the map."""
    for axis, s in enumerate(axes(scale, x.ndim - 2), 1):
        n = x.shape[axis]
        rows: Rows = []
        for i in range(n * s // 1):
            at = min(max((i + Fraction(1, 2)) / s - Fraction(1, 2), Fraction(0)), Fraction(n - 1))
            low = at.numerator // at.denominator
            share = at - low
            rows.append([(low, 1 - share), (min(low + 1, n - 1), share)])
        x = weighted(x, axis, rows)
    return x


def pixel_shuffle(x: Any, scale: Any) -> Any:
    """Channel c·s² + i·s + j goes to channel c at offset (i, j)."""
    from .. import autograd as ag

    rank = x.ndim - 2
    scales, sizes = axes(scale, rank), x.shape[1:-1]
    channels = x.shape[-1] // prod(scales)
    split = ag.reshape(x, (x.shape[0], *sizes, channels, *scales))
    order = [i for axis in range(rank) for i in (1 + axis, 2 + rank + axis)]
    turned = ag.transpose(split, (0, *order, 1 + rank))
    grown = [n * s for n, s in zip(sizes, scales, strict=True)]
    return ag.reshape(turned, (x.shape[0], *grown, channels))


# --- the loss --------------------------------------------------------------------------


def picked(values: Any, labels: Any) -> Any:
    """values[..., label]: the entry of each row of the last axis that its label names."""
    import numpy as np

    from .. import autograd as ag

    classes = np.arange(values.shape[-1])
    return ag.sum(ag.where(ag.equal(labels[..., None], classes), values, 0), axis=-1)


def cross_entropy(x: Any, labels: Any) -> Any:
    """-log softmax(x)[label], the mean over the positions of each item: (N, 1).

    Without labels position i of item b has class (b + i) mod C.
    """
    import numpy as np

    from .. import autograd as ag

    count, places, classes = x.shape[0], prod(x.shape[1:-1]), x.shape[-1]
    rows = ag.reshape(x, (count, places, classes))
    if labels is None:
        labels = (np.arange(places) + np.arange(count)[:, None]) % classes
    chosen = picked(ag.log_softmax(rows), labels.reshape((count, places)))
    return -ag.mean(chosen, axis=1, keepdims=True)
