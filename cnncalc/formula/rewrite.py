"""Values, substitution, the full normal form and proofs of equality."""

from __future__ import annotations

from fractions import Fraction
from itertools import product as combinations
from math import lcm

from .core import (
    Atom,
    DomainError,
    Expr,
    Floor,
    FormulaLimit,
    Inverse,
    Max,
    Min,
    Number,
    Rational,
    Symbol,
    Terms,
    add,
    atoms,
    build,
    content,
    linear_floor,
    multiply,
    power,
    scale,
    terms_of,
    tidy,
    times,
)
from .division import divide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Reader = Callable[[Sequence[int]], Rational]

MAX_CASES = 144


def symbols(x: Number) -> frozenset[Symbol]:
    """The symbols of x, those inside floors included.

    >>> sorted(s.name for s in symbols(Symbol("W") * (Symbol("H") // 2)))
    ['H', 'W']
    """
    found: set[Symbol] = set()
    seen: set[Atom] = set()
    todo: list[Number] = [x]
    while todo:
        for atom in atoms(todo.pop()) - seen:
            seen.add(atom)
            if isinstance(atom, Symbol):
                found.add(atom)
            else:
                todo.extend(_inside(atom))
    return frozenset(found)


def _inside(atom: Atom) -> tuple[Number, ...]:
    if isinstance(atom, Floor):
        return atom.num, atom.den
    if isinstance(atom, Max):
        return atom.args
    return (atom.base,) if isinstance(atom, Inverse) else ()


def substitute(x: Number, values: Mapping[str, Number]) -> Number:
    """x with symbols replaced by numbers or expressions; a number outside its domain is refused.

    >>> size = (Symbol("H") - 11) // 4 + 1
    >>> substitute(size, {"H": 227}), substitute(size, {"H": 4 * Symbol("m")})
    (55, m - 2)
    """
    return _substitute(x, values, {}) if isinstance(x, Expr) else x


def _substitute(x: Number, values: Mapping[str, Number], memo: dict[Atom, Number]) -> Number:
    if not isinstance(x, Expr):
        return x
    total: Number = 0
    for mono, c in x.terms.items():
        piece: Number = c
        for atom, p in mono:
            if atom not in memo:
                memo[atom] = _substitute_atom(atom, values, memo)
            piece = multiply(piece, power(memo[atom], p))
        total = add(total, piece)
    return total


def _substitute_atom(atom: Atom, values: Mapping[str, Number], memo: dict[Atom, Number]) -> Number:
    from .bounds import maximum, minimum
    from .rounding import floor_div

    if isinstance(atom, Symbol):
        return _value(atom, values) if atom.name in values else atom
    inner = [_substitute(x, values, memo) for x in _inside(atom)]
    if isinstance(atom, Floor):
        return add(floor_div(inner[0], inner[1]), atom.shift)
    if isinstance(atom, Max):
        return minimum(*inner) if isinstance(atom, Min) else maximum(*inner)
    return divide(1, inner[0])


def _value(symbol: Symbol, values: Mapping[str, Number]) -> Number:
    value = values[symbol.name]
    if not symbol.admits(value):
        raise DomainError(f"{symbol.name} = {value} is outside its domain {domain_text(symbol)}")
    return value


def domain_text(symbol: Symbol) -> str:
    """The domain in words.

    >>> domain_text(Symbol("H", min=32, multiple_of=32))
    'integer >= 32, multiple of 32'
    """
    text = f"integer >= {symbol.min}"
    if symbol.max is not None:
        text = f"integer from {symbol.min} to {symbol.max}"
    return text if symbol.multiple_of == 1 else f"{text}, multiple of {symbol.multiple_of}"


def evaluate(x: Number, values: Mapping[str, int]) -> Rational:
    """The value of x; KeyError for a missing symbol, ZeroDivisionError where there is none.

    >>> evaluate((Symbol("H") - 11) // 4 + 1, {"H": 227})
    55
    """
    return _evaluate(x, values, {}) if isinstance(x, Expr) else tidy(x)


