"""The report as Markdown: tables for the layers and the totals, lists for the rest."""

import re
from collections.abc import Iterable, Sequence

from ..diagnostics import Diagnostic
from ..rows import Report
from .layout import TIE, Grid, clean
from .words import (
    MARKS,
    answer_line,
    answer_summary,
    count,
    doubts,
    grouped,
    legend,
    run_line,
    run_mark,
    several,
    symbol_lines,
    title,
    total_lines,
    verdict,
    volume,
)

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&!])")


def render(reports: Sequence[Report], strict: bool = False) -> str:
    """One section a report."""
    return "\n\n".join(_section(report, strict) for report in reports) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is.

    >>> print(escape("a|b *c* <d>"))
    a\\|b \\*c\\* \\<d\\>
    """
    return SPECIAL.sub(r"\\\1", clean(text))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; titles that start with `>` head columns set to the right.

    >>> print(table(["layer", ">params"], [["fc", "760"]]))
    | layer | params |
    |:---|---:|
    | fc | 760 |
    """
    rule = ["---:" if t.startswith(">") else ":---" for t in titles]
    lines = [f"| {' | '.join(t.lstrip('>') for t in titles)} |", f"|{'|'.join(rule)}|"]
    lines += [f"| {' | '.join(map(escape, row))} |" for row in rows]
    return "\n".join(lines)


def grid_table(grid: Grid) -> str:
    """A grid of the terminal as a table."""
    titles = [(">" if c.right else "") + c.title for c in grid.columns]
    return table(titles, [[c.text.replace(TIE, " ") for c in row] for row in grid.rows])


def _section(report: Report, strict: bool) -> str:
    blocks = [f"## {escape(title(report))}"]
    if report.symbols:
        blocks.append("\n".join(f"- {escape(line)}" for line in symbol_lines(report)))
    if report.layers:
        blocks.append(_layers(report))
    blocks += [escape(line) for line in legend(report)]
    if report.totals:
        blocks.append(table(["total", ""], total_lines(report.totals)))
    if report.expectations:
        blocks.append("\n".join(_answers(report)))
    if report.diagnostics:
        blocks.append("\n".join(_entry(group) for group in grouped(report.diagnostics)))
    if report.layers:
        blocks.append(escape(run_line(report.run)))
    blocks.append(f"**{escape(verdict(report, strict))}**")
    return "\n\n".join(blocks)


def _layers(report: Report) -> str:
    inputs = [[name, "", volume(s), "", "", ""] for name, s in report.input_shapes.items()]
    signs = doubts(report)
    rows = [
        [
            row.name,
            row.op,
            signs.get(row.name, "") + volume(row.output),
            count(row.params),
            count(row.macs),
            run_mark(row),
        ]
        for row in report.layers
    ]
    return table(["layer", "op", "output", ">params", ">MACs", "run"], inputs + rows)


def _answers(report: Report) -> Iterable[str]:
    found = report.expectations
    yield escape(answer_summary(found))
    faults = [e for e in found if e.verdict != "right"]
    if faults:
        yield ""
    for e in faults:
        yield f"- {MARKS[e.verdict]} {escape(answer_line(e))}"
        for reason in e.reasons:
            yield f"  - {escape(reason)}"


def _entry(group: Sequence[Diagnostic]) -> str:
    d = group[0]
    place = f" (line {d.span.line})" if d.span else ""
    lines = [f"- **{d.severity} {d.code}**{place}: {escape(d.message)}"]
    lines += [f"  - help: {escape(text)}" for text in d.help]
    others = [o.layer or (f"line {o.span.line}" if o.span else "network") for o in group[1:]]
    if others:
        lines.append(f"  - also at {escape(several(others))}")
    return "\n".join(lines)
