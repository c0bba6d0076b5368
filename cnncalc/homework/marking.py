"""Marks one answer: right in any spelling, wrong with the reason, or unreadable."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from .. import units
from ..formula import Expr, FormulaLimit, Number, compare, equal
from ..layers.base import Shape
from . import conventions, formulas
from .quantities import Quantity, quantity
from .reading import Answer, read_answer
from .subjects import Subject
from .verdicts import Verdict

if TYPE_CHECKING:
    from .mistakes import Suspect

MISFIT = "does not fit"
MOST_READINGS = 12  # of a wrong formula
SIZED = frozenset({"output", "height", "width", "depth", "channels", "pad", "stride", "kernel",
                   "filters", "neurons", "activations"})  # fmt: skip


def mark(
    subject: Subject,
    asked: str,
    given: object,
    *,
    explain: bool = True,
    deep: bool = True,
    accept: tuple[str, ...] = (),
) -> Verdict:
    """Marks `given` as the answer to the quantity `asked` of `subject`.

    `explain=False` leaves out the search for mistakes, `deep=False` that for mistakes in other
    layers and for two together. `accept` names mistakes that the
    question leaves open ("biases-left-out"): they are right, under that convention. Raises
    KeyError where there is no such quantity.
    """
    what = quantity(asked)
    if what is None:
        raise KeyError(asked)
    answer = read_answer(given, what.kind, subject.scope)
    correct = what.correct(subject)
    shown = show(correct, what) if correct is not None else "none"
    if what.name == "output" and not subject.fits and subject.strict:
        shown = MISFIT
    if answer.kind == "unreadable":
        reason = f"{answer.problem}; the answer has the form of: {form(what, correct)}"
        return Verdict("unreadable", shown, answer.text, (reason,))
    return _Marked(subject, what, answer, correct, shown).verdict(explain, accept, deep)


class _Marked:
    def __init__(
        self, subject: Subject, what: Quantity, answer: Answer, correct: Any, shown: str
    ) -> None:
        self.subject, self.what, self.answer = subject, what, answer
        self.correct, self.shown = correct, shown

    def verdict(self, explain: bool, accept: tuple[str, ...], deep: bool = True) -> Verdict:
        answer, what = self.answer, self.what
        if what.kind == "fit" or (answer.kind == "fit" and what.name in SIZED):
            return self.fit()
        if self.correct is None:
            if answer.kind == "none":
                return self.right()
            return self._verdict("unreadable", (f"{what.name} means nothing here",))
        if answer.kind == "fit":
            return self._verdict("wrong", (f"{what.name} is {self.shown}",))
        if answer.kind == "none":
            zero = _is_zero(self.correct)
            reason = () if zero else (f"there is one: {what.name} is {self.shown}",)
            return self._verdict("right" if zero else "wrong", reason)
        found = self.compared(accept)
        if found is not None:
            return found
        if not explain:
            return self._verdict("wrong", ())
        return self.wrong(accept, deep)

    def right(self, reason: str = "", convention: str = "") -> Verdict:
        reasons = tuple(r for r in (reason, convention) if r)
        return self._verdict("right", reasons, convention=convention)

    def _verdict(
        self, verdict: Any, reasons: tuple[str, ...], mistakes: tuple[str, ...] = (),
        convention: str = "",
    ) -> Verdict:  # fmt: skip
        return Verdict(verdict, self.shown, self.answer.text, reasons, mistakes, convention)

    # --- right ---------------------------------------------------------------------

    def compared(self, accept: tuple[str, ...]) -> Verdict | None:
        """Right, under this or another convention; None where it is neither."""
        subject, what, answer = self.subject, self.what, self.answer
        if self.shown == MISFIT:
            return None
        if matches(answer, self.correct, subject, what):
            return self.right(*self._remark())
        for value, name in conventions.others(subject, what, self.correct):
            if matches(answer, value, subject, what):
                return self.right("", f"right under a convention: {name}")
        return None

    def _remark(self) -> tuple[str, str]:
        answer, what, correct = self.answer, self.what, self.correct
        if what.name in SIZED and not self.subject.fits and what.kind in ("volume", "number"):
            return "", "the size does not fit; the correct answer shown is rounded down"
        if answer.kind == "figure" and answer.value != correct:
            exact = f"{correct:,}" if isinstance(correct, int) else str(correct)
            return f"rounded: exactly {exact}", ""
        return answer.note, ""

    def fit(self) -> Verdict:
        """`does not fit` for a size, or true and false for `valid`."""
        answer, subject = self.answer, self.subject
        if self.what.kind == "fit":
            shown = show(subject.output) if subject.fits else MISFIT
        else:
            shown = self.shown if subject.fits else MISFIT
        if self.correct is None and self.what.kind != "fit":
            return self._verdict("unreadable", (f"{self.what.name} means nothing here",))
        claim = bool(answer.value)
        mine = Verdict("right", shown, answer.text)
        if claim == subject.fits:
            return mine
        from .worked import fitting

        said = "it fits" if subject.fits else "it does not fit"
        reason = ": ".join(t for t in (said, fitting(subject)) if t)
        if subject.fits:
            reason = f"{said}: the output is {show(subject.output)}" + (
                f" ({fitting(subject)})" if fitting(subject) else ""
            )
        kind = "fits-after-all" if subject.fits else "misfit-not-seen"
        return mine._replace(verdict="wrong", reasons=(reason,), mistakes=(kind,))

    # --- wrong ---------------------------------------------------------------------

    def wrong(self, accept: tuple[str, ...], deep: bool = True) -> Verdict:
        """The mistakes that explain it, or that none does, with the worked line."""
        from .mistakes import explain
        from .worked import reason, worked

        subject, what, answer = self.subject, self.what, self.answer
        figure = answer.figure
        vague = bool(figure and figure.digit * 100 > abs(figure.value))
        suspects: tuple[Suspect, ...] = ()
        for given in self._values():
            match = partial(self._matches, given)
            suspects = explain(subject, what, self.correct, match, vague, exact(given, what), deep)
            if suspects:
                break
        for suspect in suspects:
            if suspect.id in accept:
                return self.right("", f"right where the question leaves it open: {suspect.words}")
        line = worked(subject, what.name)
        ids = tuple(dict.fromkeys(s.id for s in suspects))
        reasons = tuple(reason(s, what) for s in suspects)
        if what.kind == "bytes" and (unit := _unit(answer, self.correct)):
            reasons, ids = (unit, *reasons), ("mb-for-mib", *ids)
        if self.shown == MISFIT and matches(answer, self.correct, subject, what):
            text = "it does not fit: the division is rounded down where it must come out whole"
            reasons, ids = (text, *reasons), ("misfit-not-seen", *ids)
        if not reasons:
            reasons = tuple(self._unexplained())
            reasons += (f"worked: {line}",) if line else ()
        return self._verdict("wrong", reasons, ids)._replace(worked=line)

    def _matches(self, given: Answer, value: Any) -> bool:
        return matches(given, value, self.subject, self.what)

    def _values(self) -> Iterator[Answer]:
        """The answer; a formula's numbers, under each reading of its letters."""
        if not formulas.is_tree(self.answer.value):
            yield self.answer
            return
        found = formulas.numbers(self.answer.value, self.subject)
        for value in dict.fromkeys(islice(found, MOST_READINGS)):
            yield self.answer._replace(kind="number", value=value)

    def _unexplained(self) -> Iterator[str]:
        yield f"no known mistake gives {self.answer.text}"
        value = self.answer.value
        if (
            isinstance(value, tuple)
            and isinstance(self.correct, tuple)
            and self.what.kind == "volume"
        ):
            if len(value) != len(self.correct):
                yield f"the volume has {len(self.correct)} axes, the answer {len(value)}"
            else:
                yield from _per_axis(value, self.correct)


