"""Comparisons: two specs (`diff A B`), or one spec under several dialects."""

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

from .. import sameness
from ..formula import Number
from ..layers.base import Shape
from ..rows import Report, Row, Totals
from . import markdown
from .json import dims, number
from .layout import WIDTH, Cell, Column, Grid, Paint, clean, hang, tie
from .words import count, memory, plural, signed, volume

TOTALS = ("trainable", "buffers", "macs", "activations", "peak_memory", "training_memory")
LABELS = {
    "trainable": "parameters",
    "macs": "MACs",
    "peak_memory": "peak memory",
    "training_memory": "training memory",
}
STYLES = {"changed": "warning", "added": "good", "removed": "bad", "folded": "dim",
          "same": "dim"}  # fmt: skip
SIGNS = {"changed": "~", "added": "+", "removed": "-", "folded": "f", "same": " "}
NONE = "-"


class Facts(NamedTuple):
    """What is compared of one layer."""

    name: str
    op: str
    output: Shape
    params: Number
    macs: Number

    @classmethod
    def of(cls, row: Row) -> "Facts":
        return cls(row.name, row.op, row.output, row.params, row.macs)


class Change(NamedTuple):
    """One layer of either spec, with its partner where it has one."""

    kind: Literal["same", "changed", "added", "removed", "folded"]
    a: Facts | None
    b: Facts | None


class TotalChange(NamedTuple):
    """One total of both specs, and b less a."""

    quantity: str
    a: Number
    b: Number
    difference: Number


class Parting(NamedTuple):
    """A quantity of one layer that the dialects do not agree on; None where there is none."""

    layer: str
    quantity: str
    values: tuple[Shape | Number | None, ...]


def changes(a: Report, b: Report, found: sameness.Verdict | None = None) -> list[Change]:
    """The layers of both specs in order, matched by name and then by place and op.

    What one of them has folded into the weights of another layer is `folded`, not removed.
    """
    found = found or sameness.compare(a, b)
    gone = {row.name for fold in found.folds for row in fold.folded}
    new = {row.name for fold in found.folds_b for row in fold.folded}
    grown = {fold.there.name for fold in found.folds}
    shrunk = {fold.there.name for fold in found.folds_b}

    def kind(change: Change) -> Change:
        x, y = change.a, change.b
        if x is None or y is None:
            only = x.name in gone if x else y is not None and y.name in new
            return change._replace(kind="folded") if only else change
        equal = (x.op, x.output, x.macs) == (y.op, y.output, y.macs)
        if change.kind == "changed" and equal and (y.name in grown or x.name in shrunk):
            return change._replace(kind="folded")
        return change

    return [kind(change) for change in _changes(a, b)]


def _changes(a: Report, b: Report) -> list[Change]:
    pairs = _match(a.layers, b.layers)
    partner = dict(pairs)
    found: list[Change] = []
    at = 0
    for i, row in enumerate(a.layers):
        j = partner.get(i)
        if j is None:
            found.append(Change("removed", Facts.of(row), None))
            continue
        found += [Change("added", None, Facts.of(r)) for r in b.layers[at:j]]
        at = j + 1
        found.append(_pair(Facts.of(row), Facts.of(b.layers[j])))
    return found + [Change("added", None, Facts.of(row)) for row in b.layers[at:]]


def _match(a: Sequence[Row], b: Sequence[Row]) -> list[tuple[int, int]]:
    # Pairs of places that grow in both: equal names, and between them equal ops in order.
    blocks = SequenceMatcher(None, [r.name for r in a], [r.name for r in b], autojunk=False)
    pairs: list[tuple[int, int]] = []
    i = j = 0
    for block in blocks.get_matching_blocks():
        for m in range(i, block.a):
            n = next((n for n in range(j, block.b) if b[n].op == a[m].op), None)
            if n is not None:
                pairs.append((m, n))
                j = n + 1
        pairs += [(block.a + n, block.b + n) for n in range(block.size)]
        i, j = block.a + block.size, block.b + block.size
    return pairs


def _pair(a: Facts, b: Facts) -> Change:
    same = a[1:] == b[1:]
    return Change("same" if same else "changed", a, b)


def total_changes(a: Totals | None, b: Totals | None) -> list[TotalChange]:
    """Every total of both, in one order; empty where one spec could not be read."""
    if a is None or b is None:
        return []
    found = []
    for name in TOTALS:
        left, right = getattr(a, name), getattr(b, name)
        found.append(TotalChange(name, left, right, right - left))
    return found


def partings(reports: Sequence[Report]) -> list[Parting]:
    """Where reports of one spec differ, layer by layer."""
    names = dict.fromkeys(row.name for report in reports for row in report.layers)
    tables = [{row.name: Facts.of(row) for row in report.layers} for report in reports]
    found = []
    for name in names:
        facts = [table.get(name) for table in tables]
        for quantity in ("output", "params", "macs"):
            values = tuple(None if f is None else getattr(f, quantity) for f in facts)
            if any(value != values[0] for value in values):
                found.append(Parting(name, quantity, values))
    return found


