"""The table: widths, marks, answers, grouping, colour, and what never reaches a terminal."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from report_samples import BAD, CONV1, GOOD, ROWS, SYMBOLIC, UNREADABLE, make_report, make_row

from cnncalc.diagnostics import Diagnostic, Span
from cnncalc.report import render
from cnncalc.report.layout import cells, clean, cut, cut_path, wrap
from cnncalc.rows import Expectation, RunReport, Totals

ANSI = re.compile(r"\x1b\[[0-9;]*m")
BIG = Totals(138357544, 138357544, 0, 15470264320, 15237608, 614400000, 1 << 31)


def table(*reports: Any, **options: Any) -> str:
    return render(reports, "table", **options)


def body(text: str) -> list[str]:
    """The lines of the first grid, titles and rule left out."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("─")) + 1
    return lines[start : lines.index("", start)]


def test_rows_read_as_the_lecture_writes_them() -> None:
    lines = body(table(GOOD, width=80))
    assert [line.split() for line in lines] == [
        ["input", "227x227x3"],
        ["CONV1", "conv", "55x55x96", "34,944", "105,415,200", "✓"],
        ["relu1", "relu", "55x55x96", "0", "0", "✓"],
    ]


def test_good_report_ends_in_ok() -> None:
    text = table(GOOD)
    assert "✓ 2 answers right" in text
    assert "CONV1 output:" not in text
    assert "run: agrees: 2 layers (cpu, 1 device, float32); all sizes: checked" in text
    assert text.splitlines()[-1] == "OK"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_concrete_rows_stay_on_one_line_within_the_width(width: int) -> None:
    row = make_row(
        "features/4/bottleneck2/add1/1/conv3", "global_avgpool", (224, 224, 1024),
        params=102764544, macs=1849688064,
    )  # fmt: skip
    report = make_report(layers=(CONV1, row), totals=BIG)
    lines = table(report, width=width).splitlines()
    assert all(cells(line) <= width for line in lines)
    assert len(body("\n".join(lines))) == 3
    assert body("\n".join(lines))[-1].split()[0].endswith("/1/conv3")


def test_wide_tables_keep_names_whole() -> None:
    assert "4/bottleneck2/add1/1/conv3 " in table(BAD, width=120)


def test_marks() -> None:
    marks = [line.split()[-1] for line in body(table(BAD))[1:]]
    assert marks == ["✓", "✓", "✗", "·", "·"]


def test_assumed_rows_are_marked_and_explained() -> None:
    text = table(BAD)
    assert " !9x9x1 " in text
    assert " ~10 " in text
    assert "! does not fit" in text
    assert "~ follows from a size that does not fit" in text
    assert not set("~!") & set(table(GOOD))


def test_totals() -> None:
    text = table(make_report(layers=ROWS, totals=BIG))
    for part in ("138,357,544", "15,470,264,320", "15,237,608 values", "585.9 MiB", "2.0 GiB"):
        assert part in text
    assert "buffers" not in text
    assert "buffers      20 " in table(BAD)


def test_wrong_answers_are_listed_with_reasons() -> None:
    report = BAD._replace(diagnostics=())
    text = table(report)
    assert "3 answers: 1 wrong, 1 unreadable, 1 right" in text
    assert "  ✗ CONV1 params: 34848, but right is 34944\n      the biases are left out" in text
    assert "  ? POOL1 output: 'what?'" in text
    assert "  ✓ CONV1 output" in text


def test_reasons_are_not_told_twice() -> None:
    assert table(BAD).count("the biases are left out") == 1  # under the answer


def test_many_answers_list_the_faults_only() -> None:
    right = tuple(Expectation(f"c{i}", "params", "1", "1", "right") for i in range(20))
    wrong = Expectation("x", "params", "2", "3", "wrong")
    text = table(make_report(expectations=(*right, wrong)))
    assert "21 answers: 1 wrong, 20 right" in text
    assert "✗ x params" in text
    assert "c3" not in text


def test_diagnostics_come_gravest_first_and_notes_are_grouped() -> None:
    text = table(BAD)
    heads = re.findall(r"^(?:error|warning|note)\[\w+\]", text, re.M)
    assert heads == ["error[B001]", "error[A001]", "error[S001]", "warning[W001]", "note[W003]"]
    assert "= also at conv2" in text
    assert text.splitlines()[-1] == "3 errors, 1 warning"


