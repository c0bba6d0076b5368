"""Provable bounds over the domains of the symbols; comparison, maximum and minimum."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from math import ceil as ceil_of
from math import prod

from .core import (
    KINDS,
    Atom,
    Expr,
    Floor,
    FormulaLimit,
    Max,
    Min,
    Mono,
    Number,
    Rational,
    Symbol,
    Terms,
    add,
    atoms,
    build,
    multiply,
    power,
    scale,
    terms_of,
    tidy,
)
from .division import divide
from .intervals import INF, Bound, limits, plus, times

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

MAX_EXTREMES = 128
MAX_CORNERS = 4000
MAX_FACTORS = 8


def lower_bound(x: Number) -> Rational | None:
    """A proved lower bound of x, rounded up where x is whole; None if none was found.

    >>> from cnncalc.formula import Symbol
    >>> H = Symbol("H", min=3)
    >>> lower_bound((H - 2) * (H - 2)), lower_bound(H - H // 2), lower_bound(-H)
    (1, 2, None)
    """
    best = max(_candidates(x), default=-INF)
    if isinstance(best, float):
        return None
    from .rounding import is_whole

    return ceil_of(best) if is_whole(x) else tidy(best)


def upper_bound(x: Number) -> Rational | None:
    """A proved upper bound of x, rounded down where x is whole; None if none was found.

    >>> from cnncalc.formula import Symbol
    >>> upper_bound(Symbol("H", max=9) // 2), upper_bound(Symbol("H"))
    (4, None)
    """
    below = lower_bound(scale(x, -1))
    return None if below is None else -below


def compare(a: Number, b: Number) -> int | None:
    """The sign of a - b if it is the same for all values and provable, else None.

    >>> from cnncalc.formula import Symbol
    >>> H = Symbol("H")
    >>> compare(H + 1, H), compare(H, H), compare(3, 5), compare(H, 7)
    (1, 0, -1, None)
    """
    gap = add(a, scale(b, -1))
    if not isinstance(gap, Expr):
        return (gap > 0) - (gap < 0)
    low, high = limits(gap)
    if low > 0 or high < 0:
        return 1 if low > 0 else -1
    if _tight(gap):
        return 0 if low == high else None
    seen = {(value > 0) - (value < 0) for value in _samples(gap)}
    if {1, -1} <= seen:  # both signs occur
        return None
    gap = _normal(gap)
    if not isinstance(gap, Expr):
        return (gap > 0) - (gap < 0)
    return _sign(gap, seen)


def _sign(gap: Expr, seen: set[int]) -> int | None:
    """The sign of gap if provable; `seen` are signs that it does take."""
    if seen <= {1} and any(low > 0 for low in _candidates(gap)):
        return 1
    if seen <= {-1} and any(low > 0 for low in _candidates(scale(gap, -1))):
        return -1
    if not seen <= {0}:
        return None
    return 0 if lower_bound(gap) == upper_bound(gap) == 0 else None


def at_least(a: Number, b: Number) -> bool:
    """Whether a >= b is proved for all values.

    >>> from cnncalc.formula import Symbol
    >>> at_least(Symbol("H"), 1), at_least(Symbol("H"), 2)
    (True, False)
    """
    if not (isinstance(a, Expr) or isinstance(b, Expr)):
        return a >= b
    gap = add(a, scale(b, -1))
    if isinstance(gap, Expr) and _tight(gap):
        return limits(gap)[0] >= 0
    if any(value < 0 for value in _samples(gap)):
        return False
    gap = _normal(gap)
    from .rounding import is_whole

    least = -1 if is_whole(gap) else 0
    return any(low > least or low == 0 for low in _candidates(gap))


def _tight(x: Expr) -> bool:
    """Whether interval arithmetic gives the exact range: one symbol, met once, under floors.

    Each step then is monotone, so that the ends of the symbol's domain give both ends.
    """
    monos = [mono for mono in x.terms if mono]
    if len(monos) != 1 or len(monos[0]) != 1 or monos[0][0][1] != 1:
        return False
    atom = monos[0][0][0]
    if isinstance(atom, Floor):
        return isinstance(atom.den, int) and isinstance(atom.num, Expr) and _tight(atom.num)
    return isinstance(atom, Symbol)


def _samples(x: Number) -> Iterator[Rational]:
    # Values at a few points, which refute most of what is false at little cost.
    from .rewrite import evaluate, symbols

    known = sorted(symbols(x), key=lambda s: s.name)
    last = len(known) - 1
    for first, slope in ((0, 0), (0, 1), (last, -1), (10**6, 7)):
        point = {}
        for i, s in enumerate(known):
            value = s.min + s.multiple_of * (first + slope * i)
            point[s.name] = value if s.max is None else min(value, s.max)
        with suppress(ZeroDivisionError):
            yield evaluate(x, point)


def maximum(*xs: Number) -> Number:
    """The largest of the arguments; those that another one provably reaches are left out.

    >>> from cnncalc.formula import Symbol
    >>> H = Symbol("H")
    >>> maximum(3, 5), maximum(H, H + 2, 0), maximum(H, 7)
    (5, H + 2, max(H, 7))
    """
    return _extreme(Max, xs)


def minimum(*xs: Number) -> Number:
    """The smallest of the arguments; see `maximum`.

    >>> from cnncalc.formula import Symbol
    >>> minimum(Symbol("H") + 1, Symbol("H")), minimum(Symbol("k"), 3)
    (H, min(k, 3))
    """
    return _extreme(Min, xs)


def _extreme(kind: type[Max], xs: tuple[Any, ...]) -> Number:
    if not xs:
        raise ValueError("the largest or smallest of nothing")
    for x in xs:
        if not isinstance(x, KINDS):  # another reading of the formulas brings its own
            other: Number = x.extreme(kind.__name__.lower(), xs)
            return other
    for x in xs:
        if hasattr(x, "extreme"):  # an operand that keeps a record brings its own reading
            result: Number = x.extreme(kind.__name__.lower(), xs)
            return result
    numbers = [x for x in xs if not isinstance(x, Expr)]
    if len(numbers) == len(xs):
        return tidy(max(numbers) if kind is Max else min(numbers))
    shared = _shared(xs)
    if shared:
        apart = build(shared)
        rest = (add(x, scale(apart, -1)) for x in xs)
        return add(apart, _extreme(kind, tuple(rest)))
    kept = _undominated(kind, xs)
    if any(type(x) is kind for x in kept):
        flat = [
            y for x in kept for y in (x.args if isinstance(x, Max) and type(x) is kind else (x,))
        ]
        kept = _undominated(kind, flat)
    if len(kept) == 1:
        return kept[0]
    from .text import sort_key

    return kind(*sorted(kept, key=sort_key))


def _shared(xs: tuple[Number, ...]) -> Terms:
    # max(m + a, m + b) = m + max(a, b): where m is a maximum itself, a chain of joins gives a
    # sum of small ones instead of one that nests as deep as the chain.
    if not all(isinstance(x, Expr) for x in xs) or len(xs) < 2:
        return {}
    first, *others = (terms_of(x) for x in xs)
    return {
        mono: c
        for mono, c in first.items()
        if any(isinstance(atom, Max) for atom, _ in mono)
        and all(other.get(mono) == c for other in others)
    }


def _undominated(kind: type[Max], xs: Iterable[Number]) -> list[Number]:
    kept: list[Number] = []
    for x in dict.fromkeys(xs):
        if any(_reaches(kind, other, x) for other in kept):
            continue
        kept = [other for other in kept if not _reaches(kind, x, other)] + [x]
        if len(kept) > MAX_EXTREMES:
            raise FormulaLimit(f"more than {MAX_EXTREMES} values of unknown order")
    return kept


def _reaches(kind: type[Max], a: Number, b: Number) -> bool:
    return at_least(b, a) if kind is Min else at_least(a, b)


def _normal(x: Number) -> Number:
    from .rewrite import normal

    try:
        return normal(x)
    except FormulaLimit:
        return x


def _candidates(x: Number) -> Iterator[Bound]:
    # Lower bounds of x, the cheapest first.
    yield limits(x)[0]
    if isinstance(x, Expr) and not _tight(x):
        yield from _corners(x)
        relaxed = _relaxed(x)
        if relaxed is not None:
            yield from _corners(relaxed)


def _corners(x: Number) -> Iterator[Bound]:
    # Lower bounds of x written as a polynomial in distances >= 0 from the ends of the ranges.
    size = sum(prod(p + 1 for _, p in mono if p > 0) for mono in terms_of(x))
    if size > MAX_CORNERS:
        return
    bounded = any(limits(atom)[1] < INF for atom in atoms(x))
    with suppress(FormulaLimit):
        for top in (False, True)[: 1 + bounded]:
            yield limits(_from_ends(x, top))[0]


def _from_ends(x: Number, top: bool) -> Number:
    ends: dict[Atom, Number] = {}
    for i, atom in enumerate(sorted(atoms(x), key=lambda a: a.key)):
        low, high = limits(atom)
        span = _ceil(plus(high, times(-1, low)))
        distance = Symbol(f"{i}", min=0, max=span)
        if not isinstance(high, float) and (top or isinstance(low, float)):
            ends[atom] = add(high, scale(distance, -1))
        elif not isinstance(low, float):
            ends[atom] = add(low, distance)
    total: Number = 0
    for mono, c in terms_of(x).items():
        piece: Number = c
        for atom, p in mono:
            piece = multiply(piece, power(ends.get(atom, atom) if p > 0 else atom, p))
        total = add(total, piece)
    return total


def _relaxed(x: Expr) -> Number | None:
    # Each floor is replaced by (num - den + 1)/den or num/den, whichever bounds its term from
    # below; valid where the other factors of the term do not change sign.
    if not any(isinstance(a, Floor) for a in atoms(x)):
        return None
    total: Number = 0
    try:
        for mono, c in x.terms.items():
            piece = _relaxed_term(mono, c)
            if piece is None:
                return None
            total = add(total, piece)
    except FormulaLimit:
        return None
    return total


def _relaxed_term(mono: Mono, c: Rational) -> Number | None:
    factors = [a for a, p in mono if isinstance(a, Floor) and p > 0 for _ in range(p)]
    if len(factors) > MAX_FACTORS:
        return None
    result = build({tuple((a, p) for a, p in mono if a not in factors): c})
    while factors:
        floor = factors.pop()
        rest = result
        for other in factors:
            rest = multiply(rest, other)
        low, high = limits(rest)
        if low < 0 < high:
            return None
        result = multiply(result, _beside(floor, below=low >= 0))
    return result


def _beside(floor: Floor, below: bool) -> Number:
    from .rounding import is_whole

    value = add(divide(floor.num, floor.den), floor.shift)
    if not below:
        return value
    if isinstance(floor.den, int) and is_whole(floor.num):
        return add(value, Fraction(1 - floor.den, floor.den))
    return add(value, -1)


def _ceil(x: Bound) -> int | None:
    return None if isinstance(x, float) else ceil_of(x)
