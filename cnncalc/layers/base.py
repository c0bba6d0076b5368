"""What every layer states: fields, sizes, weights, cost, and a `lax` reference.

Shapes are tuples of the volume's axes, channels last, without the batch:
(H, W, C), (L, C), (D, H, W, C), or (C,) for a flat vector.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, dataclass_transform

from ..diagnostics import Problem
from ..dialects import Dialect, Window
from ..formula import Expr, Number, divide, is_whole, product, substitute
from ..scope import Scope
from ..source import Node
from .accounts import Mistake
from .fields import (
    Axes,
    Choice,
    Count,
    Field,
    Flag,
    Index,
    Indices,
    Padding,
    PerAxis,
    Ranges,
    Rational,
    Table,
    Text,
    Volume,
)
from .mistakes import COMMON

if TYPE_CHECKING:
    from ..execute import Pass

__all__ = [
    "REGISTRY",
    "Axes",
    "Choice",
    "Count",
    "Dialect",
    "Field",
    "Fix",
    "Flag",
    "Index",
    "Indices",
    "Layer",
    "Misfit",
    "Number",
    "Padding",
    "PerAxis",
    "Ranges",
    "Rational",
    "Reach",
    "Run",
    "Shape",
    "Table",
    "Text",
    "Volume",
    "Window",
    "axes",
    "pads",
    "product",
    "ratio",
    "spatial",
]  # fmt: skip

Shape = tuple[Number, ...]
Shapes = Sequence[Shape]
Sizes = Sequence[tuple[int, ...]]  # shapes without symbols
Examples = tuple[tuple[str | list[str], dict[str, Any]], ...]  # input volumes, fields


class Fix(NamedTuple):
    """Changed fields (or a changed input) that may make a layer fit; re-checked before use."""

    text: str
    fields: Mapping[str, Any] = {}
    inputs: tuple[Shape, ...] | None = None


class Misfit(NamedTuple):
    """A size that does not work: code, reason, the field at fault, candidate remedies."""

    code: str
    message: str
    field: str | None = None
    fixes: tuple[Fix, ...] = ()


class Reach(NamedTuple):
    """One axis of a receptive field: input steps added at this layer, and jump factor."""

    steps: Number
    jump: Number


class Run(Protocol):
    """What a `reference` is given: its dialect, and a maker of real parameters."""

    dialect: Dialect

    def param(self, name: str, shape: Sequence[Any], fan_in: Any = None) -> Any:
        """A trainable array of `shape`, the same one at every call with this name."""

    def buffer(self, name: str, shape: Sequence[Any], value: float) -> Any:
        """A running statistic: an array of `shape` filled with `value`."""


REGISTRY: dict[str, type["Layer"]] = {}


@dataclass_transform(
    frozen_default=True,
    field_specifiers=(
        Axes, Choice, Count, Flag, Index, Indices, Padding, PerAxis, Ranges, Rational, Table,
        Text, Volume,
    ),
)  # fmt: skip
class Layer:
    """Base of all layers: an immutable set of declared fields.

    A subclass states its op name, its fields and the facts below. It is the only place
    where the layer's shape, weights, cost and reference are written.
    """

    op: ClassVar[str] = ""
    fields: ClassVar[dict[str, Field]] = {}
    summary: ClassVar[str] = ""
    inputs_min: ClassVar[int] = 1
    inputs_max: ClassVar[int] = 1  # joins take up to 1,000
    in_place: ClassVar[bool] = False  # may write its output over its input
    linear: ClassVar[bool] = False  # a linear map with weights (conv, dense)
    nonlinear: ClassVar[bool] = False  # an activation or pool between linear layers
    needs_spatial: ClassVar[bool] = False
    kept: ClassVar[float] = 1  # volumes of its output's size that `forward` keeps on the tape
    examples: ClassVar[Examples] = ()
    mistakes: ClassVar[tuple[Mistake, ...]] = COMMON  # likeliest first

    def __init_subclass__(cls, op: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {k: v for k, v in vars(cls).items() if isinstance(v, Field)}
        for name, field in own.items():
            field.attribute = name
            field.name = field.alias or name
        cls.fields = {**cls.fields, **{field.name: field for field in own.values()}}
        if op:
            cls.op = op
            cls.summary = (cls.__doc__ or "").strip().partition("\n")[0]
            REGISTRY[op] = cls

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = list(self.fields)
        if len(args) > len(names):
            raise TypeError(f"{self.op} takes at most {len(names)} values: {', '.join(names)}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in self.fields:
                raise TypeError(f"{self.op} has no field '{name}'; it has {', '.join(names)}")
            if name in given:
                raise TypeError(f"{self.op}: {name} is given twice")
            given[name] = value
        scope = Scope()
        for name, field in self.fields.items():
            if name in given:
                given[name] = self._read(field, given[name], scope)
            elif field.required:
                raise TypeError(f"{self.op} needs {name}")
            else:
                given[name] = field.default
        self._set(given)

    def _set(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update({self.fields[n].attribute: v for n, v in values.items()})

    @staticmethod
    def _read(field: Field, value: Any, scope: Scope) -> Any:
        if value is None and field.default is None:
            return None
        try:
            return field.read(Node.of(value), scope)
        except Problem as problem:
            raise ValueError(problem.diagnostic.message) from None

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> "Layer":
        """A layer from values that are already read; missing ones take their defaults."""
        layer = cls.__new__(cls)
        layer._set({n: f.default for n, f in cls.fields.items()} | dict(values))
        return layer

    def replace(self, **values: Any) -> "Layer":
        """The same layer with some values changed (not re-read)."""
        return self.build({**self.values(), **values})

    def values(self) -> dict[str, Any]:
        return {name: self.__dict__[field.attribute] for name, field in self.fields.items()}

    def substitute(self, values: Mapping[str, Number]) -> "Layer":
        """The same layer with symbols replaced by numbers in every field."""
        return self.build({k: _substitute(v, values) for k, v in self.values().items()})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a layer is immutable; use .replace({name}=...)")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((self.op, tuple(sorted((k, repr(v)) for k, v in self.__dict__.items()))))

    def __repr__(self) -> str:
        set_ = self.__dict__  # of a half-built layer, not yet all of them
        known = {k: set_[f.attribute] for k, f in self.fields.items() if f.attribute in set_}
        changed = {k: v for k, v in known.items() if v != self.fields[k].default}
        return f"{type(self).__name__}({', '.join(f'{k}={_show(v)}' for k, v in changed.items())})"

    # --- facts ---------------------------------------------------------------

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        """Shape of the output volume. Never raises: where nothing fits it gives the
        shape that later layers may go on from, and `misfits` says why."""
        return inputs[0]

    def windows(self, inputs: Shapes, dialect: Dialect) -> tuple[Window, ...]:
        """The sliding windows, one a spatial axis; empty for layers that do not slide."""
        return ()

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        """Trainable arrays by name: parameter counts are derived from these."""
        return {}

    def buffers(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        """Arrays that are kept but not trained: running statistics."""
        return {}

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        """Multiply-adds of one forward pass of one item."""
        return 0

    def fan_in(self, inputs: Shapes, dialect: Dialect) -> Number | None:
        """Weights that one output value is computed with; None where there are none.

        Of a kernel (..., inputs, outputs) those that belong to one output.
        """
        kernel = self.weights(inputs, dialect).get("kernel")
        return None if kernel is None else product(kernel[:-1])

    def connections(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        """Connections as LeCun 1998 counts them: one a multiply-add, one a bias and output."""
        own = "bias" in self.weights(inputs, dialect)
        return self.macs(inputs, output, dialect) + (product(output) if own else 0)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        """Size problems other than those of sliding windows (rules judge those)."""
        return iter(())

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """Receptive field growth along each spatial axis; None leaves it as it was."""
        found = self.windows(inputs, dialect)
        return tuple(Reach(w.extent - 1, w.s) for w in found) or None

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        """Values of one item that the engine keeps for the backward pass, its output among them."""
        return self.kept * prod(output)

    def work(self, inputs: Sizes, dialect: Dialect, batch: int, itemsize: int) -> int:
        """Bytes that the engine takes for a while, forward or back, besides what it keeps."""
        return 0

    def forward(self, run: "Pass", *xs: Any) -> Any:
        """The layer on arrays of any kind (batch first), composed of the engine's primitives."""
        raise NotImplementedError(self.op)

    def reference(self, run: Run, *xs: Any) -> Any:
        """The layer on real arrays (batch first), written in `lax`/`jax.numpy` alone.

        Shares nothing with `output`, `weights` or `formula`: it reads sizes off the
        arrays it is given.
        """
        raise NotImplementedError(self.op)


