"""The report as a table for people: rows, totals, answers, diagnostics, run, verdict.

Written without Rich, whose import would cost more than deriving the network.
"""

from collections.abc import Sequence

from ..diagnostics import Diagnostic
from ..rows import Report, Row
from .layout import WIDTH, Cell, Column, Grid, Paint, clean, hang, tie
from .text import entry
from .words import (
    AGREES,
    DISAGREES,
    MARKS,
    NOT_RUN,
    answer_line,
    answer_summary,
    count,
    doubts,
    grouped,
    legend,
    plural,
    run_line,
    run_mark,
    symbol_lines,
    title,
    total_lines,
    verdict,
    volume,
)

COLUMNS = (
    Column("layer", kind="path"),
    Column("op", kind="fixed"),
    Column("output"),
    Column("params", right=True),
    Column("MACs", right=True),
    Column("run", kind="fixed"),
)
MARK_STYLES = {AGREES: "good", DISAGREES: "bad", NOT_RUN: "dim", "?": "warning"}
SIGN_STYLES = {"": "", "~": "warning", "!": "bad"}
FEW = 12  # answers shown one by one


def render(
    reports: Sequence[Report],
    *,
    width: int | None = None,
    color: bool = False,
    strict: bool = False,
) -> str:
    """One report below the other, and a last line that counts where there are several."""
    paint = Paint(color)
    parts = [_report(report, width or WIDTH, paint, strict) for report in reports]
    if len(reports) > 1:
        good = sum(report.status(strict) == 0 for report in reports)
        bad = len(reports) - good
        line = f"{plural(len(reports), 'spec')}: {good} OK" + (f", {bad} not" if bad else "")
        parts.append([paint("bad" if bad else "good", line)])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _report(report: Report, width: int, paint: Paint, strict: bool) -> list[str]:
    head = [paint("bold", title(report))]
    head += [paint("dim", f"  {line}") for line in symbol_lines(report)]
    last = "good" if report.status(strict) == 0 else "bad"
    blocks = [
        head,
        grid(report).lines(width, paint) if report.layers else [],
        _totals(report, width),
        _answers(report, width, paint),
        *(entry(group, report.source, width, paint) for group in grouped(_told(report))),
        [*_run(report, width), paint(last, verdict(report, strict))],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block).split("\n")


def grid(report: Report) -> Grid:
    """The layers, one a row, after the network's inputs."""
    inputs = [
        [Cell(clean(name)), Cell(""), Cell(volume(shape)), Cell(""), Cell(""), Cell("")]
        for name, shape in report.input_shapes.items()
    ]
    signs = doubts(report)
    return Grid(COLUMNS, inputs + [_row(row, signs.get(row.name, "")) for row in report.layers])


def _row(row: Row, doubt: str) -> list[Cell]:
    mark = run_mark(row)
    output = tie(volume(row.output)).replace(tie(" x "), tie(" x") + " ")
    return [
        Cell(clean(row.name)),
        Cell(clean(row.op), "dim"),
        Cell(doubt + output, SIGN_STYLES[doubt]),
        Cell(count(row.params), "dim" if row.params == 0 else ""),
        Cell(count(row.macs), "dim" if row.macs == 0 else ""),
        Cell(mark, MARK_STYLES[mark]),
    ]


def _totals(report: Report, width: int) -> list[str]:
    lines = [f"  {line}" for line in legend(report)]
    lines += [""] if lines else []
    for label, text in total_lines(report.totals) if report.totals else []:
        lines += hang(text, width, f"{label:<13}", " " * 13)
    return lines


def _answers(report: Report, width: int, paint: Paint) -> list[str]:
    found = report.expectations
    if not found:
        return []
    faults = [e for e in found if e.verdict != "right"]
    if not faults:
        return [f"{paint('good', AGREES)} {answer_summary(found)}"]
    lines = [answer_summary(found)]
    for e in found if len(found) <= FEW else faults:
        mark = MARKS[e.verdict]
        block = hang(answer_line(e), width, f"  {mark} ", "      ")
        block[0] = block[0].replace(mark, paint(MARK_STYLES[mark], mark), 1)
        lines += block
        shown = any(reason.endswith(e.worked) for reason in e.reasons)
        for reason in (*e.reasons, *([f"worked: {e.worked}"] if e.worked and not shown else [])):
            lines += hang(clean(reason), width, "      ", "        ")
    return lines


def _told(report: Report) -> list[Diagnostic]:
    """The diagnostics; the reasons of answers stand with the answers already."""
    return [d._replace(help=()) if d.code[0] == "A" else d for d in report.diagnostics]


def _run(report: Report, width: int) -> list[str]:
    lines = []
    if report.placement is not None:
        from .placement import lines as placed

        for words in placed(report.placement):
            lines += hang(words.strip(), width, "  " * words.startswith(" "), "    ")
    lines += hang(run_line(report.run), width, "", "     ") if report.layers else []
    if report.grad is not None:
        from .gradients import line

        lines += hang(line(report.grad), width, "", "      ")
    return lines
