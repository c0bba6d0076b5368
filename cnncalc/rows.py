"""The results of a check as plain data (frozen tuples); `report` renders them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .diagnostics import Diagnostic, Span, exit_status
from .dialects import Dialect, Window
from .formula import Number, Symbol
from .layers.base import Layer, Shape
from .source import Source

if TYPE_CHECKING:
    from .gradients.results import Gradients
    from .scaling.plan import Plan

BYTES = 4  # float32


class RunRow(NamedTuple):
    """What the run saw of one layer."""

    output: tuple[int, ...] | None
    params: int
    agrees: bool
    weights: Mapping[str, tuple[int, ...]] = {}
    finite: bool = True
    detail: str = ""


class Row(NamedTuple):
    """One layer, derived. Shapes have no batch axis and channels last; MACs per item."""

    name: str
    op: str
    layer: Layer
    inputs: tuple[str, ...]  # names of the layers (or network inputs) it reads
    input: tuple[Shape, ...]  # one shape an input
    output: Shape
    weights: Mapping[str, Shape]
    buffer_shapes: Mapping[str, Shape]
    params: Number  # trainable; 0 in the second and later uses of a shared layer
    buffers: Number
    macs: Number
    receptive_field: Shape
    jump: Shape
    windows: tuple[Window, ...]
    dialect: Dialect
    assumed: bool = False  # derived from a size that did not fit
    shared: str | None = None  # the earlier layer whose weights this one uses
    span: Span | None = None
    run: RunRow | None = None


class Totals(NamedTuple):
    """Sums over the network. Memory in bytes, float32, one item."""

    params: Number
    trainable: Number
    buffers: Number
    macs: Number
    activations: Number  # values of every volume, the input's too; in-place layers add none
    peak_memory: Number  # inference: weights, buffers, and the most that is live at once
    training_memory: Number  # weights and gradients, and every value kept for backward


class Expectation(NamedTuple):
    """One `expect` entry and its verdict."""

    layer: str | None  # None: the whole network
    quantity: str
    given: str
    correct: str
    verdict: Literal["right", "wrong", "unreadable"]
    reasons: tuple[str, ...] = ()
    span: Span | None = None
    worked: str = ""  # beside a wrong answer: the calculation that gives the right one


class RunReport(NamedTuple):
    """What running the network on JAX showed."""

    status: Literal["agrees", "disagrees", "skipped", "failed"]
    platform: str | None = None
    devices: int = 0
    dtype: str = "float32"
    detail: str = ""
    all_sizes: Literal["proved", "checked", "skipped", "disproved"] = "skipped"


SKIPPED = RunReport("skipped", detail="--no-run")


class Report(NamedTuple):
    """Everything `check` found out about one spec under one dialect."""

    source: Source
    name: str
    dialect: Dialect
    symbols: Mapping[str, Symbol]
    input_shapes: Mapping[str, Shape]
    outputs: tuple[str, ...]
    layers: tuple[Row, ...]
    totals: Totals | None  # None where the spec could not be read
    expectations: tuple[Expectation, ...]
    diagnostics: tuple[Diagnostic, ...]
    run: RunReport = SKIPPED
    grad: "Gradients | None" = None  # only where it was asked for
    placement: "Plan | None" = None  # only with a mesh
    convention: str = ""  # the tool whose way to count the MACs follow; "": cnncalc's

    def status(self, strict: bool = False) -> int:
        """The exit status: 0, 1 or 2 (see `diagnostics.exit_status`)."""
        return exit_status(self.diagnostics, strict)

    @property
    def ok(self) -> bool:
        return self.status() == 0

    def row(self, name: str) -> Row:
        """The row of the layer called `name`; raises KeyError."""
        for row in self.layers:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """The object that `check --format json` prints (schema cnncalc.check/1)."""
        from .report.json import to_json

        return to_json(self)

    def _repr_html_(self) -> str:
        from .report.html import to_html

        return to_html(self)
