"""Activation functions: element by element, save the two softmaxes over the channels."""

from collections.abc import Iterator
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any

from .accounts import Account, mistake
from .base import Dialect, Examples, Flag, Index, Layer, Misfit, Rational, Run, Shape, Shapes, Sizes
from .mistakes import COMMON
from .reshape import axis_misfits
from .select import along

if TYPE_CHECKING:
    from ..execute import Pass

VOLUMES: Examples = (("7x6x3", {}), ("10", {}), ("9x4", {}))


class _Activation(Layer):
    """Shared facts: the shape is kept, no MACs, the output may overwrite the input."""

    in_place = True
    nonlinear = True
    examples = VOLUMES


class ReLU(_Activation, op="relu"):
    """Rectified linear unit: max(0, x) (Nair 2010)."""

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.relu(x)

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.relu(x)


class ReLU6(_Activation, op="relu6"):
    """Rectifier capped at 6: min(max(0, x), 6) (MobileNets; torch.nn.ReLU6)."""

    kept = 2.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.six_step(x)

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return lax.clamp(0.0, x, 6.0)


class LeakyReLU(_Activation, op="leaky_relu"):
    """Leaky rectifier: x where x >= 0, else slope·x (Maas 2013; torch.nn.LeakyReLU)."""

    slope: Any = Rational(default=Fraction(1, 100))

    examples = (*VOLUMES, ("4x4x2", {"slope": "0.2"}))
    kept = 1.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        return ag.where(ag.greater_equal(x, 0), x, x * _ag.number(self.slope, x))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.where(x >= 0, x, float(self.slope) * x)


class ELU(_Activation, op="elu"):
    """Exponential linear unit: x where x > 0, else alpha·(exp(x) - 1) (Clevert 2015)."""

    alpha: Any = Rational(default=1)

    examples = (*VOLUMES, ("4x4x2", {"alpha": "0.5"}))
    kept = 4.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        above = ag.greater(x, 0)
        below = _ag.expm1(ag.where(above, 0, x))
        return ag.where(above, x, below * _ag.number(self.alpha, x))

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.elu(x, float(self.alpha))


class GELU(_Activation, op="gelu"):
    """Gaussian error linear unit: x·Phi(x), Phi the normal distribution function.

    `approximate`: x/2·(1 + tanh(sqrt(2/pi)·(x + 0.044715·x^3))) (Hendrycks 2016;
    torch.nn.GELU).
    """

    approximate: Any = Flag(default=False)

    examples = (*VOLUMES, ("16x8", {"approximate": True}))

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return (5 if self.approximate else 4) * prod(output)

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.gelu_tanh(x) if self.approximate else _ag.gelu(x)

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.gelu(x, approximate=self.approximate)


class SiLU(_Activation, op="silu"):
    """Sigmoid linear unit, also called swish: x·sigmoid(x) (Elfwing 2017; torch.nn.SiLU)."""

    kept = 2

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return x * ag.sigmoid(x)

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return x * lax.logistic(x)


class Sigmoid(_Activation, op="sigmoid"):
    """Logistic function: 1/(1 + exp(-x))."""

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.sigmoid(x)

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return lax.logistic(x)


class Tanh(_Activation, op="tanh"):
    """Hyperbolic tangent: (exp(x) - exp(-x))/(exp(x) + exp(-x))."""

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.tanh(x)

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return lax.tanh(x)


class _Softmax(_Activation):
    """Shared facts of the two functions that look along one axis."""

    axis: Any = Index(default=-1)

    examples = (*VOLUMES, ("7x6x3", {"axis": 0}))

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return axis_misfits([self.axis], len(inputs[0]), "axis")


class Softmax(_Softmax, op="softmax"):
    """Softmax over the channels, or another axis: exp(x_c) over the sum of all exp(x_c)."""

    kept = 2.5

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.softmax(x, axis=along(self.axis, x.ndim))

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.softmax(x, axis=self.axis + 1 if self.axis >= 0 else self.axis)


class LogSoftmax(_Softmax, op="log_softmax"):
    """Logarithm of the softmax over the channels, or another axis: x_c - log sum exp(x_c)."""

    kept = 2.5

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.log_softmax(x, axis=along(self.axis, x.ndim))

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.log_softmax(x, axis=self.axis + 1 if self.axis >= 0 else self.axis)


class Hardswish(_Activation, op="hardswish"):
    """Piecewise swish: x·min(max(0, x + 3), 6)/6 (Howard 2019, MobileNetV3)."""

    kept = 3.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return x * _ag.six_step(x + 3) / 6

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        return x * lax.clamp(0.0, x + 3.0, 6.0) / 6.0


class Hardsigmoid(_Activation, op="hardsigmoid"):
    """Piecewise sigmoid: min(max(0, alpha·x + beta), 1), alpha 1/6 and beta 1/2 unless given.

    (torch.nn.Hardsigmoid; ONNX HardSigmoid has alpha 0.2.)
    """

    alpha: Any = Rational(default=Fraction(1, 6))
    beta: Any = Rational(default=Fraction(1, 2))

    examples = (*VOLUMES, ("7x6x3", {"alpha": "0.2"}))
    kept = 2.25

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        if (self.alpha, self.beta) == (Fraction(1, 6), Fraction(1, 2)):
            return _ag.six_step(x + 3) / 6
        six = 6 * _ag.number(self.alpha, x) * x + 6 * _ag.number(self.beta, x)
        return _ag.six_step(six) / 6

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        if (self.alpha, self.beta) == (Fraction(1, 6), Fraction(1, 2)):
            return lax.clamp(0.0, x + 3.0, 6.0) / 6.0
        return lax.clamp(0.0, float(self.alpha) * x + float(self.beta), 1.0)


@mistake("slopes-left-out", "taken for an activation without parameters")
def no_slopes(a: Account) -> Account | None:
    return a._replace(weights={})


@mistake("one-for-all", "one slope for the whole layer instead of one per channel")
def one_slope(a: Account) -> Account | None:
    return a._replace(weights={"slope": (1,)})


@mistake("no-weight-sharing", "no weight sharing: a slope for every neuron")
def slope_per_neuron(a: Account) -> Account | None:
    return a._replace(weights={"slope": a.inputs[0]})


class PReLU(_Activation, op="prelu"):
    """Rectifier with a trained slope for every channel: x where x >= 0, else slope_c·x.

    slope (C,) (He 2015; torch.nn.PReLU(C)).
    """

    mistakes = (no_slopes, one_slope, slope_per_neuron, *COMMON)
    kept = 1.25

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {"slope": (inputs[0][-1],)}

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        slope = run.param("slope", (x.shape[-1],))
        return ag.where(ag.greater_equal(x, 0), x, slope * x)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.where(x >= 0, x, run.param("slope", (x.shape[-1],)) * x)


class Softplus(_Activation, op="softplus"):
    """Smooth rectifier: log(1 + exp(x))."""

    kept = 4

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.softplus(x)

    def reference(self, run: Run, x: Any) -> Any:
        import jax

        return jax.nn.softplus(x)


class Mish(_Activation, op="mish"):
    """x·tanh(log(1 + exp(x))) (Misra 2019; torch.nn.Mish)."""

    kept = 5

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        return x * ag.tanh(_ag.softplus(x))

    def reference(self, run: Run, x: Any) -> Any:
        import jax
        from jax import lax

        return x * lax.tanh(jax.nn.softplus(x))
