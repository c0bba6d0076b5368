"""A network, read from a spec or built in Python, and its derivation."""

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from . import bundled
from .diagnostics import Collector, Diagnostic, Problem
from .dialects import Dialect
from .dialects import dialect as dialect_of
from .formula import FormulaLimit, Symbol
from .graph import Graph, Vertex, unroll
from .layers.base import Layer, Shape
from .rows import Report, Row, Totals
from .scope import Scope
from .source import Node, Source, parse
from .spec import Reader, Spec

if TYPE_CHECKING:
    from .derive import Derivation

MODEL_FILES = (".onnx", ".prototxt", ".pbtxt", ".keras", ".json")


class Network:
    """A network of layers over named inputs.

    Built in Python it needs an input volume (H x W x C, or `HxWx3` for symbols) and
    layers; `cnncalc.load` makes one from a spec.

    >>> from cnncalc.layers import Conv, ReLU
    >>> net = Network("32x32x3", [Conv(filters=10, kernel=5, pad=2), ReLU()])
    >>> net.derive().layers[0].output, net.derive().totals.params
    ((32, 32, 10), 760)
    """

    def __init__(
        self,
        input: str | Sequence[Any] | Mapping[str, Any] = "1x1x1",
        layers: Iterable[Layer] = (),
        *,
        name: str = "network",
        dialect: str = "cs231n",
        assume: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        raw: dict[str, Any] = {"name": name, "dialect": dialect, "layers": ["identity"]}
        raw["inputs" if isinstance(input, Mapping) else "input"] = input
        raw["assume"] = dict(assume or {})
        found = Collector()
        spec = Reader(Source("", f"<{name}>"), Node.of(raw), found, {}).read()
        if spec is None or found.failed:
            raise ValueError("; ".join(d.message for d in found.found))
        self._spec: Spec = spec
        self._found = found
        self._vertices: list[Vertex] = []
        self._outputs: tuple[str, ...] = ()
        self._graph: Graph | None = None
        for layer in layers:
            self.add(layer)

    @classmethod
    def _read(cls, spec: Spec, graph: Graph, found: Collector) -> "Network":
        network = cls.__new__(cls)
        network._spec, network._found = spec, found
        network._vertices, network._outputs = list(graph.vertices), graph.outputs
        network._graph = graph
        return network

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The input volumes by name."""
        return self._spec.inputs

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        """The free symbols and their domains."""
        return self._spec.symbols

    def add(
        self, layer: Layer, *sources: str, name: str | None = None, dialect: str | None = None
    ) -> str:
        """Appends a layer and returns its name.

        It reads the layers named in `sources`, or the one before it. The same layer object
        added twice shares its weights, which then count once.
        """
        names = {v.name for v in self._vertices}
        if name is None:
            name = next(n for i in count(1) if (n := f"{layer.op}{i}") not in names)
        first = next(iter(self._spec.inputs))
        if name in names or name in self._spec.inputs or name == "input":
            raise ValueError(f"the name '{name}' is used twice")
        last = self._vertices[-1].name if self._vertices else first
        inputs = tuple(first if s == "input" else s for s in sources) or (last,)
        for source in inputs:
            if source not in names and source not in self._spec.inputs:
                raise ValueError(f"there is no layer '{source}' before '{name}'")
        if not layer.inputs_min <= len(inputs) <= layer.inputs_max:
            raise ValueError(f"{layer.op} cannot take {len(inputs)} inputs")
        share = next((v.share or v.name for v in self._vertices if v.layer is layer), None)
        own = dialect_of(dialect) if dialect else self._spec.dialect
        share = share if layer_has_weights(layer) else None
        self._vertices.append(Vertex(name, layer, inputs, own, scope=Scope(), share=share))
        self._graph = None
        return name

    def graph(self) -> Graph:
        if self._graph is None:
            first = next(iter(self._spec.inputs))
            last = self._vertices[-1].name if self._vertices else first
            self._graph = Graph(tuple(self._vertices), (), self._outputs or (last,))
        return self._graph

    @property
    def scope_names(self) -> frozenset[str]:
        """The names that the spec defines at its top: `let` values and symbols."""
        return frozenset(self._spec.scope.known() | self._spec.symbols.keys())

    @property
    def problems(self) -> Sequence[Diagnostic]:
        """What was found wrong while reading."""
        return self._found.found

    def derive(self, convention: str | None = None) -> Report:
        """Sizes, weights, costs, diagnostics and answers: everything but the run.

        `convention` is a tool whose way to count operations the MACs follow.
        """
        from .answers import Judge
        from .derive import derive
        from .rules.design import design

        found = Collector()
        found.found.extend(self._found.found)
        graph = self.graph()
        if not self._spec.sized:
            return self._report(graph, (), None, (), found.found)
        try:
            derived = derive(graph, self._spec.inputs)
        except FormulaLimit as limit:
            found.add("E013", f"the closed forms grow too large: {limit}")
            return self._report(graph, (), None, (), found.found)
        if convention is not None:
            derived = _recounted(derived, convention, found)
        judge = Judge(self._spec, graph, derived, found)
        answers = judge.run()
        found.found.extend(_excuse(derived.diagnostics, judge.excused))
        if not any(v.broken for v in graph.vertices):
            found.found.extend(design(derived.rows, graph.outputs))
        report = self._report(graph, derived.rows, derived.totals, answers, found.found)
        return report._replace(convention=convention or "")

    def _report(
        self, graph: Graph, rows: tuple[Row, ...], totals: Totals | None, answers: Any,
        found: Sequence[Diagnostic],
    ) -> Report:  # fmt: skip
        spec = self._spec
        return Report(
            spec.source, spec.name, spec.dialect, spec.symbols, spec.inputs, graph.outputs, rows,
            totals, answers, tuple(sorted(found, key=_place)),
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Network {self.name}: {len(self._vertices)} layers>"

    def _repr_html_(self) -> str:
        return self.derive()._repr_html_()


def _recounted(derived: "Derivation", convention: str, found: Collector) -> "Derivation":
    """The derivation with operations counted as another tool counts them."""
    from .conventions import Need, recount, recounted_total

    try:
        rows = recount(derived.rows, convention)
        macs = recounted_total(derived.rows, convention)
    except Need as need:
        found.add("E006", f"the convention {convention} needs numbers: {need}")
        return derived
    return derived._replace(rows=rows, totals=derived.totals._replace(macs=macs))


def layer_has_weights(layer: Layer) -> bool:
    """Whether sharing means anything: does the class state weights at all?"""
    return type(layer).weights is not Layer.weights


def _place(d: Diagnostic) -> tuple[int, int]:
    return (d.span.line, d.span.column) if d.span else (0, 0)


def _excuse(found: Iterable[Diagnostic], excused: set[str]) -> list[Diagnostic]:
    """An expected misfit (`expect: does not fit`) is a note, not an error."""
    return [
        d._replace(severity="note", message=d.message + " (as expected)", help=())
        if d.layer in excused and d.severity == "error"
        else d
        for d in found
    ]


class Unreadable(Exception):
    """A spec that could not be read; `report` carries the diagnostics."""

    def __init__(self, report: Report) -> None:
        super().__init__("; ".join(f"{d.code} {d.message}" for d in report.diagnostics))
        self.report = report


def open_source(spec: "str | os.PathLike[str] | Source") -> Source:
    """The text of a file, of a bundled spec, of `-`, or `spec` itself where it is a text.

    A model file of another format is imported. Raises `Problem` E002 or E021.
    """
    if isinstance(spec, Source):
        return spec
    text = os.fspath(spec)
    if "\n" in text or text.lstrip().startswith("{"):
        return Source(text)
    if text.lower().endswith(MODEL_FILES):
        from . import importers

        if importers.is_model(text):
            return importers.read(text)
    return bundled.read(text)


def read_network(
    source: Source,
    sets: Mapping[str, str | Symbol] | None = None,
    dialect: Dialect | None = None,
    root: Node | None = None,
) -> "Network | Report":
    """The network that a spec describes, or a report of why it cannot be read at all.

    A `Symbol` in `sets` leaves a name open within the symbol's own domain. `root`: the
    nodes of `source`, where they were read (and perhaps changed) before.
    """
    found = Collector()
    try:
        root = root or parse(source)
        spec = Reader(source, root, found, sets or {}).read(dialect)
    except Problem as problem:
        found.catch(problem)
        spec = None
    except FormulaLimit as limit:
        found.add("E013", f"a number or expression is too large: {limit}")
        spec = None
    if spec is None:
        return unread(source, found.found)
    try:
        return Network._read(spec, unroll(spec, found), found)
    except FormulaLimit as limit:
        found.add("E013", f"a number or expression is too large: {limit}")
        return unread(source, found.found)


def unread(source: Source, found: Sequence[Diagnostic]) -> Report:
    """The report of a spec of which nothing could be derived."""
    from .dialects import DEFAULT

    return Report(source, source.path, DEFAULT, {}, {}, (), (), None, (), tuple(found))


def load(
    spec: str | os.PathLike[str],
    *,
    sets: Mapping[str, Any] | None = None,
    dialect: str | None = None,
) -> Network:
    """Reads a spec: a path, the name of a bundled spec, or the text itself.

    `sets` gives values to names as `--set` does. Raises `Unreadable` where the file
    cannot be read or is not a spec; other problems are in the derived report.

    >>> load("alexnet").derive().row("CONV1").output
    (55, 55, 96)
    """
    try:
        source = open_source(spec)
        override = dialect_of(dialect) if dialect else None
    except Problem as problem:
        raise Unreadable(unread(Source("", os.fspath(spec)), [problem.diagnostic])) from None
    network = read_network(source, {k: str(v) for k, v in (sets or {}).items()}, override)
    if isinstance(network, Report):
        raise Unreadable(network)
    return network
