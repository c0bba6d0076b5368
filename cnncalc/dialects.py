"""How each framework sizes a sliding window: one table, one function a rule.

n input, k kernel, s stride, d dilation, K = d(k-1)+1 the extent, before and after the
zero padding at the two ends of one axis. All rules are plain arithmetic, so that they
read the same on integers, closed forms and worked text.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from . import expr
from .diagnostics import Problem, Span
from .formula import Number, compare, maximum, minimum, slide

Size = Any  # int | Expr | Worked: whatever the arithmetic is read on
Rule = Callable[[Size, Size, Size, Size, Size], Size]


def extent(k: Size, d: Size) -> Size:
    """Input positions one dilated kernel spans: d(k-1)+1.

    >>> extent(3, 4)
    9
    """
    return k if isinstance(d, int) and d == 1 else d * (k - 1) + 1


def floor_rule(n: Size, K: Size, s: Size, before: Size, after: Size) -> Size:
    """(n - K + P)/s + 1, rounded down: CS231n notes, torch.nn.Conv2d, lax VALID."""
    return slide(n, K, s, before + after)


def ceil_rule(n: Size, K: Size, s: Size, before: Size, after: Size) -> Size:
    """ceil((n - K + P)/s) + 1, unclipped: Caffe pooling_layer.cpp without padding."""
    return slide(n, K, s, before + after + s - 1)


def clipped_rule(n: Size, K: Size, s: Size, before: Size, after: Size) -> Size:
    """`ceil_rule`, less one where the last window starts at or beyond n + before.

    The last start (o-1)s stays below n + before exactly when o <= (n+before-1)//s + 1,
    so both bounds are one floor: torch Pool.h, Caffe pooling_layer.cpp, ONNX Runtime.
    """
    return (n + before - 1 + minimum(after - K + s, 0)) // s + 1


def same_rule(n: Size, K: Size, s: Size, before: Size, after: Size) -> Size:
    """ceil(n/s): TensorFlow, Keras, JAX and ONNX `SAME`."""
    return (n - 1) // s + 1


def same_total(n: Size, K: Size, s: Size) -> Size:
    """The zeros that `SAME` adds at both ends together: what the last window lacks."""
    return maximum((same_rule(n, K, s, 0, 0) - 1) * s + K - n, 0)


def transpose_rule(n: Size, K: Size, s: Size, before: Size, after: Size) -> Size:
    """(n - 1)s + K - P: the size whose convolution gives n back."""
    return (n - 1) * s + K - (before + after)


def transpose_same_rule(n: Size, K: Size, s: Size, before: Size, after: Size) -> Size:
    """n·s: Keras and JAX transposed `same`."""
    return n * s


def transpose_valid_rule(n: Size, K: Size, s: Size, before: Size, after: Size) -> Size:
    """(n - 1)s + max(K, s): Keras and JAX transposed `valid`."""
    return (n - 1) * s + maximum(K, s)


class Dialect(NamedTuple):
    """One framework's conventions (section 5 of the design)."""

    name: str
    exact: bool = False  # a stride that does not fit is an error
    pool: Rule = floor_rule
    pool_padded: Rule = floor_rule  # where the pool is padded
    ceil: Rule = clipped_rule  # what an explicit `round: ceil` does
    tf_same: bool = False  # `same` depends on the input size and takes any stride
    same_strides: bool = True  # `same` is accepted with strides above 1
    same_pools: bool = True  # pools take `same` too
    same_lower: bool = True  # `same` may put the odd one of the zeros first
    asymmetric: bool = False  # padding may differ at the two ends
    uneven_same: bool = False  # an odd total of `same` is split unevenly
    half_pad: str = ""  # the limit on a pool's padding: "half" or "kernel"
    include_pad: bool = False  # average pools count the padding by default
    lrn_divides: bool = True  # LRN's alpha is divided by the window size
    lstm_biases: int = 1  # an LSTM adds one bias to its gates, or one to each of two products
    gru_biases: str = "one"  # "two", two where it resets "after", one and the "candidate"'s own
    gru_reset_after: bool = False  # a GRU's reset gate acts after the recurrent product
    truncates: bool = False  # a negative quotient rounds toward zero
    opset: int = 0

    @property
    def label(self) -> str:
        return f"onnx:{self.opset}" if self.opset else self.name


