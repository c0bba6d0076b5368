"""Question sheets and their keys, as text, Markdown or a LaTeX fragment."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .derivation import LATEX_HEAD
from .derivation import escape as latex
from .feedback import code
from .layout import clean
from .markdown import escape

if TYPE_CHECKING:
    from ..homework.questions import Part, Questions
    from ..homework.quiz import Exercise

FORMATS = ("text", "markdown", "latex")
LINE = "____________"
RULE = r"\underline{\hspace{4cm}}"


def render(found: "Sequence[Questions]", format: str) -> str:
    """The sheets, and after them their keys. Raises ValueError for an unknown format."""
    if format not in FORMATS:
        raise ValueError(f"unknown format '{format[:40]}': one of {', '.join(FORMATS)}")
    return together(sheet(found, format), key(found, format), format)


def together(questions: str, answers: str, format: str) -> str:
    """A sheet, and its key on a page of its own."""
    page = {"latex": "\n\\newpage\n\n", "markdown": "\n---\n\n"}.get(format, "\n")
    if format == "latex":
        answers = answers.removeprefix(LATEX_HEAD + "\n")
    return questions + page + answers


def sheet(found: "Sequence[Questions]", format: str) -> str:
    """The questions with blanks, and an answer sheet to fill in."""
    return _document(found, format, answers=False)


def key(found: "Sequence[Questions]", format: str) -> str:
    """The same questions with their answers and the worked lines."""
    return _document(found, format, answers=True)


def _document(found: "Sequence[Questions]", format: str, answers: bool) -> str:
    found = [*(one._replace(remarks=()) for one in found[:-1]), *found[-1:]]  # said once
    if format == "latex":
        return "\n".join([LATEX_HEAD, *(line for one in found for line in _latex(one, answers))])
    write = _markdown if format == "markdown" else _text
    return "\n\n".join("\n".join(write(one, answers)) for one in found) + "\n"


def _heading(one: "Questions", answers: bool) -> str:
    return clean(one.title) + (": key" if answers else "")


def _inputs(one: "Questions") -> str:
    if len(one.inputs) == 1:
        return f"Input: {clean(one.inputs[0][1])}"
    return "Inputs: " + ", ".join(f"{clean(name)} {clean(text)}" for name, text in one.inputs)


def _name(part: "Part") -> str:
    return clean(part.layer) if part.layer is not None else "Total"


def yaml_sheet(one: "Questions") -> str:
    """The answer sheet to fill in, as `cnncalc grade` reads it.

    >>> import cnncalc
    >>> from cnncalc.homework.questions import questions
    >>> print(yaml_sheet(questions(cnncalc.load("lecture/exercise-1"))))
    student:
    answers:
      conv1:
        output:
    """
    import json

    lines = ["student:", "answers:"]
    for part in one.parts:
        if part.blanks:
            name = part.layer if part.layer is not None else "network"
            plain = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
            plain = plain and not name[0].isdigit() and name[0] != "-"
            lines.append(f"  {name if plain else json.dumps(name)}:")
            lines += [f"    {blank.quantity}:" for blank in part.blanks]
    return "\n".join(lines)


# --- a quiz -------------------------------------------------------------------------


def quiz_pages(
    found: "Sequence[Questions]", format: str, title: str, checked: bool
) -> tuple[str, str]:
    """A quiz and its key, each with a heading."""
    run = "Every answer was derived, and confirmed on JAX." if checked else "Not run on JAX."
    heads = [("Quiz", title), ("Key", f"{title}. {run}")]
    texts = [sheet(found, format), key(found, format)]
    pages = []
    for (head, words), text in zip(heads, texts, strict=True):
        if format == "latex":
            body = text.removeprefix(LATEX_HEAD + "\n")
            pages.append(f"{LATEX_HEAD}\n\\section*{{{head}}}\n{latex(words)}\n\n{body}")
        elif format == "markdown":
            pages.append(f"# {head}\n\n{escape(words)}\n\n{text}")
        else:
            pages.append(f"{head}: {words}\n\n{text}")
    return pages[0], pages[1]


def quiz_json(made: "Sequence[Exercise]", seed: int, checked: bool) -> str:
    """The quiz as JSON (schema cnncalc.quiz/1)."""
    import json

    exercises = [
        {
            "number": one.number,
            "level": one.level,
            "fits": one.fits,
            "input": one.questions.inputs[0][1],
            "spec": one.spec,
            "questions": [
                {
                    "layer": part.layer,
                    "description": part.words,
                    "quantity": blank.quantity,
                    "answer": blank.answer,
                    "worked": blank.worked,
                }
                for part in one.questions.parts
                for blank in part.blanks
            ],
        }
        for one in made
    ]
    whole = {"schema": "cnncalc.quiz/1", "seed": seed, "checked_on_jax": checked,
             "exercises": exercises}  # fmt: skip
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


# --- text -------------------------------------------------------------------------------


def _text(one: "Questions", answers: bool) -> Iterator[str]:
    yield _heading(one, answers)
    yield _inputs(one)
    yield ""
    for i, part in enumerate(one.parts, 1):
        yield f"{i}. {_name(part)}: {clean(part.words)}"
        for blank in part.blanks:
            yield f"   {clean(blank.words)}: {clean(blank.answer) if answers else LINE}"
            if answers and blank.worked:
                yield f"     {clean(blank.worked)}"
    if one.remarks and not answers:
        yield ""
        yield from map(clean, one.remarks)


# --- Markdown -----------------------------------------------------------------------------


def _markdown(one: "Questions", answers: bool) -> Iterator[str]:
    yield f"## {escape(_heading(one, answers))}"
    yield ""
    yield f"{escape(_inputs(one))}."
    yield ""
    for i, part in enumerate(one.parts, 1):
        yield f"{i}. **{escape(_name(part))}**: {escape(part.words)}"
        indent = " " * len(f"{i}. ")
        for blank in part.blanks:
            shown = f"**{escape(blank.answer)}**" if answers else escape(LINE)
            yield f"{indent}- {escape(blank.words)}: {shown}" + (
                f" — {code(blank.worked)}" if answers and blank.worked else ""
            )
    if one.remarks and not answers:
        yield ""
        yield escape(" ".join(one.remarks))
    if not answers:
        yield ""
        yield "```yaml"
        yield yaml_sheet(one)
        yield "```"


# --- LaTeX ----------------------------------------------------------------------------------


def _latex(one: "Questions", answers: bool) -> Iterator[str]:
    yield rf"\subsection*{{{latex(_heading(one, answers))}}}"
    yield f"{latex(_inputs(one))}."
    yield r"\begin{enumerate}"
    for part in one.parts:
        yield rf"\item \textbf{{{latex(_name(part))}}}: {latex(part.words)}"
        if part.blanks:
            yield r"\begin{itemize}"
            for blank in part.blanks:
                shown = rf"\textbf{{{latex(blank.answer)}}}" if answers else RULE
                yield rf"\item {latex(blank.words)}: {shown}"
                if answers and blank.worked:
                    yield rf"\\ \texttt{{{latex(blank.worked)}}}"
            yield r"\end{itemize}"
    yield r"\end{enumerate}"
    if one.remarks and not answers:
        yield latex(" ".join(one.remarks))
    yield ""
