"""The report as an HTML fragment, for notebooks."""

from collections.abc import Iterable, Sequence
from html import escape

from ..rows import Report, Row
from .layout import clean
from .text import render as render_text
from .words import (
    MARKS,
    answer_line,
    answer_summary,
    count,
    doubts,
    legend,
    run_line,
    run_mark,
    symbol_lines,
    title,
    total_lines,
    verdict,
    volume,
)

LEFT, RIGHT = "text-align:left", "text-align:right"
TITLES = (
    ("layer", LEFT),
    ("op", LEFT),
    ("output", LEFT),
    ("params", RIGHT),
    ("MACs", RIGHT),
    ("run", LEFT),
)


def to_html(report: Report, strict: bool = False) -> str:
    """The report as HTML without scripts; every text from the spec is escaped."""
    parts = [_tag("p", _tag("strong", _text(title(report))))]
    parts += [_tag("p", _text(line)) for line in symbol_lines(report)]
    if report.layers:
        parts.append(_layers(report))
    parts += [_tag("p", _text(line)) for line in legend(report)]
    if report.totals:
        rows = [_cells(line, (LEFT, RIGHT)) for line in total_lines(report.totals)]
        parts.append(_tag("table", "".join(rows)))
    if report.expectations:
        parts.append(_answers(report))
    if report.diagnostics:
        text = render_text(report.diagnostics, report.source)
        parts.append(_tag("pre", escape(text)))
    if report.layers:
        parts.append(_tag("p", _text(run_line(report.run))))
    parts.append(_tag("p", _tag("strong", _text(verdict(report, strict)))))
    return f'<div class="cnncalc">{"".join(parts)}</div>'


def _text(text: str) -> str:
    return escape(clean(text))


def _tag(name: str, inside: str, style: str = "") -> str:
    return f'<{name} style="{style}">{inside}</{name}>' if style else f"<{name}>{inside}</{name}>"


def _cells(texts: Iterable[str], styles: Sequence[str], tag: str = "td") -> str:
    return _tag("tr", "".join(_tag(tag, _text(t), s) for t, s in zip(texts, styles, strict=True)))


def _layers(report: Report) -> str:
    styles = [style for _, style in TITLES]
    rows = [_cells([name for name, _ in TITLES], styles, "th")]
    for name, shape in report.input_shapes.items():
        rows.append(_cells((name, "", volume(shape), "", "", ""), styles))
    signs = doubts(report)
    rows += [_cells(_row(row, signs.get(row.name, "")), styles) for row in report.layers]
    return _tag("table", "".join(rows))


def _row(row: Row, doubt: str) -> tuple[str, ...]:
    return (
        row.name,
        row.op,
        doubt + volume(row.output),
        count(row.params),
        count(row.macs),
        run_mark(row),
    )


def _answers(report: Report) -> str:
    parts = [_tag("p", _text(answer_summary(report.expectations)))]
    items = []
    for e in report.expectations:
        if e.verdict != "right":
            reasons = "".join(f"<br>{_text(reason)}" for reason in e.reasons)
            items.append(_tag("li", _text(f"{MARKS[e.verdict]} {answer_line(e)}") + reasons))
    return parts[0] + (_tag("ul", "".join(items)) if items else "")
