"""The worked derivation of a layer or a network, as data; `report.derivation` renders it.

Every line is traced: the rules, weights and costs that the derivation evaluates are read
again on named quantities (`tracing`), and the words (`why`) stand beside them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from . import why
from .diagnostics import Diagnostic
from .expr import nearest
from .formula import Number, domain_text, equal
from .layers.base import Shape
from .rows import Report, Row
from .tracing import Line, Trace
from .worked import literal, total

__all__ = ["Line", "Step", "derivation"]

MOST_TERMS = 16  # of a sum that is written out
MOST_FIELDS = 40  # characters of a field in a title


class Step(NamedTuple):
    """One layer, or the totals: title, volumes, words, worked lines, what the symbols mean."""

    title: str
    lines: tuple[Line, ...] = ()
    words: tuple[str, ...] = ()
    layer: str | None = None
    inputs: tuple[Shape, ...] = ()
    output: Shape | None = None
    legend: tuple[tuple[str, str], ...] = ()


def derivation(report: Report, layer: str | None = None) -> list[Step]:
    """The steps of the whole network, or of the layer called `layer`.

    Raises ValueError where there is no such layer.

    >>> import cnncalc
    >>> network = cnncalc.Network("32x32x3", [cnncalc.layers.Conv(10, kernel=5, pad=2)])
    >>> for line in derivation(network.derive())[0].lines[:3]:
    ...     print(line.label, line.numeric, line.result, sep=": ")
    height and width alike: (32 - 5 + 2*2)/1 + 1: 32
    each filter: 5*5*3 + 1: 76
    parameters: (5*5*3 + 1) * 10: 760
    """
    rows = {row.name: row for row in report.layers}
    whole = layer is None and len(report.layers) > 1
    told = _Told(report, rows, reach=whole or _windowed(report))
    if layer is not None:
        return [told.step(_find(layer, rows))]
    steps = [told.step(row) for row in report.layers]
    return [_opening(report), *steps, _totals(report)] if whole else steps


def _find(name: str, rows: dict[str, Row]) -> Row:
    if name in rows:
        return rows[name]
    near = nearest(name, rows)
    hint = f": did you mean '{near}'?" if near else ""
    raise ValueError(f"there is no layer '{name[:60]}'{hint}")


def _windowed(report: Report) -> bool:
    return sum(bool(row.windows) for row in report.layers) > 1


class _Told:
    """Builds the steps in order; what was said of a kind of layer is not said again."""

    def __init__(self, report: Report, rows: dict[str, Row], reach: bool) -> None:
        self.report, self.rows, self.reach = report, rows, reach
        self.ops: set[str] = set()
        self.said: set[str] = set()
        self.names: set[tuple[str, str]] = set()

    def step(self, row: Row) -> Step:
        lines = tuple(self._lines(row))
        return Step(
            f"{row.name}: {_what(row)}", lines, tuple(self._words(row)), row.name, row.input,
            row.output, tuple(self._legend(row, lines)),
        )  # fmt: skip

    def _lines(self, row: Row) -> Iterator[Line]:
        trace = Trace(row)
        yield from (_positive(line) for line in trace.sizes())
        yield from trace.parameters() or (
            [Line("parameters", literal(0))] if row.windows and not row.shared else []
        )
        yield from trace.buffers()
        yield from trace.macs()
        if self.reach:
            yield from trace.reach(self.rows.get(row.inputs[0]) if row.inputs else None)

    def _words(self, row: Row) -> Iterator[str]:
        if row.op not in self.ops:
            self.ops.add(row.op)
            yield from why.general(row)
        for text in why.padding(row):
            if text not in self.said:
                self.said.add(text)
                yield text
        yield from why.special(row)
        yield from (why.sentence(d.message) for d in self.report.diagnostics if _tells(d, row))

    def _legend(self, row: Row, lines: Sequence[Line]) -> Iterator[tuple[str, str]]:
        names = [leaf.name for line in lines for leaf in line.work.leaves() if leaf.name]
        sizes = {v.name for line in lines[:1] for v in line.work.leaves()} if row.windows else set()
        for name in dict.fromkeys(names):
            text = why.meaning(name, row)
            if name == "W" and name in sizes and "alike" in lines[0].label:
                text = "input size"
            if (name, text) not in self.names:
                self.names.add((name, text))
                yield name, text


def _tells(found: Diagnostic, row: Row) -> bool:
    return found.layer == row.name and (found.code[0] == "S" or found.code == "W005")


def _positive(line: Line) -> Line:
    """A size below 1 is no size: the derivation goes on with 1."""
    value = line.work.value
    return line._replace(note="taken as 1") if isinstance(value, int) and value < 1 else line


def _what(row: Row) -> str:
    """The layer and its fields in words: conv, filters 96, kernel 11, stride 4."""
    parts = [row.op]
    for name, value in row.layer.values().items():
        if value != row.layer.fields[name].default and name != "connect":
            text = row.layer.fields[name].text(value) or _shown(value)
            parts.append(f"{name} {text}" if len(text) <= MOST_FIELDS else f"{name} ...")
    return ", ".join(parts)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        nested = any(isinstance(v, tuple) for v in value)
        return str([list(v) for v in value]) if nested else "x".join(map(_shown, value))
    return str(value)


def _opening(report: Report) -> Step:
    words = [f"Sizes follow the {report.dialect.label} dialect."]
    words += [f"{name}: {domain_text(symbol)}." for name, symbol in report.symbols.items()]
    inputs = tuple(report.input_shapes.values())
    return Step(report.name or "network", words=tuple(words), inputs=inputs)


def _totals(report: Report) -> Step:
    found = report.totals
    if found is None:
        return Step("Total")
    counts: list[tuple[str, list[Number], Number]] = [
        ("parameters", [row.params for row in report.layers], found.params),
        ("running statistics", [row.buffers for row in report.layers], found.buffers),
        ("MACs", [row.macs for row in report.layers], found.macs),
    ]
    lines = [_sum(*count) for count in counts if not equal(count[2], 0)]
    return Step("Total", tuple(lines) or (Line("parameters", literal(0)),))


def _sum(label: str, values: Sequence[Number], result: Number) -> Line:
    terms = [v for v in values if not equal(v, 0)]
    work = total(terms)
    if len(terms) <= MOST_TERMS and equal(work.value, result):
        return Line(label, work, grouped=True)
    return Line(label, literal(result), f"the sum over {len(terms)} layers")
