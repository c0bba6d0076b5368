"""Error carried forward: what follows from a student's own earlier volumes.

A wrong volume costs its own answer only. Everything after it is derived once more from the
student's volume, and an answer that is right there counts as right. A volume that makes the
rest too easy is not carried (see `trivial`).
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from ..derive import _totals
from ..formula import FormulaLimit
from ..layers.base import Shape
from ..rows import Row
from .key import Key, Place
from .marking import show as volume
from .quantities import QUANTITIES
from .reading import Answer
from .subjects import Subject, concrete

SIZES = ("height", "width", "depth")
FROM_OUTPUT = ("neurons", "memory", "macs", "flops", "connections")
SUMS = ("params", "weights", "biases", "buffers", "macs", "flops")
MOST_KEPT = 20_000


class Carried(NamedTuple):
    """The volumes that go on, where they are not the key's: of layers, by name."""

    volumes: Mapping[str, Shape] = {}  # the student's own, or derived from these
    fed: Mapping[str, Subject] = {}  # layers on a volume that is not the key's
    own: Mapping[str, Shape] = {}  # only those that the student gave
    origins: Mapping[str, tuple[str, ...]] = {}  # the wrong answers that a volume goes back to
    notes: tuple[str, ...] = ()


class Carrier:
    """Derives a key's layers again from a student's volumes."""

    QUANTITIES = ("output", *SIZES, "valid")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.outputs = {g.name: g.output for g in key.graph.groups}
        self.fed: dict[tuple[str, tuple[tuple[str, Shape], ...]], Subject | str] = {}
        self.names: dict[int, tuple[Subject, int]] = {}

    def identity(self, subject: Subject) -> int:
        """A number for a subject; the subject is kept, so that no other gets its number."""
        found = self.names.setdefault(id(subject), (subject, id(subject)))
        return found[1]

    # --- the volumes ----------------------------------------------------------------

    def carry(self, read: Mapping[Place, Answer]) -> Carried:
        """The volumes that follow from these answers to questions about volumes."""
        volumes: dict[str, Shape] = {}
        own: dict[str, Shape] = {}
        fed: dict[str, Subject] = {}
        origins: dict[str, tuple[str, ...]] = {}
        notes: list[str] = []
        given = self._given(read)
        for row in self.key.report.layers:
            subject = self.key.subjects.get(row.name)
            if subject is None:
                continue
            changed = {name: volumes[name] for name in row.inputs if name in volumes}
            shape = row.output
            if changed:
                result = self._feed(row, changed)
                if isinstance(result, str):
                    notes.append(result)
                else:
                    fed[row.name], shape = result, result.output
            mine = self._mine(row, shape, given.get(row.name, {}), notes)
            if mine is not None and mine != row.output:
                own[row.name] = mine
            if mine is not None and mine != shape:
                origins[row.name] = (row.name,)
            else:
                found = (name for source in changed for name in origins[source])
                origins[row.name] = tuple(dict.fromkeys(found))
            shape = mine or shape
            if shape != row.output:
                volumes[row.name] = shape
        return Carried(volumes, fed, own, origins, tuple(notes))

    def _given(self, read: Mapping[Place, Answer]) -> dict[str, dict[str, Answer]]:
        given: dict[str, dict[str, Answer]] = {}
        for (layer, what), answer in read.items():
            if layer is not None:
                given.setdefault(self.outputs.get(layer, layer), {})[what] = answer
        return given

    def _mine(
        self, row: Row, shape: Shape, given: Mapping[str, Answer], notes: list[str]
    ) -> Shape | None:
        """The volume that the student states, or None where none can be carried."""
        answer = given.get("output")
        if answer is not None and answer.kind == "fit":
            if row.name in self._fitting():
                notes.append(f"{row.name}: 'does not fit' is not carried on: {TOO_EASY}")
            return None
        mine = answer.shape if answer is not None else self._pieces(shape, given)
        if mine is None or mine == row.output:
            return mine
        why = trivial(mine, row.output)
        if why:
            notes.append(f"{row.name}: {volume(mine)} is not carried on: {why}")
            return None
        return mine

    def _fitting(self) -> set[str]:
        return {name for name, s in self.key.subjects.items() if name and s.fits}

    def _pieces(self, shape: Shape, given: Mapping[str, Answer]) -> Shape | None:
        """A volume stated as height, width and depth; what is not stated is derived."""
        places = {"depth": -1, "height": -3, "width": -2}
        found = list(shape)
        for what, at in places.items():
            answer = given.get(what)
            if answer is not None and answer.shape and len(answer.shape) == 1 <= -at <= len(found):
                found[at] = answer.shape[0]
        return tuple(found) if any(what in given for what in places) else None

    def _feed(self, row: Row, changed: Mapping[str, Shape]) -> Subject | str:
        key = (row.name, tuple(sorted(changed.items(), key=lambda pair: pair[0])))
        if key not in self.fed:
            if len(self.fed) > MOST_KEPT:
                self.fed.clear()
            self.fed[key] = self._fed(row, changed)
        return self.fed[key]

    def _fed(self, row: Row, changed: Mapping[str, Shape]) -> Subject | str:
        """The layer on other volumes, or why it is judged from the key's volume."""
        shown = " and ".join(volume(shape) for shape in changed.values())
        try:
            found = self._alone(row).fed(changed)  # type: ignore[arg-type]
        except (ValueError, ArithmeticError, FormulaLimit):
            return f"{row.name}: {shown} is not carried on: it cannot be this layer's input"
        why = trivial(found.output, row.output) if row.windows else ""
        if why:
            return f"{row.name}: {shown} is not carried on: {volume(found.output)} follows, {why}"
        return found

    def _alone(self, row: Row) -> Subject:
        """The layer by itself, without the branches that a join answers for."""
        subject = self.key.subjects[row.name]
        return subject._replace(rows=(row,), output=row.output)

    # --- other right answers ------------------------------------------------------------

    def others(
        self, place: Place, carried: Carried, answers: Mapping[Place, Answer]
    ) -> Iterator[tuple[Subject, str]]:
        """The subjects that an answer may be right for, and in words from which answers."""
        layer, what = place
        row = self.key.subjects[layer].row if layer is not None else None
        alone = row is not None and row.name == layer and len(self.key.subjects[layer].rows) == 1
        if layer is not None and alone and row is not None:
            fed = carried.fed.get(layer)
            sources = [n for n in row.inputs if n in carried.volumes]
            if fed is not None:
                yield fed, _own(sources, carried)
            if what in FROM_OUTPUT and layer in carried.own:
                yield (
                    self._with_output(fed or self.key.subjects[layer], carried.own[layer]),
                    (f"your own output {volume(carried.own[layer])}"),
                )
            return
        if carried.volumes:
            yield self._several(layer, carried), _own(list(carried.own), carried)
        if what in SUMS:
            summed = self._summed(layer, what, carried, answers)
            if summed is not None:
                yield summed, "the sum of your own answers"

    def _with_output(self, subject: Subject, output: Shape) -> Subject:
        row = subject.rows[-1]
        macs = row.layer.macs(row.input, output, row.dialect)
        row = row._replace(output=output, macs=macs)
        return subject._replace(rows=(*subject.rows[:-1], row), output=output)

    def _several(self, layer: str | None, carried: Carried) -> Subject:
        """The network, or a group of its layers, on the student's volumes."""
        subject = self.key.subjects[layer]
        rows = tuple(self._row(row, carried) for row in subject.rows)
        found = subject._replace(rows=rows, output=rows[-1].output)
        if subject.totals is not None:
            totals = _totals(rows, self.key.inputs, self.key.report.outputs)
            found = found._replace(totals=totals)
        return found

    def _row(self, row: Row, carried: Carried) -> Row:
        fed = carried.fed.get(row.name)
        row = fed.rows[-1] if fed is not None else row
        own = carried.own.get(row.name)
        if own is not None:
            macs = row.layer.macs(row.input, own, row.dialect)
            row = row._replace(output=own, macs=macs)
        return row

    def _summed(
        self, layer: str | None, what: str, carried: Carried, answers: Mapping[Place, Answer]
    ) -> Subject | None:
        """The layers with the student's own counts; None where he gave none that differ."""
        subject = self._several(layer, carried)
        rows, differs = [], False
        for row in subject.rows:
            answer = answers.get((row.name, what))
            value = answer.value if answer is not None and answer.kind == "number" else None
            if type(value) is int:
                one = subject._replace(rows=(row,), output=row.output, totals=None, name=row.name)
                correct = QUANTITIES[what].correct(one)
                if isinstance(correct, int) and value != correct and value >= 0:
                    row, differs = _counting(row, what, value, correct), True
            rows.append(row)
        if not differs:
            return None
        return subject._replace(rows=tuple(rows))


