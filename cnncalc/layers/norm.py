"""Normalisations and per-channel scales, and dropout."""

from collections.abc import Iterator
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any

from .accounts import Account, mistake
from .base import Count, Dialect, Flag, Layer, Misfit, Rational, Run, Shape, Shapes
from .conv import group_misfits
from .mistakes import COMMON, one_bias

if TYPE_CHECKING:
    from ..execute import Pass

EPSILON = Fraction(1, 100_000)


@mistake("batchnorm-4c", "4C for 2C: the running mean and variance counted as parameters")
def statistics_trained(a: Account) -> Account | None:
    return a._replace(weights={**a.weights, **a.buffers}) if a.buffers and a.weights else None


@mistake("batchnorm-2c", "2C for 4C and the reverse: parameters and running statistics together")
def buffers_trained(a: Account) -> Account | None:
    return a._replace(buffers={**a.weights, **a.buffers}) if a.buffers and a.weights else None


@mistake("half-counted", "only one of the two counted: C for 2C")
def one_of_two(a: Account) -> Account | None:
    return a._replace(
        weights=dict(list(a.weights.items())[:1]), buffers=dict(list(a.buffers.items())[:1])
    )


@mistake("norm-per-position", "parameters for every position instead of every channel")
def per_position(a: Account) -> Account | None:
    return a._replace(weights=dict.fromkeys(a.weights, a.inputs[0])) if a.weights else None


@mistake("one-for-all", "one pair of parameters for the whole layer")
def one_pair(a: Account) -> Account | None:
    return a._replace(weights=dict.fromkeys(a.weights, (1,))) if a.weights else None


@mistake("norm-without-parameters", "normalisation taken as having nothing to learn")
def nothing_learnt(a: Account) -> Account | None:
    return a._replace(weights={}) if a.weights else None


@mistake("norm-per-group", "parameters for each group instead of each channel")
def per_group(a: Account) -> Account | None:
    return a._replace(weights=dict.fromkeys(a.weights, (a.layer.values()["groups"],)))


@mistake("batchnorm-for-other", "taken for batch normalisation: running statistics counted")
def as_batchnorm(a: Account) -> Account | None:
    shape = (a.inputs[0][-1],)
    return a.holding(mean=shape, var=shape)


