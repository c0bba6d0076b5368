"""A graded class: the table, Markdown, CSV (one line a student), and JSON."""

import csv as csv_writer
import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from io import StringIO
from typing import TYPE_CHECKING, Any

from .csv import safe
from .layout import WIDTH, Cell, Column, Grid, Paint, clean, hang
from .markdown import escape
from .markdown import table as markdown_table
from .words import MARKS, plural

if TYPE_CHECKING:
    from ..homework.files import Refusal
    from ..homework.results import Graded, Grades, Mark, Rate

SCHEMA = "cnncalc.grade/1"
FORMATS = ("table", "json", "csv", "markdown", "gradescope")
SIGNS = {**MARKS, "missing": "–"}
STYLES = {"right": "good", "wrong": "bad", "unreadable": "warning", "missing": "dim"}
MOST_MISTAKES = 10
MOST_NOTES = 200


def number(value: Fraction) -> str:
    """Points as people write them.

    >>> number(Fraction(3)), number(Fraction(5, 2)), number(Fraction(2, 3))
    ('3', '2.5', '0.67')
    """
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.2f}".rstrip("0")


def exact(value: Fraction) -> int | float:
    """Points as a JSON number.

    >>> exact(Fraction(3)), exact(Fraction(2, 3))
    (3, 0.666667)
    """
    return value.numerator if value.denominator == 1 else round(float(value), 6)


def percent(value: Fraction) -> str:
    """A share in whole percent, half away from zero.

    >>> percent(Fraction(2, 3)), percent(Fraction(1, 200))
    ('67%', '1%')
    """
    return f"{int(value * 100 + Fraction(1, 2))}%"


def mistake(name: str) -> str:
    """The name of a mistake in words.

    >>> mistake("biases-left-out")
    'biases left out'
    """
    return clean(name.replace("-", " "))


def share(one: "Graded") -> str:
    return percent(one.score / one.max_score) if one.max_score else "–"


# --- table ----------------------------------------------------------------------------


def table(grades: "Grades", *, width: int | None = None, color: bool = False) -> str:
    """The class: its students, its questions, its mistakes, and what could not be read."""
    paint, width = Paint(color), width or WIDTH
    blocks = [[paint("bold", heading(grades))]]
    if grades.students:
        blocks += [_students(grades).lines(width, paint), _rates(grades).lines(width, paint)]
    if grades.mistakes:
        blocks.append(["commonest mistakes"])
        blocks[-1] += [f"  {n:>4}  {mistake(name)}" for name, n in grades.mistakes[:MOST_MISTAKES]]
    notes = list(remarks(grades))
    if notes:
        blocks.append([line for note in notes for line in hang(note, width, "note: ", "      ")])
    if grades.refused:
        blocks.append(
            [line for r in grades.refused for line in hang(refusal(r), width, "unreadable: ", "  ")]
        )
    last = summary(grades)
    blocks.append([paint("bad" if grades.status() else "good", last)])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def heading(grades: "Grades") -> str:
    key = grades.key
    asked = plural(len(grades.questions), "question")
    return f"{clean(key.name)}: {asked}, {number(grades.max_score)} points"


def _students(grades: "Grades") -> Grid:
    columns = (
        Column("student", kind="path"), Column("points", right=True), Column("", right=True),
        Column("answers", kind="path"),
    )  # fmt: skip
    rows = []
    for one in grades.students:
        signs = "".join(SIGNS[m.outcome] if not m.carried else "→" for m in one.asked)
        points = f"{number(one.score)}/{number(one.max_score)}"
        rows.append([Cell(clean(one.student)), Cell(points), Cell(share(one)), Cell(signs)])
    return Grid(columns, rows)


def _rates(grades: "Grades") -> Grid:
    names = ("question", ">points", ">right", ">carried", ">wrong", ">unread", ">blank",
             "commonest wrong answer")  # fmt: skip
    columns = tuple(
        Column(n.lstrip(">"), right=n[0] == ">", kind="path" if n[0] != ">" else "text")
        for n in names
    )
    return Grid(columns, [[Cell(text) for text in rate_row(rate)] for rate in grades.rates])


def rate_row(rate: "Rate") -> list[str]:
    common = f"{clean(rate.commonest[0])} ({rate.commonest[1]})" if rate.commonest else ""
    counts = (rate.carried, rate.wrong, rate.unreadable, rate.missing)
    return [
        clean(rate.question.title), number(rate.question.points),
        f"{rate.right} ({percent(rate.share)})", *(str(n) if n else "" for n in counts), common,
    ]  # fmt: skip


def remarks(grades: "Grades") -> Iterable[str]:
    """What was noted of single sheets, and of the key's own answers."""
    for d in grades.key.warnings:
        yield f"the key's own answer is not the derived one, which counts: {clean(d.message)}"
    notes = [(s, note) for s in grades.students for note in s.notes]
    for one, note in notes[:MOST_NOTES]:
        yield clean(f"{one.student}: {note}")
    if len(notes) > MOST_NOTES:
        yield f"and {len(notes) - MOST_NOTES:,} more"


def refusal(one: "Refusal") -> str:
    return clean(f"{one.path}: {one.reason}")


