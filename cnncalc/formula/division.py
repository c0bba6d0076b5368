"""Exact division of closed forms: by monomials, by polynomials that divide, and otherwise
by keeping the inverse of the divisor as an atom."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm

from .core import (
    MAX_PRODUCTS,
    MAX_TERMS,
    Atom,
    Expr,
    Inverse,
    Number,
    Rational,
    Terms,
    build,
    make_mono,
    mono_times,
    multiply,
    power,
    scale,
    terms_of,
    tidy,
)


def divide(a: Number, b: Number) -> Number:
    """a/b exactly: never a float, and a polynomial where one divides the other.

    >>> divide(6, 3), divide(1, 2)
    (2, Fraction(1, 2))
    """
    if not isinstance(b, Expr):
        return scale(a, 1 / Fraction(b))
    if a == 0:
        return 0
    if len(b.terms) == 1:
        return multiply(a, _invert(b))
    quotient = exact_quotient(terms_of(a), b.terms)
    if quotient is not None:
        return build(quotient)
    unit, shared = _unit(b.terms), _shared(b.terms)
    base = scale(multiply(b, power(shared, -1)), 1 / unit)
    assert isinstance(base, Expr)
    return multiply(scale(divide(a, shared), 1 / unit), Inverse(base))


def _shared(terms: Terms) -> Number:
    # The largest monomial in all terms.
    rows = [dict(mono) for mono in terms]
    factors = {x for row in rows for x in row if type(x) is not Inverse}
    return build({make_mono({x: min(row.get(x, 0) for row in rows) for x in factors}): 1})


def _invert(b: Expr) -> Number:
    ((mono, c),) = b.terms.items()
    result = build({make_mono({x: -p for x, p in mono if type(x) is not Inverse}): 1 / Fraction(c)})
    for x, p in mono:
        if isinstance(x, Inverse):
            result = multiply(result, power(x.base, p))
    return result


def _unit(terms: Terms) -> Fraction:
    # The rational factor that leaves coprime integers, the first in order positive.
    divisor = gcd(*(c.numerator for c in terms.values()))
    first = min(terms, key=lambda mono: (not mono, [(a.key, -p) for a, p in mono]))
    sign = 1 if terms[first] > 0 else -1
    return Fraction(sign * divisor, lcm(*(c.denominator for c in terms.values())))


def exact_quotient(a: Terms, b: Terms) -> Terms | None:
    """The polynomial a/b by long division, or None where a remainder is left."""
    variables = sorted({x for t in (a, b) for mono in t for x, _ in mono}, key=lambda x: x.key)
    rest, low_a = _vectors(a, variables)
    divisor, low_b = _vectors(b, variables)
    lead = max(divisor)
    quotient: dict[tuple[int, ...], Rational] = {}
    for _ in range(MAX_PRODUCTS // len(b)):
        if not rest:
            break
        top = max(rest)
        step = tuple(p - q for p, q in zip(top, lead, strict=True))
        if min(step, default=0) < 0 or len(rest) > MAX_TERMS:
            return None
        factor = Fraction(rest[top]) / divisor[lead]
        quotient[step] = factor
        for exponents, c in divisor.items():
            at = tuple(p + q for p, q in zip(exponents, step, strict=True))
            left = rest.pop(at, 0) - factor * c
            if left:
                rest[at] = left
    if rest:
        return None
    shift = [p - q for p, q in zip(low_a, low_b, strict=True)]
    return {
        make_mono({x: p + s for x, p, s in zip(variables, step, shift, strict=True)}): tidy(c)
        for step, c in quotient.items()
    }


def _vectors(
    terms: Terms, variables: list[Atom]
) -> tuple[dict[tuple[int, ...], Rational], list[int]]:
    # Exponent vectors, moved so that the lowest power of each variable is 0.
    rows = [({**dict.fromkeys(variables, 0), **dict(mono)}, c) for mono, c in terms.items()]
    low = [min(row[x] for row, _ in rows) for x in variables]
    return {
        tuple(row[x] - least for x, least in zip(variables, low, strict=True)): c for row, c in rows
    }, low


def cancel(terms: Terms) -> Terms:
    # Terms that share the factor 1/p are divided by p where that leaves no remainder.
    inverses = {a for mono in terms for a, _ in mono if isinstance(a, Inverse)}
    for inverse in sorted(inverses, key=lambda x: x.key):
        levels: dict[int, Terms] = {}
        for mono, c in terms.items():
            p = dict(mono).get(inverse, 0)
            rest = tuple(item for item in mono if item[0] != inverse)
            levels.setdefault(p, {})[rest] = c
        terms = _lower(inverse, levels)
    return terms


def _lower(inverse: Inverse, levels: dict[int, Terms]) -> Terms:
    result: Terms = {}
    for p in range(max(levels), min(0, *levels) - 1, -1):
        level = {mono: tidy(c) for mono, c in levels.get(p, {}).items() if c}
        quotient = exact_quotient(level, inverse.base.terms) if p > 0 and level else None
        if quotient is None:
            for mono, c in level.items():
                result[mono_times(mono, ((inverse, p),) if p else ())] = c
            continue
        below = levels.setdefault(p - 1, {})
        for mono, c in quotient.items():
            below[mono] = below.get(mono, 0) + c
    return result
