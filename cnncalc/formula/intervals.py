"""Intervals that hold every value of a closed form, by interval arithmetic alone."""

from __future__ import annotations

from fractions import Fraction
from math import floor as floor_of

from .core import Atom, Expr, Floor, Inverse, Max, Min, Mono, Number, Symbol

INF = float("inf")
Bound = int | Fraction | float  # the only floats are +inf and -inf
Interval = tuple[Bound, Bound]
ALL: Interval = (-INF, INF)


def limits(x: Number) -> Interval:
    """An interval that holds every value of x, by interval arithmetic alone."""
    if not isinstance(x, Expr):
        return (x, x)
    if isinstance(x, Atom):
        if x.limits is None:
            x.limits = _atom_limits(x)
        return x.limits
    low: Bound = 0
    high: Bound = 0
    for mono, c in x.terms.items():
        lo, hi = _intervaltimes((c, c), _mono_limits(mono))
        low, high = plus(low, lo), plus(high, hi)
    return low, high


def _atom_limits(atom: Atom) -> Interval:
    if isinstance(atom, Symbol):
        return atom.min, INF if atom.max is None else atom.max
    if isinstance(atom, Floor):
        low, high = _intervaltimes(limits(atom.num), _inverted(limits(atom.den)))
        return plus(_floor(low), atom.shift), plus(_floor(high), atom.shift)
    if isinstance(atom, Max):
        pairs = [limits(x) for x in atom.args]
        pick = min if isinstance(atom, Min) else max
        return pick(low for low, _ in pairs), pick(high for _, high in pairs)
    return _inverted(limits(atom.base)) if isinstance(atom, Inverse) else ALL


def _mono_limits(mono: Mono) -> Interval:
    result: Interval = (1, 1)
    for atom, p in mono:
        result = _intervaltimes(result, _interval_power(limits(atom), p))
    return result


def _interval_power(base: Interval, p: int) -> Interval:
    if p < 0:
        base, p = _inverted(base), -p
    low, high = _end_power(base[0], p), _end_power(base[1], p)
    if p % 2 == 0 and base[0] < 0:
        return (0 if base[1] > 0 else high), max(low, high)
    return low, high


def _end_power(x: Bound, p: int) -> Bound:
    if isinstance(x, float):
        return INF if x > 0 or p % 2 == 0 else -INF
    return x**p


def _inverted(x: Interval) -> Interval:
    low, high = x
    if low <= 0 <= high:
        return (0, INF) if low == 0 else (-INF, 0) if high == 0 else ALL
    return _over(high), _over(low)


def _over(x: Bound) -> Bound:
    return 0 if isinstance(x, float) else 1 / Fraction(x)


def _intervaltimes(a: Interval, b: Interval) -> Interval:
    ends = [times(x, y) for x in a for y in b]
    return min(ends), max(ends)


def times(x: Bound, y: Bound) -> Bound:
    if x == 0 or y == 0:
        return 0
    if isinstance(x, float) or isinstance(y, float):
        return INF if (x > 0) == (y > 0) else -INF
    return x * y


def plus(x: Bound, y: Bound) -> Bound:
    if isinstance(x, float):
        return x
    return y if isinstance(y, float) else x + y


def _floor(x: Bound) -> Bound:
    return x if isinstance(x, float) else floor_of(x)