def summary(grades: "Grades") -> str:
    """The last line: how many sheets, the mean, and how many could not be read."""
    count = len(grades.students)
    parts = [plural(count, "sheet") + " graded"]
    if count and grades.max_score:
        mean = sum((s.score for s in grades.students), Fraction(0)) / count
        parts.append(f"mean {number(mean)} of {number(grades.max_score)}")
    if grades.refused:
        parts.append(f"{len(grades.refused):,} unreadable")
    return ", ".join(parts)


# --- Markdown ---------------------------------------------------------------------------


def markdown(grades: "Grades") -> str:
    """The class as Markdown."""
    blocks = [f"# {escape(heading(grades))}"]
    if grades.students:
        rows = [
            [s.student, number(s.score), number(s.max_score), share(s)] for s in grades.students
        ]
        blocks.append(markdown_table(["student", ">points", ">of", ">share"], rows))
        titles = ["question", ">points", ">right", ">carried", ">wrong", ">unreadable", ">blank",
                  "commonest wrong answer"]  # fmt: skip
        blocks.append(markdown_table(titles, [rate_row(rate) for rate in grades.rates]))
    if grades.mistakes:
        rows = [[mistake(name), str(n)] for name, n in grades.mistakes[:MOST_MISTAKES]]
        blocks.append(markdown_table(["commonest mistakes", ">times"], rows))
    notes = [f"- {escape(note)}" for note in remarks(grades)]
    notes += [f"- unreadable: {escape(refusal(r))}" for r in grades.refused]
    if notes:
        blocks.append("\n".join(notes))
    blocks.append(f"**{escape(summary(grades))}**")
    return "\n\n".join(blocks) + "\n"


# --- CSV --------------------------------------------------------------------------------


def csv(grades: "Grades") -> str:
    """One line a student: the score, and the points of each question.

    Unreadable sheets follow, without points. No cell is taken for a formula.
    """
    out = StringIO()
    writer = csv_writer.writer(out, lineterminator="\n")
    titles = [q.title for q in grades.questions]
    writer.writerow(
        [safe(x) for x in ("student", "sheet", "status", "score", "max_score", *titles)]
    )
    for one in grades.students:
        points = {(m.question.layer, m.question.quantity): m.points for m in one.marks}
        each = [exact(points[q.layer, q.quantity]) for q in grades.questions]
        row = (one.student, one.path, "graded", exact(one.score), exact(one.max_score), *each)
        writer.writerow([safe(x) for x in row])
    for bad in grades.refused:
        row = (bad.student, bad.path, f"unreadable: {bad.reason}", "", "", *([""] * len(titles)))
        writer.writerow([safe(x) for x in row])
    return out.getvalue()


# --- JSON -------------------------------------------------------------------------------


def to_json(grades: "Grades") -> dict[str, Any]:
    """The class as plain data (schema cnncalc.grade/1)."""
    return {
        "schema": SCHEMA,
        "ok": grades.status() == 0,
        "key": {"path": grades.key.path, "name": grades.key.name},
        "max_score": exact(grades.max_score),
        "students": [student_json(one) for one in grades.students],
        "unreadable": [
            {"path": r.path, "student": r.student or None, "reason": r.reason}
            for r in grades.refused
        ],
        "questions": [_rate_json(rate) for rate in grades.rates],
        "mistakes": [{"mistake": name, "count": n} for name, n in grades.mistakes],
        "notes": [d.message for d in grades.key.warnings],
    }


def student_json(one: "Graded") -> dict[str, Any]:
    """One student's marks as plain data."""
    return {
        "student": one.student,
        "path": one.path,
        "score": exact(one.score),
        "max_score": exact(one.max_score),
        "answers": [_mark_json(m) for m in one.marks],
        "notes": list(one.notes),
    }


def _mark_json(m: "Mark") -> dict[str, Any]:
    return {
        "layer": m.question.layer,
        "quantity": m.question.quantity,
        "asked": m.question.asked,
        "given": m.given,
        "correct": m.correct,
        "verdict": m.outcome,
        "carried": m.carried,
        "points": exact(m.points),
        "max_points": exact(m.question.points),
        "reasons": list(m.reasons),
        "mistakes": list(m.mistakes),
    }


def _rate_json(rate: "Rate") -> dict[str, Any]:
    common = rate.commonest
    return {
        "layer": rate.question.layer,
        "quantity": rate.question.quantity,
        "points": exact(rate.question.points),
        "right": rate.right,
        "carried": rate.carried,
        "wrong": rate.wrong,
        "unreadable": rate.unreadable,
        "missing": rate.missing,
        "rate": round(float(rate.share), 6),
        "commonest_wrong": {"answer": common[0], "count": common[1]} if common else None,
    }


def render(grades: "Grades", format: str, *, width: int | None = None, color: bool = False) -> str:
    """The class in one text that ends in a newline. Raises ValueError for an unknown format."""
    if format == "table":
        return table(grades, width=width, color=color)
    if format == "markdown":
        from .feedback import page

        pages = [page(grades.key, one) for one in grades.students]
        return "\n".join([markdown(grades), *pages])
    if format == "csv":
        return csv(grades)
    if format == "json":
        return json.dumps(to_json(grades), indent=2, ensure_ascii=False) + "\n"
    if format == "gradescope":
        from .gradescope import results

        found: Sequence[dict[str, Any]] = [results(grades.key, one) for one in grades.students]
        whole: Any = found[0] if len(found) == 1 else list(found)
        return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    raise ValueError(f"unknown format '{format}': one of {', '.join(FORMATS)}")
