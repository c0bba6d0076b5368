"""Fully connected layers, and the loss at the end of a classifier."""

from math import prod
from typing import TYPE_CHECKING, Any

from .accounts import Account, mistake, setting
from .base import (
    Count,
    Dialect,
    Flag,
    Layer,
    Number,
    Reach,
    Run,
    Shape,
    Shapes,
    Sizes,
    product,
    spatial,
)
from .mistakes import (
    COMMON,
    bias_per_weight,
    biases_counted,
    differ,
    no_biases,
    no_filters,
    no_filters_but_biases,
    one_bias,
)

if TYPE_CHECKING:
    from ..execute import Pass


@setting("flatten-forgotten", "flatten forgotten: the layer put on each position")
def not_flattened(layer: Layer, inputs: tuple[Shape, ...]) -> Any:
    if len(inputs[0]) < 2:
        return None
    return Linear.build({k: v for k, v in layer.values().items() if k in Linear.fields}), inputs


@setting("flattened", "flattened first, where the layer acts on each position")
def stretched(layer: Layer, inputs: tuple[Shape, ...]) -> Any:
    if len(inputs[0]) < 2:
        return None
    return Dense.build({k: v for k, v in layer.values().items() if k in Dense.fields}), inputs


@setting("depth-left-out", "depth (input channels) left out: only height times width stretched")
def no_depth(layer: Layer, inputs: tuple[Shape, ...]) -> Any:
    shape = inputs[0]
    return (layer, ((*shape[:-1], 1),)) if len(shape) > 1 and differ(shape[-1], 1) else None


@mistake("added-not-multiplied", "inputs and units added instead of multiplied")
def sizes_added(a: Account) -> Account | None:
    inside, units = a.weights["kernel"]
    return a.holding(kernel=(inside + units,))._replace(macs=inside + units)


@mistake("bias-per-input", "one bias for each input instead of one for each unit")
def bias_per_input(a: Account) -> Account | None:
    return a.holding(bias=(a.weights["kernel"][0],)) if "bias" in a.weights else None


@mistake("input-for-output", "the values that come in given for the units")
def inputs_for_units(a: Account) -> Account | None:
    return a._replace(output=(a.weights["kernel"][0],))


UNITS_LEFT_OUT = no_filters._replace(words="the number of units left out: one unit only")
UNITS_BUT_BIASES = no_filters_but_biases._replace(
    words="the number of units left out of the weights, one bias per unit kept"
)
ONE_BIAS = one_bias._replace(words="one bias per layer instead of one per unit")
CONNECTED = (
    no_biases, biases_counted, ONE_BIAS, bias_per_input, UNITS_LEFT_OUT, UNITS_BUT_BIASES,
    sizes_added, bias_per_weight,
)  # fmt: skip


class Dense(Layer, op="dense"):
    """Fully connected layer: every unit is a dot product with the whole input, plus a bias.

    kernel (values, units), bias (units,). A volume is stretched to a vector first, as the
    lecture stretches 32x32x3 to 3072; `linear` acts on the last axis only.

    >>> from cnncalc.dialects import DEFAULT
    >>> Dense(units=10).weights([(32, 32, 3)], DEFAULT)
    {'kernel': (3072, 10), 'bias': (10,)}
    """

    units: Any = Count()
    bias: Any = Flag(default=True)

    linear = True
    mistakes = (not_flattened, no_depth, inputs_for_units, *CONNECTED, *COMMON)
    examples = (
        ("32x32x3", {"units": 10}),
        ("100", {"units": 7, "bias": False}),
        ("12x4", {"units": 5}),
        ("3x4x5x2", {"units": 6}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (self.units,)

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        found: dict[str, Shape] = {"kernel": (product(inputs[0]), self.units)}
        if self.bias:
            found["bias"] = (self.units,)
        return found

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        return product((*inputs[0], self.units))

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """Every unit reads the whole map."""
        return tuple(Reach(n - 1, 1) for n in spatial(inputs[0])) or None

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        x = _ag.flatten(x)
        return _ag.biased(run, x @ run.param("kernel", (x.shape[1], self.units)), self.bias)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        x = _lax.flatten(x)
        y = x @ run.param("kernel", (x.shape[1], self.units))
        return y + run.param("bias", (self.units,)) if self.bias else y


class Linear(Layer, op="linear"):
    """Linear map of the last axis, the same at every position (torch.nn.Linear).

    kernel (C, units), bias (units,). On tokens TxC it acts on each token, on a volume it
    is a 1x1 convolution.
    """

    units: Any = Count()
    bias: Any = Flag(default=True)

    linear = True
    mistakes = (stretched, *CONNECTED, *COMMON)
    examples = (
        ("16x8", {"units": 12}),
        ("5x6x4", {"units": 3, "bias": False}),
        ("10", {"units": 4}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (*spatial(inputs[0]), self.units)

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        found: dict[str, Shape] = {"kernel": (inputs[0][-1], self.units)}
        if self.bias:
            found["bias"] = (self.units,)
        return found

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        return product((*inputs[0], self.units))

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        kernel = run.param("kernel", (x.shape[-1], self.units))
        return _ag.biased(run, x @ kernel, self.bias)

    def reference(self, run: Run, x: Any) -> Any:
        y = x @ run.param("kernel", (x.shape[-1], self.units))
        return y + run.param("bias", (self.units,)) if self.bias else y


class SoftmaxCrossEntropy(Layer, op="softmax_cross_entropy"):
    """Softmax and cross-entropy: logits in, one loss value out, -log softmax(x)[label].

    The classes are the last axis; over further axes the loss is the mean. A run labels
    position i of item b with class (b + i) mod C (torch.nn.CrossEntropyLoss).
    """

    nonlinear = True
    examples = (("10", {}), ("6x5x4", {}), ("7x3", {}))

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (1,)

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return 2 * prod(inputs[0])

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.cross_entropy(x, run.labels)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _lax.cross_entropy(x)
