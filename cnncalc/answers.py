"""Compares `expect` entries and `budget` limits with what was derived."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from . import expr, units
from .derive import Derivation
from .diagnostics import Collector, Problem, Span
from .formula import Expr, Number, at_least, compare, equal, product, upper_bound
from .graph import Graph, Group
from .layers.base import Shape
from .layers.fields import Volume
from .rows import BYTES, Expectation, Row, Totals
from .scope import Scope
from .source import Node, shorten
from .spec import Spec

MISFIT = "does not fit"
NO_FIT = frozenset({MISFIT, "doesn't fit", "does not fit!", "doesn't fit!", "invalid", "no fit"})
SIZE_CODES = ("S001", "S002", "S003", "S004", "S005", "S006", "S007", "S008", "S009", "S010",
              "S011")  # fmt: skip
BUDGETS = (
    "params", "trainable", "buffers", "macs", "flops", "activations", "peak_memory",
    "training_memory",
)  # fmt: skip


class Subject(NamedTuple):
    """What answers are about: one layer, a group of them, or the network."""

    name: str | None
    rows: Sequence[Row]
    output: Shape
    fits: bool
    totals: Totals | None = None


Quantity = Callable[[Subject], Any]


def _sum(get: Callable[[Row], Number]) -> Quantity:
    def total(subject: Subject) -> Number:
        result: Number = 0
        for row in subject.rows:
            result = result + get(row)
        return result

    return total


def _weights(row: Row) -> Number:
    arrays = [product(shape) for name, shape in row.weights.items() if name != "bias"]
    return sum(arrays, 0) if row.shared is None else 0


def _biases(row: Row) -> Number:
    return product(row.weights["bias"]) if "bias" in row.weights and not row.shared else 0


def _activations(subject: Subject) -> Number:
    if subject.totals is not None:
        return subject.totals.activations
    return product(subject.output)


def _axis(index: int) -> Quantity:
    def size(subject: Subject) -> Any:
        inside = subject.output[:-1]
        return inside[index] if len(inside) >= abs(index + (index >= 0)) else None

    return size


QUANTITIES: dict[str, Quantity] = {
    "output": lambda s: s.output,
    "height": _axis(-2),
    "width": _axis(-1),
    "depth": lambda s: s.output[-1],
    "channels": lambda s: s.output[-1],
    "params": _sum(lambda r: r.params),
    "trainable": _sum(lambda r: r.params),
    "weights": _sum(_weights),
    "biases": _sum(_biases),
    "buffers": _sum(lambda r: r.buffers),
    "macs": _sum(lambda r: r.macs),
    "flops": _sum(lambda r: 2 * r.macs),
    "activations": _activations,
    "neurons": _activations,
    "receptive_field": lambda s: s.rows[-1].receptive_field if s.rows else None,
    "jump": lambda s: s.rows[-1].jump if s.rows else None,
    "valid": lambda s: s.fits,
    "peak_memory": lambda s: s.totals.peak_memory if s.totals else None,
    "training_memory": lambda s: s.totals.training_memory if s.totals else None,
}
VOLUMES = ("output", "receptive_field", "jump")


class Judge:
    """Judges all answers of one spec; wrong ones become diagnostics in `found`."""

    def __init__(self, spec: Spec, graph: Graph, derived: Derivation, found: Collector) -> None:
        self.spec, self.graph, self.derived, self.found = spec, graph, derived, found
        self.results: list[Expectation] = []
        self.misfits = {
            d.layer for d in derived.diagnostics if d.severity == "error" and d.code in SIZE_CODES
        }
        self.excused: set[str] = set()

    def run(self) -> tuple[Expectation, ...]:
        by_name = {row.name: row for row in self.derived.rows}
        for vertex in self.graph.vertices:
            if vertex.expect is not None and not vertex.broken:
                row = by_name[vertex.name]
                rows = self._inside(row)
                subject = Subject(row.name, rows, row.output, self._fits([row]))
                self.entries(vertex.expect, subject, vertex.scope or Scope())
        for group in self.graph.groups:
            if group.expect is not None:
                self.entries(group.expect, self._group(group, by_name), group.scope)
        if self.spec.expect is not None and self.derived.rows:
            self.entries(self.spec.expect, self._network(by_name), self.spec.scope, "output")
        if self.spec.budget is not None:
            self.budget(self.spec.budget)
        return tuple(self.results)

    def _inside(self, row: Row) -> Sequence[Row]:
        """A join with branches answers for the layers inside them too."""
        prefix = row.name + "/"
        return [*(r for r in self.derived.rows if r.name.startswith(prefix)), row]

    def _group(self, group: Group, by_name: Mapping[str, Row]) -> Subject:
        rows = self.derived.rows[group.first : group.last]
        output = by_name[group.output].output if group.output in by_name else ()
        return Subject(group.name, rows, output, self._fits(rows))

    def _network(self, by_name: Mapping[str, Row]) -> Subject:
        last = by_name.get(self.graph.outputs[0]) or self.derived.rows[-1]
        rows = [*(r for r in self.derived.rows if r is not last), last]
        return Subject(None, rows, last.output, not self.misfits, self.derived.totals)

    def _fits(self, rows: Iterable[Row]) -> bool:
        return not any(row.name in self.misfits for row in rows)

    # --- expect ------------------------------------------------------------------

    def entries(self, node: Node, subject: Subject, scope: Scope, first: str = "output") -> None:
        if node.kind == "none":
            return
        if node.kind != "map":
            self.entry(first, node, node.span, subject, scope)
            return
        for key, value in node.pairs:
            if key.text not in QUANTITIES:
                near = expr.nearest(key.text, list(QUANTITIES))
                help_ = [f"did you mean '{near}'?"] if near else []
                help_.append("quantities: " + ", ".join(QUANTITIES))
                message = f"expect has no quantity '{shorten(key.text)}'"
                self.found.add("E004", message, key.span, help_, layer=subject.name)
                continue
            self.entry(key.text, value, value.span, subject, scope)

    def entry(
        self, quantity: str, node: Node, span: Span | None, subject: Subject, scope: Scope
    ) -> None:
        given = _text(node)
        correct = QUANTITIES[quantity](subject)
        if _plain(given) in NO_FIT or (quantity == "valid" and not isinstance(correct, str)):
            self._validity(quantity, node, span, subject, given)
            return
        shown = show(correct)
        if correct is None:
            reason = f"{quantity} means nothing here"
            self._add(subject, quantity, given, "none", "unreadable", (reason,), span)
            return
        try:
            right, reason = matches(node, correct, scope, quantity in VOLUMES)
        except Problem as problem:
            self._add(subject, quantity, given, shown, "unreadable",
                      (problem.diagnostic.message,), problem.diagnostic.span or span)  # fmt: skip
            return
        reasons = (reason,) if reason else ()
        if quantity == "output" and not subject.fits:
            reasons = (*reasons, "the size does not fit; the correct answer shown is rounded down")
        self._add(subject, quantity, given, shown, "right" if right else "wrong", reasons, span)

    def _validity(
        self, quantity: str, node: Node, span: Span | None, subject: Subject, given: str
    ) -> None:
        """`does not fit`, or `valid: false`: an expected misfit is not an error."""
        claim = _plain(given) not in NO_FIT
        if claim and _plain(given) in ("false", "no"):
            claim = False
        elif claim and _plain(given) not in ("true", "yes"):
            self._add(subject, quantity, given, show(subject.fits), "unreadable",
                      ("expected true, false or 'does not fit'",), span)  # fmt: skip
            return
        right = claim == subject.fits
        if right and not claim:
            self.excused.update(row.name for row in subject.rows)
        correct = show(subject.output) if subject.fits else MISFIT
        reasons = () if right else ((f"it fits: the output is {correct}",) if subject.fits else ())
        self._add(subject, quantity, given, correct, "right" if right else "wrong", reasons, span)

    def _add(
        self, subject: Subject, quantity: str, given: str, correct: str, verdict: Any,
        reasons: tuple[str, ...], span: Span | None,
    ) -> None:  # fmt: skip
        entry = Expectation(subject.name, quantity, given, correct, verdict, reasons, span)
        self.results.append(entry)
        where = f"{subject.name}: " if subject.name else ""
        if verdict == "wrong":
            message = f"{where}{quantity} is {correct}, not {given}"
            self.found.add("A001", message, span, reasons, layer=subject.name)
        elif verdict == "unreadable":
            message = f"{where}the answer '{given}' for {quantity} cannot be read"
            help_ = [*reasons, f"the answer has the form of: {correct}"]
            self.found.add("A002", message, span, help_, layer=subject.name)

    # --- budget ------------------------------------------------------------------

    def budget(self, node: Node) -> None:
        totals = self.derived.totals
        for key, value in node.pairs:
            if key.text not in BUDGETS:
                near = expr.nearest(key.text, BUDGETS)
                help_ = [f"did you mean '{near}'?"] if near else []
                help_.append("a budget has: " + ", ".join(BUDGETS))
                message = f"a budget has no '{shorten(key.text)}'"
                self.found.add("E004", message, key.span, help_)
                continue
            limit = self._limit(key.text, value)
            if limit is not None:
                used = 2 * totals.macs if key.text == "flops" else getattr(totals, key.text)
                self._compare(key, value, limit, used)

    def _limit(self, name: str, node: Node) -> Number | None:
        figure = units.read(node.text) if node.kind == "text" else None
        if figure is not None:
            return figure.value
        try:
            return self.spec.scope.number(node, f"the limit of {name}, such as 5M or 64MiB")
        except Problem as problem:
            self.found.catch(problem)
            return None

    def _compare(self, key: Node, node: Node, limit: Number, used: Number) -> None:
        if at_least(limit, used):
            return
        text = shorten(node.text)
        if compare(used, limit) == 1:
            unit = units.binary if key.text.endswith("memory") else units.metric
            size = f"{used:,} ({unit(used)})" if isinstance(used, int) else str(used)
            message = f"{key.text} is {size}, over the budget of {text}"
            self.found.add("B001", message, node.span)
        else:
            top = upper_bound(used)
            most = f"at most {top}" if top is not None else "without an upper bound"
            message = f"{key.text} depends on the symbols ({most}): the budget of {text} is open"
            help_ = ["bound the symbols in assume, or --set them"]
            self.found.add("B001", message, node.span, help_, severity="warning")


def matches(node: Node, correct: Any, scope: Scope, volume: bool) -> tuple[bool, str]:
    """Is the answer right, and a remark; raises `Problem` where it cannot be read."""
    if volume:
        field = Volume(minimum=-(10**12))
        field.name = "the answer"
        values = read_volume(node, field, scope)
        if len(values) == 1 and len(correct) > 1 and len(set(correct)) == 1:
            values = values * len(correct)
        return same_shape(values, correct), ""
    if node.kind == "text":
        figure = units.read(node.text)
        if figure is not None and isinstance(correct, int):
            right = figure.covers(correct)
            rounded = right and figure.value != correct
            return right, f"rounded: exactly {correct:,}" if rounded else ""
    value = scope.number(node, "a number")
    return same(value, correct), ""


def read_volume(node: Node, field: Volume, scope: Scope) -> tuple[Number, ...]:
    node = scope.resolve(node)
    if node.kind not in ("text", "list", "value"):
        raise field.refuse(node)
    return tuple(field.axes(node, scope, None, star=True))


def same_shape(a: Sequence[Number], b: Sequence[Number]) -> bool:
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def same(a: Number, b: Number) -> bool:
    """Equal numbers, or closed forms proved equal."""
    if isinstance(a, Expr) or isinstance(b, Expr):
        return equal(a, b)
    return a == b


def show(value: Any) -> str:
    """A value as it is written in a report."""
    if isinstance(value, bool):
        return "fits" if value else MISFIT
    if isinstance(value, tuple):
        if any(isinstance(v, Expr) for v in value):
            return "[" + ", ".join(str(v) for v in value) + "]"
        return "x".join(str(v) for v in value)
    return str(value)


def _text(node: Node) -> str:
    if node.kind == "list":
        return "[" + ", ".join(_text(item) for item in node.items) + "]"
    return shorten(node.text, 120) if node.kind in ("text", "value") else node.describe()


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


__all__ = ["BYTES", "QUANTITIES", "Judge", "matches", "same", "show"]
