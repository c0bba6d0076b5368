"""A worked derivation as text, Markdown or a LaTeX fragment."""

import re
from collections.abc import Iterator, Sequence

from ..explain import Line, Step, derivation
from ..formula import Number, to_latex
from ..layers.base import Shape
from ..notation import Latex, Text
from ..rows import Report
from .layout import cells, clean, tie, wrap
from .words import volume

FORMATS = ("text", "markdown", "latex")
INDENT = "  "
BRACKETS = re.compile(r"\([^()]*\)|`[^`]*`| = | - ")
ARROW = " -> "
MOST_TERMS = 5  # of a sum, in one row of LaTeX
SPECIAL_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~!])")
SPECIAL_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip


def render(
    found: Report | Sequence[Step],
    format: str = "text",
    *,
    layer: str | None = None,
    width: int = 80,
) -> str:
    """The derivation of a report, or of steps, as text that ends in a newline.

    `width` matters to text only. Raises ValueError for an unknown format or layer.

    >>> import cnncalc
    >>> network = cnncalc.Network("32x32x3", [cnncalc.layers.Conv(10, kernel=5, pad=2)])
    >>> print(render(network.derive()).splitlines()[0])
    conv1: conv, filters 10, kernel 5, pad 2
    """
    if format not in FORMATS:
        raise ValueError(f"unknown format '{format[:40]}': one of {', '.join(FORMATS)}")
    steps = derivation(found, layer) if isinstance(found, Report) else list(found)
    if format == "text":
        return "\n\n".join("\n".join(_text(step, width)) for step in steps) + "\n"
    if format == "markdown":
        return "\n\n".join(_markdown(step) for step in steps) + "\n"
    return "\n\n".join([LATEX_HEAD, *(_latex(step) for step in steps)]) + "\n"


# --- what all formats share ------------------------------------------------------


def _volumes(step: Step) -> str:
    inputs = " and ".join(volume(shape) for shape in step.inputs)
    if len(step.inputs) > 4:
        inputs = f"{len(step.inputs)} volumes"
    return inputs + (ARROW + volume(step.output) if step.output is not None else "")


def parts(line: Line) -> list[str]:
    """Formula, numbers, and result of one line; what would be said twice is left out.

    >>> from cnncalc.worked import quantity
    >>> parts(Line("size", (quantity("W", 7) - 3) // quantity("S", 3) + 1))
    ['floor((W - 3)/S) + 1', 'floor((7 - 3)/3) + 1', 'floor(4/3) + 1', '2']
    """
    numeric = Text(False, grouped=True).top(line.work) if line.grouped else line.numeric
    reduced = "" if line.grouped or line.work.kind == "leaf" else line.work.reduced
    found = [line.symbolic, numeric, reduced, line.result]
    return [text for i, text in enumerate(found) if text and text not in found[i + 1 :]]


def _legend(step: Step) -> str:
    return ", ".join(f"{name}: {clean(text)}" for name, text in step.legend)


# --- text --------------------------------------------------------------------------


def _text(step: Step, width: int) -> Iterator[str]:
    yield from wrap(clean(step.title), width)
    if step.inputs:
        yield from wrap(_volumes(step), width)
    if step.words:
        yield ""
        words = BRACKETS.sub(_tied, clean(" ".join(step.words)))
        yield from (INDENT + line for line in wrap(words, width - len(INDENT)))
    if step.lines:
        yield ""
        label = max(cells(line.label) for line in step.lines) + 2
        for line in step.lines:
            yield from _text_line(line, label, width)
    if step.legend:
        yield ""
        yield from (INDENT + line for line in wrap(_legend(step), width - len(INDENT)))


def _tied(found: re.Match[str]) -> str:
    """Formulas in a sentence are not broken."""
    return tie(found[0]) if len(found[0]) <= 40 else found[0]


def _text_line(line: Line, label: int, width: int) -> Iterator[str]:
    """One line where it fits, else one for each step of the calculation."""
    first = INDENT + f"{line.label}:".ljust(label)
    note = f"  ({clean(line.note)})" if line.note else ""
    whole = " = ".join(parts(line)) + note
    room = max(width - len(first), 20)
    if cells(whole) <= room:
        yield first + whole
        return
    rest = " " * len(first)
    for i, part in enumerate(parts(line)):
        pieces = wrap(part if i == 0 else "= " + part, room - 2)
        for j, piece in enumerate(pieces):
            yield (rest if i or j else first) + (INDENT if j else "") + piece
    if note:
        yield from (rest + piece for piece in wrap(note.strip(), room))


