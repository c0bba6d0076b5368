"""Graph -> rows: sizes, weights, costs, receptive fields, memory. Pure functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from . import memory
from .diagnostics import Diagnostic, Span
from .dialects import Dialect
from .formula import Number, maximum, product, total
from .graph import Graph, Vertex
from .layers.base import Layer, Reach, Shape
from .rows import Row, Totals
from .rules.base import Finding
from .rules.sizes import judge


class Derivation(NamedTuple):
    """Rows in order, their totals, and the size diagnostics met on the way."""

    rows: tuple[Row, ...]
    totals: Totals
    diagnostics: tuple[Diagnostic, ...]


class Value(NamedTuple):
    """What is known of a volume while deriving: its shape, its view of the input."""

    shape: Shape
    field: Shape
    jump: Shape
    assumed: bool = False
    broken: bool = False


Judging = Callable[[Layer, Sequence[Shape], Dialect], list[Finding]]


def derive(
    graph: Graph, inputs: Mapping[str, Shape], judging: Judging | None = judge
) -> Derivation:
    """Derives every vertex of `graph` from the input volumes.

    Sizes that do not fit are floored (at least 1) and later rows marked `assumed`. Without
    `judging` nothing is said of what fits.
    """
    values = {name: _start(shape) for name, shape in inputs.items()}
    values.setdefault("input", next(iter(values.values())))
    rows: list[Row] = []
    found: list[Diagnostic] = []
    weights: dict[str, tuple[str, Row]] = {}
    for vertex in graph.vertices:
        sources = [values[name] for name in vertex.inputs]
        row, findings = _row(vertex, sources, weights, judging)
        rows.append(row._replace(op="?") if vertex.broken else row)
        misfit = any(f.severity == "error" for f in findings)
        broken = vertex.broken or any(v.broken for v in sources)
        if not broken:
            found.extend(_diagnostic(f, vertex) for f in findings)
        assumed = misfit or row.assumed
        values[vertex.name] = Value(row.output, row.receptive_field, row.jump, assumed, broken)
        weights.setdefault(vertex.name, (vertex.share or vertex.name, row))
    totals = _totals(rows, inputs, graph.outputs)
    return Derivation(tuple(rows), totals, tuple(found))


def _start(shape: Shape) -> Value:
    ones: Shape = (1,) * (len(shape) - 1)
    return Value(shape, ones, ones)


def _row(
    vertex: Vertex,
    sources: Sequence[Value],
    earlier: Mapping[str, tuple[str, Row]],
    judging: Judging | None,
) -> tuple[Row, list[Finding]]:
    layer, dialect = vertex.layer, vertex.dialect
    shapes = [v.shape for v in sources]
    findings = judging(layer, shapes, dialect) if judging else []
    output = tuple(_positive(n) for n in layer.output(shapes, dialect))
    weights = layer.weights(shapes, dialect)
    buffers = layer.buffers(shapes, dialect)
    if vertex.share is not None:
        findings = [*findings, *_share_findings(vertex.share, weights, earlier)]
    field, jump = reach(sources, layer.reach(shapes, dialect))
    row = Row(
        vertex.name, layer.op, layer, vertex.inputs, tuple(shapes), output, weights, buffers,
        0 if vertex.share else count(weights), 0 if vertex.share else count(buffers),
        layer.macs(shapes, output, dialect), field, jump, layer.windows(shapes, dialect),
        dialect, any(v.assumed for v in sources), vertex.share, vertex.span,
    )  # fmt: skip
    return row, findings


def _positive(n: Number) -> Number:
    return max(1, n) if isinstance(n, int) else n


def _share_findings(
    share: str, weights: Mapping[str, Shape], earlier: Mapping[str, tuple[str, Row]]
) -> list[Finding]:
    theirs = earlier[share][1].weights
    for name in sorted({*weights, *theirs}):
        if weights.get(name) != theirs.get(name):
            mine, other = _show(weights.get(name)), _show(theirs.get(name))
            message = f"cannot share {name} with {share}: it is {other} there and {mine} here"
            return [Finding("S003", "error", message, None, ())]
    return []


def _show(shape: Shape | None) -> str:
    return "x".join(str(n) for n in shape) if shape is not None else "absent"


def count(arrays: Mapping[str, Shape]) -> Number:
    """Values in all arrays.

    >>> count({"kernel": (5, 5, 3, 10), "bias": (10,)})
    760
    """
    return total(product(shape) for shape in arrays.values())


def reach(sources: Sequence[Value], steps: Sequence[Reach] | None) -> tuple[Shape, Shape]:
    """Receptive field and jump after a layer: r + steps·j and j·jump (Araujo 2019).

    A join sees the largest of its inputs' fields.
    """
    base = max(sources, key=lambda v: len(v.field))
    fields, jumps = list(base.field), list(base.jump)
    for other in sources:
        if len(other.field) == len(fields) and other is not base:
            fields = [maximum(a, b) for a, b in zip(fields, other.field, strict=True)]
            jumps = [maximum(a, b) for a, b in zip(jumps, other.jump, strict=True)]
    if steps is not None and len(steps) == len(fields):
        fields = [r + s.steps * j for r, s, j in zip(fields, steps, jumps, strict=True)]
        jumps = [j * s.jump for s, j in zip(steps, jumps, strict=True)]
    return tuple(fields), tuple(jumps)


def _diagnostic(finding: Finding, vertex: Vertex) -> Diagnostic:
    span: Span | None = vertex.spans.get(finding.field) if finding.field else None
    return Diagnostic(
        finding.code, finding.severity, finding.message, span or vertex.span, vertex.name,
        finding.help,
    )  # fmt: skip


def _totals(rows: Sequence[Row], inputs: Mapping[str, Shape], outputs: Sequence[str]) -> Totals:
    params, buffers = total(row.params for row in rows), total(row.buffers for row in rows)
    macs = total(row.macs for row in rows)
    kept = memory.volumes(rows, inputs, outputs)
    return Totals(
        params, params, buffers, macs, memory.activations(kept),
        memory.inference(params + buffers, rows, kept, outputs),
        memory.training(params, buffers, rows, kept),
    )  # fmt: skip


__all__ = ["Derivation", "Layer", "count", "derive"]