def test_long_groups_are_counted() -> None:
    notes = tuple(Diagnostic("W003", "note", "m", Span(4, 5), f"conv{i}") for i in range(17))
    assert "conv1, conv2, conv3, conv4 and 12 more" in table(make_report(diagnostics=notes))


def test_repeated_warnings_are_grouped_only_when_many() -> None:
    found = tuple(Diagnostic("W002", "warning", "m", Span(4, 5), f"c{i}") for i in range(4))
    assert table(make_report(diagnostics=found[:3])).count("warning[W002]") == 3
    assert table(make_report(diagnostics=found)).count("warning[W002]") == 1


def test_verdict_of_warnings() -> None:
    report = GOOD._replace(diagnostics=(BAD.diagnostics[2],))
    assert table(report).splitlines()[-1] == "OK, 1 warning"
    assert table(report, strict=True).splitlines()[-1] == "1 warning (strict)"


def test_unreadable_spec_shows_the_problem_only() -> None:
    text = table(UNREADABLE)
    assert text.startswith("broken.yaml (cs231n)\n\nerror[E001]")
    assert "run:" not in text
    assert text.endswith("\n1 error\n")


def test_several_reports_are_counted() -> None:
    assert table(GOOD, BAD).splitlines()[-1] == "2 specs: 1 OK, 1 not"
    assert table(GOOD, GOOD).splitlines()[-1] == "2 specs: 2 OK"


def test_closed_forms_wrap_between_sizes() -> None:
    lines = table(SYMBOLIC, width=80).splitlines()
    assert all(cells(line) <= 80 for line in lines)
    assert any("(floor((H - 11)/7) + 1) x" in line for line in lines)
    assert any(line.startswith("  H: integer from 32 to 1024, multiple of 32") for line in lines)
    wide = body(table(SYMBOLIC, width=200))
    assert "(floor((H - 11)/7) + 1) x (floor((W - 11)/8) + 1) x 64" in wide[-1]


@pytest.mark.parametrize("width", [1, 20, 40, 61])
def test_narrow_terminals_get_something(width: int) -> None:
    assert "CONV1" in table(BAD, SYMBOLIC, width=width)


def test_colour_changes_nothing_but_colour() -> None:
    for report in (GOOD, BAD, SYMBOLIC, UNREADABLE):
        plain = ANSI.sub("", table(report, color=True))
        assert [line.rstrip() for line in plain.split("\n")] == table(report).split("\n")
    assert ANSI.search(table(GOOD, color=True))
    assert not ANSI.search(table(BAD))


def test_nothing_from_the_spec_controls_the_terminal() -> None:
    evil = "\x1b[2J\x9b31m\u202e\r\x07"
    report = make_report(
        name=evil, layers=(make_row(evil, evil, (1,)),), input_shapes={evil: (1,)},
        expectations=(Expectation(evil, evil, evil, evil, "wrong", (evil,)),),
        diagnostics=(Diagnostic("W001", "note", evil, None, evil, (evil,)),),
        run=RunReport("failed", evil, 1, evil, evil),
    )  # fmt: skip
    report.source.path = evil
    for format in ("table", "markdown", "csv", "github", "junit"):
        text = render([report, report], format)
        assert all(c.isprintable() or c == "\n" for c in text), format


def test_zero_layers_and_no_name() -> None:
    assert table(make_report(name="", layers=(), totals=None)).startswith("specs/alexnet.yaml (")


def test_path_names_keep_their_numbers() -> None:
    assert cut_path("conv1", 8) == "conv1"
    assert cut_path("4/bottleneck12/add1/1/conv3", 19) == "4/b…12/add1/1/conv3"
    assert cells(cut_path("a/" * 40 + "conv3", 16)) <= 16
    assert cells(cut_path("x" * 100, 9)) == 9
    assert cells(cut_path("層" * 100, 9)) <= 9


def test_widths_of_wide_and_combining_characters() -> None:
    assert (cells("層層"), cells("e\u0301"), cells("→×·")) == (4, 1, 3)
    assert cut("層層層", 5) == "層層…"
    assert clean("a\u200bb\x00") == "a?b?"


def test_wrap_never_loses_text() -> None:
    text = "floor((H - 11)/7)*k + 12345678901234567890 x 3"
    for width in range(1, 50):
        lines = wrap(text, width)
        assert all(cells(line) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap(text, 10, 2)[-1].endswith("…")


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); import report_samples as s\n"
        "from cnncalc.report import render; render([s.BAD], 'table', color=True)\n"
        "assert not {'typer', 'jax', 'sympy', 'numpy', 'json'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "."})