def _counting(row: Row, what: str, value: int, correct: int) -> Row:
    """A row that counts `value` of this quantity."""
    if what in ("macs", "flops"):
        return row._replace(macs=value if what == "macs" else Fraction(value, 2))
    if what == "buffers":
        return row._replace(buffers=value)
    extra = value - correct
    weights = dict(row.weights)
    if what in ("params", "weights"):
        weights["(yours)"] = (extra,)
    if what == "biases":
        weights["bias"] = (value,)
    return row._replace(weights=weights, params=row.params + extra)


def _own(names: Iterable[str], carried: Carried) -> str:
    """The wrong answers that these volumes go back to, in words."""
    origins = dict.fromkeys(origin for name in names for origin in carried.origins.get(name, ()))
    told = [f"your {name} output {volume(carried.own[name])}" for name in origins]
    return " and ".join(told[:3]) if told else "your own earlier answers"


TOO_EASY = "it makes the rest too easy"


def trivial(shape: Shape, correct: Shape) -> str:
    """Why a volume makes the rest too easy, or cannot stand for the right one; else empty.

    >>> trivial((1, 1, 96), (55, 55, 96)), trivial((54, 54, 96), (55, 55, 96))
    ('it makes the rest too easy', '')
    """
    if not (concrete(shape) and concrete(correct)):
        return "" if len(shape) == len(correct) else "it has another number of axes"
    if len(shape) != len(correct):
        return "it has another number of axes"
    pairs = [(a, b) for a, b in zip(shape, correct, strict=True) if type(a) is type(b) is int]
    return TOO_EASY if any(a <= 1 < b for a, b in pairs) else ""
