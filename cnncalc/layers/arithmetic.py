"""Arithmetic on one volume: scaling, powers, sums along axes, normalising. No weights."""

from collections.abc import Iterator
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any

from ..formula import compare
from .base import (
    Count,
    Dialect,
    Index,
    Layer,
    Misfit,
    Rational,
    Run,
    Shapes,
    Sizes,
)
from .reshape import Mean, axis_misfits
from .select import along

if TYPE_CHECKING:
    from ..execute import Pass


class Rescale(Layer, op="rescale"):
    """Times one number, plus another: scale·x + offset (keras.layers.Rescaling)."""

    scale: Any = Rational(default=1)
    offset: Any = Rational(default=0)

    in_place = True
    examples = (("5x6x4", {"scale": "1/8"}), ("10", {"scale": 2, "offset": "-0.5"}))

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        y = x * _ag.number(self.scale, x)
        return y + _ag.number(self.offset, x) if self.offset else y

    def reference(self, run: Run, x: Any) -> Any:
        return float(self.scale) * x + float(self.offset)


class Power(Layer, op="power"):
    """Every value to a power: x^exponent (1/2 is the square root, -1 the reciprocal)."""

    exponent: Any = Rational()

    in_place = True
    examples = (("5x6x4", {"exponent": 2}), ("10", {"exponent": -1}), ("4x3", {"exponent": 3}))

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        p = self.exponent
        return x ** (p if isinstance(p, int) else _ag.number(p, x))

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        p = self.exponent
        return lax.integer_pow(x, p) if isinstance(p, int) else lax.pow(x, float(p))


class Exp(Layer, op="exp"):
    """The exponential of every value."""

    in_place = True
    examples = (("5x6x4", {}), ("10", {}))

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.exp(x)

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return lax.exp(x)


class Abs(Layer, op="abs"):
    """The absolute value of every value."""

    in_place = True
    examples = (("5x6x4", {}), ("10", {}))

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.abs(x)

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return lax.abs(x)


class Clip(Layer, op="clip"):
    """Values below `low` become low, those above `high` high; either may be left out."""

    low: Any = Rational(default=None)
    high: Any = Rational(default=None)

    in_place = True
    examples = (
        ("5x6x4", {"low": -1, "high": "0.5"}),
        ("10", {"low": 0}),
        ("4x3", {"high": "1/3"}),
    )
    kept = 1.25

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        if self.low is not None and self.high is not None and compare(self.low, self.high) == 1:
            text = f"low {self.low} is above high {self.high}: nothing lies between"
            yield Misfit("S009", text, "low")

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        if self.low is not None:
            low = _ag.number(self.low, x)
            x = ag.where(ag.greater(x, low), x, low)
        if self.high is not None:
            high = _ag.number(self.high, x)
            x = ag.where(ag.greater_equal(x, high), high, x)
        return x

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        if self.low is not None and self.high is not None:
            return lax.clamp(float(self.low), x, float(self.high))
        if self.low is not None:
            return lax.max(x, x.dtype.type(float(self.low)))
        return x if self.high is None else lax.min(x, x.dtype.type(float(self.high)))


class Sum(Mean, op="sum"):
    """The sum over the given axes, which go away; with `keepdims` they stay with size 1."""

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        over = tuple(along(axis, x.ndim) for axis in self.axes)
        return ag.sum(x, axis=over, keepdims=self.keepdims)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        found = tuple(axis + 1 if axis >= 0 else axis for axis in self.axes)
        return jnp.sum(x, axis=found, keepdims=self.keepdims)


class Max(Mean, op="max"):
    """The largest value over the given axes, which go away; with `keepdims` they stay."""

    nonlinear = True

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return prod(inputs[0]) / 8 + 2 * prod(output)

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        over = tuple(along(axis, x.ndim) for axis in self.axes)
        return ag.max(x, axis=over, keepdims=self.keepdims)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        found = tuple(axis + 1 if axis >= 0 else axis for axis in self.axes)
        return jnp.max(x, axis=found, keepdims=self.keepdims)


class Normalise(Layer, op="normalise"):
    """Divides by the norm along one axis: x/max(|x|, eps), |x| = (sum of |x|^p)^(1/p).

    The axis is the channels unless said otherwise (torch.nn.functional.normalize; p = 2 is
    keras.layers.UnitNormalization).
    """

    p: Any = Count(default=2)
    axis: Any = Index(default=-1)
    eps: Any = Rational(default=Fraction(1, 10**12), low=0)

    examples = (
        ("5x6x4", {}),
        ("7x3", {"p": 1}),
        ("7x3", {"p": 3, "axis": 0}),
        ("10", {"eps": 100}),
    )

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return axis_misfits([self.axis], len(inputs[0]), "axis")

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return (2 if self.p == 2 else 3) * prod(output)

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.normalised(x, along(self.axis, x.ndim), self.p, self.eps)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp
        from jax import lax

        axis = self.axis + 1 if self.axis >= 0 else self.axis + x.ndim
        norm = jnp.linalg.norm(x, ord=self.p, axis=axis, keepdims=True)
        return x / lax.max(norm, x.dtype.type(float(self.eps)))
