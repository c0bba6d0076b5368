"""Marks one answer: right in any spelling, wrong with the reason, or unreadable."""

from typing import Any

from ..formula import Expr, FormulaLimit, equal
from .quantities import QUANTITIES, Quantity, quantity
from .reading import Answer, read_answer
from .subjects import Subject
from .verdicts import Verdict

MISFIT = "does not fit"


def mark(
    subject: Subject,
    asked: str,
    given: object,
    *,
    explain: bool = True,
) -> Verdict:
    """Marks `given` as the answer to the quantity `asked` of `subject`.

    `explain=False` leaves out the search for mistakes. Raises KeyError where there is no
    such quantity.
    """
    what = quantity(asked)
    if what is None:
        raise KeyError(asked)
    answer = read_answer(given, what.kind, subject.scope)
    correct = what.correct(subject)
    shown = show(correct)
    if answer.kind == "unreadable":
        return Verdict("unreadable", shown, answer.text, (answer.problem,))
    if correct is None:
        return Verdict("unreadable", "none", answer.text, (f"{asked} means nothing here",))
    right = compare(answer, correct, what)
    return Verdict("right" if right else "wrong", shown, answer.text)


def worked(subject: Subject, asked: str) -> str:
    """The calculation that gives the right answer, on one line; empty where there is none."""
    return ""


def compare(answer: Answer, correct: Any, what: Quantity) -> bool:
    if answer.kind == "fit":
        return bool(answer.value) == (correct if what.kind == "fit" else True)
    if isinstance(correct, tuple):
        value = answer.value if isinstance(answer.value, tuple) else (answer.value,)
        if len(value) == 1 and len(set(correct)) == 1 and what.kind == "axes":
            value = value * len(correct)
        return len(value) == len(correct) and all(map(same, value, correct))
    if answer.kind == "figure" and answer.figure and isinstance(correct, int):
        return answer.figure.covers(correct)
    return same(answer.value, correct)


def same(a: Any, b: Any) -> bool:
    """Equal numbers, or closed forms proved equal."""
    try:
        return equal(a, b) if isinstance(a, Expr) or isinstance(b, Expr) else a == b
    except FormulaLimit:
        return False


def show(value: Any) -> str:
    """A value as it is written in a report."""
    if isinstance(value, bool):
        return "fits" if value else MISFIT
    if isinstance(value, tuple):
        if any(isinstance(v, Expr) for v in value):
            return "[" + ", ".join(str(v) for v in value) + "]"
        return "x".join(str(v) for v in value)
    return str(value)


__all__ = ["QUANTITIES", "mark", "show", "worked"]
