"""Layers that change the size of the map by padding, cutting or repeating: no weights."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..formula import Number, compare, divide
from .accounts import Account, mistake
from .base import (
    Choice,
    Dialect,
    Fix,
    Layer,
    Misfit,
    Padding,
    PerAxis,
    Reach,
    Run,
    Shape,
    Shapes,
    axes,
    divides,
    pads,
    product,
    rank_misfits,
    ratio,
    spatial,
)
from .mistakes import COMMON, depth_kept

if TYPE_CHECKING:
    from ..execute import Pass


def _ends(by: Any, rank: int) -> list[tuple[Number, Number]]:
    """Numbers before and after along every spatial axis."""
    return [by if isinstance(by, tuple) else (by, by) for by in pads(by, rank)]


def _one_sided(a: Account, sign: int) -> Shape:
    """The map with only the first of both ends padded or cut."""
    sizes = a.inputs[0][:-1]
    ends = _ends(a.layer.values()["by"], len(sizes))
    return tuple(n + sign * before for n, (before, _) in zip(sizes, ends, strict=True))


def _sign(a: Account) -> int:
    return 1 if a.layer.op == "pad" else -1


def _first(a: Account) -> tuple[Number, Number]:
    return _ends(a.layer.values()["by"], len(a.inputs[0]) - 1)[0]


@mistake("padding-once", "one-sided padding: counted at one end only, not at both")
def one_side(a: Account) -> Account | None:
    return a._replace(output=(*_one_sided(a, _sign(a)), a.output[-1]))


@mistake("padding-on-channels", "padding on the channels too")
def channels_too(a: Account) -> Account | None:
    return a.depth(a.output[-1] + _sign(a) * sum(_first(a)))


@mistake("padding-on-channels", "padding on the channels too, at one end")
def channels_once(a: Account) -> Account | None:
    return a.depth(a.output[-1] + _sign(a) * _first(a)[0])


@mistake("padding-on-channels", "padding on the channels instead of the map")
def channels_only(a: Account) -> Account | None:
    return a._replace(output=(*a.inputs[0][:-1], a.inputs[0][-1] + _sign(a) * sum(_first(a))))


@mistake("padding-on-channels", "padding on the channels instead of the map, at one end")
def channels_only_once(a: Account) -> Account | None:
    return a._replace(output=(*a.inputs[0][:-1], a.inputs[0][-1] + _sign(a) * _first(a)[0]))


@mistake("padding-doubled", "padding counted twice at each end")
def padded_twice(a: Account) -> Account | None:
    grown = (2 * o - n for o, n in zip(a.output[:-1], a.inputs[0], strict=False))
    return a._replace(output=(*grown, a.output[-1]))


@mistake("pad-for-crop", "padding confused with cropping")
def confused_with_reverse(a: Account) -> Account | None:
    turned = (2 * n - o for o, n in zip(a.output[:-1], a.inputs[0], strict=False))
    return a._replace(output=(*turned, a.output[-1]))


BORDERS = (
    one_side, channels_only, channels_too, channels_once, channels_only_once, padded_twice,
    confused_with_reverse, *COMMON,
)  # fmt: skip


@mistake("scaled-channels", "the channels scaled too")
def scaled_channels(a: Account) -> Account | None:
    scale = axes(a.layer.values()["scale"], len(a.inputs[0]) - 1)[0]
    return a.depth(a.output[-1] * scale // 1)


@mistake("scaled-one-axis", "only one axis scaled")
def one_axis(a: Account) -> Account | None:
    if len(a.output) < 3:
        return None
    return a._replace(output=(a.output[0], *a.inputs[0][1:-1], a.output[-1]))


@mistake("scaled-down", "made smaller instead of larger")
def made_smaller(a: Account) -> Account | None:
    scales = axes(a.layer.values()["scale"], len(a.inputs[0]) - 1)
    sizes = (divide(n, s) // 1 for n, s in zip(a.inputs[0], scales, strict=False))
    return a._replace(output=(*sizes, a.output[-1]))


@mistake("shuffle-depth", "depth divided by the scale once, not once for each axis")
def depth_once(a: Account) -> Account | None:
    scale = axes(a.layer.values()["scale"], len(a.inputs[0]) - 1)[0]
    return a.depth(ratio(a.inputs[0][-1], scale))


class Pad(Layer, op="pad"):
    """Zeros around the map: `by` at both ends, one an axis, or pairs [[top, bottom], ...]."""

    by: Any = Padding(words=False)

    needs_spatial = True
    mistakes = BORDERS
    examples = (
        ("5x6x4", {"by": 2}),
        ("5x6x4", {"by": [1, 2]}),
        ("5x6x4", {"by": [[0, 1], [2, 0]]}),
        ("7x3", {"by": 1}),
        ("2x3x4x5", {"by": 1}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        sizes = spatial(inputs[0])
        ends = _ends(self.by, len(sizes))
        return (*(n + a + b for n, (a, b) in zip(sizes, ends, strict=True)), inputs[0][-1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return rank_misfits(self, inputs[0], ("by",))

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.pad(x, [(0, 0), *_ends(self.by, x.ndim - 2), (0, 0)])

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        from . import _lax

        return jnp.pad(x, [(0, 0), *_lax.pairs(self.by, x.ndim - 2), (0, 0)])


class Crop(Layer, op="crop"):
    """Cuts the border of the map off: `by` at both ends, one an axis, or pairs."""

    by: Any = Padding(words=False)

    needs_spatial = True
    mistakes = BORDERS
    examples = (
        ("9x8x4", {"by": 2}),
        ("9x8x4", {"by": [1, 2]}),
        ("9x8x4", {"by": [[0, 1], [2, 0]]}),
        ("7x3", {"by": 1}),
        ("4x3x4x5", {"by": 1}),
    )
    kept = 0

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        sizes = spatial(inputs[0])
        ends = _ends(self.by, len(sizes))
        return (*(n - a - b for n, (a, b) in zip(sizes, ends, strict=True)), inputs[0][-1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        yield from rank_misfits(self, inputs[0], ("by",))
        left = spatial(self.output(inputs, dialect))
        for axis, (n, rest) in enumerate(zip(spatial(inputs[0]), left, strict=True)):
            if compare(rest, 0) in (-1, 0):
                text = f"crop takes {n - rest} positions of axis {axis}, but there are {n}"
                fix = (n - 1) // 2 if isinstance(n, int) else -1
                fixes = (Fix(f"by: {fix}", {"by": fix}),) if fix >= 0 else ()
                yield Misfit("S009", text, "by", fixes)
                return

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        cut = [(-before, -after) for before, after in _ends(self.by, x.ndim - 2)]
        return ag.pad(x, [(0, 0), *cut, (0, 0)])

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        from . import _lax

        for axis, (before, after) in enumerate(_lax.pairs(self.by, x.ndim - 2), 1):
            x = lax.slice_in_dim(x, before, x.shape[axis] - after, axis=axis)
        return x


class Upsample(Layer, op="upsample"):
    """Enlarges the map: floor(scale·n) positions an axis, by repetition or interpolation.

    nearest: output i copies input floor(i/scale). bilinear: interpolates at
    (i + 1/2)/scale - 1/2, clamped to the map (torch.nn.Upsample with align_corners=False;
    keras.layers.UpSampling2D).
    """

    scale: Any = PerAxis(rational=True)
    method: Any = Choice(("nearest", "bilinear"), default="nearest")

    needs_spatial = True
    mistakes = (scaled_channels, one_axis, made_smaller, *COMMON)
    examples = (
        ("5x6x4", {"scale": 2}),
        ("5x6x4", {"scale": [3, 2], "method": "bilinear"}),
        ("7x3", {"scale": "1.5"}),
        ("8x8x2", {"scale": "2.5", "method": "bilinear"}),
        ("2x3x4x5", {"scale": 2}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        sizes = spatial(inputs[0])
        scales = axes(self.scale, len(sizes))
        return (*((n * s) // 1 for n, s in zip(sizes, scales, strict=True)), inputs[0][-1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        yield from rank_misfits(self, inputs[0], ("scale",))
        if any(compare(n, 0) in (-1, 0) for n in spatial(self.output(inputs, dialect))):
            yield Misfit("S009", f"scale {self.scale} leaves nothing of the map", "scale")

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """Neighbours lie 1/scale input steps apart; interpolation reads two positions."""
        steps = 0 if self.method == "nearest" else 1
        scales = axes(self.scale, len(inputs[0]) - 1)
        return tuple(Reach(steps, divide(1, s)) for s in scales) or None

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        if self.method == "nearest":
            return _ag.repeat(x, self.scale)
        return _ag.interpolate(x, self.scale)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _lax.upsample(x, self.scale, self.method)


class PixelShuffle(Layer, op="pixel_shuffle"):
    """Depth to space: every s x s block of the map takes its values from s·s channels.

    Channel c·s² + i·s + j goes to channel c at offset (i, j) (Shi 2016;
    torch.nn.PixelShuffle).
    """

    scale: Any = PerAxis()

    needs_spatial = True
    mistakes = (depth_kept, depth_once, made_smaller, one_axis, *COMMON)
    examples = (
        ("5x6x8", {"scale": 2}),
        ("4x3x18", {"scale": 3}),
        ("7x6", {"scale": 2}),
        ("2x3x2x16", {"scale": 2}),
    )

    def _block(self, shape: Shape) -> Number:
        return product(axes(self.scale, len(shape) - 1))

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        sizes = spatial(inputs[0])
        scales = axes(self.scale, len(sizes))
        channels = ratio(inputs[0][-1], self._block(inputs[0]))
        return (*(n * s for n, s in zip(sizes, scales, strict=True)), channels)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        yield from rank_misfits(self, inputs[0], ("scale",))
        channels, block, rank = inputs[0][-1], self._block(inputs[0]), len(inputs[0]) - 1
        if divides(channels, block) is not False:
            return
        fixes: tuple[Fix, ...] = ()
        if isinstance(channels, int):
            fits = [s for s in range(2, 65) if channels % s**rank == 0]
            fixes = tuple(Fix(f"scale: {s}", {"scale": s}) for s in fits[:3])
        text = f"the block of {block} positions does not divide the input channels {channels}"
        yield Misfit("S004", text, "scale", fixes)

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """Nothing more is read; neighbours lie 1/scale input steps apart on average."""
        scales = axes(self.scale, len(inputs[0]) - 1)
        return tuple(Reach(0, divide(1, s)) for s in scales) or None

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.pixel_shuffle(x, self.scale)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _lax.pixel_shuffle(x, self.scale)