def _substitute(value: Any, values: Mapping[str, Number]) -> Any:
    if isinstance(value, tuple):
        return tuple(_substitute(v, values) for v in value)
    return substitute(value, values) if isinstance(value, Expr) else value


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_show(v) for v in value) + "]"
    return repr(value) if isinstance(value, str) else str(value)


def spatial(shape: Shape) -> Shape:
    """The spatial axes of a volume: all but the channels."""
    return shape[:-1]


def axes(value: Any, rank: int) -> tuple[Any, ...]:
    """One value an axis: a single value is repeated, a list must have `rank` entries.

    A list of another length is cut or repeated; `rank_misfits` reports it.
    """
    if not isinstance(value, tuple):
        return (value,) * rank
    return tuple(value[i % len(value)] for i in range(rank))


def pads(value: Any, rank: int) -> tuple[Any, ...]:
    """One pad an axis: a word, a number or a pair."""
    return axes(value, rank)


def ratio(a: Any, b: Any) -> Any:
    """a / b where b divides a; integers that do not divide are rounded down."""
    if isinstance(b, int) and b == 1:
        return a
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    return a / b


def rank_misfits(layer: Layer, shape: Shape, names: Sequence[str]) -> Iterator[Misfit]:
    """S008 where the volume has no spatial axes, or a field lists another number of them."""
    rank = len(shape) - 1
    if rank == 0:
        text = f"{layer.op} needs spatial axes, but its input is a flat vector of {shape[0]}"
        yield Misfit("S008", text)
        return
    for name in names:
        value = layer.values()[name]
        if isinstance(value, tuple) and len(value) != rank:
            text = f"{name} lists {len(value)} axes, but the input has {rank} spatial"
            yield Misfit("S008", text, name)


def divides(a: Number, b: Number) -> bool | None:
    """Does b divide a? None where the symbols leave it open."""
    if isinstance(a, int) and isinstance(b, int):
        return a % b == 0
    return is_whole(divide(a, b))
