"""What answers are about: one layer, a group of layers, or the whole network."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..derive import Derivation, derive
from ..diagnostics import Diagnostic
from ..formula import Expr
from ..graph import Graph, Group, Vertex
from ..layers.base import Shape
from ..rows import Report, Row, Totals
from ..scope import Scope

if TYPE_CHECKING:
    from ..network import Network

SIZE_CODES = tuple(f"S{i:03}" for i in range(1, 12))


class Subject(NamedTuple):
    """What an answer is about. The last of `rows` gives the output."""

    name: str | None  # None: the whole network
    rows: tuple[Row, ...]
    output: Shape
    fits: bool
    totals: Totals | None = None  # of the whole network only
    scope: Scope = Scope()
    network: tuple[Row, ...] = ()  # every row that it is derived from, in order
    inputs: Mapping[str, Shape] = {}  # the network's
    outputs: tuple[str, ...] = ()  # the network's
    strict: bool = False  # the question states that a stride must fit
    memo: dict[Any, Any] = {}

    @property
    def row(self) -> Row | None:
        """The row of the layer, or the last one."""
        return self.rows[-1] if self.rows else None

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the volumes from outside that it reads."""
        inside = {row.name for row in self.rows}
        names = (name for row in self.rows for name in row.inputs if name not in inside)
        return tuple(dict.fromkeys(names))

    def fed(self, shape: "Sequence[int] | Mapping[str, Sequence[int]]") -> "Subject":
        """The same layers on another input volume, or on volumes by the name of their source.

        Everything is derived again from there; receptive fields stay as they were. A size that
        does not fit may then be rounded down, whatever the spec states. Raises
        ValueError where the volume cannot be the input: other axes, or sizes below 1.
        """
        given = shape if isinstance(shape, Mapping) else dict.fromkeys(self.reads, shape)
        known = {name: s for row in self.rows for name, s in _sources(row)}
        volumes: dict[str, Shape] = {}
        for name in self.reads:
            volumes[name] = tuple(given[name]) if name in given else known[name]
            if len(volumes[name]) != len(known[name]):
                raise ValueError(f"the input of {self.name} has {len(known[name])} axes")
            if any(isinstance(n, int) and not 1 <= n <= 10**12 for n in volumes[name]):
                raise ValueError("a size must be at least 1")
        found = rederive(self.rows, volumes)
        rows = tuple(
            new._replace(receptive_field=old.receptive_field, jump=old.jump)
            for new, old in zip(found.rows, self.rows, strict=True)
        )
        output = rows[-1].output if rows else ()
        return self._replace(
            rows=rows, output=output, fits=not misfits(found.diagnostics),
            totals=found.totals if self.totals else None,
            network=rows, strict=False, memo={},
        )  # fmt: skip


def _sources(row: Row) -> Iterable[tuple[str, Shape]]:
    return zip(row.inputs, row.input, strict=True)


def rederive(rows: Sequence[Row], inputs: Mapping[str, Shape]) -> Derivation:
    """Rows derived again from other volumes; weights shared with layers outside count 0."""
    inside = {row.name for row in rows}
    vertices = tuple(
        Vertex(
            row.name, row.layer, row.inputs, row.dialect, row.span,
            share=row.shared if row.shared in inside else None,
        )
        for row in rows
    )  # fmt: skip
    last = rows[-1].name if rows else next(iter(inputs))
    found = derive(Graph(vertices, (), (last,)), inputs)
    kept = tuple(
        row._replace(params=0, buffers=0, shared=old.shared)
        if old.shared and not row.shared
        else row
        for row, old in zip(found.rows, rows, strict=True)
    )
    return found._replace(rows=kept)


def misfits(found: Iterable[Diagnostic]) -> set[str | None]:
    """The layers with a size that does not fit."""
    grave = (d for d in found if d.code in SIZE_CODES)
    return {d.layer for d in grave if d.severity == "error" or d.message.endswith("(as expected)")}


class Subjects:
    """Makes the subjects of one derived network."""

    def __init__(
        self, rows: Sequence[Row], totals: Totals | None, inputs: Mapping[str, Shape],
        outputs: Sequence[str], found: Iterable[Diagnostic], scope: Scope | None = None,
        strict: bool = False,
    ) -> None:  # fmt: skip
        self.strict = strict
        self.rows, self.totals = tuple(rows), totals
        self.inputs, self.outputs = inputs, tuple(outputs)
        self.misfits = misfits(found)
        self.scope = scope or Scope()
        self.by_name = {row.name: row for row in self.rows}

    def layer(self, name: str, scope: Scope | None = None) -> Subject:
        """A layer; a join with branches answers for the layers inside them too."""
        row = self.by_name[name]
        inside = (r for r in self.rows if r.name.startswith(name + "/"))
        fits = row.name not in self.misfits
        return self._subject(name, (*inside, row), row.output, fits, scope)

    def group(self, group: Group) -> Subject:
        rows = self.rows[group.first : group.last]
        output = self.by_name[group.output].output if group.output in self.by_name else ()
        fits = not any(row.name in self.misfits for row in rows)
        return self._subject(group.name, rows, output, fits, group.scope)

    def whole(self, scope: Scope | None = None) -> Subject:
        last = self.by_name.get(self.outputs[0]) or self.rows[-1]
        rows = (*(r for r in self.rows if r is not last), last)
        found = self._subject(None, rows, last.output, not self.misfits, scope)
        return found._replace(totals=self.totals)

    def _subject(
        self, name: str | None, rows: tuple[Row, ...], output: Shape, fits: bool,
        scope: Scope | None,
    ) -> Subject:  # fmt: skip
        return Subject(
            name, rows, output, fits, None, scope or self.scope, self.rows, self.inputs,
            self.outputs, self.strict, {},
        )  # fmt: skip


def subject(report: Report, layer: str | None = None, scope: Scope | None = None) -> Subject:
    """A layer of a derived report, or the whole network; raises KeyError.

    >>> import cnncalc
    >>> subject(cnncalc.load("alexnet").derive(), "CONV1").output
    (55, 55, 96)
    """
    made = Subjects(
        report.layers, report.totals, report.input_shapes, report.outputs, report.diagnostics,
        scope or Scope(dict(report.symbols)),
    )  # fmt: skip
    if layer is None and not report.layers:
        raise KeyError("network")
    return made.whole() if layer is None else made.layer(layer)


def subjects(network: "Network") -> dict[str | None, Subject]:
    """Everything of a network that answers can be about, by name; None is the network itself.

    Layers, and groups (blocks and repeats) that carry answers; names of `let` are known.
    """
    report = network.derive()
    spec = network._spec
    graph = network.graph()
    made = Subjects(
        report.layers, report.totals, report.input_shapes, report.outputs, report.diagnostics,
        spec.scope, spec.stated and spec.dialect.exact,
    )  # fmt: skip
    found: dict[str | None, Subject] = {}
    if not report.layers:
        return found
    for vertex in graph.vertices:
        if not vertex.broken:
            found[vertex.name] = made.layer(vertex.name, vertex.scope)
    for group in graph.groups:
        found.setdefault(group.name, made.group(group))
    found[None] = made.whole()
    return found


def concrete(shape: Shape) -> bool:
    """Whether all sizes are numbers."""
    return not any(isinstance(n, Expr) for n in shape)
