"""Layers that are one expression, channels last: what Keras (`ops`) and Flax (`jnp`) share.

Both name these functions as NumPy does. {0}, {1}, ... are the inputs, each a variable; every
step's result is the next one's {0}.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ..layers.base import axes
from ..layers.reshape import position
from ..rows import Row
from .errors import refused
from .volumes import rank, real, whole

Expressions = Callable[[Row, str], list[str]]  # of a row, and the module's name
TABLE: dict[str, Expressions] = {}


def to(*ops: str) -> Callable[[Expressions], Expressions]:
    def put(f: Expressions) -> Expressions:
        TABLE.update(dict.fromkeys(ops, f))
        return f

    return put


def place(row: Row, axis: Any) -> int:
    """An axis of the first input, counted with the batch."""
    return (position(axis, rank(row) + 1) or 0) + 1


def reshaped(np: str, sizes: Any, row: Row) -> str:
    shape = ", ".join(str(whole(row, n, "the shape")) for n in sizes)
    return f"{np}.reshape({{0}}, (-1, {shape}))"


@to("reshape", "squeeze", "unsqueeze")
def _reshape(row: Row, np: str) -> list[str]:
    return [reshaped(np, row.output, row)]


@to("permute")
def _permute(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    return [f"{np}.transpose({{0}}, {(0, *(place(row, a) for a in layer.axes))!r})"]


@to("channel_shuffle")
def _channel_shuffle(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    *sizes, c = row.output
    groups = whole(row, layer.groups, "groups")
    each = whole(row, c, "the channels") // groups
    return [
        reshaped(np, (*sizes, groups, each), row),
        f"{np}.swapaxes({{0}}, -1, -2)",
        reshaped(np, row.output, row),
    ]


@to("slice")
def _slice(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    key = [":"] * (rank(row) + 2)
    for axis, start, stop, step in layer._cuts(rank(row) + 1):
        first = whole(row, start, "start") if start else ""
        end = "" if stop is None else whole(row, stop, "stop")
        key[axis + 1] = f"{first}:{end}" + ("" if step == 1 else f":{whole(row, step, 'step')}")
    return [_indexed(key)]


@to("split", "chunk")
def _part(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    axis = place(row, layer.axis)
    start, stop = layer._bounds(row.input[0][axis - 1])
    ends = f"{whole(row, start, 'the start')}:{whole(row, stop, 'the stop')}"
    return [_indexed([*[":"] * axis, ends])]


def _indexed(key: list[str]) -> str:
    while len(key) > 1 and key[-1] == ":":
        key.pop()
    return f"{{0}}[{', '.join(key)}]"


@to("gather")
def _gather(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    axis = place(row, layer.axis)
    n = whole(row, row.input[0][axis - 1], "the size")
    if isinstance(layer.indices, tuple):
        chosen = ", ".join(str(i % n) for i in layer.indices)
        return [f"{np}.take({{0}}, {np}.array([{chosen}]), axis={axis})"]
    return [_indexed([*[":"] * axis, str(layer.indices)])]


@to("expand")
def _expand(row: Row, np: str) -> list[str]:
    old = (*(1,) * (len(row.output) - len(row.input[0])), *row.input[0])
    steps = [reshaped(np, old, row)] if old != row.input[0] else []
    for axis, (a, b) in enumerate(zip(old, row.output, strict=True), 1):
        if a != b:
            steps.append(f"{np}.repeat({{0}}, {whole(row, b, 'the size')}, axis={axis})")
    return steps


REDUCED = {"mean": "mean", "sum": "sum", "max": "max"}


@to(*REDUCED)
def _reduced(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    over = tuple(sorted({place(row, a) for a in layer.axes}))
    every = len(over) == rank(row) + 1
    keep = ", keepdims=True" if layer.keepdims or every else ""
    return [f"{np}.{row.op}({{0}}, axis={over!r}{keep})"]


@to("normalise")
def _normalise(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    axis, p = place(row, layer.axis), whole(row, layer.p, "p")
    power, root = f"{np}.abs({{0}}) ** {p}", f" ** (1 / {p})"
    if p == 2:
        power, root = f"{np}.square({{0}})", " ** 0.5"
    norm = f"{np}.sum({power}, axis={axis}, keepdims=True){root if p != 1 else ''}"
    return [f"{{0}} / {np}.maximum({norm}, {real(layer.eps)!r})"]


# --- value by value -----------------------------------------------------------------------


@to("abs", "exp")
def _function(row: Row, np: str) -> list[str]:
    return [f"{np}.{row.op}({{0}})"]


@to("tanhshrink")
def _tanhshrink(row: Row, np: str) -> list[str]:
    return [f"{{0}} - {np}.tanh({{0}})"]


@to("softsign")
def _softsign(row: Row, np: str) -> list[str]:
    return [f"{{0}} / (1 + {np}.abs({{0}}))"]


@to("log_sigmoid")
def _log_sigmoid(row: Row, np: str) -> list[str]:
    return [f"-{np}.logaddexp({np}.zeros_like({{0}}), -{{0}})"]


@to("hardshrink", "softshrink")
def _shrink(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    t = real(layer.threshold)
    if row.op == "hardshrink":
        return [f"{np}.where({np}.abs({{0}}) > {t!r}, {{0}}, 0.0)"]
    return [f"{np}.sign({{0}}) * {np}.maximum({np}.abs({{0}}) - {t!r}, 0.0)"]


@to("selu", "celu", "elu")
def _exponential(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    below = f"{np}.expm1({np}.minimum({{0}}, 0.0))"
    if row.op == "selu":
        scale, alpha = 1.0507009873554805, 1.6732632423543772
        return [f"{scale} * {np}.where({{0}} > 0, {{0}}, {alpha} * {below})"]
    alpha = real(layer.alpha)
    if row.op == "celu":
        below = f"{np}.expm1({np}.minimum({{0}}, 0.0) / {alpha!r})"
    times = "" if alpha == 1 else f"{alpha!r} * "
    return [f"{np}.where({{0}} > 0, {{0}}, {times}{below})"]


@to("leaky_relu")
def _leaky_relu(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    return [f"{np}.where({{0}} > 0, {{0}}, {real(layer.slope)!r} * {{0}})"]


@to("hardtanh", "clip")
def _clip(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    if layer.low is None:
        return [f"{np}.minimum({{0}}, {real(layer.high)!r})"] if layer.high is not None else []
    if layer.high is None:
        return [f"{np}.maximum({{0}}, {real(layer.low)!r})"]
    return [f"{np}.clip({{0}}, {real(layer.low)!r}, {real(layer.high)!r})"]


@to("hardsigmoid")
def _hardsigmoid(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    if (layer.alpha, layer.beta) == (Fraction(1, 6), Fraction(1, 2)):
        return [f"{np}.clip({{0}} + 3, 0, 6) / 6"]
    return [f"{np}.clip({real(layer.alpha)!r} * {{0}} + {real(layer.beta)!r}, 0, 1)"]


@to("power")
def _power(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    return [f"{np}.power({{0}}, {float(layer.exponent)!r})"]


@to("rescale")
def _rescale(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    return [f"{{0}} * {real(layer.scale)!r} + {real(layer.offset)!r}"]


@to("softmax", "log_softmax")
def _softmax(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    axis = place(row, layer.axis)
    prefix = "ops" if np == "ops" else "nn"
    return [f"{prefix}.{row.op}({{0}}, axis={-1 if axis == rank(row) + 1 else axis})"]


@to("glu")
def _glu(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    axis = place(row, layer.axis)
    half = whole(row, row.output[axis - 1], "the size")
    before = ":, " * axis
    gate = "ops.sigmoid" if np == "ops" else "nn.sigmoid"
    return [f"{{0}}[{before}:{half}] * {gate}({{0}}[{before}{half}:])"]


# --- joins -----------------------------------------------------------------------------


def _each(row: Row) -> list[str]:
    return [f"{{{i}}}" for i in range(len(row.inputs))]


@to("add", "average", "subtract", "divide")
def _arithmetic(row: Row, np: str) -> list[str]:
    sign = {"subtract": " - ", "divide": " / "}.get(row.op, " + ")
    total = sign.join(_each(row))
    return [f"({total}) / {len(row.inputs)}" if row.op == "average" else total]


@to("maximum", "minimum")
def _extreme(row: Row, np: str) -> list[str]:
    total = "{0}"
    for name in _each(row)[1:]:
        total = f"{np}.{row.op}({total}, {name})"
    return [total]


@to("multiply")
def _multiply(row: Row, np: str) -> list[str]:
    most = max(len(s) for s in row.input)
    index = "[:" + ", None" * (most - 1) + "]"
    flat = [index if len(s) == 1 < most else "" for s in row.input]
    return [" * ".join(name + more for name, more in zip(_each(row), flat, strict=True))]


@to("matmul")
def _matmul(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    most = max(len(s) for s in row.input)
    sides = []
    for i, turned in enumerate((layer.transpose_a, layer.transpose_b)):
        missing = most - len(row.input[i])
        side = f"{{{i}}}" + (f"[:{', None' * missing}]" if missing else "")
        sides.append(f"{np}.swapaxes({side}, -1, -2)" if turned else side)
    return [f"{np}.matmul({', '.join(sides)})"]


# --- windows and maps -------------------------------------------------------------------


@to("roll")
def _roll(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    return [
        f"{np}.roll({{0}}, {whole(row, by, 'the shift')}, axis={place(row, axis)})"
        for axis, by in layer._shifts(rank(row) + 1)
        if by != 0
    ]


@to("window_partition", "window_reverse")
def _windows(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    apart = row.op == "window_partition"
    n = rank(row) if apart else rank(row) - 1
    windows = [whole(row, w, "the window") for w in axes(layer.window, n)]
    if not apart:
        sizes = (*row.input[0][:n], *windows, row.output[-1])
        pairs = [(n + i, i) if layer.grid else (i, n + i) for i in range(1, n + 1)]
        order = (0, *(axis for pair in pairs for axis in pair), 2 * n + 1)
        turned = f"{np}.transpose({{0}}, {order!r})"
        return [reshaped(np, sizes, row), turned, reshaped(np, row.output, row)]
    counts = [whole(row, s, "the size") // w for s, w in zip(row.input[0], windows, strict=False)]
    cut = [
        n for c, w in zip(counts, windows, strict=True) for n in ((w, c) if layer.grid else (c, w))
    ]
    odd, even = tuple(range(1, 2 * n, 2)), tuple(range(2, 2 * n + 1, 2))
    order = (0, *(even + odd if layer.grid else odd + even), 2 * n + 1)
    turned = f"{np}.transpose({{0}}, {order!r})"
    return [reshaped(np, (*cut, row.input[0][-1]), row), turned, reshaped(np, row.output, row)]


@to("pixel_shuffle")
def _pixel_shuffle(row: Row, np: str) -> list[str]:
    layer: Any = row.layer
    n = rank(row)
    scales = [whole(row, s, "scale") for s in axes(layer.scale, n)]
    sizes = (*row.input[0][:-1], row.output[-1], *scales)
    order = (0, *(axis for i in range(n) for axis in (1 + i, n + 2 + i)), n + 1)
    turned = f"{np}.transpose({{0}}, {order!r})"
    return [reshaped(np, sizes, row), turned, reshaped(np, row.output, row)]


def even_steps(row: Row) -> tuple[int, ...]:
    """The windows of an adaptive pool that are all of one size; none where nothing is pooled."""
    layer: Any = row.layer
    pairs = zip(row.input[0][:-1], axes(layer.size, rank(row)), strict=True)
    sizes = [(whole(row, n, "the size"), whole(row, o, "the size")) for n, o in pairs]
    if any(n % o for n, o in sizes):
        raise refused(row, "the windows of this adaptive pool are not all of one size")
    return () if all(n == o for n, o in sizes) else tuple(n // o for n, o in sizes)


@to("upsample")
def _upsample(row: Row, np: str) -> list[str]:
    """Whole numbers repeat each position; `bilinear` is each target's own resize."""
    layer: Any = row.layer
    steps = []
    for axis, (s, o) in enumerate(zip(axes(layer.scale, rank(row)), row.output, strict=False), 1):
        if isinstance(s, int):
            steps += [f"{np}.repeat({{0}}, {s}, axis={axis})"] if s != 1 else []
            continue
        chosen = [int(i / s) for i in range(whole(row, o, "the size"))]
        if len(chosen) > 512:
            raise refused(row, f"positions of {len(chosen)} outputs are too many to list")
        steps.append(f"{np}.take({{0}}, {np}.array({chosen!r}), axis={axis})")
    return steps
