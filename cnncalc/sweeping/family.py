"""A family of designs: one derivation of a spec with some of its names left open.

Names that choose the structure (how often a block repeats) or the sliding windows' own
fields are not left open but gone through: a derivation for each of their values.
"""

from collections.abc import Mapping, Sequence
from itertools import product as combinations
from math import prod
from typing import Any, NamedTuple

from ..derive import Derivation, derive
from ..diagnostics import Diagnostic, Problem
from ..dialects import dialect as dialect_of
from ..formula import Expr, FormulaLimit, Number, Symbol, symbols
from ..layers.base import Shape
from ..layers.fields import Padding, PerAxis
from ..network import Network, open_source, read_network
from ..rows import Report, Totals
from ..source import Node, Source, parse
from .fitting import Condition, conditions
from .grid import Axis, Grid, GridError

AXES = {1: "C", 2: "LC", 3: "HWC", 4: "DHWC"}  # letters for the axes of an input of numbers
MOST_PARTS = 4096  # derivations of one sweep
FEW = 256  # combinations of window fields that are rather gone through
TRIES = 6  # points at which a part is compared with a derivation in numbers
TOTALS = ("params", "trainable", "buffers", "macs", "activations", "peak_memory",
          "training_memory")  # fmt: skip


class Unreadable(Exception):
    """The spec cannot be derived at any point of the grid; why, as diagnostics."""

    def __init__(self, source: Source, found: Sequence[Diagnostic]) -> None:
        super().__init__("; ".join(f"{d.code} {d.message}" for d in found))
        self.source, self.found = source, tuple(found)


class Part(NamedTuple):
    """The designs with given values of the names gone through, in closed form."""

    given: Mapping[str, int]
    forms: Mapping[str, Number]  # totals by name, and the axes of the output by number
    fitting: tuple[Condition, ...]
    symbols: Mapping[str, Number] = {}  # what the names left open stand for
    broken: Diagnostic | None = None  # nothing can be derived with these values


