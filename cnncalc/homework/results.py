"""What grading found, as plain data: marks, students, the class."""

from fractions import Fraction
from typing import Any, Literal, NamedTuple

from .files import Refusal
from .key import Key, Question

Outcome = Literal["right", "wrong", "unreadable", "missing"]


class Mark(NamedTuple):
    """One question of one student, marked."""

    question: Question
    outcome: Outcome
    given: str
    correct: str
    points: Fraction
    carried: bool = False  # right only from the student's own earlier answers
    reasons: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()
    worked: str = ""

    @property
    def right(self) -> bool:
        return self.outcome == "right"


class Graded(NamedTuple):
    """One student's sheet, marked. `notes` are about the sheet as a whole."""

    student: str
    path: str
    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[Mark, ...]:
        return tuple(m for m in self.marks if m.question.asked)

    @property
    def score(self) -> Fraction:
        return sum((m.points for m in self.marks), Fraction(0))

    @property
    def max_score(self) -> Fraction:
        return sum((m.question.points for m in self.marks), Fraction(0))


class Rate(NamedTuple):
    """How the class did on one question."""

    question: Question
    right: int
    carried: int
    wrong: int
    unreadable: int
    missing: int
    commonest: tuple[str, int] | None  # the commonest wrong answer, and how often it came

    @property
    def share(self) -> Fraction:
        """Right answers, carried ones included, among the students."""
        total = self.right + self.wrong + self.unreadable + self.missing
        return Fraction(self.right, total) if total else Fraction(0)


class Grades(NamedTuple):
    """A whole class: each sheet graded, or why it could not be read."""

    key: Key
    students: tuple[Graded, ...]
    refused: tuple[Refusal, ...]
    questions: tuple[Question, ...]
    rates: tuple[Rate, ...]
    mistakes: tuple[tuple[str, int], ...]  # commonest first

    def status(self) -> int:
        """0 where every sheet was read and graded; 2 where one was not, or there was none."""
        return 2 if self.refused or not self.students else 0

    @property
    def max_score(self) -> Fraction:
        return sum((q.points for q in self.questions), Fraction(0))

    def to_json(self) -> dict[str, Any]:
        """The object that `grade --format json` prints (schema cnncalc.grade/1)."""
        from ..report.grades import to_json

        return to_json(self)
