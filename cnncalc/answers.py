"""Compares `expect` entries and `budget` limits with what was derived."""

from . import expr, units
from .derive import Derivation
from .diagnostics import Collector, Problem, Span
from .formula import Number, at_least, compare, upper_bound
from .graph import Graph
from .homework.marking import MISFIT, mark
from .homework.quantities import QUANTITIES, quantity
from .homework.subjects import Subject, Subjects
from .rows import BYTES, Expectation
from .scope import Scope
from .source import Node, shorten
from .spec import Spec

BUDGETS = (
    "params", "trainable", "buffers", "macs", "flops", "activations", "peak_memory",
    "training_memory",
)  # fmt: skip


# How many layers, summed over the wrong answers, are searched for two mistakes or for one in
# another layer, and for one at all: homework stays below, large networks of other sizes do not.
DEEP, MOST = 200, 600


class Judge:
    """Judges all answers of one spec; wrong ones become diagnostics in `found`."""

    def __init__(self, spec: Spec, graph: Graph, derived: Derivation, found: Collector) -> None:
        self.spec, self.graph, self.derived, self.found = spec, graph, derived, found
        self.results: list[Expectation] = []
        self.subjects = Subjects(
            derived.rows, derived.totals, spec.inputs, graph.outputs, derived.diagnostics,
            spec.scope, spec.stated and spec.dialect.exact,
        )  # fmt: skip
        self.excused: set[str] = set()
        self.searched = 0

    def run(self) -> tuple[Expectation, ...]:
        """Every `expect` entry marked, in order; the budget is compared too."""
        subjects = self.subjects
        for vertex in self.graph.vertices:
            if vertex.expect is not None and not vertex.broken:
                self.entries(vertex.expect, subjects.layer(vertex.name, vertex.scope or Scope()))
        for group in self.graph.groups:
            if group.expect is not None:
                self.entries(group.expect, subjects.group(group))
        if self.spec.expect is not None and self.derived.rows:
            self.entries(self.spec.expect, subjects.whole(self.spec.scope))
        if self.spec.budget is not None:
            self.budget(self.spec.budget)
        return tuple(self.results)

    # --- expect ------------------------------------------------------------------

    def entries(self, node: Node, subject: Subject) -> None:
        if node.kind == "none":
            return
        if node.kind != "map":
            self.entry("output", node, node.span, subject)
            return
        for key, value in node.pairs:
            if quantity(key.text) is None:
                near = expr.nearest(key.text, list(QUANTITIES))
                help_ = [f"did you mean '{near}'?"] if near else []
                help_.append("quantities: " + ", ".join(QUANTITIES))
                message = f"expect has no quantity '{shorten(key.text)}'"
                self.found.add("E004", message, key.span, help_, layer=subject.name)
                continue
            self.entry(key.text, value, value.span, subject)

    def entry(self, asked: str, node: Node, span: Span | None, subject: Subject) -> None:
        found = mark(
            subject, asked, _argument(node, subject.scope),
            explain=self.searched < MOST, deep=self.searched < DEEP,
        )  # fmt: skip
        if found.verdict == "wrong":
            self.searched += len(self.derived.rows)
        if found.right and found.correct == MISFIT:
            self.excused.update(row.name for row in subject.rows)
        entry = Expectation(
            subject.name,
            asked,
            found.given,
            found.correct,
            found.verdict,
            found.reasons,
            span,
            found.worked,
        )
        self.results.append(entry)
        where = f"{subject.name}: " if subject.name else ""
        if found.verdict == "wrong":
            message = f"{where}{asked} is {found.correct}, not {found.given}"
            self.found.add("A001", message, span, found.reasons, layer=subject.name)
        elif found.verdict == "unreadable":
            message = f"{where}the answer '{found.given}' for {asked} cannot be read"
            self.found.add("A002", message, span, found.reasons, layer=subject.name)

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


def _argument(node: Node, scope: Scope) -> Node:
    """A block's argument named as the answer is what it stands for."""
    return scope.resolve(node)


__all__ = ["BUDGETS", "BYTES", "QUANTITIES", "Judge"]
