"""Gradescope's results.json, after its documented autograder output format.

https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .feedback import WORDS, told
from .grades import exact
from .layout import clean

if TYPE_CHECKING:
    from ..homework.files import Refusal
    from ..homework.key import Key
    from ..homework.results import Graded, Mark


def results(key: "Key", one: "Graded") -> dict[str, Any]:
    """The results of one student: the score, and one test a question.

    Where the key's feedback is `none`, a test is hidden.
    """
    notes = "\n".join(clean(note) for note in one.notes)
    return {
        "score": exact(one.score),
        "max_score": exact(one.max_score),
        "output": notes or f"{clean(key.name)}: every answer was read and marked.",
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(m, i) for i, m in enumerate(one.asked, 1)],
        "extra_data": {"student": one.student, "schema": "cnncalc.grade/1"},
    }


def _test(m: "Mark", number: int) -> dict[str, Any]:
    hidden = m.question.feedback == "none"
    return {
        "name": clean(m.question.title),
        "number": str(number),
        "score": exact(m.points),
        "max_score": exact(m.question.points),
        "status": "passed" if m.right else "failed",
        "output": "" if hidden else _output(m),
        "output_format": "text",
        "visibility": "hidden" if hidden else "visible",
    }


def _output(m: "Mark") -> str:
    word = "right, carried forward" if m.carried else WORDS[m.outcome]
    first = f"Your answer {clean(m.given)}: {word}." if m.given else f"{word.capitalize()}."
    return "\n".join([first, *told(m, plain=True)])


def refused(
    key: "Key", refusals: "Sequence[Refusal]", others: Sequence[str] = ()
) -> dict[str, Any]:
    """The results of a submission that could not be graded."""
    reasons = [f"{clean(r.path.rpartition('/')[2])}: {clean(r.reason)}" for r in refusals]
    reasons += others
    reasons = reasons or ["There is no answer sheet (.yaml, .yml, .json or .csv) in it."]
    return {
        "score": 0,
        "max_score": exact(sum((q.points for q in key.questions), Fraction(0))),
        "output": "The submission could not be graded.\n" + "\n".join(reasons),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [],
    }
