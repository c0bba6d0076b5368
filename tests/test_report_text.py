"""Diagnostics as text: the shape, the caret, cropping, odd characters."""

import pytest

from cnncalc.diagnostics import Diagnostic, Span
from cnncalc.report.layout import cells
from cnncalc.report.text import render
from cnncalc.source import Source

SHAPE = """\
error[S001]: stride 3 does not fit: (7 - 3 + 2*0)/3 + 1 = 7/3 is not a whole number
  --> specs/x.yaml:6:35
   |
 6 |   - conv: {filters: 1, kernel: 3, stride: 3}
   |                                   ^^^^^^^^^
   = help: stride 2 fits (output 3x3)
"""
LINE = "  - conv: {filters: 1, kernel: 3, stride: 3}"


def lines_of(
    text: str, span: Span | None, width: int | None = None, message: str = "m"
) -> list[str]:
    source = Source(text, "a.yaml")
    return render([Diagnostic("S001", "error", message, span)], source, width=width).splitlines()


def test_shape() -> None:
    d = Diagnostic(
        "S001", "error", "stride 3 does not fit: (7 - 3 + 2*0)/3 + 1 = 7/3 is not a whole number",
        Span(6, 35, 9), "conv1", ("stride 2 fits (output 3x3)",),
    )  # fmt: skip
    text = render([d], Source("\n" * 5 + LINE, "specs/x.yaml"))
    assert text == SHAPE


def test_nothing_found_is_empty() -> None:
    assert render([], Source("")) == ""


def test_without_a_place() -> None:
    assert lines_of(LINE, None) == ["error[S001]: m", "  --> a.yaml"]
    assert lines_of(LINE, Span(9, 1)) == ["error[S001]: m", "  --> a.yaml:9:1"]


def test_layers_inside_blocks_are_named() -> None:
    d = Diagnostic("S001", "error", "m", Span(1, 1), "3a/concat1/2/conv1")
    assert "--> a.yaml:1:1 (layer 3a/concat1/2/conv1)" in render([d], Source("x", "a.yaml"))


@pytest.mark.parametrize("before", ["\t", "層: ", "e\u0301", "\u200b", "\x1b[31m"])
def test_the_caret_stands_below_its_text(before: str) -> None:
    *_, line, caret = lines_of(f"{before}stride: 3", Span(1, len(before) + 1, 6))
    column = caret.index("^")
    kept, used = 0, 0
    while used < column:
        used += cells(line[kept])
        kept += 1
    while kept < len(line) and cells(line[kept]) == 0:
        kept += 1
    assert line[kept:] == "stride: 3"
    assert caret.count("^") == 6


def test_control_characters_are_shown_as_question_marks() -> None:
    text = "\n".join(lines_of("a\x1b]0;t\x07b\u202e", Span(1, 1)))
    assert " a?]0;t?b?" in text
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("column", [1, 3, 90, 250, 498, 500])
@pytest.mark.parametrize("length", [1, 20, 400])
def test_long_lines_are_cropped_around_the_caret(column: int, length: int) -> None:
    line = "".join(chr(ord("a") + i % 26) for i in range(500))
    found = lines_of(line, Span(1, column, length), 80)
    assert all(cells(text) <= 80 for text in found)
    shown, caret = found[-2], found[-1]
    place = caret.index("^")
    assert shown[place] == line[column - 1]
    assert "…" in shown


def test_span_beyond_the_line_still_has_a_caret() -> None:
    assert lines_of("abc", Span(1, 4, 5))[-1].endswith("^")
    assert lines_of("abc", Span(1, 9, 5))[-1].endswith("^")


def test_long_messages_wrap_under_their_head() -> None:
    found = lines_of("x", None, 60, "word " * 30)
    assert all(cells(line) <= 60 for line in found)
    assert found[1].startswith("    word")


def test_message_of_several_lines() -> None:
    assert lines_of("x", None, message="one\ntwo")[:2] == ["error[S001]: one", "    two"]