CAFFE_POOL = {"pool": ceil_rule, "pool_padded": clipped_rule}
DIALECTS = {
    d.name: d
    for d in (
        Dialect("cs231n", exact=True, include_pad=True),
        Dialect(
            "caffe",
            pool=ceil_rule,
            pool_padded=clipped_rule,
            half_pad="kernel",
            include_pad=True,
            truncates=True,
        ),
        Dialect(
            "torch",
            same_strides=False,
            same_pools=False,
            same_lower=False,
            uneven_same=True,
            half_pad="half",
            include_pad=True,
            lstm_biases=2,
            gru_biases="two",
            gru_reset_after=True,
        ),
        Dialect(
            "keras",
            tf_same=True,
            same_lower=False,
            asymmetric=True,
            uneven_same=True,
            lrn_divides=False,
            gru_biases="after",
            gru_reset_after=True,
        ),
        Dialect(
            "jax",
            tf_same=True,
            asymmetric=True,
            uneven_same=True,
            lrn_divides=False,
            gru_biases="candidate",
            gru_reset_after=True,
        ),
        Dialect(
            "onnx",
            tf_same=True,
            asymmetric=True,
            uneven_same=True,
            half_pad="kernel",
            truncates=True,
            lstm_biases=2,
            gru_biases="two",
        ),
    )
}
DEFAULT = DIALECTS["cs231n"]
OPSETS = range(7, 30)


def dialect(name: str, span: Span | None = None) -> Dialect:
    """The dialect called `name`; raises `Problem` E014.

    >>> dialect("onnx:13").opset
    13
    """
    base, _, opset = name.strip().partition(":")
    found = DIALECTS.get(base)
    if found is None or (opset and base != "onnx"):
        near = expr.nearest(base, DIALECTS)
        help_ = [f"did you mean '{near}'?"] if near and near != base else []
        help_.append("known dialects: " + ", ".join(DIALECTS) + " (onnx:13 for an opset)")
        raise Problem("E014", f"unknown dialect '{name[:40]}'", span, help_)
    if not opset:
        return found
    if not (opset.isascii() and opset.isdigit() and int(opset[:6]) in OPSETS):
        message = f"unknown ONNX opset '{opset[:20]}'"
        help_ = [f"opsets {OPSETS[0]} to {OPSETS[-1]} are known, as in onnx:13"]
        raise Problem("E014", message, span, help_)
    return found._replace(opset=int(opset))


class Window(NamedTuple):
    """A sliding window along one spatial axis, and the number of places it takes."""

    n: Number
    k: Number
    s: Number
    d: Number
    before: Number
    after: Number
    out: Number
    rule: Rule
    kind: str  # conv, pool or transpose
    flaw: tuple[str, str] | None = None  # code and reason, where the dialect refuses

    @property
    def extent(self) -> Number:
        result: Number = extent(self.k, self.d)
        return result

    @property
    def padded(self) -> Number:
        return self.n + self.before + self.after

    @property
    def remainder(self) -> Number:
        """Padded positions beyond the last window: 0 where the stride fits."""
        return (self.padded - self.extent) % self.s

    @property
    def unread(self) -> Number:
        """Real positions at the far end that no window reads."""
        beyond = self.n + self.before - ((self.out - 1) * self.s + self.extent)
        return maximum(0, minimum(self.n, beyond))


Flaw = tuple[str, str] | None
Ends = tuple[Number, Number]


def _same_ends(d: Dialect, n: Number, K: Number, s: Number, upper: bool) -> tuple[Ends, Flaw]:
    """The zero padding that `same` stands for, at both ends, and what is wrong with it."""
    flaw: Flaw = None
    if not (upper or d.same_lower):
        flaw = ("S010", f"the {d.name} dialect has no pad 'same_lower', only 'same'")
    if d.tf_same:
        return _split(same_total(n, K, s), upper), flaw
    if not d.same_strides and s != 1:
        flaw = ("S010", f"the {d.name} dialect refuses pad 'same' with stride {s}")
    total = K - 1
    if not d.uneven_same and isinstance(total, int) and total % 2:
        flaw = (
            "S005",
            f"pad 'same' for an extent of {K} adds {total} zeros, which the {d.name} dialect "
            "cannot split evenly",
        )
    return (_split(total, upper) if isinstance(total, int) else (total / 2, total / 2)), flaw


def _split(total: Number, upper: bool) -> Ends:
    small = total // 2
    return (small, total - small) if upper else (total - small, small)


