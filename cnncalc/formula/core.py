"""Exact sums of monomials over whole-number atoms, with +, -, *, / and powers.

An `Expr` is immutable and in canonical form.  A result without symbols is never an `Expr`
but a plain `int`, or a `Fraction` where it is not whole.
"""

from __future__ import annotations

from fractions import Fraction

from .timing import late

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

MAX_TERMS = 2000
FEW_TERMS = 10  # so many make no formula too long
MAX_POWER = 64
MAX_BITS = 2048
MAX_DEPTH = 40
MAX_SIZE = 20_000
MAX_SUM = 200_000  # atoms within atoms of all terms: what its text is as long as
MAX_PRODUCTS = 40_000


class FormulaLimit(ValueError):
    """A formula grew past the bounds that keep every computation short."""


class DomainError(ValueError):
    """A value lies outside the domain of its symbol."""


class Expr:
    """A non-constant exact expression; see `Symbol` and the functions of this package.

    >>> H = Symbol("H")
    >>> (H - 11) // 4 + 1
    floor((H - 11)/4) + 1
    >>> 3 * (H + 1) - 3 * H
    3
    >>> (H * H - 1) / (H + 1)
    H - 1
    """

    __slots__ = ("_hash", "_text")
    _hash: int
    _text: str | None

    @property
    def terms(self) -> Terms:
        """Monomial -> coefficient; not to be changed."""
        raise NotImplementedError

    def __add__(self, other: Number) -> Number:
        return add(self, other) if isinstance(other, KINDS) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Number) -> Number:
        return add(self, scale(other, -1)) if isinstance(other, KINDS) else NotImplemented

    def __rsub__(self, other: Number) -> Number:
        return add(scale(self, -1), other) if isinstance(other, KINDS) else NotImplemented

    def __mul__(self, other: Number) -> Number:
        return multiply(self, other) if isinstance(other, KINDS) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, other: Number) -> Number:
        return _divide(self, other) if isinstance(other, KINDS) else NotImplemented

    def __rtruediv__(self, other: Number) -> Number:
        return _divide(other, self) if isinstance(other, KINDS) else NotImplemented

    def __floordiv__(self, other: Number) -> Number:
        return _floor_div(self, other) if isinstance(other, KINDS) else NotImplemented

    def __rfloordiv__(self, other: Number) -> Number:
        return _floor_div(other, self) if isinstance(other, KINDS) else NotImplemented

    def __mod__(self, other: Number) -> Number:
        return _modulo(self, other) if isinstance(other, KINDS) else NotImplemented

    def __rmod__(self, other: Number) -> Number:
        return _modulo(other, self) if isinstance(other, KINDS) else NotImplemented

    def __pow__(self, exponent: int) -> Number:
        return power(self, exponent) if isinstance(exponent, int) else NotImplemented

    def __neg__(self) -> Number:
        return scale(self, -1)

    def __pos__(self) -> Expr:
        return self

    def __floor__(self) -> Number:
        return _floor_div(self, 1)

    def __ceil__(self) -> Number:
        from .rounding import ceil

        return ceil(self)

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        if self._text is None:
            from .text import to_text

            self._text = to_text(self)
        return self._text

    __repr__ = __str__

    def _sympy_(self) -> Any:
        from .text import to_sympy

        return to_sympy(self)


class Poly(Expr):
    """A sum that is not a single atom; made by `build` only."""

    __slots__ = ("_terms",)
    _terms: Terms

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._hash = hash(frozenset(terms.items()))
        self._text = None

    @property
    def terms(self) -> Terms:
        return self._terms

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Poly) and self._hash == other._hash and self._terms == other._terms

    __hash__ = Expr.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return Poly, (self._terms,)


class Atom(Expr):
    """An indivisible factor; identity is its class and `parts`."""

    __slots__ = ("depth", "limits", "parts", "size")
    depth: int
    size: int
    parts: tuple[Any, ...]
    limits: tuple[Any, Any] | None  # memo of intervals.limits

    def _setup(self, *parts: Any) -> None:
        self.parts = parts
        self.limits = None
        self._text = None
        self._hash = hash((type(self).__name__, parts))

    def _measure(self, inner: Iterable[Number]) -> None:
        self.depth, self.size = 1, 1
        for x in inner:
            for mono in x.terms if isinstance(x, Expr) else ():
                for atom, _ in mono:
                    self.depth = max(self.depth, atom.depth + 1)
                    self.size += atom.size
        if self.depth > MAX_DEPTH:
            raise FormulaLimit("the formula is nested too deeply")
        if self.size > MAX_SIZE:
            raise FormulaLimit("the formula is too long")

    @property
    def terms(self) -> Terms:
        return {((self, 1),): 1}

    @property
    def key(self) -> tuple[int, str]:
        """Order among the factors of a monomial: symbols by name, then the rest by text."""
        return (1, str(self))

    @property
    def whole(self) -> bool:
        """Whether every value is an integer."""
        return True

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            type(self) is type(other)
            and isinstance(other, Atom)
            and self._hash == other._hash
            and self.parts == other.parts
        )

    __hash__ = Expr.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts


