"""`cnncalc reconcile`: every tool's totals, and the bridge from ours to each."""

import json
from collections.abc import Sequence
from typing import Any

from ..conventions import Counted, Line, Need
from ..rows import Report
from . import markdown
from .json import number
from .layout import WIDTH, Cell, Column, Grid, Paint, clean, hang
from .words import count, signed

Entry = Counted | Need


def render(
    report: Report, entries: Sequence[tuple[str, Entry]], format: str, *,
    width: int | None = None, color: bool = False,
) -> str:  # fmt: skip
    """The reconciliation as `table`, `markdown` or `json`."""
    if format == "json":
        return json.dumps(to_json(report, entries), indent=2) + "\n"
    found = [(name, e) for name, e in entries if isinstance(e, Counted)]
    refused = [f"{name}: {e}" for name, e in entries if isinstance(e, Need)]
    totals = _totals(report, found)
    bridges = [(c, grid) for _, c in found if (grid := _bridge(report, c)) is not None]
    title = clean(report.name or report.source.path)
    if format == "markdown":
        blocks = [f"## {markdown.escape(title)}", markdown.grid_table(totals)]
        for counted, grid in bridges:
            blocks += [f"### {markdown.escape(counted.convention.tool)}"]
            blocks += [markdown.grid_table(grid)]
            notes = [f"- {markdown.escape(note)}" for note in _notes(counted)]
            blocks += ["\n".join(notes)] if notes else []
        blocks += ["\n".join(f"- {markdown.escape(text)}" for text in refused)] if refused else []
        return "\n\n".join(blocks) + "\n"
    paint, wide = Paint(color), width or WIDTH
    lines = [paint("bold", title), "", *totals.lines(wide, paint)]
    for counted, grid in bridges:
        lines += ["", paint("bold", counted.convention.tool), *grid.lines(wide, paint)]
        for note in _notes(counted):
            lines += hang(note, wide, "  ", "    ")
    for text in refused:
        lines += ["", *hang(text, wide, "", "  ")]
    return "\n".join(lines) + "\n"


def _totals(report: Report, found: Sequence[tuple[str, Counted]]) -> Grid:
    columns = (
        Column("convention"), Column("it calls them", kind="fixed"), Column("total", right=True),
        Column("less ours", right=True), Column("parameters", right=True),
    )  # fmt: skip
    assert report.totals is not None
    rows = []
    for name, counted in found:
        less = counted.total - report.totals.macs
        style = "" if less == 0 else "warning"
        rows.append([
            Cell(name), Cell(counted.convention.unit, "dim"), Cell(count(counted.total)),
            Cell(signed(less), style), Cell(count(counted.params)),
        ])  # fmt: skip
    return Grid(columns, rows)


def _bridge(report: Report, counted: Counted) -> Grid | None:
    """From our figures to the tool's, a term a line; None where nothing differs."""
    if not counted.terms and not counted.param_terms:
        return None
    assert report.totals is not None
    unit = counted.convention.unit
    rows: list[list[Cell]] = []
    if counted.terms:
        rows.append([Cell("cnncalc's multiply-adds"), Cell(count(report.totals.macs))])
        rows += [_line(line) for line in counted.terms]
        rows.append([Cell(f"= its {unit}", "bold"), Cell(count(counted.total), "bold")])
    if counted.param_terms:
        rows.append([Cell("trainable parameters"), Cell(count(report.totals.params))])
        rows += [_line(line) for line in counted.param_terms]
        rows.append([Cell("= its parameters", "bold"), Cell(count(counted.params), "bold")])
    return Grid((Column("term"), Column("amount", right=True)), rows)


def _line(line: Line) -> list[Cell]:
    return [Cell("  " + line.term), Cell(signed(line.amount))]


def _notes(counted: Counted) -> list[str]:
    notes = []
    for text, names in counted.bugs:
        shown = ", ".join(clean(name) for name in names[:3])
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        notes.append(f"known fault: {text} ({shown}{more})")
    return notes


def to_json(report: Report, entries: Sequence[tuple[str, Entry]]) -> dict[str, Any]:
    """The reconciliation as plain data (schema cnncalc.reconcile/1)."""
    assert report.totals is not None
    return {
        "schema": "cnncalc.reconcile/1",
        "spec": {
            "path": report.source.path, "name": report.name, "dialect": report.dialect.label,
        },
        "base": {"macs": number(report.totals.macs), "params": number(report.totals.params)},
        "conventions": [_entry(report, name, entry) for name, entry in entries],
    }  # fmt: skip


def _entry(report: Report, name: str, entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Need):
        return {"name": name, "total": None, "params": None, "reason": str(entry)}
    assert report.totals is not None
    c = entry.convention
    return {
        "name": name,
        "tool": c.tool,
        "unit": c.unit,
        "source": c.source,
        "total": number(entry.total),
        "difference": number(entry.total - report.totals.macs),
        "terms": [{"term": t.term, "amount": number(t.amount)} for t in entry.terms],
        "params": number(entry.params),
        "params_difference": number(entry.params - report.totals.params),
        "params_terms": [{"term": t.term, "amount": number(t.amount)} for t in entry.param_terms],
        "bugs": [{"text": text, "layers": list(names)} for text, names in entry.bugs],
        "remark": c.remark,
    }