def render(
    a: Report, b: Report, format: str, *, width: int | None = None, color: bool = False
) -> str:
    """The comparison as `table`, `markdown` or `json`; raises ValueError for other formats."""
    if format == "json":
        return json.dumps(compare_json(a, b), indent=2) + "\n"
    if format in ("table", "text"):
        return compare(a, b, width=width, color=color)
    if format != "markdown":
        raise ValueError(f"unknown format '{format}': one of table, json, markdown")
    blocks = [f"## {markdown.escape(_heading(a, b))}"]
    for part in _parts(a, b):
        blocks.append(markdown.escape(part) if isinstance(part, str) else markdown.grid_table(part))
    return "\n\n".join(blocks) + "\n"


def compare(a: Report, b: Report, *, width: int | None = None, color: bool = False) -> str:
    """Both specs side by side: the layers that differ, then the totals."""
    paint = Paint(color)
    blocks = [[paint("bold", _heading(a, b))]]
    for part in _parts(a, b):
        shown = hang(part, width or WIDTH, "", "  ") if isinstance(part, str) else None
        blocks.append(shown or part.lines(width or WIDTH, paint))  # type: ignore[union-attr]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _heading(a: Report, b: Report) -> str:
    names = [f"{clean(r.name or r.source.path)} ({r.dialect.label})" for r in (a, b)]
    return "  ->  ".join(names)


def verdict(a: Report, b: Report, found: sameness.Verdict | None = None) -> str:
    """Whether the two are one network, what is folded, and where they first part."""
    found = found or sameness.compare(a, b)
    if found.same:
        return "the same network (names, identities, dropout and flattening aside)"
    folds = [text for text in (_folds(found.folds, "A", "B"), _folds(found.folds_b, "B", "A"))
             if text]  # fmt: skip
    if found.fused:
        return "; ".join(["the same network once batch normalisation is folded", *folds])
    text = "; ".join(["not the same network", *folds])
    if found.parting is None:
        return text
    sides = [_side(row) for row in (found.parting.a, found.parting.b)]
    besides = "besides, " if folds else ""
    if sides == [None, None]:
        return f"{text}: {besides}the outputs differ"
    what = "; ".join(f"{n} {x} -> {y}" for n, x, y in found.parting.differences)
    place = " -> ".join(side or "nothing" for side in sides)
    return f"{text}; {besides}they first part at {place}" + (f" ({what})" if what else "")


def _folds(folds: Sequence[sameness.Fold], here: str, there: str) -> str:
    """How many layers are folded, and what that does to the counts, exactly."""
    if not folds:
        return ""
    n = sum(len(fold.folded) for fold in folds)
    params = sameness.total(fold.params for fold in folds)
    buffers = sameness.total(fold.buffers for fold in folds)
    layers = f"{n:,} normalisation{'s' if n > 1 else ''} of {here}"
    counts = f"exactly {signed(params)} parameters and {signed(buffers)} running statistics"
    return f"{layers} folded into the layers before in {there}, which makes {counts}"


def _side(row: Row | None) -> str | None:
    return None if row is None else f"{clean(row.name)} [{row.op}, {volume(row.output)}]"


def _parts(a: Report, b: Report) -> Iterator[Grid | str]:
    same = sameness.compare(a, b)
    yield verdict(a, b, same)
    found = changes(a, b, same)
    shown = [change for change in found if change.kind != "same"]
    if shown:
        yield _grid(shown)
    yield _summary(found)
    totals = total_changes(a.totals, b.totals)
    if totals:
        yield _totals(totals)


def _summary(found: Sequence[Change]) -> str:
    counts = [(sum(c.kind == kind for c in found), kind) for kind in STYLES]
    parts = [f"{n:,} {kind}" for n, kind in counts if n]
    return f"{plural(len(found), 'layer')}: " + ", ".join(parts) if found else "no layers"


def _grid(shown: Sequence[Change]) -> Grid:
    columns = (
        Column("", kind="fixed"),
        Column("layer", kind="path"),
        Column("output"),
        Column("params", right=True),
        Column("MACs", right=True),
    )
    return Grid(columns, [_row(change) for change in shown])


def _row(change: Change) -> list[Cell]:
    sides = [f for f in (change.a, change.b) if f]
    style = STYLES[change.kind]
    row = [Cell(SIGNS[change.kind], style)]
    for texts in (
        [clean(f.name) for f in sides],
        [volume(f.output) for f in sides],
        [count(f.params) for f in sides],
        [count(f.macs) for f in sides],
    ):
        both = list(dict.fromkeys(texts))
        row.append(Cell(" -> ".join(map(tie, both)), style if len(both) > 1 else ""))
    return row


def _totals(totals: Sequence[TotalChange]) -> Grid:
    columns = [Column(t, right=t != "total") for t in ("total", "A", "B", "B - A")]
    rows = []
    for t in totals:
        show = memory if t.quantity.endswith("memory") else count
        style = "" if t.difference == 0 else "warning"
        change = _signed_memory(t.difference) if show is memory else signed(t.difference)
        label = LABELS.get(t.quantity, t.quantity)
        rows.append([Cell(label), Cell(show(t.a)), Cell(show(t.b)), Cell(change, style)])
    return Grid(columns, rows)


