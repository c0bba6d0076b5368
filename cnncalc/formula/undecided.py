"""Questions about closed forms whose answer depends on the values of the symbols.

`compare`, `at_least` and `is_whole` answer None (or False) where no proof was found. Inside
`answered` such a question is put to a witness, so that a caller can follow each answer in
turn and learn which sizes take which path.
"""

from __future__ import annotations

from contextlib import contextmanager

from . import bounds, rounding
from .core import Number, add, scale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    Kind = Literal["sign", "whole"]
    Question = tuple[Kind, Number]
    Answer = int | None
    Witness = Callable[[Question], Answer]

OPTIONS: dict[str, tuple[int, ...]] = {"sign": (1, 0, -1), "whole": (1, 0)}
_witness: Witness | None = None


@contextmanager
def answered(witness: Witness) -> Iterator[None]:
    """Puts undecided questions to `witness`; its None leaves them undecided."""
    global _witness
    before, _witness = _witness, witness
    try:
        yield
    finally:
        _witness = before


def compare(a: Number, b: Number) -> int | None:
    """The sign of a - b if it is the same for all values and provable, else None.

    >>> from cnncalc.formula import Symbol
    >>> H = Symbol("H")
    >>> compare(H + 1, H), compare(H, H), compare(3, 5), compare(H, 7)
    (1, 0, -1, None)
    """
    found = bounds.compare(a, b)
    if found is None and _witness is not None:
        return _witness(("sign", add(a, scale(b, -1))))
    return found


def at_least(a: Number, b: Number) -> bool:
    """Whether a >= b is proved for all values.

    >>> from cnncalc.formula import Symbol
    >>> at_least(Symbol("H"), 1), at_least(Symbol("H"), 2)
    (True, False)
    """
    if bounds.at_least(a, b):
        return True
    if _witness is None or bounds.compare(a, b) == -1:
        return False
    answer = _witness(("sign", add(a, scale(b, -1))))
    return answer is not None and answer >= 0


def is_whole(x: Number) -> bool | None:
    """True if x is an integer for all values of its symbols, False if for none, else None.

    >>> from cnncalc.formula import Symbol
    >>> k = Symbol("k")
    >>> is_whole(k * (k - 1) / 2), is_whole(k / 2)
    (True, None)
    """
    found = rounding.is_whole(x)
    if found is None and _witness is not None:
        answer = _witness(("whole", x))
        return None if answer is None else bool(answer)
    return found


def paths(
    run: Callable[[], object],
    most: int,
    possible: Callable[[Question, int], bool] = lambda question, answer: True,
) -> list[tuple[dict[Question, int], object]] | None:
    """What `run` gives for every combination of answers that it asks for; None past `most` runs.

    Answers that are not `possible` are left out.

    >>> from cnncalc.formula import Symbol
    >>> H = Symbol("H")
    >>> [(list(given.values()), found) for given, found in paths(lambda: compare(H, 7) == -1, 9)]
    [([1], False), ([0], False), ([-1], True)]
    """
    found: list[tuple[dict[Question, int], object]] = []
    todo: list[dict[Question, int]] = [{}]
    runs = 0
    while todo:
        given = todo.pop()
        asked: list[Question] = []

        def witness(question: Question, given: dict[Question, int] = given) -> Answer:
            if question not in given:
                asked.append(question)  # noqa: B023
            return given.get(question)

        runs += 1
        if runs > most:
            return None
        with answered(witness):
            result = run()
        if not asked:
            found.append((given, result))
            continue
        question = asked[0]
        options = [n for n in OPTIONS[question[0]] if possible(question, n)]
        todo += [{**given, question: answer} for answer in reversed(options)]
    return found
