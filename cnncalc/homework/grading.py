"""Grades answer sheets against a key, errors carried forward."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..source import Node, shorten
from .carry import Carried, Carrier
from .files import Refusal, find
from .formulas import is_tree
from .key import Key, KeyRefusedError, Place, Question, canonical, read_key
from .marking import mark
from .quantities import QUANTITIES
from .reading import Answer, read_answer
from .results import Graded, Grades, Mark, Rate
from .sheets import Given, Sheet, read_sheets
from .subjects import Subject
from .verdicts import Verdict
from .worked import worked

if TYPE_CHECKING:
    from ..network import Network

Progress = Callable[[int, int, str], None]
NONE = Node("none", None)
FORMULA_SECONDS = 5.0
LATE = "the formulas of this sheet take too long to decide"
MOST_OTHERS = 100  # answers of one sheet that were not asked for
CHAINED = ("receptive_field", "jump")  # go back to the network's input


def grade(
    key: "str | os.PathLike[str] | Network",
    answers: "Sequence[str | os.PathLike[str]] | str | os.PathLike[str]",
    *,
    progress: Progress | None = None,
) -> Grades:
    """Grades answer sheets against a key.

    `key` is a spec: a path, a bundled name, a text, or a `Network`. `answers` are paths of
    YAML or JSON sheets, of CSV files, or of folders of these. Bad sheets are in `refused`;
    `Unreadable` or `KeyRefusedError` is raised only for the key.

    >>> import pathlib, tempfile
    >>> sheet = pathlib.Path(tempfile.mkdtemp(), "ann.yaml")
    >>> _ = sheet.write_text("answers: {CONV1: {output: 55x55x96, params: 34848}}")
    >>> ann = grade("alexnet", sheet).students[0]
    >>> [mark.outcome for mark in ann.asked if mark.given]
    ['right', 'wrong']
    """
    from ..network import Network, load

    found = read_key(key if isinstance(key, Network) else load(key))
    several = [answers] if isinstance(answers, str | os.PathLike) else answers
    paths = [os.fspath(path) for path in several]
    sheets, refused = read_all(paths, progress)
    return grade_sheets(found, sheets, refused, progress)


def read_all(
    paths: Sequence[str], progress: Progress | None = None
) -> tuple[list[Sheet], list[Refusal]]:
    """Every sheet under `paths`, and what was refused."""
    sheets: list[Sheet] = []
    refused: list[Refusal] = []
    files = list(find(paths))
    for i, file in enumerate(files):
        if progress is not None:
            progress(i, 2 * len(files), "reading")
        for one in [file] if isinstance(file, Refusal) else read_sheets(file):
            if isinstance(one, Refusal):
                refused.append(one)
            else:
                sheets.append(one)
    return sheets, refused


def grade_sheets(
    key: Key, sheets: Sequence[Sheet], refused: Sequence[Refusal] = (),
    progress: Progress | None = None,
) -> Grades:  # fmt: skip
    """Grades sheets that were read already."""
    questions = key.questions or _answered(key, sheets)
    if not questions and sheets:
        raise KeyRefusedError(
            "the key asks nothing, and no sheet answers anything of it: give its layers `expect:`"
        )
    grader = Grader(key, questions)
    students = []
    for i, sheet in enumerate(sheets):
        if progress is not None:
            progress(len(sheets) + i, 2 * len(sheets), sheet.student)
        students.append(grader.grade(sheet))
    students.sort(key=lambda s: (s.student.casefold(), s.student, s.path))
    students = _twice(students)
    rates = tuple(_rate(question, students) for question in questions)
    mistakes = Counter(m.mistakes[0] for s in students for m in s.asked if m.mistakes)
    common = sorted(mistakes.items(), key=lambda pair: (-pair[1], pair[0]))
    return Grades(key, tuple(students), tuple(refused), questions, rates, tuple(common))


def _answered(key: Key, sheets: Iterable[Sheet]) -> tuple[Question, ...]:
    """What a key without questions asks: everything that some sheet answers."""
    places: set[Place] = set()
    for sheet in sheets:
        for given in sheet.answers:
            what = canonical(given.quantity)
            try:
                layer = key.find(given.layer)
            except KeyError:
                continue
            if what is not None:
                places.add((layer, what))
    order = {name: i for i, name in enumerate(key.subjects)}
    ranks = {name: i for i, name in enumerate(QUANTITIES)}
    sorted_places = sorted(places, key=lambda p: (order[p[0]], ranks[p[1]]))
    return tuple(key.question(*place) for place in sorted_places)


def _twice(students: Sequence[Graded]) -> list[Graded]:
    counts = Counter(s.student for s in students)
    return [
        s._replace(notes=(*s.notes, f"{counts[s.student]} sheets carry this name"))
        if counts[s.student] > 1
        else s
        for s in students
    ]


def _rate(question: Question, students: Sequence[Graded]) -> Rate:
    marks = [m for s in students for m in s.marks if m.question == question]
    counts = Counter(m.outcome for m in marks)
    wrong = Counter(m.given for m in marks if m.outcome == "wrong").most_common()
    common = min(wrong, key=lambda pair: (-pair[1], pair[0])) if wrong else None
    return Rate(
        question, counts["right"], sum(m.carried for m in marks), counts["wrong"],
        counts["unreadable"], counts["missing"], common,
    )  # fmt: skip


class Grader:
    """Marks sheets against one key; equal answers are marked once."""

    def __init__(self, key: Key, questions: Sequence[Question]) -> None:
        self.key, self.questions = key, tuple(questions)
        self.carrier = Carrier(key)
        self.volumes = {q.layer for q in self.questions if q.quantity == "output"}
        self.verdicts: dict[Any, Verdict] = {}
        self.alone: dict[str, Subject] = {}
        self.spent = 0.0  # seconds that one sheet's formulas have taken
        self.lines: dict[Place, str] = {}
        self.read: dict[Any, Answer] = {}

    def grade(self, sheet: Sheet) -> Graded:
        self.spent = 0.0
        answers, notes = self._sorted(sheet)
        carried = self._carried(answers)
        questions = list(self.questions)
        known = {(q.layer, q.quantity) for q in questions}
        others = [p for p in answers if p not in known]
        questions += [self.key.question(*p, asked=False) for p in others[:MOST_OTHERS]]
        if len(others) > MOST_OTHERS:
            notes.append(f"{len(others)} answers were not asked for: {MOST_OTHERS} are marked")
        marks = [self._mark(q, answers, carried) for q in questions]
        return Graded(sheet.student, sheet.path, tuple(marks), (*notes, *carried.notes))

    # --- the sheet ----------------------------------------------------------------

    def _sorted(self, sheet: Sheet) -> tuple[dict[Place, Node], list[str]]:
        """The answers by place, and what is said of those that have none."""
        answers: dict[Place, Node] = {}
        notes: list[str] = []
        for given in sheet.answers:
            place = self._place(given, notes)
            if place is None:
                continue
            if place in answers and frozen(answers[place]) != frozen(given.answer):
                notes.append(f"{self.key.question(*place).title} is answered twice")
                answers[place] = TWICE
            elif place not in answers:
                answers[place] = given.answer
        if len(notes) > 20:
            notes[20:] = [f"and {len(notes) - 20} more such notes"]
        return answers, notes

    def _place(self, given: Given, notes: list[str]) -> Place | None:
        what = canonical(given.quantity)
        try:
            layer = self.key.find(given.layer)
        except KeyError:
            near = self.key.near(given.layer or "")
            notes.append(f"the key has no layer '{shorten(given.layer or '')}'{near}")
            return None
        if what is None:
            notes.append(f"{layer or 'network'}: there is no quantity '{shorten(given.quantity)}'")
            return None
        return layer, what

    def _carried(self, answers: Mapping[Place, Node]) -> Carried:
        """The volumes to go on from: the student's own where they are wrong."""
        read: dict[Place, Answer] = {}
        wrong = False
        for place, node in answers.items():
            if place[1] in Carrier.QUANTITIES and place[0] is not None and node is not TWICE:
                read[place] = self._read(place, node)
                wrong = wrong or not self._verdict(place, node, self.key.subjects[place[0]]).right
        return self.carrier.carry(read) if wrong else Carried()

    def _read(self, place: Place, node: Node) -> Answer:
        key = (place, frozen(node))
        if key not in self.read:
            subject = self.key.subjects[place[0]]
            self.read[key] = read_answer(node, QUANTITIES[place[1]].kind, subject.scope)
        return self.read[key]

    # --- one answer ------------------------------------------------------------------

    def _mark(self, q: Question, answers: Mapping[Place, Node], carried: Carried) -> Mark:
        place = (q.layer, q.quantity)
        node = answers.get(place, NONE)
        subject = self.key.subjects[q.layer]
        if node is TWICE:
            correct = self._verdict(place, NONE, subject).correct
            return Mark(q, "unreadable", "", correct, Fraction(0), reasons=("answered twice",))
        if node.kind == "none" or (node.kind == "text" and not node.text.strip()):
            correct = self._verdict(place, NONE, subject).correct
            return Mark(q, "missing", "", correct, Fraction(0))
        verdict = self._verdict(place, node, subject)
        if verdict.verdict == "unreadable":
            return Mark(q, "unreadable", verdict.given, verdict.correct, Fraction(0),
                        reasons=verdict.reasons)  # fmt: skip
        if verdict.right or self._near(q, node, subject):
            reasons: tuple[str, ...] = verdict.reasons if verdict.right else (_within(q),)
            if verdict.convention and verdict.convention not in " ".join(reasons):
                reasons = (*reasons, verdict.convention)
            return Mark(q, "right", verdict.given, verdict.correct, q.points, reasons=reasons)
        return self._from_own(q, node, verdict, answers, carried)

    def _from_own(
        self, q: Question, node: Node, verdict: Verdict, answers: Mapping[Place, Node],
        carried: Carried,
    ) -> Mark:  # fmt: skip
        """A wrong answer, judged once more from the student's own earlier answers."""
        place = (q.layer, q.quantity)
        sums = {p: self._read(p, n) for p, n in answers.items() if n is not TWICE}
        for other, why in self.carrier.others(place, carried, sums):
            if self._verdict(place, node, other).right or self._near(q, node, other):
                told = (f"right from {why}; the correct answer is {verdict.correct}",)
                return Mark(q, "right", verdict.given, verdict.correct, q.points, True, told)
        verdict = self._explained(place, node)
        if not verdict.mistakes and (fed := carried.fed.get(q.layer or "")) is not None:
            own = self._explained(place, node, fed)
            if own.mistakes:
                reasons = tuple(f"on your own input volume: {reason}" for reason in own.reasons)
                verdict = verdict._replace(reasons=reasons, mistakes=own.mistakes)
        points = q.points * self._share(q, node, verdict, carried)
        line = self._worked(place) if q.feedback == "full" else ""
        return Mark(q, "wrong", verdict.given, verdict.correct, points,
                    reasons=verdict.reasons, mistakes=verdict.mistakes, worked=line)  # fmt: skip

    def _verdict(self, place: Place, node: Node, subject: Subject) -> Verdict:
        key = (place, frozen(node), self.carrier.identity(subject))
        if key not in self.verdicts:
            found = self._timed(place, node, subject, explain=False)
            if LATE in found.reasons:
                return found
            self.verdicts[key] = found
        return self.verdicts[key]

    def _timed(
        self, place: Place, node: Node, subject: Subject, explain: bool = True, deep: bool = True
    ) -> Verdict:
        """`mark`; a sheet's formulas together have `FORMULA_SECONDS` to be decided."""
        answer = self._read(place, node)
        parts = answer.value if isinstance(answer.value, tuple) else (answer.value,)
        if not any(map(is_tree, parts)):
            return mark(subject, place[1], node, explain=explain, deep=deep)
        if self.spent > FORMULA_SECONDS:
            correct = self._verdict(place, NONE, subject).correct
            return Verdict("unreadable", correct, answer.text, (LATE,))
        begin = time.process_time()
        found = mark(subject, place[1], node, explain=explain, deep=deep)
        self.spent += time.process_time() - begin
        return found

    def _explained(self, place: Place, node: Node, fed: Subject | None = None) -> Verdict:
        """The verdict with the mistakes behind it; on another input only the layer's own."""
        subject = fed or self._suspected(place)
        key = (place, frozen(node), self.carrier.identity(subject), "explained")
        if key not in self.verdicts:
            found = self._timed(place, node, subject, deep=fed is None)
            if LATE in found.reasons:
                return self._verdict(place, node, subject)
            self.verdicts[key] = found
        return self.verdicts[key]

    def _suspected(self, place: Place) -> Subject:
        """Where a mistake is looked for: not in layers whose own volumes were asked for."""
        subject = self.key.subjects[place[0]]
        if place[0] is None or place[1] in CHAINED or not self._asked_before(place[0]):
            return subject
        return self.alone.setdefault(place[0], subject._replace(network=subject.rows, memo={}))

    def _asked_before(self, layer: str) -> bool:
        """Whether the layer's input volumes are the network's, or were asked for."""
        rows = {row.name: row for row in self.key.report.layers}
        names = list(self.key.subjects[layer].reads)
        while names:
            name = names.pop()
            if name not in rows or name in self.volumes:
                continue
            row = rows[name]
            if row.windows or row.weights or row.output != row.input[0]:
                return False
            names += row.inputs
        return True

    def _worked(self, place: Place) -> str:
        if place not in self.lines:
            self.lines[place] = worked(self.key.subjects[place[0]], place[1])
        return self.lines[place]

    def _near(self, q: Question, node: Node, subject: Subject) -> bool:
        """Within the tolerance: numbers only."""
        if q.tolerance is None:
            return False
        correct = QUANTITIES[q.quantity].correct(subject)
        value = self._read((q.layer, q.quantity), node).value
        numbers = isinstance(correct, int | Fraction) and isinstance(value, int | Fraction)
        numbers = numbers and not isinstance(correct, bool) and not isinstance(value, bool)
        return numbers and q.tolerance.covers(value, correct)

    def _share(self, q: Question, node: Node, verdict: Verdict, carried: Carried) -> Fraction:
        """The share of the points that a wrong answer earns."""
        if not q.partial:
            return Fraction(0)
        place = (q.layer, q.quantity)
        subjects = [self.key.subjects[q.layer]]
        subjects += [subject for subject, _ in self.carrier.others(place, carried, {})]
        alike = max(self._alike(place, node, subject) for subject in subjects)
        if q.partial is True:
            return alike
        return q.partial if alike or verdict.mistakes else Fraction(0)

    def _alike(self, place: Place, node: Node, subject: Subject) -> Fraction:
        """The share of a volume's or list's sizes that are right."""
        correct, value = QUANTITIES[place[1]].correct(subject), self._read(place, node).value
        if not (isinstance(correct, tuple) and isinstance(value, tuple)):
            return Fraction(0)
        if len(correct) != len(value):
            return Fraction(0)
        pairs = zip(correct, value, strict=True)
        good = sum(type(a) is int and type(b) is int and a == b for a, b in pairs)
        return Fraction(good, len(correct))


TWICE = Node("none", None)  # stands for two answers that differ


def _within(q: Question) -> str:
    t = q.tolerance
    if t is None:
        return ""
    size = f"{float(t.size * 100):g}%" if t.relative else f"{float(t.size):g}"
    return f"within the tolerance of {size}"


def frozen(node: Node) -> Any:
    """What an answer says, to be compared and looked up.

    >>> frozen(Node.of([32, "x"]))
    ('list', (('value', '32'), ('text', 'x')))
    """
    if node.kind == "list":
        return "list", tuple(frozen(item) for item in node.items)
    if node.kind == "map":
        return "map", tuple((k.text, frozen(v)) for k, v in node.pairs)
    return node.kind, node.text
