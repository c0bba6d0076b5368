"""XLA's cost analysis of a network in Flax, as `flax.linen.tabulate` and jax print it.

`jax.jit(f).lower(...).cost_analysis()` adds up the instructions of the program before it is
optimised (xla/service/hlo_cost_analysis.cc): two a multiply-add whose tap lies on the input, taps
on padding (and the zeros between the values of a transposed convolution) left out; one a value
of an element-wise instruction or comparison; n - m for a reduction of n values to m; window - 1
for every place of a pool; exponentials, roots and powers none, they are "transcendentals". What
a compiled program costs (`.compile().cost_analysis()`) depends on the device and its fusions.

The sums are kept in 32-bit floats, one instruction after the other: what is printed of a large
network is not its exact total. `rounding` repeats these sums.
"""

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

from ..formula import Expr, Number, ceil_div, maximum, minimum, product
from ..layers.base import axes
from ..rows import Row
from .core import Need, Terms, values_in, values_out
from .rules import (
    ACT,
    BIAS,
    JOIN,
    LINEAR,
    NORM,
    OTHER,
    POOL,
    POOLS,
    SIZE,
    TWICE,
    affine,
)  # fmt: skip

PADDING = "taps on padding"
BORDER = "padding with zeros"
ROUNDED = "sums kept in 32-bit floats"
MAX_TAPS = 1 << 12  # of a kernel's side, gone through one by one

Steps = list[tuple[str, Number]]  # the term, the instruction's count; products have the term ""

# Instructions a value of the functions of jax.nn; an exponential is none.
EACH = {
    "relu": 1, "relu6": 2, "sigmoid": 3, "silu": 4, "tanh": 0, "hardsigmoid": 4, "hardswish": 5,
    "softplus": 6, "mish": 7, "leaky_relu": 3, "elu": 5, "prelu": 3,
}  # fmt: skip
FREE = frozenset(
    ("identity", "flatten", "reshape", "permute", "slice", "crop", "concat", "dropout")
)


