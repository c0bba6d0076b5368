"""Diagnostics as text: code, message, place, the source line with a caret, help."""

from collections.abc import Iterable

from ..diagnostics import Diagnostic, Span
from ..rows import Report
from ..source import Source
from .layout import WIDTH, Paint, cells, clean, first, hang, last
from .words import grouped, several

TAB = 4


def render(
    found: Iterable[Diagnostic],
    source: Source,
    *,
    width: int | None = None,
    color: bool = False,
) -> str:
    """All diagnostics of one source, the gravest first; ends in a newline if there are any.

    >>> d = Diagnostic("E003", "error", "unknown op 'cnv'", Span(1, 3, 3), help=("try 'conv'",))
    >>> print(render([d], Source("- cnv: 3", "a.yaml")), end="")
    error[E003]: unknown op 'cnv'
      --> a.yaml:1:3
       |
     1 | - cnv: 3
       |   ^^^
       = help: try 'conv'
    """
    blocks = [entry(group, source, width, Paint(color)) for group in grouped(found)]
    return "\n\n".join("\n".join(block) for block in blocks) + ("\n" if blocks else "")


def diagnostics(report: Report, *, width: int | None = None, color: bool = False) -> str:
    """All diagnostics of a report (see `render`)."""
    return render(report.diagnostics, report.source, width=width, color=color)


def entry(group: list[Diagnostic], source: Source, width: int | None, paint: Paint) -> list[str]:
    """The lines of one diagnostic, or of several alike ones that are shown as one."""
    d = group[0]
    width = width or WIDTH
    gutter = len(str(d.span.line)) + 1 if d.span else 2
    margin = " " * (gutter + 1)
    head = f"{d.severity}[{d.code}]"
    lines = _paragraphs(d.message, width, head + ": ", "    ")
    lines[0] = paint(d.severity, head) + paint("bold", lines[0][len(head) :])
    arrow, *rest = _place(d, source, width - gutter - 4)
    lines.append(f"{' ' * gutter}{paint('place', '-->')} {arrow}")
    lines += [f"{' ' * gutter}    {line}" for line in rest]
    if d.span and source.line(d.span.line):
        lines += _excerpt(d.span, source.line(d.span.line), gutter, width, paint)
    more = [f"help: {text}" for text in d.help]
    if len(group) > 1:
        others = [o.layer or (f"line {o.span.line}" if o.span else "network") for o in group[1:]]
        more.append(f"also at {several(others)}")
    for text in more:
        block = _paragraphs(text, width, f"{margin}= ", f"{margin}  ")
        block[0] = block[0].replace("=", paint("place", "="), 1)
        lines += block
    return lines


def _paragraphs(text: str, width: int, head: str, rest: str) -> list[str]:
    lines: list[str] = []
    for part in text.splitlines() or [""]:
        lines += hang(clean(part), width, rest if lines else head, rest)
    return lines


def _place(d: Diagnostic, source: Source, width: int) -> list[str]:
    place = clean(source.path)
    if d.span:
        place += f":{d.span.line}:{d.span.column}"
    if d.layer is None or "/" not in d.layer:
        return [place]
    layer = f"(layer {clean(d.layer)})"
    whole = f"{place} {layer}"
    return [whole] if cells(whole) <= width else [place, layer]


def _excerpt(span: Span, line: str, gutter: int, width: int, paint: Paint) -> list[str]:
    before = _printable(line[: span.column - 1])
    marked = _printable(line[span.column - 1 : span.column - 1 + span.length])
    after = _printable(line[span.column - 1 + span.length :].rstrip())
    before, marked, after = _crop(before, marked, after, max(width - gutter - 3, 20))
    bar = paint("place", "|")
    empty = " " * (gutter + 1) + bar
    number = paint("place", f"{span.line:>{gutter}}")
    caret = paint("bad", "^" * max(cells(marked), 1))
    return [empty, f"{number} {bar} {before}{marked}{after}".rstrip(),
            f"{empty} {' ' * cells(before)}{caret}"]  # fmt: skip


def _printable(text: str) -> str:
    return clean(text.replace("\t", " " * TAB))


def _crop(before: str, marked: str, after: str, room: int) -> tuple[str, str, str]:
    """Cuts a long line around the marked part, which is kept as far as it goes."""
    if cells(before) + cells(marked) + cells(after) <= room:
        return before, marked, after
    share = room // 3
    if cells(before) > share and cells(before) + cells(marked) > room - 2:
        keep = max(share, room - cells(marked) - cells(after) - 2)
        before = "…" + last(before, keep)
    if cells(before) + cells(marked) > room - 1:
        marked = first(marked, room - 1 - cells(before))
        return before, marked, "…"
    left = room - cells(before) - cells(marked)
    return before, marked, after if cells(after) <= left else first(after, left - 1) + "…"