def _evaluate(x: Number, values: Mapping[str, int], memo: dict[Atom, Rational]) -> Rational:
    if not isinstance(x, Expr):
        return x
    total: Rational = 0
    for mono, c in x.terms.items():
        for atom, p in mono:
            if atom not in memo:
                memo[atom] = _evaluate_atom(atom, values, memo)
            c = c * _exact_power(memo[atom], p)
        total += c
    return tidy(total)


def _evaluate_atom(atom: Atom, values: Mapping[str, int], memo: dict[Atom, Rational]) -> Rational:
    if isinstance(atom, Symbol):
        value = _value(atom, values)
        assert not isinstance(value, Expr)
        return value
    inner = [_evaluate(x, values, memo) for x in _inside(atom)]
    if isinstance(atom, Floor):
        return inner[0] // inner[1] + atom.shift
    if isinstance(atom, Max):
        return min(inner) if isinstance(atom, Min) else max(inner)
    return 1 / Fraction(inner[0])


def _exact_power(x: Rational, p: int) -> Rational:
    return x**p if p >= 0 else 1 / Fraction(x) ** -p


def compile_expr(x: Number, names: Sequence[str]) -> Callable[..., Rational]:
    """A function of the named symbols, in that order; domains are not checked.

    >>> area = compile_expr(Symbol("H") * (Symbol("W") // 2), ["H", "W"])
    >>> area(5, 7)
    15
    """
    missing = {s.name for s in symbols(x)} - set(names)
    if missing:
        raise KeyError(min(missing))
    reader = _compile(x, {name: i for i, name in enumerate(names)})
    return lambda *values: tidy(reader(values))


def _compile(x: Number, index: Mapping[str, int]) -> Reader:
    if not isinstance(x, Expr):
        constant = x
        return lambda values: constant
    if isinstance(x, Atom):
        return _compile_atom(x, index)
    rows = [
        (c, [(_compile_atom(atom, index), p) for atom, p in mono]) for mono, c in x.terms.items()
    ]

    def read(values: Sequence[int]) -> Rational:
        total: Rational = 0
        for c, factors in rows:
            for factor, p in factors:
                c = c * (factor(values) if p == 1 else _exact_power(factor(values), p))
            total += c
        return total

    return read


def _compile_atom(atom: Atom, index: Mapping[str, int]) -> Reader:
    if isinstance(atom, Symbol):
        at = index[atom.name]
        return lambda values: values[at]
    inner = [_compile(x, index) for x in _inside(atom)]
    if isinstance(atom, Floor):
        num, den = inner
        shift = atom.shift
        return lambda values: num(values) // den(values) + shift
    if isinstance(atom, Max):
        pick = min if isinstance(atom, Min) else max
        return lambda values: pick(read(values) for read in inner)
    base = inner[0]
    return lambda values: 1 / Fraction(base(values))


def normal(x: Number) -> Number:
    """Everything multiplied out and every floor brought to one spelling.

    Floors keep coefficients and constants below their divisor, so equal sums of products of
    floors mostly become the same expression; its text is plain rather than familiar.

    >>> H = Symbol("H")
    >>> normal(((H - 11) // 4 + 1) ** 2)
    floor((H + 1)/4)**2 - 4*floor((H + 1)/4) + 4
    >>> normal(-((-H) // 2)) == normal((H + 1) // 2)
    True
    """
    return build(_normal(x, {}), absorb=False)


def _normal(x: Number, memo: dict[Atom, Terms]) -> Terms:
    if not isinstance(x, Expr):
        return terms_of(x)
    total: Terms = {}
    for mono, c in x.terms.items():
        piece: Terms = {(): c}
        for atom, p in mono:
            if p < 0:
                piece = times(piece, {((atom, p),): 1})  # a divisor stays one factor
                continue
            if atom not in memo:
                memo[atom] = _normal_atom(atom, memo)
            for _ in range(p):
                piece = times(piece, memo[atom])
        for m, d in piece.items():
            total[m] = total.get(m, 0) + d
    return {m: d for m, d in total.items() if d}