def _per_axis(value: Shape, correct: Shape) -> Iterator[str]:
    names = {2: ("length", "depth"), 3: ("height", "width", "depth")}.get(len(correct))
    if names is None:
        return
    good = [n for n, v, c in zip(names, value, correct, strict=True) if same(v, c)]
    bad = [n for n in names if n not in good]
    if good and bad:
        verb = "are" if len(good) > 1 else "is"
        yield f"{' and '.join(good)} {verb} right, {' and '.join(bad)} not"


def _is_zero(value: Any) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return all(not isinstance(v, tuple) and same(v, 0) for v in values)


def _unit(answer: Answer, correct: Any) -> str:
    """MB given where it is MiB, or the reverse; empty where that is not it."""
    found = units.exchanged(answer.text)
    if found is None or not isinstance(correct, int) or not found.covers(correct):
        return ""
    return (
        f"MB against MiB: {correct:,} bytes are {units.decimal(correct)} or {units.binary(correct)}"
    )


# --- comparing --------------------------------------------------------------------------


def matches(answer: Answer, value: Any, subject: Subject, what: Quantity) -> bool:
    """Is the answer this value, in any spelling?"""
    if value is None or isinstance(value, bool):
        return False
    if answer.kind == "padding" and isinstance(answer.value, str):
        return _same_pad(answer.value, subject)
    if isinstance(value, tuple):
        given = answer.value if isinstance(answer.value, tuple) else (answer.value,)
        if len(given) == 1 and len(value) > 1 and what.kind == "axes" and _alike(value):
            given = given * len(value)
        if len(given) != len(value):
            return False
        return all(
            _one(g, v, subject, what, axis)
            for axis, (g, v) in enumerate(zip(given, value, strict=True))
        )
    if isinstance(answer.value, tuple):
        return False
    if answer.kind == "figure" and answer.figure and not isinstance(value, Expr):
        return answer.figure.covers(value)
    return _one(answer.value, value, subject, what, None)


