"""Convolutions: plain, depthwise, separable and transposed, in 1 to 3 dimensions."""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from ..dialects import conv_window, transpose_window
from ..formula import compare, divide
from .accounts import Account, fields, mistake, setting
from .base import (
    Count,
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
    Table,
    Window,
    axes,
    divides,
    pads,
    product,
    rank_misfits,
    ratio,
    spatial,
)
from .mistakes import (
    COMMON,
    DEPTHS,
    GROUPS_IGNORED,
    SIZES,
    WEIGHTS,
    biases_counted,
    depth_kept,
    differ,
    no_biases,
    one_bias,
)

if TYPE_CHECKING:
    from ..execute import Pass

SLIDING = ("kernel", "stride", "pad", "dilation")


def group_misfits(name: str, value: Number, groups: Number) -> Iterator[Misfit]:
    """S004 where `groups` does not divide `value`, with the nearest divisors as fixes."""
    if divides(value, groups) is not False:
        return
    fixes: tuple[Fix, ...] = ()
    if isinstance(value, int) and isinstance(groups, int):
        nearest = sorted(
            (g for g in range(1, min(value, 4096) + 1) if value % g == 0),
            key=lambda g: abs(g - groups),
        )[:3]
        fixes = tuple(Fix(f"groups: {g}", {"groups": g}) for g in nearest)
    yield Misfit("S004", f"groups {groups} does not divide {name} {value}", "groups", fixes)


@setting("transposed-for-normal", "normal confused with transposed")
def as_transposed(layer: Layer, inputs: tuple[Shape, ...]) -> Any:
    shared = {k: v for k, v in layer.values().items() if k in ConvTranspose.fields}
    return ConvTranspose.build(shared), inputs


@setting("normal-for-transposed", "transposed confused with normal")
def as_normal(layer: Layer, inputs: tuple[Shape, ...]) -> Any:
    return Conv.build({k: v for k, v in layer.values().items() if k in Conv.fields}), inputs


@setting(
    "ordinary-convolution", "taken as an ordinary convolution: every filter reads all channels"
)
def ordinary(layer: Layer, inputs: tuple[Shape, ...]) -> Any:
    values = {k: v for k, v in layer.values().items() if k in Conv.fields}
    channels = inputs[0][-1] * layer.values()["multiplier"]
    return Conv.build({"filters": channels, **values}), inputs


CONVOLUTION = (depth_kept, *SIZES, *DEPTHS[1:], *WEIGHTS)
NO_MULTIPLIER = fields("multiplier-ignored", "multiplier ignored", multiplier=1)