def _normal_atom(atom: Atom, memo: dict[Atom, Terms]) -> Terms:
    from .bounds import maximum
    from .rounding import floor_div

    if isinstance(atom, Symbol):
        return atom.terms
    inner = [build(_normal(x, memo), absorb=False) for x in _inside(atom)]
    if isinstance(atom, Floor):
        result: Terms = {(): atom.shift} if atom.shift else {}
        for mono, c in terms_of(floor_div(inner[0], inner[1])).items():
            floor = linear_floor(mono)
            for m, d in (_reduced(floor) if floor else {mono: 1}).items():
                result[m] = result.get(m, 0) + c * d
        return result
    if isinstance(atom, Min):
        return terms_of(scale(maximum(*(scale(x, -1) for x in inner)), -1))
    if isinstance(atom, Max):
        return terms_of(maximum(*inner))
    return terms_of(divide(1, inner[0]))


def _reduced(floor: Floor) -> Terms:
    # floor((n + e)/d) = -floor((-n - e + d - 1)/d): of the two spellings the one whose
    # coefficients modulo d are smaller; q*d inside a floor comes out as q.
    den = floor.den
    terms = terms_of(floor.num)
    if not isinstance(den, int) or any(content(mono) is None for mono in terms):
        return {((floor, 1),): 1}
    monos = sorted((m for m in terms if m), key=lambda m: [(a.key, p) for a, p in m])
    units = [int(terms[m] * (content(m) or 1)) for m in monos]
    extra = int(terms.get((), 0))
    spellings = []
    for sign in (1, -1):
        left = [sign * u % den for u in units]
        spellings.append((left, (extra if sign > 0 else den - 1 - extra) % den, sign))
    left, extra, sign = min(spellings, key=lambda row: row[:2])
    result: Terms = {(): floor.shift} if floor.shift else {}
    for mono, u, r in zip(monos, units, left, strict=True):
        whole = (sign * u - r) // den
        if whole:
            result[mono] = Fraction(sign * whole, content(mono) or 1)
    rest = {m: Fraction(r, content(m) or 1) for m, r in zip(monos, left, strict=True)}
    for mono, c in _rounded_again(build({**rest, (): extra}), den, floor).items():
        result[mono] = result.get(mono, 0) + sign * c
    return result


def _rounded_again(num: Number, den: int, before: Floor) -> Terms:
    # With smaller coefficients the inner floor may now unfold, which gives another floor.
    from .rounding import floor_div

    result: Terms = {}
    for mono, c in terms_of(floor_div(num, den)).items():
        floor = linear_floor(mono)
        known = floor is None or floor == before or floor.num == num
        if floor is not None and known and floor.shift:
            result[()] = result.get((), 0) + c * floor.shift
            mono = ((floor.at(0), 1),)
        parts = {mono: 1} if known or floor is None else _reduced(floor)
        for m, d in parts.items():
            result[m] = result.get(m, 0) + c * d
    return result


def equal(a: Number, b: Number) -> bool:
    """Whether a = b is proved for all values of the symbols; False means not proved.

    >>> n = Symbol("n")
    >>> equal(n // 2 + (n + 1) // 2, n), equal(n // 2 + n // 3, 5 * n // 6)
    (True, False)
    """
    try:
        gap = normal(add(a, scale(b, -1)))
        return gap == 0 or (isinstance(gap, Expr) and _zero_by_cases(gap))
    except FormulaLimit:
        return False


def _zero_by_cases(x: Expr) -> bool:
    # With every symbol of a floor written as period*t + r, linear floors with constant
    # divisors vanish, so that the finitely many r give polynomials to compare exactly.
    period, inside = 1, set[Symbol]()
    todo = list(atoms(x))
    while todo:
        atom = todo.pop()
        if isinstance(atom, Symbol):
            continue
        if not isinstance(atom, Floor) or not isinstance(atom.den, int):
            return False
        period = lcm(period, atom.den)
        inside |= symbols(atom.num)
        todo.extend(atoms(atom.num))
    if not inside or period ** min(len(inside), 9) > MAX_CASES:
        return False
    names = sorted(s.name for s in inside)
    if len(set(names)) < len(names):
        return False
    return all(
        _case(x, period, dict(zip(names, rest, strict=True)))
        for rest in combinations(range(period), repeat=len(names))
    )


def _case(x: Expr, period: int, remainders: Mapping[str, int]) -> bool:
    free = {
        name: add(multiply(period, Symbol(f"{name} part", min=0)), r)
        for name, r in remainders.items()
    }
    return normal(substitute(x, free)) == 0
