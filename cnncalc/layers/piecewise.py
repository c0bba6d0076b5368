"""More activation functions: saturating, shrinking and gated ones."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .activation import VOLUMES, _Activation
from .base import Dialect, Fix, Index, Layer, Misfit, Rational, Run, Shape, Shapes, divides
from .reshape import axis_misfits, position
from .select import along, with_axis

if TYPE_CHECKING:
    from ..execute import Pass

SELU_ALPHA = Fraction(16732632423543772848170429916717, 10**31)
SELU_SCALE = Fraction(10507009873554804934193349852946, 10**31)


class Hardtanh(_Activation, op="hardtanh"):
    """Piecewise tanh: min(max(low, x), high), -1 and 1 unless given (torch.nn.Hardtanh)."""

    low: Any = Rational(default=-1)
    high: Any = Rational(default=1)

    examples = (*VOLUMES, ("4x4x2", {"low": 0, "high": "0.5"}))
    kept = 1.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        low, high = _ag.number(self.low, x), _ag.number(self.high, x)
        return ag.where(ag.greater_equal(x, high), high, ag.where(ag.greater(x, low), x, low))

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return lax.clamp(float(self.low), x, float(self.high))


class SELU(_Activation, op="selu"):
    """Self-normalising: 1.0507·x where x > 0, else 1.7581·(exp(x) - 1) (Klambauer 2017)."""

    kept = 4.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        above = ag.greater(x, 0)
        below = _ag.expm1(ag.where(above, 0, x)) * _ag.number(SELU_ALPHA, x)
        return ag.where(above, x, below) * _ag.number(SELU_SCALE, x)

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.selu(x)


class CELU(_Activation, op="celu"):
    """Continuous ELU: x where x > 0, else alpha·(exp(x/alpha) - 1) (Barron 2017)."""

    alpha: Any = Rational(default=1)

    examples = (*VOLUMES, ("4x4x2", {"alpha": "0.5"}))
    kept = 4.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        above, alpha = ag.greater(x, 0), _ag.number(self.alpha, x)
        below = _ag.expm1(ag.where(above, 0, x) / alpha)
        return ag.where(above, x, below * alpha)

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.celu(x, float(self.alpha))


class Softsign(_Activation, op="softsign"):
    """x/(1 + |x|) (torch.nn.Softsign)."""

    kept = 2

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.divide(x, ag.abs(x) + 1)

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.soft_sign(x)


class Hardshrink(_Activation, op="hardshrink"):
    """x where |x| > threshold, else 0 (torch.nn.Hardshrink)."""

    threshold: Any = Rational(default=Fraction(1, 2), low=0)
    kept = 1.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        return ag.where(ag.greater(ag.abs(x), _ag.number(self.threshold, x)), x, 0)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        t = float(self.threshold)
        return jnp.where((x >= -t) & (x <= t), jnp.zeros_like(x), x)


class Softshrink(_Activation, op="softshrink"):
    """x brought threshold nearer to 0, and 0 where it is that near (torch.nn.Softshrink)."""

    threshold: Any = Rational(default=Fraction(1, 2), low=0)
    kept = 3

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        t = _ag.number(self.threshold, x)
        return ag.relu(x - t) - ag.relu(-x - t)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        t = float(self.threshold)
        return jnp.where(x > t, x - t, jnp.where(x < -t, x + t, jnp.zeros_like(x)))


class Tanhshrink(_Activation, op="tanhshrink"):
    """x - tanh(x) (torch.nn.Tanhshrink)."""

    kept = 2

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return x - ag.tanh(x)

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return x - lax.tanh(x)


class LogSigmoid(_Activation, op="log_sigmoid"):
    """Logarithm of the logistic function: -log(1 + exp(-x)) (torch.nn.LogSigmoid)."""

    kept = 4

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return -_ag.softplus(-x)

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.log_sigmoid(x)


class GLU(Layer, op="glu"):
    """Gated linear unit: the first half of an axis times the sigmoid of the second.

    The channels unless `axis` says otherwise (Dauphin 2017; torch.nn.GLU).
    """

    axis: Any = Index(default=-1)

    nonlinear = True
    examples = (("7x6", {}), ("8x3x2", {"axis": 0}), ("10", {}))
    kept = 2

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        axis = position(self.axis, len(inputs[0]))
        return inputs[0] if axis is None else with_axis(inputs[0], axis, inputs[0][axis] // 2)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        shape = inputs[0]
        axis = position(self.axis, len(shape))
        if axis is None:
            yield from axis_misfits([self.axis], len(shape), "axis")
        elif divides(shape[axis], 2) is False:
            text = f"axis {axis} has {shape[axis]} positions: they make no two halves"
            even = [i for i, n in enumerate(shape) if divides(n, 2)]
            fixes = tuple(Fix(f"axis: {i}", {"axis": i}) for i in even[:1])
            yield Misfit("S004", text, "axis", fixes)

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        axis = along(self.axis, x.ndim)
        half, before = x.shape[axis] // 2, (slice(None),) * axis
        a, b = (ag.getitem(x, (*before, s)) for s in (slice(0, half), slice(half, None)))
        return a * ag.sigmoid(b)

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.glu(x, axis=self.axis + 1 if self.axis >= 0 else self.axis)