class Symbol(Atom):
    """A whole number known only by its domain, by default any integer >= 1.

    >>> Symbol("H", min=30, max=100, multiple_of=32).domain
    (32, 96, 32)
    """

    __slots__ = ("max", "min", "multiple_of", "name")

    def __init__(
        self, name: str, min: int = 1, max: int | None = None, multiple_of: int = 1
    ) -> None:
        if multiple_of < 1:
            raise DomainError(f"{name}: multiple_of must be at least 1")
        self.name = name
        self.multiple_of = multiple_of
        self.min = -(-min // multiple_of) * multiple_of
        self.max = None if max is None else max // multiple_of * multiple_of
        if self.max is not None and self.max < self.min:
            raise DomainError(f"{name}: no value lies between {min} and {max}")
        self.depth = self.size = 1
        self._setup(name, self.min, self.max, multiple_of)

    @property
    def domain(self) -> tuple[int, int | None, int]:
        """(min, max, multiple_of), the ends being multiples themselves."""
        return self.min, self.max, self.multiple_of

    @property
    def key(self) -> tuple[int, str]:
        return (0, self.name)

    def admits(self, value: Number) -> bool:
        """Whether a number lies in the domain; any expression is let through."""
        if isinstance(value, Expr):
            return True
        top = self.max is None or value <= self.max
        return self.min <= value and top and value % self.multiple_of == 0


class Floor(Atom):
    """floor(num/den) + shift; made by `floor` and `floor_div`, which bring it to normal form."""

    __slots__ = ("den", "num", "shift")

    def __init__(self, num: Number, den: int | Expr, shift: int = 0) -> None:
        self.num, self.den, self.shift = num, den, shift
        self._measure((num, den))
        self._setup(num, den, shift)

    def at(self, shift: int) -> Floor:
        """The same floor with another shift."""
        if shift == self.shift:
            return self
        found = Floor.__new__(Floor)
        found.num, found.den, found.shift = self.num, self.den, shift
        found.depth, found.size = self.depth, self.size
        found._setup(self.num, self.den, shift)
        return found


class Max(Atom):
    """The largest of several expressions; made by `maximum`."""

    __slots__ = ("args",)

    def __init__(self, *args: Number) -> None:
        self.args = args
        self._measure(args)
        self._setup(*args)

    @property
    def whole(self) -> bool:
        return all(terms_whole(terms_of(x)) for x in self.args)


class Min(Max):
    """The smallest of several expressions; made by `minimum`."""

    __slots__ = ()


class Inverse(Atom):
    """1/base, where base is a sum that divided nothing exactly; made by `divide`."""

    __slots__ = ("base",)

    def __init__(self, base: Expr) -> None:
        self.base = base
        self._measure((base,))
        self._setup(base)

    @property
    def whole(self) -> bool:
        return False


Rational = int | Fraction
Number = int | Fraction | Expr
KINDS = (int, Fraction, Expr)
Mono = tuple[tuple[Atom, int], ...]
Terms = dict[Mono, Rational]


def tidy(x: Rational) -> Rational:
    """A whole Fraction as an int."""
    return x.numerator if x.denominator == 1 else x


def terms_of(x: Number) -> Terms:
    """The monomials of any number; a constant belongs to the empty monomial."""
    if isinstance(x, Expr):
        return x.terms
    return {(): tidy(x)} if x else {}


def atoms(x: Number) -> set[Atom]:
    """The atoms of the outermost sum."""
    return {atom for mono in terms_of(x) for atom, _ in mono}


def content(mono: Mono) -> int | None:
    """An integer that divides the monomial's every value; None if it may not be whole."""
    result = 1
    for atom, exponent in mono:
        if exponent < 0 or not atom.whole:
            return None
        if isinstance(atom, Symbol) and atom.multiple_of != 1:
            result *= atom.multiple_of**exponent
    return result


def terms_whole(terms: Mapping[Mono, Rational]) -> bool:
    """Whether each term by itself is whole."""
    for mono, c in terms.items():
        unit = content(mono)
        if unit is None or (c * unit).denominator != 1:
            return False
    return True


def build(terms: Terms, absorb: bool = True) -> Number:
    """The canonical number of a sum; `absorb=False` leaves floors and constants apart."""
    clean = {mono: tidy(c) for mono, c in terms.items() if c}
    if len(clean) > 1:
        if any(type(a) is Inverse for mono in clean for a, _ in mono):
            from .division import cancel

            clean = cancel(clean)
        if absorb and len(clean) > 1:
            clean = _absorb(clean)
    if not clean:
        return 0
    _check(clean)
    if len(clean) == 1:
        ((mono, c),) = clean.items()
        if not mono:
            return c
        if c == 1 and len(mono) == 1 and mono[0][1] == 1:
            return mono[0][0]
    return Poly(clean)


def _check(terms: Terms) -> None:
    if late():
        raise FormulaLimit("the formula takes too long")
    if len(terms) > MAX_TERMS:
        raise FormulaLimit(f"the formula has more than {MAX_TERMS:,} terms")
    if len(terms) > FEW_TERMS and sum(a.size for m in terms for a, _ in m) > MAX_SUM:
        raise FormulaLimit("the formula is too long")
    for c in terms.values():
        if c.numerator.bit_length() > MAX_BITS or c.denominator.bit_length() > MAX_BITS:
            raise FormulaLimit(f"a number in the formula has more than {MAX_BITS:,} bits")


def linear_floor(mono: Mono) -> Floor | None:
    """The floor that a monomial consists of, if it is one."""
    if len(mono) == 1 and mono[0][1] == 1 and isinstance(mono[0][0], Floor):
        return mono[0][0]
    return None


def _absorb(terms: Terms) -> Terms:
    # Invariant: in a sum, floors that stand alone have shift 0; only q*floor + q*n is held
    # as the one term q*(floor shifted by n), so that products of sizes stay monomials.
    result: Terms = {}
    const: Rational = 0
    for mono, c in terms.items():
        floor = linear_floor(mono)
        if floor is not None and floor.shift:
            const += c * floor.shift
            mono = ((floor.at(0), 1),)
        if mono:
            result[mono] = tidy(result.get(mono, 0) + c)
        else:
            const += c
    result = {mono: c for mono, c in result.items() if c}
    if len(result) == 1 and const:
        ((mono, c),) = result.items()
        floor = linear_floor(mono)
        shift = Fraction(const) / c
        if floor is not None and shift.denominator == 1:
            return {((floor.at(shift.numerator), 1),): c}
    if const:
        result[()] = tidy(const)
    return result


def add(a: Number, b: Number) -> Number:
    """a + b."""
    if type(a) is Floor and type(b) is int:
        return a.at(a.shift + b)
    if not b:
        return tidy(a) if isinstance(a, Fraction) else a
    total = dict(terms_of(a))
    for mono, c in terms_of(b).items():
        total[mono] = total.get(mono, 0) + c
    return build(total)


def scale(a: Number, by: Rational) -> Number:
    """a*by, for a plain number `by`."""
    if not isinstance(a, Expr):
        return tidy(a * by)
    return build({mono: c * by for mono, c in a.terms.items()})


def multiply(a: Number, b: Number) -> Number:
    """a*b."""
    if not isinstance(b, Expr):
        return scale(a, b)
    if not isinstance(a, Expr):
        return scale(b, a)
    return build(times(a.terms, b.terms))


def times(a: Terms, b: Terms) -> Terms:
    """The product of two sums, floors and constants left apart."""
    if len(a) * len(b) > MAX_PRODUCTS:
        raise FormulaLimit("the product has too many terms")
    if late():
        raise FormulaLimit("the formula takes too long")
    result: Terms = {}
    for m, c in a.items():
        for n, d in b.items():
            mono = mono_times(m, n)
            result[mono] = result.get(mono, 0) + c * d
    return result


def mono_times(a: Mono, b: Mono) -> Mono:
    """The product of two monomials."""
    if not a or not b:
        return a or b
    powers = dict(a)
    for atom, p in b:
        powers[atom] = powers.get(atom, 0) + p
    return make_mono(powers)


def make_mono(powers: Mapping[Atom, int]) -> Mono:
    """The monomial of given powers, in canonical order."""
    items = [(atom, p) for atom, p in powers.items() if p]
    if any(abs(p) > MAX_POWER for _, p in items):
        raise FormulaLimit(f"a power is larger than {MAX_POWER}")
    if len(items) > 1:
        items.sort(key=lambda item: item[0].key)
    return tuple(items)


def power(a: Number, exponent: int) -> Number:
    """a**exponent for an integer exponent, exactly.

    >>> power(2, -2), power(Symbol("k"), 2)
    (Fraction(1, 4), k**2)
    """
    if abs(exponent) > MAX_POWER:
        raise FormulaLimit(f"a power is larger than {MAX_POWER}")
    if exponent < 0:
        return _divide(1, power(a, -exponent))
    if isinstance(a, Expr) and len(a.terms) == 1:
        ((mono, c),) = a.terms.items()
        return build({make_mono({x: p * exponent for x, p in mono}): c**exponent})
    result: Number = 1
    for _ in range(exponent):
        result = multiply(result, a)
    return result


def _divide(a: Number, b: Number) -> Number:
    from .division import divide

    return divide(a, b)


def _floor_div(a: Number, b: Number) -> Number:
    from .rounding import floor_div

    return floor_div(a, b)


def _modulo(a: Number, b: Number) -> Number:
    return add(a, scale(multiply(b, _floor_div(a, b)), -1))
