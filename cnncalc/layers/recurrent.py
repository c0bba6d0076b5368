"""Recurrent layers: a state goes along the sequence, one step a position."""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from ..formula import Number
from .base import (
    Choice,
    Count,
    Dialect,
    Flag,
    Layer,
    Misfit,
    Reach,
    Run,
    Shape,
    Shapes,
    Sizes,
    product,
)

if TYPE_CHECKING:
    from ..execute import Pass

MERGES = ("concat", "sum", "multiply", "average")


class _Recurrent(Layer):
    """Shared facts: sizes, weights and cost of a number of gates."""

    units: Any = Count()
    return_sequences: Any = Flag(default=False)
    bidirectional: Any = Flag(default=False)
    bias: Any = Flag(default=True)
    reverse: Any = Flag(default=False)
    merge: Any = Choice(MERGES, default="concat")

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1  # vectors of `units` that a step keeps on the tape
    inputs_max = 1
    nonlinear = True

    def directions(self) -> tuple[str, ...]:
        """Prefixes of the weights' names: of one direction, or of both."""
        return ("", "backward_") if self.bidirectional else ("",)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape = inputs[0]
        width = self.units + self.units if self._wide() else self.units
        kept = shape[:-1] if self.return_sequences else shape[:-2]
        return (*kept, width)

    def _wide(self) -> bool:
        return bool(self.bidirectional) and self.merge == "concat"

    def bias_shapes(self, dialect: Dialect) -> dict[str, Shape]:
        """The biases of one direction in this dialect."""
        raise NotImplementedError

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        wide = self.gates * self.units
        one: dict[str, Shape] = {"kernel": (inputs[0][-1], wide), "recurrent": (self.units, wide)}
        if self.bias:
            one |= self.bias_shapes(dialect)
        return {p + name: shape for p in self.directions() for name, shape in one.items()}

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        """At every step every gate reads the input and the state before."""
        shape = inputs[0]
        steps = product((*shape[:-1], len(self.directions()), self.gates, self.units))
        found: Number = steps * (shape[-1] + self.units)
        return found

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        if len(inputs[0]) < 2:
            text = f"{self.op} needs a sequence TxC, but its input is a flat vector of "
            yield Misfit("S008", f"{text}{inputs[0][0]}")

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """The last step has read the whole sequence."""
        steps = inputs[0][:-1]
        found = [Reach(0, 1) for _ in steps[:-1]]
        return (*found, Reach(steps[-1] - 1, 1)) if steps else None

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        steps = prod(inputs[0][:-1]) * len(self.directions())
        return self.states * steps * int(self.units)

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _agrnn

        return _agrnn.recurrent(self, run, x)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _laxrnn

        return _laxrnn.recurrent(self, run, x)


class LSTM(_Recurrent, op="lstm"):
    """Long short-term memory: gates i, f, o and candidate g keep a cell c and a state h.

    i, f, o = sigmoid, g = tanh of x·kernel + h·recurrent + bias; c = f·c + i·g and
    h = o·tanh(c), from zeros (Hochreiter 1997, Gers 2000). TxC gives the last state, units,
    or with `return_sequences` every state, T x units. `bidirectional` runs a second one from
    the end, whose states are joined as `merge` says; `reverse` runs a single one from the
    end. Axes before the last two are sequences of their own.

    kernel (C, 4·units) and recurrent (units, 4·units), gates in the order i, f, g, o; bias
    (4·units,). torch and onnx add a second one, recurrent_bias; keras, jax and caffe have one.

    >>> from cnncalc.dialects import dialect
    >>> sorted(LSTM(64).weights([(80, 32)], dialect("torch")))
    ['bias', 'kernel', 'recurrent', 'recurrent_bias']
    """

    gates = 4
    states = 8
    examples = (
        ("5x3", {"units": 4}),
        ("4x3", {"units": 2, "return_sequences": True, "bidirectional": True}),
        ("4x3", {"units": 2, "bidirectional": True, "merge": "multiply", "bias": False}),
        ("2x3x4", {"units": 3, "return_sequences": True, "reverse": True}),
    )

    def bias_shapes(self, dialect: Dialect) -> dict[str, Shape]:
        names = ("bias", "recurrent_bias")[: dialect.lstm_biases]
        return dict.fromkeys(names, (4 * self.units,))


class GRU(_Recurrent, op="gru"):
    """Gated recurrent unit: a reset gate r and an update gate z blend the state h.

    r, z = sigmoid of x·kernel + h·recurrent + bias; h = z·h + (1 - z)·n, from zeros. The
    candidate is n = tanh(x·kernel + r·(h·recurrent)) where the reset gate acts after the
    product (`reset_after`; torch, keras, jax), and tanh(x·kernel + (r·h)·recurrent) before it
    (Cho 2014; elsewhere). Fields and shapes are those of `lstm`.

    kernel (C, 3·units) and recurrent (units, 3·units), in the order r, z, n; bias (3·units,).
    torch and onnx, and keras where `reset_after`, add recurrent_bias (3·units,), which acts
    with the recurrent product; jax has candidate_bias (units,), that of n alone.
    """

    reset_after: Any = Flag(default=None)

    gates = 3
    states = 7
    examples = (
        ("5x3", {"units": 4}),
        ("4x3", {"units": 2, "return_sequences": True, "bidirectional": True, "merge": "sum"}),
        ("4x3", {"units": 2, "reset_after": False, "reverse": True}),
        ("2x3x4", {"units": 3, "reset_after": True, "bias": False, "bidirectional": True}),
        ("3x2", {"units": 3, "bidirectional": True, "merge": "average"}),
    )

    def resets_after(self, dialect: Dialect) -> bool:
        """Whether the reset gate acts after the recurrent product."""
        given: bool | None = self.reset_after
        return dialect.gru_reset_after if given is None else given

    def bias_shapes(self, dialect: Dialect) -> dict[str, Shape]:
        found: dict[str, Shape] = {"bias": (3 * self.units,)}
        kind = dialect.gru_biases
        if kind == "after" and self.resets_after(dialect):
            kind = "two"
        if kind == "two":
            found["recurrent_bias"] = (3 * self.units,)
        elif kind == "candidate":
            found["candidate_bias"] = (self.units,)
        return found
