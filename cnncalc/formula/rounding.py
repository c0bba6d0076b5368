"""Floors in normal form: however long a chain of layers, its size is one floor.

The rules, for integers and b, d >= 1:
floor((floor((n + a)/b) + c)/d) = floor((n + a + b*c)/(b*d)) and
ceil(n/s) = floor((n - 1)/s) + 1.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product as combinations
from math import ceil as ceil_of
from math import floor as floor_of
from math import gcd, lcm

from .core import (
    MAX_BITS,
    Atom,
    Expr,
    Floor,
    Inverse,
    Max,
    Min,
    Number,
    Poly,
    Rational,
    Symbol,
    Terms,
    add,
    build,
    content,
    linear_floor,
    make_mono,
    multiply,
    power,
    scale,
    terms_of,
    terms_whole,
)
from .division import divide

MAX_RESIDUES = 512


def floor(x: Number) -> Number:
    """The largest integer not above x.

    >>> from cnncalc.formula import Symbol
    >>> H = Symbol("H")
    >>> floor(Fraction(7, 2)), floor((floor((H - 11) / 4) + 1 - 3) / 2) + 1
    (3, floor((H - 19)/8) + 1)
    """
    return _round(x, up=False)


def ceil(x: Number) -> Number:
    """The smallest integer not below x.

    >>> from cnncalc.formula import Symbol
    >>> ceil(Fraction(7, 2)), ceil(Symbol("n") / 2)
    (4, floor((n + 1)/2))
    """
    return _round(x, up=True)


def floor_div(a: Number, b: Number) -> Number:
    """floor(a/b), for b of any sign.

    >>> from cnncalc.formula import Symbol
    >>> floor_div(-7, 2), floor_div(Symbol("H") + 1, Symbol("s"))
    (-4, floor((H + 1)/s))
    """
    return _round_div(a, b, up=False)


def ceil_div(a: Number, b: Number) -> Number:
    """ceil(a/b), for b of any sign.

    >>> from cnncalc.formula import Symbol
    >>> ceil_div(7, 2), ceil_div(Symbol("n"), Symbol("s"))
    (4, floor((n - 1)/s) + 1)
    """
    return _round_div(a, b, up=True)


def is_whole(x: Number) -> bool | None:
    """True if x is an integer for all values of its symbols, False if for none, else None.

    >>> from cnncalc.formula import Symbol
    >>> k = Symbol("k")
    >>> is_whole(k * (k - 1) / 2), is_whole(k + Fraction(1, 2)), is_whole(k / 2)
    (True, False, None)
    """
    terms = terms_of(x)
    if terms_whole(terms):
        return True
    if any(content(mono) is None for mono in terms):
        return None
    den = lcm(*((c * (content(mono) or 1)).denominator for mono, c in terms.items()))
    const = terms.get((), 0) * den
    rest = {mono: c * den for mono, c in terms.items() if mono}
    shared = gcd(den, *(int(c * (content(mono) or 1)) for mono, c in rest.items()))
    if const % shared:
        return False
    found = _residues(rest, den)
    if found is None:
        return None
    hits = {(r + const) % den == 0 for r in found}
    return hits.pop() if len(hits) == 1 else None


def _round(x: Number, up: bool) -> Number:
    if isinstance(x, int):
        return x
    if isinstance(x, Fraction):
        return ceil_of(x) if up else floor_of(x)
    whole: Terms = {}
    rest: Terms = {}
    const: Rational = 0
    den, plain = 1, True
    for mono, c in x.terms.items():
        unit = content(mono)
        if not mono:
            const = c
        elif unit is not None and (c * unit).denominator == 1:
            whole[mono] = c
        else:
            rest[mono] = c
            plain = plain and unit is not None
            den = lcm(den, (c * (unit or 1)).denominator)
    if not rest:
        return add(build(whole), ceil_of(const) if up else floor_of(const))
    part = _round_plain(rest, const, den, up) if plain else _round_mixed(rest, const, up)
    return add(build(whole), part) if whole else part


def _round_plain(rest: Terms, const: Rational, den: int, up: bool) -> Number:
    # rest*den is whole and, den being the least such, shares no factor with den.
    num = {mono: c * den for mono, c in rest.items()}
    extra = ceil_of(const * den) + den - 1 if up else floor_of(const * den)
    inner = _unfoldable(num)
    if inner is not None:
        return _unfold(num, extra, inner, den)
    shift, extra = divmod(extra, den)
    steady = _steady_remainder(num, den)
    if steady is not None:
        exact = divide(build({**num, (): -steady}), den)
        return add(exact, shift + (steady + extra) // den)
    return _settle(Floor(build({**num, (): extra}), den, shift))


def _unfoldable(num: Terms) -> tuple[Floor, int] | None:
    # A floor with coefficient 1 or -1, the first by text where there are several.
    found = []
    for mono, c in num.items():
        floor = linear_floor(mono)
        if floor is None or abs(c) != 1:
            continue
        if c == 1 or (terms_whole(terms_of(floor.num)) and positive(floor.den)):
            found.append((floor, int(c)))
    if len(found) > 1:
        found.sort(key=lambda item: (-item[1], item[0].key))
    return found[0] if found else None


def _unfold(num: Terms, extra: Number, inner: tuple[Floor, int], den: int | Expr) -> Number:
    # floor((floor(y/b) + g)/d) = floor((y + b*g)/(b*d)) for whole g and whole d >= 1;
    # and -floor(y/b) = floor((b - 1 - y)/b) for whole y, b >= 1.
    floor, sign = inner
    others = build({mono: c for mono, c in num.items() if linear_floor(mono) != floor})
    y = floor.num
    if sign < 0:
        y = add(add(floor.den, -1), scale(y, -1))
    g = add(add(others, extra), sign * floor.shift)
    return floor_div(add(y, multiply(floor.den, g)), multiply(floor.den, den))


def _steady_remainder(num: Terms, den: int) -> int | None:
    # The remainder that num leaves modulo den if it is always the same, as k*k - k modulo 2.
    if all(sum(p for _, p in mono) < 2 for mono in num):
        return None
    found = _residues(num, den)
    return found.pop() if found and len(found) == 1 else None


def _residues(num: Terms, den: int) -> set[int] | None:
    # All remainders modulo den that the whole number num can leave; None if too many to try.
    variables = sorted({a for mono in num for a, _ in mono}, key=lambda a: a.key)
    if den ** min(len(variables), 10) * len(num) > MAX_RESIDUES:
        return None
    units = [(mono, int(c * (content(mono) or 1))) for mono, c in num.items()]
    found = set()
    for values in combinations(range(den), repeat=len(variables)):
        at = dict(zip(variables, values, strict=True))
        total = 0
        for mono, c in units:
            for atom, p in mono:
                c *= at[atom] ** p
            total += c
        found.add(total % den)
    return found


def _settle(floor: Floor) -> Number:
    # A floor that its bounds pin to one value is that value.
    from .intervals import limits

    low, high = limits(floor)
    return int(low) if low == high else floor


def positive(x: Number) -> bool:
    """Whether x is surely an integer >= 1."""
    if isinstance(x, int):
        return x >= 1
    from .intervals import limits

    return terms_whole(terms_of(x)) and limits(x)[0] >= 1


def _round_mixed(rest: Terms, const: Rational, up: bool) -> Number:
    if len(rest) == 1:
        ((mono, c),) = rest.items()
        if len(mono) == 1 and mono[0][1] == 1 and isinstance(mono[0][0], Max):
            return _round_extreme(mono[0][0], c, const, up)
    num, den = _together({**rest, (): const} if const else rest)
    return _round_ratio(num, den, up) if isinstance(den, Expr) else _opaque(num, int(den), up)


def _opaque(num: Number, den: int, up: bool) -> Number:
    # A floor of something that is not known to be whole: only whole numbers leave it.
    if up:
        return scale(_opaque(scale(num, -1), den, up=False), -1)
    shift, extra = divmod(int(terms_of(num).get((), 0)), den)
    return _settle(Floor(build({**terms_of(num), (): extra}), den, shift))


def _round_extreme(atom: Max, c: Rational, const: Rational, up: bool) -> Number:
    from .bounds import maximum, minimum

    args = [_round(add(scale(x, c), const), up) for x in atom.args]
    return minimum(*args) if isinstance(atom, Min) == (c > 0) else maximum(*args)


def _together(terms: Terms) -> tuple[Number, Number]:
    # num/den of a sum with negative powers and inverses.
    factor = lcm(*(c.denominator for c in terms.values()))
    below: dict[Atom, int] = {}
    for mono in terms:
        for atom, p in mono:
            depth = p if isinstance(atom, Inverse) else -p
            if depth > below.get(atom, 0):
                below[atom] = depth
    num: Number = 0
    for mono, c in terms.items():
        powers = {a: p for a, p in mono if not isinstance(a, Inverse)}
        piece: Number = c * factor
        for atom, depth in below.items():
            if isinstance(atom, Inverse):
                piece = multiply(piece, power(atom.base, depth - dict(mono).get(atom, 0)))
            else:
                powers[atom] = powers.get(atom, 0) + depth
        num = add(num, multiply(piece, build({make_mono(powers): 1})))
    den: Number = factor
    for atom, depth in below.items():
        den = multiply(den, power(atom.base if isinstance(atom, Inverse) else atom, depth))
    return num, den


def _round_div(a: Number, b: Number, up: bool) -> Number:
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b) if up else a // b
    if type(a) is Floor and type(b) is int and b > 0 and not up:
        quick = divided_again(a, 0, b)
        if quick is not None:
            return quick
    if not isinstance(b, Expr) or len(b.terms) == 1:
        return _round(divide(a, b), up)
    quotient = divide(a, b)
    if any(isinstance(x, Inverse) for mono in terms_of(quotient) for x, _ in mono):
        return _round_ratio(a, b, up)
    return _round(quotient, up)


def divided_again(inner: Floor, plus: int, by: int) -> Number | None:
    """floor((floor(y/b) + g)/d) where y is a symbol and a constant: the step of a deep chain.

    With coefficient 1, nothing cancels; other floors take the way through `_round`.
    """
    num, den = inner.num, inner.den
    if type(den) is not int or not isinstance(num, Expr):
        return None
    terms = num.terms
    mono = next(iter(terms))
    if not mono:
        mono = next(m for m in terms if m)
    if len(terms) > 2 or terms[mono] != 1 or len(mono) != 1 or mono[0][1] != 1:
        return None
    const = terms.get((), 0)
    symbol = mono[0][0]
    if len(terms) - 1 != (const != 0) or type(const) is not int or type(symbol) is not Symbol:
        return None
    if symbol.multiple_of != 1:
        return None
    shift, extra = divmod(const + den * (inner.shift + plus), den * by)
    if max(extra.bit_length(), (den * by).bit_length()) > MAX_BITS:
        return None
    found = Floor(Poly({mono: 1, (): extra}) if extra else symbol, den * by, shift)
    return found if symbol.max is None else _settle(found)


def _round_ratio(num: Number, den: Number, up: bool) -> Number:
    if not isinstance(den, Expr):
        return _round(divide(num, den), up)
    if not (terms_whole(terms_of(num)) and positive(den)):
        if up:
            return scale(_round_ratio(scale(num, -1), den, up=False), -1)
        return _settle(Floor(num, den))
    if up:
        num = add(num, -1)
    num, den = _reduce(num, den)
    inner = _unfoldable(terms_of(num))
    if inner is not None:
        rest = {mono: c for mono, c in terms_of(num).items() if mono}
        return add(_unfold(rest, terms_of(num).get((), 0), inner, den), int(up))
    if num == 0:
        return int(up)
    return add(_settle(Floor(num, den)), int(up))


def _reduce(num: Number, den: Expr) -> tuple[Number, Expr]:
    # floor((g*m + c)/(g*d)) = floor((m + floor(c/g))/d) for whole m and d >= 1.
    terms = terms_of(num)
    values = list(den.terms.values())
    if any(c.denominator != 1 for c in values):
        return num, den
    inner = [int(c * (content(mono) or 1)) for mono, c in terms.items() if mono]
    g = gcd(*(c.numerator for c in values), *inner)
    if g == 1:
        return num, den
    rest = {mono: Fraction(c, g) for mono, c in terms.items() if mono}
    smaller = divide(den, g)
    assert isinstance(smaller, Expr)
    return build({**rest, (): int(terms.get((), 0)) // g}), smaller