def _ends(d: Dialect, pad: Any, n: Number, K: Number, s: Number) -> tuple[Ends, Flaw]:
    if pad == "valid":
        return (0, 0), None
    if isinstance(pad, str):
        return _same_ends(d, n, K, s, pad == "same")
    if isinstance(pad, tuple):
        before, after = pad
        flaw: Flaw = None
        if not d.asymmetric and before != after:
            flaw = (
                "S005",
                f"padding {before} before and {after} after is asymmetric, which the "
                f"{d.name} dialect does not have",
            )
        return (before, after), flaw
    return (pad, pad), None


def conv_window(d: Dialect, n: Number, k: Number, s: Number, dil: Number, pad: Any) -> Window:
    """A convolution's window along one axis.

    >>> conv_window(DEFAULT, 227, 11, 4, 1, 0).out
    55
    """
    K = extent(k, dil)
    (before, after), flaw = _ends(d, pad, n, K, s)
    rule = same_rule if isinstance(pad, str) and pad != "valid" and d.tf_same else floor_rule
    return Window(n, k, s, dil, before, after, rule(n, K, s, before, after), rule, "conv", flaw)


def pool_window(
    d: Dialect, n: Number, k: Number, s: Number, dil: Number, pad: Any, rounding: str | None
) -> Window:
    """A pool's window along one axis; `rounding` None takes the dialect's own.

    >>> pool_window(dialect("caffe"), 112, 3, 2, 1, 0, None).out
    56
    """
    K = extent(k, dil)
    (before, after), flaw = _ends(d, pad, n, K, s)
    padded = compare(before, 0) != 0 or compare(after, 0) != 0
    rule: Rule
    if isinstance(pad, str) and pad != "valid" and d.tf_same:
        rule = same_rule
    elif rounding == "floor":
        rule = floor_rule
    elif rounding == "ceil" and d.name != "caffe":
        rule = d.ceil
    else:
        rule = d.pool_padded if padded else d.pool
    if isinstance(pad, str) and pad != "valid" and not d.same_pools:
        flaw = ("S010", f"the pools of the {d.name} dialect have no pad '{pad}', only numbers")
    if not isinstance(pad, str):
        flaw = flaw or _pool_flaw(d, k, before, after)
    return Window(n, k, s, dil, before, after, rule(n, K, s, before, after), rule, "pool", flaw)


def _pool_flaw(d: Dialect, k: Number, before: Number, after: Number) -> Flaw:
    most = maximum(before, after)
    if d.half_pad == "half" and compare(2 * most, k) == 1:
        return ("S006", f"a pool padded by {most} is refused by torch: at most half the kernel {k}")
    if d.half_pad == "kernel" and compare(most, k) in (0, 1):
        who = "ONNX Runtime" if d.name == "onnx" else d.name
        return ("S006", f"a pool padded by {most} is refused by {who}: less than the kernel {k}")
    return None


def transpose_window(
    d: Dialect,
    n: Number,
    k: Number,
    s: Number,
    dil: Number,
    pad: Any,
    extra: Number,
    given: bool = False,
) -> Window:
    """A transposed convolution's window: `n` is the small side, `out` the large one.

    With `given`, an `extra` of 0 is meant so, as another axis has one: Keras sizes an axis
    otherwise where no output padding is given at all.

    >>> transpose_window(dialect("torch"), 4, 4, 2, 1, 1, 0).out
    8
    """
    K = extent(k, dil)
    flaw: Flaw = None
    ends: Ends = (0, 0)
    rule: Rule = transpose_rule
    if isinstance(pad, str) and pad != "valid":
        if d.tf_same:
            rule = transpose_same_rule
            ends = _split(maximum(K - s, 0), pad == "same")
        else:
            flaw = ("S010", f"the {d.name} dialect has no transposed pad 'same'")
            ends = _split(maximum(K - s, 0), True)
    elif pad == "valid":
        rule = transpose_valid_rule if d.name in ("keras", "jax") else transpose_rule
    else:
        ends, flaw = _ends(d, pad, n, K, s)
    if d.name == "keras" and isinstance(pad, str) and (given or compare(extra, 0) == 1):
        # with an output padding: (n - 1)s + K for `valid`, (n - 1)s + K mod 2 for `same`
        rule = transpose_rule
        ends = (0, 0) if pad == "valid" else (K // 2, K // 2)
    out = rule(n, K, s, *ends) + extra
    most = s if d.name == "onnx" else maximum(s, dil)
    if flaw is None and compare(extra, 0) == 1 and compare(extra, most) in (0, 1):
        or_dilation = "" if d.name == "onnx" else " or the dilation"
        flaw = ("S011", f"output_pad {extra} must be smaller than the stride {s}{or_dilation}")
    return Window(n, k, s, dil, *ends, out, rule, "transpose", flaw)