class Family:
    """A spec over a grid: its parts, and the derivation in numbers at single points."""

    def __init__(self, spec: Any, axes: Sequence[Axis], dialect: str | None = None) -> None:
        self.dialect = dialect_of(dialect) if dialect else None
        self.source = open_source(spec)
        self.root = _parsed(self.source)
        plain = read_network(self.source, {}, self.dialect, self.root)
        if isinstance(plain, Report):
            raise Unreadable(self.source, plain.diagnostics)
        self._axes_of_input(axes, plain)
        self._inside_domains(axes, plain)
        self.name = plain.name
        self.free = [a for a in axes if len(a.values) > 1]
        self.fixed = {a.name: a.values[0] for a in axes if len(a.values) == 1}
        self.derivations = 0
        through, first = self._gone_through()
        order = [a for a in self.free if a.name in through]
        order += [a for a in self.free if a.name not in through]
        self.axes = [*(a for a in axes if a.name in self.fixed), *order]
        self.through = tuple(a.name for a in order if a.name in through)
        self.open = tuple(a for a in self.free if a.name not in through)
        self._first = first
        self.rank = len(_output_of(first[1])) if first else 0
        self.parts_total = prod(len(a.values) for a in order if a.name in through)
        if self.parts_total > MOST_PARTS:
            names = " and ".join(self.through)
            raise GridError(
                f"{names} change the structure of the network, which takes a derivation for "
                f"each of {self.parts_total:,} combinations: at most {MOST_PARTS:,} will do"
            )

    # --- reading ---------------------------------------------------------------

    def _axes_of_input(self, axes: Sequence[Axis], plain: Network) -> None:
        """Lets H, W, C name the axes of an input that is written in numbers."""
        known = plain.scope_names
        unknown = [a.name for a in axes if a.name not in known]
        shape = next(iter(plain.inputs.values()))
        letters = AXES.get(len(shape), "")
        if not unknown or len(plain.inputs) > 1 or any(isinstance(n, Expr) for n in shape):
            return
        if all(name in letters for name in unknown) and self.root.get("input") is not None:
            sizes = [
                letter if letter in unknown else n for letter, n in zip(letters, shape, strict=True)
            ]
            pairs = self.root.pairs
            self.root.pairs = [
                (k, Node.of(sizes, v.span) if k.text == "input" else v) for k, v in pairs
            ]

    @staticmethod
    def _inside_domains(axes: Sequence[Axis], plain: Network) -> None:
        for axis in axes:
            symbol = plain.symbols.get(axis.name)
            bad = None if symbol is None else next(
                (v for v in axis.values if not symbol.admits(v)), None
            )  # fmt: skip
            if bad is not None and symbol is not None:
                from ..formula import domain_text

                raise GridError(f"--set {axis.name}: {bad} is no {domain_text(symbol)}, as assumed")

    def read(self, values: Mapping[str, int | Symbol]) -> Network | Report:
        """The network with numbers or symbols for the names of the grid."""
        self.derivations += 1
        sets: dict[str, str | Symbol] = {k: str(v) for k, v in self.fixed.items()}
        sets |= {k: v if isinstance(v, Symbol) else str(v) for k, v in values.items()}
        return read_network(self.source, sets, self.dialect, self.root)

    def _symbolic(self, given: Mapping[str, int]) -> tuple[Network, Derivation] | Diagnostic:
        names = {a.name: a.symbol for a in self.free if a.name not in given}
        network = self.read({**given, **names})
        if isinstance(network, Report):
            return next(d for d in network.diagnostics if d.severity == "error")
        wrong = next((d for d in network.problems if d.severity == "error"), None)
        if wrong is not None:
            return wrong
        try:
            return network, derive(network.graph(), network.inputs, judging=None)
        except FormulaLimit as limit:
            return Diagnostic("E013", "error", f"the closed forms grow too large: {limit}")

    def _gone_through(self) -> tuple[set[str], tuple[Network, Derivation] | None]:
        """The names that cannot be left open, and the derivation with the others left open."""
        through: set[str] = set()
        base = {a.name: a.values[0] for a in self.free}
        found = self._symbolic({})
        if isinstance(found, Diagnostic):
            plain = self._symbolic(base)
            if isinstance(plain, Diagnostic) and all(
                isinstance(self._symbolic({**base, a.name: a.values[-1]}), Diagnostic)
                for a in self.free
            ):
                raise Unreadable(self.source, [plain])
            for axis in self.free:
                others = {n: v for n, v in base.items() if n != axis.name}
                if isinstance(self._symbolic(others), Diagnostic):
                    through.add(axis.name)
            found = self._symbolic({n: base[n] for n in through})
            if isinstance(found, Diagnostic):  # together they do not go either
                through = set(base)
                found = self._symbolic(base)
        if isinstance(found, Diagnostic):
            return through, None
        shaping = _shaping(found[0]) - through
        sizes = [len(a.values) for a in self.free if a.name in shaping | through]
        if shaping and prod(sizes) <= FEW:
            through |= shaping
            again = self._symbolic({n: base[n] for n in through})
            found = found if isinstance(again, Diagnostic) else again
        return through, found

    # --- parts -----------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """All points, the names gone through first and slowest."""
        return Grid(self.axes)

    def parts(self) -> list[dict[str, int]]:
        """The values of the names gone through, part by part in the order of the grid."""
        chosen = [a for a in self.axes if a.name in self.through]
        return [
            dict(zip(self.through, values, strict=True))
            for values in combinations(*(a.values for a in chosen))
        ]

    def part(self, given: Mapping[str, int]) -> Part:
        """One derivation with the remaining names left open."""
        found = self._symbolic(given)
        if isinstance(found, Diagnostic):
            totals = [*TOTALS, "flops", *(f"output {i}" for i in range(self.rank))]
            return Part(given, dict.fromkeys(totals, 0), (), {}, found)
        network, derived = found
        fitting = tuple(conditions(derived.rows, network.inputs))
        names: dict[str, Number] = {a.name: a.symbol for a in self.free if a.name not in given}
        names |= self.fixed
        return Part(given, _forms(network, derived), fitting, names)

    def numbers(self, point: Mapping[str, int]) -> tuple[dict[str, Any], str]:
        """The totals at one point, derived in numbers, and `CODE layer` where it does not fit."""
        network = self.read(point)
        if isinstance(network, Report):
            return {}, _reason(network.diagnostics)
        found = [d for d in network.problems if d.severity == "error"]
        if found:
            return {}, _reason(found)
        try:
            derived = derive(network.graph(), network.inputs)
        except FormulaLimit:
            return {}, "E013"
        errors = [d for d in derived.diagnostics if d.severity == "error"]
        values = _forms(network, derived)
        if any(d.code != "S001" for d in errors):
            values = {}
        return dict(values), _reason(errors) if errors else ""


def _parsed(source: Source) -> Node:
    try:
        return parse(source)
    except Problem as problem:
        raise Unreadable(source, [problem.diagnostic]) from None


def _reason(found: Sequence[Diagnostic]) -> str:
    first = next(d for d in found if d.severity == "error")
    return f"{first.code} {first.layer}" if first.layer else first.code


def _output_of(derived: Derivation) -> Shape:
    return derived.rows[-1].output if derived.rows else ()


def _forms(network: Network, derived: Derivation) -> dict[str, Number]:
    totals: Totals = derived.totals
    forms = {name: getattr(totals, name) for name in TOTALS}
    forms["flops"] = 2 * totals.macs
    first = network.graph().outputs[0]
    output = next((r.output for r in derived.rows if r.name == first), None)
    if output is None:
        output = network.inputs.get(first) or next(iter(network.inputs.values()))
    forms |= {f"output {i}": n for i, n in enumerate(output)}
    return forms


def _shaping(network: Network) -> set[str]:
    """The names that sliding windows and groups are laid out by."""
    found: set[str] = set()
    for vertex in network.graph().vertices:
        for name, field in vertex.layer.fields.items():
            if isinstance(field, PerAxis | Padding) or name == "groups":
                found |= {s.name for s in _symbols(vertex.layer.values()[name])}
    return found


def _symbols(value: Any) -> set[Symbol]:
    if isinstance(value, tuple):
        return {s for entry in value for s in _symbols(entry)}
    return set(symbols(value)) if isinstance(value, Expr) else set()