class Conv(Layer, op="conv"):
    """Convolution: every filter slides over the volume and computes dot products.

    kernel (*kernel, C/groups, filters), bias (filters,). MACs: one multiply-add per
    kernel weight and output position (CS231n notes; torch.nn.Conv2d).

    >>> from cnncalc.dialects import DEFAULT
    >>> Conv(filters=10, kernel=5, pad=2).output([(32, 32, 3)], DEFAULT)
    (32, 32, 10)
    """

    filters: Any = Count()
    kernel: Any = PerAxis()
    stride: Any = PerAxis(default=1)
    pad: Any = Padding(default=0)
    dilation: Any = PerAxis(default=1)
    groups: Any = Count(default=1)
    bias: Any = Flag(default=True)
    connect: Any = Table(default=None)

    linear = True
    mistakes = (
        *CONVOLUTION,
        fields("connect-ignored", "the table of connections ignored", connect=None),
        as_transposed,
        *COMMON,
    )
    needs_spatial = True
    examples = (
        ("7x7x1", {"filters": 1, "kernel": 3}),
        ("9x11x4", {"filters": 6, "kernel": [3, 5], "stride": [2, 3], "pad": [1, 2]}),
        ("20x8", {"filters": 5, "kernel": 4, "dilation": 2, "stride": 2}),
        ("7x6x5x4", {"filters": 6, "kernel": 3, "groups": 2, "pad": 1}),
        ("9x9x3", {"filters": 4, "kernel": 4, "pad": [[1, 2], [0, 3]], "bias": False}),
        ("8x8x4", {"filters": 2, "kernel": 3, "connect": [[0, 1, 3], [2]]}),
    )

    def windows(self, inputs: Shapes, dialect: Dialect) -> tuple[Window, ...]:
        sizes = spatial(inputs[0])
        rank = len(sizes)
        fields = (axes(self.kernel, rank), axes(self.stride, rank), axes(self.dilation, rank))
        columns = zip(sizes, *fields, pads(self.pad, rank), strict=True)
        return tuple(conv_window(dialect, n, k, s, d, p) for n, k, s, d, p in columns)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (*(w.out for w in self.windows(inputs, dialect)), self.filters)

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        kernel = axes(self.kernel, len(inputs[0]) - 1)
        if self.connect is not None:
            found = {"kernel": (*kernel, sum(len(row) for row in self.connect))}
        else:
            found = {"kernel": (*kernel, ratio(inputs[0][-1], self.groups), self.filters)}
        if self.bias:
            found["bias"] = (self.filters,)
        return found

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        return product(spatial(output)) * product(self.weights(inputs, dialect)["kernel"])

    def fan_in(self, inputs: Shapes, dialect: Dialect) -> Number | None:
        """With a table of connections the filters differ, unless they all read as many maps."""
        if self.connect is None:
            return super().fan_in(inputs, dialect)
        sizes = {len(row) for row in self.connect}
        taps = product(axes(self.kernel, len(inputs[0]) - 1))
        return taps * sizes.pop() if len(sizes) == 1 else None

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        channels = inputs[0][-1]
        yield from rank_misfits(self, inputs[0], SLIDING)
        yield from group_misfits("the input channels", channels, self.groups)
        yield from group_misfits("filters", self.filters, self.groups)
        if self.connect is not None:
            yield from self._connect_misfits(channels)

    def _connect_misfits(self, channels: Number) -> Iterator[Misfit]:
        if self.groups != 1:
            yield Misfit("S004", "connect and groups cannot both choose the maps", "connect")
        if self.filters != len(self.connect):
            text = f"connect lists {len(self.connect)} filters, but filters is {self.filters}"
            yield Misfit("S003", text, "connect")
        top = max(max(row) for row in self.connect)
        if isinstance(channels, int) and top >= channels:
            text = f"connect reads map {top}, but the input has maps 0 to {channels - 1}"
            yield Misfit("S003", text, "connect")

    def work(self, inputs: Sizes, dialect: Dialect, batch: int, itemsize: int) -> int:
        from . import _ag

        w = self.weights(inputs, dialect)["kernel"]
        w = w if self.connect is None else (*w[:-1], inputs[0][-1], self.filters)
        x = (batch, *inputs[0])
        return _ag.conv_work(x, w, self.windows(inputs, dialect), self.groups, itemsize)

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        windows = self.windows([x.shape[1:]], run.dialect)
        w = run.param("kernel", self.weights([x.shape[1:]], run.dialect)["kernel"])
        if self.connect is not None:
            w = _ag.connected(w, self.connect, x.shape[-1])
        return _ag.biased(run, _ag.conv(x, w, windows, self.groups), self.bias)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        rank = x.ndim - 2
        kernel = _lax.per_axis(self.kernel, rank)
        if self.connect is not None:
            w = _lax.connected_kernel(run, kernel, x.shape[-1], self.connect)
        else:
            shape = (*kernel, x.shape[-1] // self.groups, self.filters)
            w = run.param("kernel", shape)
        y = _lax.conv(run, x, w, self.stride, self.pad, self.dilation, self.groups)
        return y + run.param("bias", (self.filters,)) if self.bias else y


class DepthwiseConv(Layer, op="depthwise_conv"):
    """Depthwise convolution: each channel has `multiplier` filters of its own.

    kernel (*kernel, 1, C·multiplier), bias (C·multiplier,): a convolution with groups = C
    (Howard 2017, MobileNets; keras.layers.DepthwiseConv2D).
    """

    kernel: Any = PerAxis()
    stride: Any = PerAxis(default=1)
    pad: Any = Padding(default=0)
    dilation: Any = PerAxis(default=1)
    multiplier: Any = Count(default=1)
    bias: Any = Flag(default=True)

    linear = True
    needs_spatial = True
    mistakes = (ordinary, NO_MULTIPLIER, *CONVOLUTION, *COMMON)
    examples = (
        ("9x9x4", {"kernel": 3, "pad": 1}),
        ("12x10x3", {"kernel": [3, 5], "stride": 2, "multiplier": 2, "bias": False}),
        ("20x6", {"kernel": 3, "dilation": 2}),
    )

    def _conv(self, channels: Number) -> Conv:
        """The grouped convolution this is."""
        shared = {n: getattr(self, n) for n in (*SLIDING, "bias")}
        filters = channels * self.multiplier
        layer = Conv.build({"filters": filters, "groups": channels, **shared})
        assert isinstance(layer, Conv)
        return layer

    def windows(self, inputs: Shapes, dialect: Dialect) -> tuple[Window, ...]:
        return self._conv(inputs[0][-1]).windows(inputs, dialect)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return self._conv(inputs[0][-1]).output(inputs, dialect)

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return self._conv(inputs[0][-1]).weights(inputs, dialect)

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        return self._conv(inputs[0][-1]).macs(inputs, output, dialect)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return rank_misfits(self, inputs[0], SLIDING)

    def work(self, inputs: Sizes, dialect: Dialect, batch: int, itemsize: int) -> int:
        return self._conv(inputs[0][-1]).work(inputs, dialect, batch, itemsize)

    def forward(self, run: "Pass", x: Any) -> Any:
        return self._conv(x.shape[-1]).forward(run, x)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        c = x.shape[-1]
        kernel = _lax.per_axis(self.kernel, x.ndim - 2)
        w = run.param("kernel", (*kernel, 1, c * self.multiplier))
        y = _lax.conv(run, x, w, self.stride, self.pad, self.dilation, c)
        return y + run.param("bias", (c * self.multiplier,)) if self.bias else y


@mistake("pointwise-left-out", "the pointwise half left out")
def depthwise_only(a: Account) -> Account | None:
    first = a.weights["depthwise"]
    return a.holding(pointwise=None)._replace(macs=product(a.output[:-1]) * product(first))


@mistake("depthwise-left-out", "the depthwise half left out")
def pointwise_only(a: Account) -> Account | None:
    second = a.weights["pointwise"]
    return a.holding(depthwise=None)._replace(macs=product(a.output[:-1]) * product(second))


@mistake("bias-after-both", "a bias after the depthwise half too")
def both_biases(a: Account) -> Account | None:
    if "bias" not in a.weights:
        return None
    return a.holding(middle=(a.weights["depthwise"][-1],))


class SeparableConv(Layer, op="separable_conv"):
    """Depthwise convolution, then a 1x1 convolution over the channels; one bias at the end.

    depthwise (*kernel, 1, C·multiplier), pointwise (1…, C·multiplier, filters),
    bias (filters,) (Chollet 2017, Xception; keras.layers.SeparableConv2D).
    """

    filters: Any = Count()
    kernel: Any = PerAxis()
    stride: Any = PerAxis(default=1)
    pad: Any = Padding(default=0)
    dilation: Any = PerAxis(default=1)
    multiplier: Any = Count(default=1)
    bias: Any = Flag(default=True)

    linear = True
    needs_spatial = True
    mistakes = (
        ordinary, depthwise_only, pointwise_only, both_biases, no_biases, biases_counted,
        NO_MULTIPLIER, one_bias, depth_kept, *SIZES, *COMMON,
    )  # fmt: skip
    examples = (
        ("9x9x4", {"filters": 6, "kernel": 3, "pad": 1}),
        ("11x10x3", {"filters": 4, "kernel": 3, "stride": 2, "multiplier": 2, "bias": False}),
    )

    def _depthwise(self) -> DepthwiseConv:
        shared = {n: getattr(self, n) for n in (*SLIDING, "multiplier")}
        layer = DepthwiseConv.build({**shared, "bias": False})
        assert isinstance(layer, DepthwiseConv)
        return layer

    def _pointwise(self) -> Conv:
        layer = Conv.build({"filters": self.filters, "kernel": 1, "bias": self.bias})
        assert isinstance(layer, Conv)
        return layer

    def windows(self, inputs: Shapes, dialect: Dialect) -> tuple[Window, ...]:
        return self._depthwise().windows(inputs, dialect)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        middle = self._depthwise().output(inputs, dialect)
        return (*spatial(middle), self.filters)

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        middle = self._depthwise().output(inputs, dialect)
        pointwise = self._pointwise().weights([middle], dialect)
        depthwise = self._depthwise().weights(inputs, dialect)["kernel"]
        found = {"depthwise": depthwise, "pointwise": pointwise.pop("kernel")}
        return {**found, **pointwise}

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        middle = (*spatial(output), inputs[0][-1] * self.multiplier)
        first = self._depthwise().macs(inputs, middle, dialect)
        return first + self._pointwise().macs([middle], output, dialect)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return rank_misfits(self, inputs[0], SLIDING)

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return prod(output) + prod(output[:-1]) * int(inputs[0][-1] * self.multiplier)

    def work(self, inputs: Sizes, dialect: Dialect, batch: int, itemsize: int) -> int:
        from . import _ag

        w, x = self.weights(inputs, dialect)["depthwise"], (batch, *inputs[0])
        return _ag.conv_work(x, w, self.windows(inputs, dialect), inputs[0][-1], itemsize)

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        shapes = self.weights([x.shape[1:]], run.dialect)
        windows = self.windows([x.shape[1:]], run.dialect)
        y = _ag.conv(x, run.param("depthwise", shapes["depthwise"]), windows, x.shape[-1])
        windows = self._pointwise().windows([y.shape[1:]], run.dialect)
        y = _ag.conv(y, run.param("pointwise", shapes["pointwise"]), windows)
        return _ag.biased(run, y, self.bias)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        c, rank = x.shape[-1], x.ndim - 2
        kernel = _lax.per_axis(self.kernel, rank)
        w = run.param("depthwise", (*kernel, 1, c * self.multiplier))
        x = _lax.conv(run, x, w, self.stride, self.pad, self.dilation, c)
        w = run.param("pointwise", (*(1,) * rank, x.shape[-1], self.filters))
        y = _lax.conv(run, x, w, 1, 0, 1, 1)
        return y + run.param("bias", (self.filters,)) if self.bias else y


@mistake("one-short", "n*s in place of (n - 1)*s")
def times_stride(a: Account) -> Account | None:
    if not any(differ(w.s, 0) for w in a.windows):
        return None
    outs = (out + w.s for out, w in zip(a.output, a.windows, strict=False))
    return a.sized((*outs, a.output[-1]))


NO_OUTPUT_PAD = fields("output-padding-ignored", "output padding ignored", output_pad=0)


class ConvTranspose(Layer, op="conv_transpose"):
    """Transposed convolution: the map whose adjoint is the convolution of these fields.

    kernel (*kernel, C/groups, filters), bias (filters,); size (n-1)s - 2p + K + output_pad
    (torch.nn.ConvTranspose2d; Keras and JAX for `same` and `valid`). MACs: every input
    value meets every kernel weight of its group.
    """

    filters: Any = Count()
    kernel: Any = PerAxis()
    stride: Any = PerAxis(default=1)
    pad: Any = Padding(default=0)
    output_pad: Any = PerAxis(default=0, minimum=0)
    dilation: Any = PerAxis(default=1)
    groups: Any = Count(default=1)
    bias: Any = Flag(default=True)

    linear = True
    needs_spatial = True
    mistakes = (as_normal, NO_OUTPUT_PAD, times_stride, *CONVOLUTION, GROUPS_IGNORED, *COMMON)
    examples = (
        ("4x4x8", {"filters": 4, "kernel": 4, "stride": 2, "pad": 1}),
        ("5x6x4", {"filters": 6, "kernel": 3, "stride": 2, "pad": 1, "output_pad": 1, "groups": 2}),
        ("7x3", {"filters": 2, "kernel": 3, "dilation": 2, "bias": False}),
        ("3x3x3x2", {"filters": 2, "kernel": 2, "stride": 2}),
    )

    def windows(self, inputs: Shapes, dialect: Dialect) -> tuple[Window, ...]:
        sizes = spatial(inputs[0])
        rank = len(sizes)
        fields = (self.kernel, self.stride, self.dilation, self.pad, self.output_pad)
        columns = zip(sizes, *(axes(f, rank) for f in fields), strict=True)
        given = any(compare(o, 0) == 1 for o in axes(self.output_pad, rank))
        return tuple(
            transpose_window(dialect, n, k, s, d, p, o, given) for n, k, s, d, p, o in columns
        )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (*(w.out for w in self.windows(inputs, dialect)), self.filters)

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        kernel = axes(self.kernel, len(inputs[0]) - 1)
        found = {"kernel": (*kernel, ratio(inputs[0][-1], self.groups), self.filters)}
        if self.bias:
            found["bias"] = (self.filters,)
        return found

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        return product(spatial(inputs[0])) * product(self.weights(inputs, dialect)["kernel"])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        yield from rank_misfits(self, inputs[0], (*SLIDING, "output_pad"))
        yield from group_misfits("the input channels", inputs[0][-1], self.groups)
        yield from group_misfits("filters", self.filters, self.groups)

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """One output reads at most ceil(K/s) inputs; neighbours lie 1/s input steps apart."""
        found = self.windows(inputs, dialect)
        return tuple(Reach((w.extent - 1) // w.s, divide(1, w.s)) for w in found) or None

    def work(self, inputs: Sizes, dialect: Dialect, batch: int, itemsize: int) -> int:
        from . import _ag

        y: Any = self.output(inputs, dialect)
        w = self.weights(inputs, dialect)["kernel"]
        found = _ag.conv_work(
            (batch, *y), (*w[:-2], y[-1] // self.groups, inputs[0][-1]),
            self.windows(inputs, dialect), self.groups, itemsize,
        )  # fmt: skip
        return found + int(itemsize * batch * prod(y))

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        windows = self.windows([x.shape[1:]], run.dialect)
        w = run.param("kernel", self.weights([x.shape[1:]], run.dialect)["kernel"])
        return _ag.biased(run, _ag.conv_transpose(x, w, windows, self.groups), self.bias)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        kernel = _lax.per_axis(self.kernel, x.ndim - 2)
        w = run.param("kernel", (*kernel, x.shape[-1] // self.groups, self.filters))
        y = _lax.conv_transpose(run, x, w, self)
        return y + run.param("bias", (self.filters,)) if self.bias else y