def taps(n: Number, k: Number, s: Number, d: Number, before: Number, out: Number) -> Number:
    """Pairs of a place i < out and a tap j < k with 0 <= i*s + j*d - before < n.

    For tap j these are the places from ceil((before - j*d)/s) to floor((n - 1 + before - j*d)/s).

    >>> taps(7, 3, 1, 1, 1, 7), taps(13, 3, 2, 1, 1, 7)
    (19, 19)
    """
    if not isinstance(k, int) or k > MAX_TAPS:
        raise Need("taps on padding need a kernel in numbers; give --set")
    total: Number = 0
    for j in range(k):
        first = maximum(0, ceil_div(before - j * d, s))
        last = minimum(out - 1, (n - 1 + before - j * d) // s)
        total = total + maximum(0, last - first + 1)
    return total


def on_input(row: Row) -> Number:
    """Places and taps of a sliding layer that meet on its input, over all axes."""
    found: Number = 1
    for w in row.windows:
        n, out = (w.out, w.n) if w.kind == "transpose" else (w.n, w.out)
        found = found * taps(n, w.k, w.s, w.d, w.before, out)
    return found


def steps(row: Row) -> Steps:
    """A layer's instructions that count, in the order of the program. Raises `Need`."""
    for kind in (_weighted, _norms, _pools, _others):
        found = kind(row)
        if found is not None:
            return found
    raise Need(f"{row.name}: the Flax export has no {row.op} like it to count")


def xla(row: Row) -> Terms:
    """The instructions summed by kind; products are two a multiply-add, less those on padding."""
    terms: Terms = {}
    products: Number = 0
    for term, amount in steps(row):
        if term:
            terms[term] = terms.get(term, 0) + amount
        else:
            products = products + amount
    return {TWICE: row.macs, PADDING: products - 2 * row.macs, **terms}


def _weighted(row: Row) -> Steps | None:
    layer: Any = row.layer
    bias: Steps = [(BIAS, values_out(row))] if "bias" in row.weights else []
    if row.op in LINEAR:
        return [("", 2 * row.macs), *bias]
    if row.op in ("conv", "depthwise_conv", "conv_transpose"):
        if row.op != "depthwise_conv" and getattr(layer, "connect", None) is not None:
            return None
        if row.op == "conv_transpose" and layer.groups != 1:
            return None
        maps = product(row.weights["kernel"][len(row.windows) :])
        return [("", 2 * on_input(row) * maps), *bias]
    if row.op == "separable_conv":
        middle = row.input[0][-1] * layer.multiplier
        first = 2 * on_input(row) * middle
        return [("", first), ("", 2 * values_out(row) * middle), *bias]
    return None


def _norms(row: Row) -> Steps | None:
    layer: Any = row.layer
    n, c = values_in(row), row.input[0][-1]
    if row.op == "batchnorm":
        gamma, beta = "gamma" in row.weights, "beta" in row.weights
        return [(NORM, n), (NORM, c), *[(NORM, c)] * gamma, (NORM, n), *[(NORM, n)] * beta]
    if row.op in ("layernorm", "groupnorm"):
        # sum, mean, squares, their sum and mean, the mean's square, difference, not below 0
        parts = product(row.input[0][:-1]) if row.op == "layernorm" else layer.groups
        wide = parts if row.op == "layernorm" else c
        moments = [n - parts, parts, n, n - parts, parts, parts, parts, parts]
        scaled = [n if row.op == "layernorm" else c] if affine(row) else []
        after = [n, wide, *scaled, n, *([n] if affine(row) else [])]
        return [(OTHER, a) for a in (*moments, *after)]
    if row.op == "lrn":
        return [(OTHER, n), (OTHER, 1), *[(OTHER, n)] * (layer.size + 2)]
    if row.op == "scale":
        return [(JOIN, n), *[(JOIN, n)] * bool(layer.bias)]
    return None


def _pools(row: Row) -> Steps | None:
    layer: Any = row.layer
    n, m = values_in(row), values_out(row)
    if row.op in POOLS:
        if any(w.d != 1 for w in row.windows):
            return None
        others = product([w.k for w in row.windows]) - 1
        found: Steps = [(POOL, m * others)]
        if row.op == "maxpool":
            return found
        given = layer.count_include_pad
        whole = row.dialect.include_pad if given is None else given
        counts: Steps = (
            [] if whole or not _bordered(row) else [(POOL, product(row.output[:-1]) * others)]
        )
        return [*found, *counts, (POOL, m)]
    if row.op == "subsample":
        window = product([w.k for w in row.windows])
        return [(POOL, m * (window - 1)), (POOL, m), *[(JOIN, m)] * 3]
    if row.op in ("global_avgpool", "mean"):
        return [(POOL, n - m), (POOL, m)]
    if row.op == "global_maxpool":
        return [(POOL, n - m)]
    if row.op == "adaptive_avgpool":
        rank = len(row.input[0]) - 1
        pairs = list(zip(row.input[0][:rank], axes(layer.size, rank), strict=True))
        if all(a == b for a, b in pairs):
            return []
        if any(isinstance(v, Expr) for p in pairs for v in p) or any(a % b for a, b in pairs):
            return None
        return [(POOL, n - m), (POOL, m)]
    return None


def _bordered(row: Row) -> bool:
    from ..exporters.torch_pools import pool_border

    if not all(isinstance(n, int) for n in row.input[0]):
        return any(not (a == 0 and b == 0) for a, b in ((w.before, w.after) for w in row.windows))
    return any(any(ends) for ends in pool_border(row))


def _others(row: Row) -> Steps | None:
    layer: Any = row.layer
    n, m = values_in(row), values_out(row)
    if row.op in FREE:
        return []
    if row.op in EACH:
        if row.op == "hardsigmoid" and layer.values() != type(layer)().values():
            return None
        more = 1 if row.op == "elu" and layer.alpha == 1 else 0  # the 1 made a float
        return [(ACT, EACH[row.op] * n + more)]
    if row.op == "gelu":
        return [(ACT, (8 if layer.approximate else 66) * n)]
    if row.op in ("softmax", "log_softmax"):
        if layer.values().get("axis", -1) != -1:
            return None
        p = product(row.input[0][:-1])
        return [(ACT, a) for a in (n - p, p, n, n - p, n)]
    if row.op in ("add", "multiply"):
        return [(JOIN, m)] * (len(row.inputs) - 1)
    if row.op == "pad":
        return [(BORDER, 1)]
    if row.op == "upsample":
        return [(SIZE, _resized(row))]
    return None


def _resized(row: Row) -> Number:
    """Eight an index of an axis for `nearest`; weights and matrix products for `bilinear`."""
    layer: Any = row.layer
    pairs = [(a, b) for a, b in zip(row.input[0][:-1], row.output, strict=False) if a != b]
    if layer.method == "nearest":
        return sum((8 * o for _, o in pairs), 0)
    if any(isinstance(v, Expr) for v in (*row.input[0], *row.output)):
        raise Need(f"{row.name}: the order of the products needs sizes as numbers; give --set")
    weights: Number = sum((10 * n * o + 9 * o + 3 for n, o in pairs), 0)
    cheapest: Number = min(_products(values_in(row), order) for order in permutations(pairs))
    return weights + cheapest


def _products(values: Any, order: Sequence[tuple[Any, Any]]) -> Any:
    total = 0
    for n, o in order:
        values = values // n * o
        total += 2 * n * values
    return total


# --- as printed --------------------------------------------------------------------------------


def rounding(rows: Sequence[Row]) -> Number:
    """What the sums in 32-bit floats add to the exact total; 0 where sizes are symbols."""
    import numpy as np

    exact, kept = 0, np.float32(0)
    for row in _in_order(rows):
        for _, amount in steps(row):
            if not isinstance(amount, int):
                return 0
            exact += amount
            kept = np.float32(kept + np.float32(amount))
    return int(kept) - exact


def _in_order(layers: Sequence[Row]) -> Iterator[Row]:
    """The rows as XLA visits them: from the results back, operands first."""
    rows = {row.name: row for row in layers}
    read = {name for row in layers for name in row.inputs}
    stack = [(name, False) for name in reversed([n for n in rows if n not in read])]
    done: set[str] = set()
    while stack:
        name, ready = stack.pop()
        if name in done or name not in rows:
            continue
        if ready:
            done.add(name)
            yield rows[name]
            continue
        stack.append((name, True))
        stack.extend((i, False) for i in reversed(rows[name].inputs))
