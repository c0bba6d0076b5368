"""The results of `grad` as plain data; `report.gradients` renders them."""

from collections.abc import Mapping
from math import log
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..diagnostics import Diagnostic

if TYPE_CHECKING:
    from .symbolic import Formulas

Verdict = Literal["agrees", "disagrees", "none", "unchecked"]
Status = Literal["agrees", "disagrees", "failed", "skipped"]
ENGINES = ("numpy", "jax", "symbolic")
BATCH = 4  # items: with fewer, batch normalisation says little

SMALLER = "a smaller --batch needs less"


class Options(NamedTuple):
    """What `grad` was asked to do."""

    engine: str = "numpy"
    at: str | None = None  # only the parameters of this layer or block
    batch: int = BATCH
    seed: int = 0
    full: bool = False  # finite differences for large networks too
    fit: bool = False  # fewer items where the memory asks for it


class Term(NamedTuple):
    """One output's part of the loss, taken from the values of `layer`."""

    output: str
    layer: str
    kind: Literal["cross entropy", "mean of squares"]
    classes: int | None = None
    value: float = 0.0

    @property
    def expected(self) -> float | None:
        """ln(classes): the loss of a network that knows nothing."""
        return log(self.classes) if self.classes else None


class Param(NamedTuple):
    """The gradient of one parameter array, and what the witnesses say of it."""

    layer: str
    name: str
    shape: tuple[int, ...]
    norm: float
    largest: float
    relative: float | None  # the gradient's norm over the weights' own
    jax: float | None = None  # the largest difference from jax.grad, over the largest entry
    differences: float | None = None  # relative error of central differences
    verdict: Verdict = "unchecked"
    detail: str = ""


class Units(NamedTuple):
    """Channels of a rectifier that are zero for every item and position of the batch."""

    layer: str
    channels: int
    dead: int


class Depth(NamedTuple):
    """Relative gradient norms of the first and the last weighted layer."""

    first: str
    last: str
    at_first: float
    at_last: float

    @property
    def ratio(self) -> float:
        return self.at_first / self.at_last


class Witness(NamedTuple):
    """A comparison: the largest error met, or why there was none."""

    ran: bool
    worst: float | None
    detail: str


UNASKED = Witness(False, None, "not compared")


class Gradients(NamedTuple):
    """Everything that `grad` found out about one network."""

    status: Status
    options: Options
    detail: str = ""
    sizes: Mapping[str, int] = {}
    loss: float | None = None
    terms: tuple[Term, ...] = ()
    params: tuple[Param, ...] = ()
    units: tuple[Units, ...] = ()
    depth: Depth | None = None
    jax: Witness = UNASKED
    differences: Witness = UNASKED
    remarks: tuple[str, ...] = ()  # conventions that were used
    diagnostics: tuple[Diagnostic, ...] = ()
    formulas: "Formulas | None" = None
