"""Resize: a map brought to a given size, by copying or by weighted sums of neighbours."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..formula import compare, divide
from .base import (
    Choice,
    Dialect,
    Layer,
    Misfit,
    PerAxis,
    Rational,
    Reach,
    Run,
    Shape,
    Shapes,
    axes,
    rank_misfits,
)

if TYPE_CHECKING:
    from ..execute import Pass

METHODS = ("nearest", "nearest_exact", "bilinear", "bicubic", "area")
COORDINATES = ("half_pixel", "align_corners", "asymmetric")
TAPS = {"nearest": 0, "nearest_exact": 0, "bilinear": 1, "bicubic": 3}


class Resize(Layer, op="resize"):
    """Brings the map to the size `to`, one value or one an axis, whatever it was before.

    With n positions brought to o, output i lies at (i + 1/2)·n/o - 1/2 (`half_pixel`), at
    i·(n - 1)/(o - 1) (`align_corners`) or at i·n/o (`asymmetric`). nearest copies input
    floor(i·n/o), nearest_exact floor((i + 1/2)·n/o); bilinear weights the two nearest
    inputs, bicubic the four nearest by Keys' kernel with parameter `cubic`; area is the mean
    over floor(i·n/o) to ceil((i + 1)·n/o). Places outside the map take its border
    (torch.nn.functional.interpolate; keras.layers.Resizing, whose nearest is nearest_exact
    and whose cubic is -1/2; ONNX Resize).
    """

    to: Any = PerAxis()
    method: Any = Choice(METHODS, default="nearest")
    coordinates: Any = Choice(COORDINATES, default="half_pixel")
    cubic: Any = Rational(default=Fraction(-3, 4))

    needs_spatial = True
    examples = (
        ("5x6x4", {"to": 9}),
        ("5x6x4", {"to": [3, 8], "method": "bilinear"}),
        ("7x3", {"to": 12, "method": "bicubic"}),
        ("6x5x2", {"to": 4, "method": "area"}),
        ("5x4x2", {"to": 7, "method": "bilinear", "coordinates": "align_corners"}),
        ("5x4x2", {"to": 8, "method": "bicubic", "coordinates": "asymmetric", "cubic": "-0.5"}),
        ("2x3x4x5", {"to": [3, 4, 7], "method": "nearest_exact"}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (*axes(self.to, len(inputs[0]) - 1), inputs[0][-1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return rank_misfits(self, inputs[0], ("to",))

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """Neighbours lie n/o input steps apart; a weighted sum reads some positions more."""
        sizes = inputs[0][:-1]
        steps = [divide(n, o) for n, o in zip(sizes, axes(self.to, len(sizes)), strict=True)]
        taps = TAPS.get(self.method)
        return tuple(Reach(s if taps is None and compare(s, 1) == 1 else taps or 0, s)
                     for s in steps) or None  # fmt: skip

    def forward(self, run: "Pass", x: Any) -> Any:
        import numpy as np

        from .. import autograd as ag
        from . import _ag

        if self.method == "area":
            return _ag.adaptive_avg_pool(x, self.to)
        for axis, o in enumerate(axes(self.to, x.ndim - 2), 1):
            n = x.shape[axis]
            if self.method in ("bilinear", "bicubic"):
                x = _ag.weighted(x, axis, [self._row(i, n, o) for i in range(o)])
                continue
            shift = Fraction(1, 2) if self.method == "nearest_exact" else 0
            places = [(i + shift) * n // o for i in range(o)]
            x = ag.take(x, np.array(places, dtype=int), axis=axis)
        return x

    def _row(self, i: int, n: int, o: int) -> list[tuple[int, Fraction]]:
        """The inputs that output i reads, with their weights."""
        at = self._place(i, n, o)
        if self.method == "bilinear":
            at = min(max(at, Fraction(0)), Fraction(n - 1))
        low = at.numerator // at.denominator
        t = at - low
        if self.method == "bilinear":
            return [(low, 1 - t), (min(low + 1, n - 1), t)]
        near = [_keys(1 + t, self.cubic), _keys(t, self.cubic), _keys(1 - t, self.cubic),
                _keys(2 - t, self.cubic)]  # fmt: skip
        return [(min(max(low + j, 0), n - 1), w) for j, w in enumerate(near, -1)]

    def _place(self, i: int, n: int, o: int) -> Fraction:
        if self.coordinates == "align_corners":
            return Fraction(i * (n - 1), o - 1) if o > 1 else Fraction(0)
        if self.coordinates == "asymmetric":
            return Fraction(i * n, o)
        return (i + Fraction(1, 2)) * n / o - Fraction(1, 2)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax, _laxmore

        to = _lax.per_axis(self.to, x.ndim - 2)
        if self.method == "area":
            return _lax.adaptive_avg_pool(x, to)
        for axis, o in enumerate(to, 1):
            x = _laxmore.resized(x, axis, o, self.method, self.coordinates, float(self.cubic))
        return x


def _keys(d: Fraction, a: Any) -> Fraction:
    """Keys' cubic convolution kernel at distance d (Keys 1981, equation 15)."""
    if d <= 1:
        return Fraction(((a + 2) * d - (a + 3)) * d * d + 1)
    return Fraction(((d - 5) * d + 8) * d - 4) * a if d < 2 else Fraction(0)