@mistake("dropout-removes", "dropout taken to remove units: the volume keeps its size")
def units_removed(a: Account) -> Account | None:
    kept = 1 - a.layer.values()["rate"]
    return a._replace(output=(*a.output[:-1], a.output[-1] * kept // 1))


LEARNT = (one_of_two, per_position, one_pair, nothing_learnt)


class BatchNorm(Layer, op="batchnorm"):
    """Batch normalisation: gamma·(x - mean)/sqrt(var + eps) + beta, per channel.

    gamma (C,), beta (C,) are trained; mean (C,), var (C,) are running statistics. `affine:
    false` leaves out both, `scale: false` gamma, `shift: false` beta (Ioffe 2015;
    torch.nn.BatchNorm2d, keras.layers.BatchNormalization). Runs as at inference.
    """

    eps: Any = Rational(default=EPSILON, low=0)
    affine: Any = Flag(default=True)
    scale: Any = Flag(default=True)
    shift: Any = Flag(default=True)

    mistakes = (statistics_trained, buffers_trained, *LEARNT, *COMMON)
    examples = (
        ("8x8x16", {}),
        ("20x4", {"eps": "0.001", "scale": False}),
        ("3x4x5x2", {"affine": False}),
        ("10", {"shift": False}),
    )

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        wanted = {"gamma": self.affine and self.scale, "beta": self.affine and self.shift}
        return {name: (inputs[0][-1],) for name, on in wanted.items() if on}

    def buffers(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {"mean": (inputs[0][-1],), "var": (inputs[0][-1],)}

    def forward(self, run: "Pass", x: Any) -> Any:
        """In training by the batch's own mean and variance, of which the running ones keep 1/10."""
        from .. import autograd as ag
        from . import _ag

        shape = (x.shape[-1],)
        mean, var = run.buffer("mean", shape, 0.0), run.buffer("var", shape, 1.0)
        trained = {name: run.param(name, shape) for name in self.weights([shape], run.dialect)}
        eps = _ag.number(self.eps, x)
        if run.training:
            y, *batch = ag.batch_norm(x, trained.get("gamma"), trained.get("beta"), eps)
            _ag.keep_statistics(run, (mean, var), batch, prod(x.shape[:-1]))
            return y
        factor = trained.get("gamma", 1) / ag.sqrt(var + eps)
        return x * factor + (trained.get("beta", 0) - mean * factor)

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        shape = (x.shape[-1],)
        mean, var = run.buffer("mean", shape, 0.0), run.buffer("var", shape, 1.0)
        y = (x - mean) * lax.rsqrt(var + float(self.eps))
        if self.affine and self.scale:
            y = y * run.param("gamma", shape)
        return y + run.param("beta", shape) if self.affine and self.shift else y


def _gamma_beta(shape: Shape, affine: bool) -> dict[str, Shape]:
    return {name: (shape[-1],) for name in ("gamma", "beta") if affine}


def _trained(run: Run, y: Any, affine: bool) -> Any:
    if not affine:
        return y
    shape = (y.shape[-1],)
    return y * run.param("gamma", shape) + run.param("beta", shape)


class LayerNorm(Layer, op="layernorm"):
    """Layer normalisation of the last axis: gamma·(x - mean)/sqrt(var + eps) + beta.

    Mean and variance of each position's C values; gamma (C,), beta (C,) (Ba 2016;
    torch.nn.LayerNorm(C)).
    """

    eps: Any = Rational(default=EPSILON, low=0)
    affine: Any = Flag(default=True)

    mistakes = (as_batchnorm, *LEARNT, *COMMON)
    examples = (("16x8", {}), ("7x7x4", {"eps": "0.000001"}), ("12", {"affine": False}))
    kept = 3.5

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return _gamma_beta(inputs[0], self.affine)

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _trained(run, _ag.standardize(x, (x.ndim - 1,), self.eps), self.affine)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _trained(run, _lax.standardize(x, (-1,), float(self.eps)), self.affine)


class GroupNorm(Layer, op="groupnorm"):
    """Group normalisation: mean and variance over the map and the channels of each group.

    gamma (C,), beta (C,) (Wu 2018; torch.nn.GroupNorm). One group is layer normalisation
    of the volume, C groups are instance normalisation.
    """

    groups: Any = Count()
    eps: Any = Rational(default=EPSILON, low=0)
    affine: Any = Flag(default=True)

    mistakes = (per_group, as_batchnorm, *LEARNT, *COMMON)
    examples = (
        ("6x6x8", {"groups": 4}),
        ("10x6", {"groups": 1, "affine": False}),
        ("3x4x5x4", {"groups": 4}),
        ("12", {"groups": 3, "eps": "0.001"}),
    )
    kept = 3.5

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return _gamma_beta(inputs[0], self.affine)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return group_misfits("the input channels", inputs[0][-1], self.groups)

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag
        from . import _ag

        split = ag.reshape(x, (*x.shape[:-1], self.groups, x.shape[-1] // self.groups))
        y = _ag.standardize(split, (*range(1, x.ndim - 1), x.ndim), self.eps)
        return _trained(run, ag.reshape(y, x.shape), self.affine)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        y = _lax.group_standardize(x, self.groups, float(self.eps))
        return _trained(run, y, self.affine)


class LRN(Layer, op="lrn"):
    """Local response normalisation: x / (k + a·sum of x^2 over `size` neighbouring maps)^beta.

    a is alpha/size in caffe, torch and onnx, and alpha itself in the paper and TensorFlow
    (Krizhevsky 2012; torch.nn.LocalResponseNorm). TensorFlow's radius r means size 2r + 1.
    """

    size: Any = Count(default=5)
    alpha: Any = Rational(default=Fraction(1, 10_000))
    beta: Any = Rational(default=Fraction(3, 4))
    k: Any = Rational(default=1)

    examples = (
        ("6x6x12", {}),
        ("5x4x8", {"size": 3, "alpha": "0.1", "k": 2}),
        ("9x6", {"size": 4, "alpha": 1, "beta": "0.5"}),
    )
    kept = 3.125

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        alpha = self.alpha if run.dialect.lrn_divides else self.alpha * self.size
        base = _ag.neighbour_mean(x * x, self.size) * _ag.number(alpha, x)
        return x * (base + _ag.number(self.k, x)) ** _ag.number(-self.beta, x)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _lax.lrn(run, x, self)


class Scale(Layer, op="scale"):
    """Per-channel multiplier: scale_c·x, with `bias` also + bias_c.

    scale (C,), bias (C,) (Caffe's Scale layer; ConvNeXt's layer scale).
    """

    bias: Any = Flag(default=False)

    mistakes = (one_bias, *LEARNT, *COMMON)
    examples = (("6x6x4", {}), ("9x5", {"bias": True}), ("10", {}))

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        names = ("scale", "bias") if self.bias else ("scale",)
        return dict.fromkeys(names, (inputs[0][-1],))

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.biased(run, x * run.param("scale", (x.shape[-1],)), self.bias)

    def reference(self, run: Run, x: Any) -> Any:
        shape = (x.shape[-1],)
        y = x * run.param("scale", shape)
        return y + run.param("bias", shape) if self.bias else y


class Dropout(Layer, op="dropout"):
    """Dropout: sets each value to zero with probability `rate` in training only.

    The identity at inference, and no parameters (Srivastava 2014).
    """

    rate: Any = Rational(default=Fraction(1, 2), low=0, below=1)

    in_place = True
    mistakes = (units_removed, *COMMON)
    examples = (("4096", {}), ("6x6x4", {"rate": "0.2"}))
    kept = 2

    def forward(self, run: "Pass", x: Any) -> Any:
        """In training times a mask of zeros and 1/(1 - rate), where the run draws one."""
        if not run.training or run.mask is None or not self.rate:
            return x
        return x * run.mask(x.shape, float(self.rate))

    def reference(self, run: Run, x: Any) -> Any:
        return x


class StochasticDepth(Layer, op="stochastic_depth"):
    """Stochastic depth: drops a whole branch with probability `rate`, in training only.

    The identity at inference, and no parameters. In training every item of the batch is
    dropped by itself, and the others grow by 1/(1 - rate) (Huang 2016;
    torchvision.ops.StochasticDepth in mode "row").
    """

    rate: Any = Rational(default=Fraction(1, 5), low=0, below=1)

    in_place = True
    examples = (("7x7x96", {}), ("197x8", {"rate": "0.1"}))

    def forward(self, run: "Pass", x: Any) -> Any:
        """In training times one 0 or 1/(1 - rate) an item, where the run draws them."""
        if not run.training or run.mask is None or not self.rate:
            return x
        return x * run.mask((x.shape[0], *(1,) * (x.ndim - 1)), float(self.rate))

    def reference(self, run: Run, x: Any) -> Any:
        return x


class LayerScale(Scale, op="layer_scale"):
    """Layer scale: a trained multiplier for every channel of a residual branch.

    scale (C,), small at first (Touvron 2021; ConvNeXt, CaiT).
    """

    examples = (("6x6x4", {}), ("9x5", {}), ("10", {}))


class Identity(Layer, op="identity"):
    """The identity: the output is the input."""

    in_place = True
    examples = (("6x6x4", {}), ("10", {}))
    kept = 0

    def forward(self, run: "Pass", x: Any) -> Any:
        return x

    def reference(self, run: Run, x: Any) -> Any:
        return x