# --- Markdown ------------------------------------------------------------------------


def _markdown(step: Step) -> str:
    blocks = [f"### {_plain(step.title)}"]
    if step.inputs:
        blocks.append(f"`{_volumes(step)}`")
    if step.words:
        blocks.append(_plain(" ".join(step.words)))
    if step.lines:
        blocks.append("\n".join(_markdown_line(line) for line in step.lines))
    if step.legend:
        blocks.append(", ".join(f"`{name}`: {_plain(text)}" for name, text in step.legend))
    return "\n\n".join(blocks)


def _markdown_line(line: Line) -> str:
    note = f" ({_plain(line.note)})" if line.note else ""
    return f"- {_plain(line.label)}: `{' = '.join(parts(line))}`{note}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is; what stands between backticks stays code."""
    pieces = clean(text).split("`")
    if len(pieces) % 2 == 0:
        return SPECIAL_MARKDOWN.sub(r"\\\1", "`".join(pieces))
    return "".join(
        f"`{piece}`" if i % 2 else SPECIAL_MARKDOWN.sub(r"\\\1", piece)
        for i, piece in enumerate(pieces)
    )


# --- LaTeX ---------------------------------------------------------------------------

LATEX_HEAD = r"% A fragment: \usepackage{amsmath} and \usepackage[T1]{fontenc} in the preamble."


def escape(text: str) -> str:
    r"""Text that LaTeX shows as it is.

    >>> print(escape("50% of conv_1 & {x}"))
    50\% of conv\_1 \& \{x\}
    """
    return "".join(SPECIAL_LATEX.get(char, char) for char in clean(text))


def _latex(step: Step) -> str:
    blocks = [rf"\subsection*{{{escape(step.title)}}}"]
    if step.inputs:
        blocks.append(_latex_volumes(step))
    if step.words:
        blocks.append(_latex_words(" ".join(step.words)))
    if step.lines:
        rows = [row for line in step.lines for row in _latex_line(line)]
        blocks.append("\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}")
    if step.legend:
        named = [f"${Latex(True).name(name)}$: {escape(text)}" for name, text in step.legend]
        blocks.append(", ".join(named) + ".")
    return "\n".join(blocks)


def _latex_words(text: str) -> str:
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    return "".join(
        rf"\texttt{{{escape(piece)}}}" if i % 2 else escape(piece) for i, piece in enumerate(pieces)
    )


def _latex_volumes(step: Step) -> str:
    if len(step.inputs) > 4:
        inputs = rf"\text{{{len(step.inputs)} volumes}}"
    else:
        inputs = r"\text{ and }".join(_latex_volume(shape) for shape in step.inputs)
    return f"${inputs}$" if step.output is None else rf"${inputs} \to {_latex_volume(step.output)}$"


def _latex_volume(shape: Shape) -> str:
    return r" \times ".join(_latex_factor(n) for n in shape)


def _latex_factor(n: Number) -> str:
    text = to_latex(n)
    return text if text.isalnum() or text.startswith(r"\frac") else rf"\left({text}\right)"


def _latex_line(line: Line) -> Iterator[str]:
    """The steps of a line, one below the other, aligned at their signs of equality."""
    label = rf"\text{{{escape(line.label)}:}}\quad & "
    found = latex_parts(line)
    if line.note:
        found[-1] += rf"\quad\text{{({escape(line.note)})}}"
    for i, part in enumerate(found):
        first, *rest = _latex_rows(part) if line.grouped else [part]
        yield ("& = " if i else label) + first
        yield from (rf"& \quad + {row}" for row in rest)


def _latex_rows(text: str) -> list[str]:
    """A long sum of plain numbers in rows of a few terms."""
    if r"\left" in text:  # brackets must close in the row where they open
        return [text]
    terms = text.split(" + ")
    return [" + ".join(terms[i : i + MOST_TERMS]) for i in range(0, len(terms), MOST_TERMS)]


def latex_parts(line: Line) -> list[str]:
    """`parts` in math mode."""
    named = any(leaf.name for leaf in line.work.leaves())
    value = line.work.value
    result = Latex(False, grouped=True).number(value) if isinstance(value, int) else to_latex(value)
    found = [
        Latex(True).top(line.work) if named else "",
        "" if line.work.kind == "leaf" else Latex(False, grouped=line.grouped).top(line.work),
        result,
    ]
    if not line.grouped and line.work.kind != "leaf":
        found.insert(2, Latex(False, reduce=True).top(line.work))
    return [text for i, text in enumerate(found) if text and text not in found[i + 1 :]]