def exact(answer: Answer, what: Quantity) -> Any:
    """An answer of whole numbers, which only an equal value can match; else None."""
    value = answer.value
    if answer.kind == "number" and what.kind == "number" and type(value) is int:
        return value
    if answer.kind == "volume" and what.kind == "volume" and isinstance(value, tuple):
        return value if all(type(n) is int for n in value) else None
    return None


def _alike(values: tuple[Any, ...]) -> bool:
    return all(same(v, values[0]) for v in values)


def _one(given: Any, value: Any, subject: Subject, what: Quantity, axis: int | None) -> bool:
    if formulas.is_tree(given):
        return formulas.holds(given, value, subject, what, axis)
    return same(given, value)


def same(a: Any, b: Any) -> bool:
    """Equal numbers, or closed forms proved equal within the time that a proof may take."""
    if isinstance(a, tuple) or isinstance(b, tuple):
        mine, other = (x if isinstance(x, tuple) else (x, x) for x in (a, b))
        return len(mine) == len(other) and all(map(same, mine, other))
    try:
        if isinstance(a, Expr) or isinstance(b, Expr):
            if formulas.differ(a, b):
                return False
            with formulas.time_limit():
                return equal(a, b)
        return bool(a == b)
    except FormulaLimit:
        return False


def _same_pad(word: str, subject: Subject) -> bool:
    """`same` is right where the padding keeps n/s, `valid` where there is none."""
    row = subject.row
    if row is None or not row.windows:
        return False
    if word == "valid":
        return all(compare(w.before + w.after, 0) == 0 for w in row.windows)
    if row.layer.values().get("pad") == "same":
        return True
    return all(same(w.out, (w.n - 1) // w.s + 1) for w in row.windows) and not all(
        same(w.extent, 1) for w in row.windows
    )


# --- showing ----------------------------------------------------------------------------


def show(value: Any, what: Quantity | None = None) -> str:
    """A value as it is written in a report."""
    if isinstance(value, bool):
        return "fits" if value else MISFIT
    if what is not None and what.kind == "bytes" and isinstance(value, int):
        return f"{value} bytes ({units.decimal(value)}, {units.binary(value)})"
    if isinstance(value, tuple):
        if what is not None and what.kind == "list":
            return "[" + ", ".join(str(v) for v in value) + "]"
        if any(isinstance(v, tuple) for v in value):
            return (
                "["
                + ", ".join(str(list(v)) if isinstance(v, tuple) else str(v) for v in value)
                + "]"
            )
        if any(isinstance(v, Expr) for v in value):
            return "[" + ", ".join(str(v) for v in value) + "]"
        return "x".join(str(v) for v in value)
    return str(value)


def form(what: Quantity, correct: Any) -> str:
    """What an answer looks like, without giving the right one away."""
    forms = {
        "volume": "HxWxC" if isinstance(correct, tuple) and len(correct) == 3 else "a volume",
        "bytes": "93 MB, 88.7 MiB or a number of bytes",
        "axes": "one number, or one for each axis",
        "fit": "true, false or 'does not fit'",
        "list": "[weights, biases]",
    }
    return forms.get(what.kind, "a number")


__all__ = ["MISFIT", "Number", "mark", "matches", "same", "show"]
