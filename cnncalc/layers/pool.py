"""Pooling: sliding, global and adaptive windows, and LeNet-5's trainable subsampling."""

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from ..dialects import pool_window
from ..formula import ceil_div, compare, divide
from .accounts import Account, Mistake, mistake, sliding
from .base import (
    Choice,
    Dialect,
    Fix,
    Flag,
    Layer,
    Misfit,
    Number,
    Padding,
    PerAxis,
    Reach,
    Run,
    Shape,
    Shapes,
    Sizes,
    Window,
    axes,
    pads,
    product,
    rank_misfits,
    spatial,
)
from .mistakes import COMMON, SIZES, depth_one, differ, flattened, padded_depth

if TYPE_CHECKING:
    from ..execute import Pass

SLIDING = ("kernel", "stride", "pad", "dilation")


@sliding("stride-is-kernel", "stride taken equal to the kernel")
def stride_is_kernel(w: Window) -> Window | None:
    return w._replace(s=w.k) if differ(w.s, w.k) else None


@mistake("channels-pooled", "pooling the channels too")
def pooled_channels(a: Account) -> Account | None:
    w, depth = a.windows[0], a.output[-1]
    return a.depth((depth - w.k) // w.s + 1) if compare(depth, w.k) != -1 else None


@mistake("channels-pooled", "pooling the channels too: depth divided by the stride")
def divided_channels(a: Account) -> Account | None:
    return a.depth(a.output[-1] // a.windows[0].s)


@mistake("channels-pooled", "pooling the channels too: depth divided by the kernel", rare=True)
def divided_by_kernel(a: Account) -> Account | None:
    w = a.windows[0]
    return a.depth(a.output[-1] // w.k) if differ(w.k, w.s) else None


def _given(words: str, shapes: Callable[[Account, Shape], dict[str, Shape]]) -> Mistake:
    @mistake("pooling-parameters", f"pooling given parameters{words}")
    def change(a: Account) -> Account | None:
        taps = tuple(w.k for w in a.windows) or a.inputs[0][:-1]
        return a._replace(weights=shapes(a, taps))

    return change


def _depth(a: Account) -> Number:
    return a.inputs[0][-1]


PARAMETERS = (
    _given(": k*k weights per channel", lambda a, k: {"kernel": (*k, _depth(a))}),
    _given(
        ": k*k weights and a bias per channel",
        lambda a, k: {"kernel": (*k, _depth(a)), "bias": (_depth(a),)},
    ),
    _given(": k*k weights", lambda a, k: {"kernel": k}),
    _given(": k*k weights and a bias", lambda a, k: {"kernel": k, "bias": (1,)}),
    _given(": those of a convolution", lambda a, k: {"kernel": (*k, _depth(a), _depth(a))}),
    _given(
        ": those of a convolution, biases too",
        lambda a, k: {"kernel": (*k, _depth(a), _depth(a)), "bias": (_depth(a),)},
    ),
    _given(": one per channel", lambda a, k: {"scale": (_depth(a),)}),
    _given(": two per channel", lambda a, k: {"scale": (2, _depth(a))}),
)


@mistake("pooling-macs", "pooling given multiply-adds: every window's values counted")
def pool_macs(a: Account) -> Account | None:
    taps = product([w.k for w in a.windows]) if a.windows else product(a.inputs[0][:-1])
    return a._replace(macs=product(a.output) * taps)


@mistake("pooling-left-out", "pooling ignored")
def pooling_ignored(a: Account) -> Account | None:
    return a.sized(a.inputs[0])._replace(steps=None, weights={})


POOLING = (
    PARAMETERS[0], *SIZES, stride_is_kernel, pooled_channels, divided_channels, depth_one,
    divided_by_kernel, padded_depth, *PARAMETERS[1:], pool_macs, pooling_ignored, *COMMON,
)  # fmt: skip


class _Pool(Layer):
    """Shared facts of the sliding pools: one window an axis, the channels kept."""

    kernel: Any = PerAxis()
    stride: Any = PerAxis(default=None)
    pad: Any = Padding(default=0)
    dilation: Any = PerAxis(default=1)
    round: Any = Choice(("floor", "ceil"), default=None)

    needs_spatial = True
    mistakes = POOLING

    def windows(self, inputs: Shapes, dialect: Dialect) -> tuple[Window, ...]:
        sizes = spatial(inputs[0])
        rank = len(sizes)
        stride = self.kernel if self.stride is None else self.stride
        fields = (axes(self.kernel, rank), axes(stride, rank), axes(self.dilation, rank))
        columns = zip(sizes, *fields, pads(self.pad, rank), strict=True)
        return tuple(pool_window(dialect, n, k, s, d, p, self.round) for n, k, s, d, p in columns)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (*(w.out for w in self.windows(inputs, dialect)), inputs[0][-1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return rank_misfits(self, inputs[0], SLIDING)


class MaxPool(_Pool, op="maxpool"):
    """Max pooling: the largest value under every window, channel by channel.

    Padding never wins (it counts as -infinity). `round` is the rounding of the number of
    windows (caffe: ceil, otherwise floor). No parameters, no MACs (CS231n notes;
    torch.nn.MaxPool2d, whose default stride is the kernel too).

    >>> from cnncalc.dialects import DEFAULT
    >>> MaxPool(kernel=3, stride=2).output([(55, 55, 96)], DEFAULT)
    (27, 27, 96)
    """

    nonlinear = True
    examples = (
        ("4x4x1", {"kernel": 2}),
        ("55x55x6", {"kernel": 3, "stride": 2}),
        ("12x9x3", {"kernel": [2, 3], "stride": [2, 1], "round": "ceil"}),
        ("7x7x2", {"kernel": 3, "stride": 2, "pad": 1, "round": "ceil"}),
        ("13x4", {"kernel": 3, "stride": 2, "dilation": 2, "pad": 1}),
        ("6x5x7x2", {"kernel": 2, "stride": 1}),
        ("9x8x3", {"kernel": 3, "stride": 2, "pad": "same"}),
    )
    kept = 1.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        return ag.max_pool(x, **_ag.pool_fields(self.windows([x.shape[1:]], run.dialect)))

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _lax.max_pool(run, x, self)


class AvgPool(_Pool, op="avgpool"):
    """Average pooling: the mean under every window, channel by channel.

    `count_include_pad`: whether padding counts in the divisor; without a word the dialect
    decides (caffe and torch count it, keras and onnx do not). What a rounded-up window
    overhangs beyond the padding never counts (torch.nn.AvgPool2d; Caffe pooling_layer.cpp).
    """

    count_include_pad: Any = Flag(default=None)

    examples = (
        ("8x8x3", {"kernel": 2}),
        ("7x7x4", {"kernel": 3, "stride": 2, "pad": 1}),
        ("8x9x2", {"kernel": 3, "stride": 2, "pad": 1, "count_include_pad": False}),
        ("11x10x2", {"kernel": [3, 2], "stride": 2, "round": "ceil", "count_include_pad": True}),
        ("17x5", {"kernel": 4, "stride": 3, "pad": 2, "round": "ceil"}),
        ("5x6x7x2", {"kernel": 3, "stride": 1, "pad": 1}),
        ("9x8x3", {"kernel": 2, "stride": 2, "pad": "same"}),
    )

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        yield from super().misfits(inputs, dialect)
        if dialect.name != "torch" or len(inputs[0]) != 4:
            return
        sizes = spatial(inputs[0])
        for n, k in zip(sizes, axes(self.kernel, len(sizes)), strict=True):
            if compare(n, k) == -1:
                text = f"torch's avg_pool3d refuses a kernel of {k} on {n} positions, padded or not"
                yield Misfit("S006", text, "kernel", (Fix(f"kernel: {n}", {"kernel": n}),))
                return

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        windows = self.windows([x.shape[1:]], run.dialect)
        include = self.count_include_pad
        return ag.avg_pool(
            x,
            **_ag.pool_fields(windows),
            count_include_pad=run.dialect.include_pad if include is None else include,
            counted=[(w.before, w.after) for w in windows],
        )

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _lax.avg_pool(run, x, self)


@mistake("channels-pooled", "the channels pooled instead of the positions: a map is left")
def map_left(a: Account) -> Account | None:
    return a._replace(output=a.inputs[0][:-1])


@mistake("channels-pooled", "the channels pooled instead of the positions")
def channels_pooled(a: Account) -> Account | None:
    return a._replace(output=(*a.inputs[0][:-1], 1))


@mistake("channels-pooled", "pooling the channels too: one value for the whole volume")
def all_pooled(a: Account) -> Account | None:
    return a._replace(output=(1,) * len(a.output))


class _GlobalPool(Layer):
    """Shared facts of the pools over a whole map."""

    keepdims: Any = Flag(default=False)

    needs_spatial = True
    mistakes = (
        all_pooled,
        channels_pooled,
        map_left,
        *PARAMETERS,
        pool_macs,
        pooling_ignored,
        *COMMON,
    )
    examples = (
        ("7x7x16", {}),
        ("7x5x4", {"keepdims": True}),
        ("20x6", {}),
        ("3x4x5x2", {"keepdims": True}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        kept = (1,) * (len(inputs[0]) - 1) if self.keepdims else ()
        return (*kept, inputs[0][-1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return rank_misfits(self, inputs[0], ())

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """Every output reads the whole map."""
        return tuple(Reach(n - 1, 1) for n in spatial(inputs[0])) or None


class GlobalAvgPool(_GlobalPool, op="global_avgpool"):
    """Global average pooling: the mean of every map, a flat vector of C values.

    With `keepdims` a volume 1x1xC (Lin 2013, Network in Network; keras
    GlobalAveragePooling2D, torch AdaptiveAvgPool2d(1)).
    """

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.mean(x, axis=tuple(range(1, x.ndim - 1)), keepdims=self.keepdims)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)), keepdims=self.keepdims)


class GlobalMaxPool(_GlobalPool, op="global_maxpool"):
    """Global max pooling: the largest value of every map, a flat vector of C values.

    With `keepdims` a volume 1x1xC (keras GlobalMaxPooling2D).
    """

    nonlinear = True

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return prod(inputs[0]) / 8 + 2 * prod(output)

    def forward(self, run: "Pass", x: Any) -> Any:
        """Of equal largest values the first gets the gradient, as in `maxpool`."""
        from .. import autograd as ag

        channels = x.shape[-1]
        top = ag.max(ag.reshape(x, (x.shape[0], -1, channels)), axis=1)
        kept = (1,) * (x.ndim - 2) if self.keepdims else ()
        return ag.reshape(top, (x.shape[0], *kept, channels))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.max(x, axis=tuple(range(1, x.ndim - 1)), keepdims=self.keepdims)


class AdaptiveAvgPool(Layer, op="adaptive_avgpool"):
    """Adaptive average pooling: as many windows an axis as asked for, whatever the input size.

    Window i of o averages positions floor(i·n/o) up to ceil((i+1)·n/o)
    (torch.nn.AdaptiveAvgPool2d).
    """

    size: Any = PerAxis(alias="output")

    needs_spatial = True
    mistakes = (depth_one, flattened, *PARAMETERS, pooling_ignored, *COMMON)
    examples = (
        ("7x7x4", {"output": 7}),
        ("13x9x3", {"output": [6, 4]}),
        ("20x2", {"output": 3}),
        ("3x4x5x2", {"output": 2}),
        ("2x3x2", {"output": 5}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (*axes(self.size, len(inputs[0]) - 1), inputs[0][-1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return rank_misfits(self, inputs[0], ("output",))

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """The widest window, and the mean distance n/o between neighbours.

        A closed form gives ceil(n/o) as the width, one short where windows straddle
        two borders of the input's own grid.
        """
        sizes = spatial(inputs[0])
        outputs = axes(self.size, len(sizes))
        columns = zip(sizes, outputs, strict=True)
        return tuple(Reach(_widest(n, o) - 1, divide(n, o)) for n, o in columns) or None

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.adaptive_avg_pool(x, self.size)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _lax.adaptive_avg_pool(x, self.size)


def _widest(n: Number, o: Number) -> Number:
    """Width of the widest of o adaptive windows over n positions."""
    if isinstance(n, int) and isinstance(o, int):
        rest = n % o
        return n // o if rest == 0 else n // o + (1 if o % rest == 0 else 2)
    return ceil_div(n, o)


@mistake("modern-pooling", "taken for modern pooling, which has no parameters")
def modern_pooling(a: Account) -> Account | None:
    return a._replace(weights={})


def _subsample(id: str, words: str, shapes: Callable[[Account], dict[str, Shape]]) -> Mistake:
    return mistake(id, words)(lambda a: a._replace(weights=shapes(a)))


TRAINABLE = (
    modern_pooling,
    _subsample("biases-left-out", "biases left out: one coefficient per map",
               lambda a: {"coefficient": (_depth(a),)}),
    _subsample("subsample-weights", "4 weights per map: one for each position of the window",
               lambda a: {"kernel": (*(w.k for w in a.windows), _depth(a))}),
    _subsample("subsample-weights", "weights for each position of the window, and a bias per map",
               lambda a: {"kernel": (*(w.k for w in a.windows), _depth(a)), "bias": (_depth(a),)}),
    _subsample("one-for-all", "one coefficient and one bias for all maps",
               lambda a: {"coefficient": (1,), "bias": (1,)}),
    _subsample("one-bias", "one bias per layer instead of one per map",
               lambda a: {"coefficient": (_depth(a),), "bias": (1,)}),
    _subsample("no-weight-sharing", "no weight sharing: a coefficient and a bias for every neuron",
               lambda a: {"coefficient": a.output, "bias": a.output}),
    PARAMETERS[4],
    PARAMETERS[5],
)  # fmt: skip


class Subsample(Layer, op="subsample"):
    """LeNet-5's trainable pooling: a window's sum times one coefficient, plus one bias, per map.

    coefficient (C,), bias (C,); windows do not overlap. The squashing function is a layer
    of its own (LeCun 1998, section II.B).
    """

    kernel: Any = PerAxis()

    needs_spatial = True
    mistakes = (*TRAINABLE, *SIZES, pooled_channels, divided_channels, depth_one, *COMMON)
    examples = (
        ("28x28x6", {"kernel": 2}),
        ("12x9x4", {"kernel": [2, 3]}),
        ("15x3", {"kernel": 3}),
        ("4x4x6x2", {"kernel": 2}),
    )
    kept = 2

    def windows(self, inputs: Shapes, dialect: Dialect) -> tuple[Window, ...]:
        sizes = spatial(inputs[0])
        columns = zip(sizes, axes(self.kernel, len(sizes)), strict=True)
        return tuple(pool_window(dialect, n, k, k, 1, 0, "floor") for n, k in columns)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (*(w.out for w in self.windows(inputs, dialect)), inputs[0][-1])

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {"coefficient": (inputs[0][-1],), "bias": (inputs[0][-1],)}

    def connections(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        """Every output value reads its window and a bias: 5 connections for 2x2."""
        taps = product([w.k for w in self.windows(inputs, dialect)])
        return product(output) * (taps + 1)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return rank_misfits(self, inputs[0], ("kernel",))

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        fields = _ag.pool_fields(self.windows([x.shape[1:]], run.dialect))
        coefficient = run.param("coefficient", (x.shape[-1],)) * prod(fields["kernel"])
        return _ag.biased(run, ag.avg_pool(x, **fields) * coefficient, True)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        total = _lax.window_sums(x, self.kernel)
        shape = (x.shape[-1],)
        return total * run.param("coefficient", shape) + run.param("bias", shape)