def _signed_memory(n: Number) -> str:
    if not isinstance(n, int) or n == 0:
        return str(n)
    return ("+" if n > 0 else "-") + memory(abs(n))


def compare_json(a: Report, b: Report) -> dict[str, Any]:
    """The comparison as plain data (schema cnncalc.diff/1)."""
    found = sameness.compare(a, b)
    return {
        "schema": "cnncalc.diff/1",
        "specs": [_spec(r) for r in (a, b)],
        **_sameness(found),
        "layers": [
            {"kind": c.kind, "a": _facts(c.a), "b": _facts(c.b)} for c in changes(a, b, found)
        ],
        "totals": {
            t.quantity: {"a": number(t.a), "b": number(t.b), "difference": number(t.difference)}
            for t in total_changes(a.totals, b.totals)
        },
    }


def _sameness(found: sameness.Verdict) -> dict[str, Any]:
    """Whether they are one network: `same`, `same_when_fused`, folded layers, first parting."""
    parting = None
    if found.parting is not None:
        parting = {
            "a": None if found.parting.a is None else found.parting.a.name,
            "b": None if found.parting.b is None else found.parting.b.name,
            "differences": [
                {"what": what, "a": left, "b": right}
                for what, left, right in found.parting.differences
            ],
        }
    folds = [
        {
            "side": side,
            "layers": [row.name for row in fold.folded],
            "into": fold.there.name,
            "params": number(fold.params),
            "buffers": number(fold.buffers),
        }
        for side, several in (("a", found.folds), ("b", found.folds_b))
        for fold in several
    ]
    fused = found.same or found.fused
    return {"same": found.same, "same_when_fused": fused, "folded": folds, "parting": parting}


def _spec(report: Report) -> dict[str, str]:
    return {
        "path": report.source.path,
        "name": report.name,
        "dialect": report.dialect.label,
    }


def _facts(f: Facts | None) -> dict[str, Any] | None:
    if f is None:
        return None
    sizes = {"output": dims(f.output), "params": number(f.params), "macs": number(f.macs)}
    return {"name": f.name, "op": f.op, **sizes}


def dialects(
    reports: Sequence[Report],
    *,
    width: int | None = None,
    color: bool = False,
    format: str = "table",
) -> str:
    """One spec under several dialects: what differs, one column a dialect; as table or Markdown."""
    paint = Paint(color)
    name = clean(reports[0].name or reports[0].source.path)
    readable = [report for report in reports if report.totals]
    found = partings(readable)
    labels = [report.dialect.label for report in readable]
    columns = [Column("layer", kind="path"), Column("", kind="fixed")]
    columns += [Column(label, least=10) for label in labels]
    grid = Grid(columns, [_parting(p) for p in found])
    same = f"no layer differs under {', '.join(labels)}"
    if format == "markdown":
        parts = [f"## {markdown.escape(name)}"]
        parts.append(markdown.grid_table(grid) if found else same)
        parts.append("\n".join(f"- {markdown.escape(_standing(report))}" for report in reports))
        return "\n\n".join(parts) + "\n"
    width = width or WIDTH
    lines = [paint("bold", name), "", *(grid.lines(width, paint) if found else [same]), ""]
    for report in reports:
        lines += hang(_standing(report), width, "", "  ")
    return "\n".join(lines) + "\n"


def _parting(p: Parting) -> list[Cell]:
    texts = [_value(value) for value in p.values]
    label = LABELS.get(p.quantity, p.quantity)
    most = max(set(texts), key=texts.count)
    cells = [Cell(text, "" if text == most else "warning") for text in texts]
    return [Cell(clean(p.layer)), Cell(label, "dim"), *cells]


def _value(value: Shape | Number | None) -> str:
    if value is None:
        return NONE
    return volume(value) if isinstance(value, tuple) else count(value)


def _standing(report: Report) -> str:
    """Totals of one dialect, and its errors."""
    parts = []
    if report.totals:
        parts.append(f"{count(report.totals.trainable)} parameters")
        parts.append(f"{count(report.totals.macs)} MACs")
    errors = [d for d in report.diagnostics if d.severity == "error"]
    if errors:
        codes = ", ".join(dict.fromkeys(d.code for d in errors))
        parts.append(f"{plural(len(errors), 'error')} ({codes})")
    return f"{report.dialect.label}: {', '.join(parts)}"


def dialects_json(reports: Sequence[Report]) -> dict[str, Any]:
    """The partings as plain data (schema cnncalc.dialects/1)."""
    return {
        "schema": "cnncalc.dialects/1",
        "dialects": [report.dialect.label for report in reports],
        "layers": [
            {"name": p.layer, "quantity": p.quantity, "values": [_plain(v) for v in p.values]}
            for p in partings(reports)
        ],
        "totals": [
            None if r.totals is None
            else {"params": number(r.totals.params), "macs": number(r.totals.macs)}
            for r in reports
        ],
    }  # fmt: skip


def _plain(value: Shape | Number | None) -> Any:
    if value is None:
        return None
    return dims(value) if isinstance(value, tuple) else number(value)
