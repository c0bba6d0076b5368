"""Arithmetic that remembers how it was done: one formula, read with names and with numbers.

>>> from cnncalc.formula import slide
>>> W, F, S, P = (quantity(name, n) for name, n in zip("WFSP", (227, 11, 4, 0)))
>>> found = slide(W, F, S, P + P)
>>> found.symbolic, found.numeric, found.value
('(W - F + 2*P)/S + 1', '(227 - 11 + 2*0)/4 + 1', 55)
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from .formula import Expr, Number, divide, is_whole, maximum, minimum

NUMBERS = (int, Fraction, Expr)
ROUNDED = ("floor", "ceil")


class Worked:
    """A value with the steps that led to it; made by `quantity`, `literal` and operators.

    Kinds: leaf, sum (of signed terms), product, quotient, floor and ceil (of a division),
    mod, min, max. It has no order and no equality of its own: rules are free of both.
    """

    __slots__ = ("args", "kind", "name", "signs", "value")

    def __init__(
        self,
        kind: str,
        value: Number,
        args: Iterable["Worked"] = (),
        name: str = "",
        signs: Iterable[int] = (),
    ) -> None:
        self.kind, self.value, self.name = kind, value, name
        self.args, self.signs = tuple(args), tuple(signs)

    # --- readings ------------------------------------------------------------

    @property
    def symbolic(self) -> str:
        """The formula with symbols."""
        return self._text(True)

    @property
    def numeric(self) -> str:
        """The formula with the numbers put in."""
        return self._text(False)

    @property
    def reduced(self) -> str:
        """The numbers, with what is divided and rounded already worked out."""
        return self._text(False, reduce=True)

    def _text(self, names: bool, reduce: bool = False) -> str:
        from .notation import Text

        return Text(names, reduce).top(self)

    def __repr__(self) -> str:
        return f"{self.symbolic} = {self.numeric} = {self.value}"

    def leaves(self) -> Iterator["Worked"]:
        """The quantities and literals, in the order in which they are written."""
        if self.kind == "leaf":
            yield self
        for arg in self.args:
            yield from arg.leaves()

    @property
    def exact(self) -> bool:
        """Whether a division comes out even, so that no rounding takes place."""
        a, b = (arg.value for arg in self.args)
        return is_whole(divide(a, b)) is True

    def is_literal(self, value: int) -> bool:
        return self.kind == "leaf" and not self.name and self.value == value

    def same(self, other: "Worked") -> bool:
        """Whether both are one and the same quantity."""
        named = self.kind == "leaf" and bool(self.name) and self.name == other.name
        return self is other or (named and self.value == other.value)

    # --- operators -----------------------------------------------------------

    def __add__(self, other: Any) -> "Worked":
        return _add(self, _of(other), 1) if _fits(other) else NotImplemented

    def __radd__(self, other: Any) -> "Worked":
        return _add(_of(other), self, 1) if _fits(other) else NotImplemented

    def __sub__(self, other: Any) -> "Worked":
        return _add(self, _of(other), -1) if _fits(other) else NotImplemented

    def __rsub__(self, other: Any) -> "Worked":
        return _add(_of(other), self, -1) if _fits(other) else NotImplemented

    def __mul__(self, other: Any) -> "Worked":
        return _times(self, _of(other)) if _fits(other) else NotImplemented

    def __rmul__(self, other: Any) -> "Worked":
        return _times(_of(other), self) if _fits(other) else NotImplemented

    def __truediv__(self, other: Any) -> "Worked":
        return _over(self, _of(other)) if _fits(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> "Worked":
        return _over(_of(other), self) if _fits(other) else NotImplemented

    def __floordiv__(self, other: Any) -> "Worked":
        return _floor(self, _of(other)) if _fits(other) else NotImplemented

    def __rfloordiv__(self, other: Any) -> "Worked":
        return _floor(_of(other), self) if _fits(other) else NotImplemented

    def __mod__(self, other: Any) -> "Worked":
        return _mod(self, _of(other)) if _fits(other) else NotImplemented

    def __rmod__(self, other: Any) -> "Worked":
        return _mod(_of(other), self) if _fits(other) else NotImplemented

    def __neg__(self) -> "Worked":
        if self.kind == "floor" and self.args[0].signs == (-1,):  # -(-a // b)
            return Worked("ceil", -self.value, (self.args[0].args[0], self.args[1]))
        return Worked("sum", -self.value, (self,), signs=(-1,))

    def __pos__(self) -> "Worked":
        return self

    @staticmethod
    def extreme(name: str, xs: Iterable[Any]) -> "Worked":
        """The `max` or `min` of several; `formula.maximum` and `minimum` come here."""
        args = [_of(x) for x in xs]
        values = [arg.value for arg in args]
        return Worked(name, maximum(*values) if name == "max" else minimum(*values), args)


def quantity(name: str, value: Number) -> Worked:
    """A number that has a name.

    >>> quantity("F", 5) * quantity("F", 5) * quantity("C", 3)
    F*F*C = 5*5*3 = 75
    """
    return Worked("leaf", value, name=name)


def literal(value: Number) -> Worked:
    """A number without a name: it reads the same both ways."""
    return Worked("leaf", value)


def total(values: Iterable[Number]) -> Worked:
    """The sum of plain numbers.

    >>> total([34944, 614656]).numeric
    '34944 + 614656'
    """
    args = [literal(value) for value in values]
    result: Number = 0
    for arg in args:
        result = result + arg.value
    return Worked("sum", result, args, signs=(1,) * len(args)) if len(args) > 1 else literal(result)


def _fits(x: Any) -> bool:
    return isinstance(x, (Worked, *NUMBERS))


def _of(x: Any) -> Worked:
    return x if isinstance(x, Worked) else literal(x)


Terms = list[tuple[int, Worked]]


def _terms(x: Worked) -> Terms:
    return list(zip(x.signs, x.args, strict=True)) if x.kind == "sum" else [(1, x)]


def _add(a: Worked, b: Worked, sign: int) -> Worked:
    value = a.value + sign * b.value
    if b.is_literal(0):
        return a
    if a.is_literal(0) and sign == 1:
        return b
    if sign == 1 and b.is_literal(1) and a.kind == "floor":  # (n - 1)//s + 1 = ceil(n/s)
        rest = _without(_terms(a.args[0]), [(-1, literal(1))])
        if rest is not None:
            return Worked("ceil", value, (_sum(rest), a.args[1]))
    if sign == 1 and a.same(b):
        return Worked("product", value, (literal(2), a))
    return _sum(_terms(a) + (_terms(b) if sign == 1 else [(-1, b)]), value)


def _sum(terms: Terms, value: Number | None = None) -> Worked:
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]
    if value is None:
        value = 0
        for sign, term in terms:
            value = value + sign * term.value
    return Worked("sum", value, [t for _, t in terms], signs=[s for s, _ in terms])


def _without(terms: Terms, unwanted: Terms) -> Terms | None:
    """The terms less some of them; None where one of these is missing."""
    rest = list(terms)
    for sign, gone in unwanted:
        at = next((i for i, (s, t) in enumerate(rest) if s == sign and _alike(t, gone)), None)
        if at is None:
            return None
        del rest[at]
    return rest or None


def _alike(a: Worked, b: Worked) -> bool:
    return a.same(b) or (not b.name and isinstance(b.value, int) and a.is_literal(b.value))


def _times(a: Worked, b: Worked) -> Worked:
    if a.is_literal(1):
        return b
    if b.is_literal(1):
        return a
    # A product on the right was made on purpose, the weights of a filter say: kept together.
    args = (*a.args, b) if a.kind == "product" else (a, b)
    return Worked("product", a.value * b.value, args)


def _over(a: Worked, b: Worked) -> Worked:
    if a.same(b):
        return literal(1)
    return a if b.is_literal(1) else Worked("quotient", divide(a.value, b.value), (a, b))


def _floor(a: Worked, b: Worked) -> Worked:
    value = a.value // b.value
    if b.is_literal(1) and is_whole(a.value) is True:
        return a
    rest = _without(_terms(a), [(1, b), (-1, literal(1))])  # (x + s - 1)//s = ceil(x/s)
    if rest is not None:
        return Worked("ceil", value, (_sum(rest), b))
    return Worked("floor", value, (a, b))


def _mod(a: Worked, b: Worked) -> Worked:
    return Worked("mod", a.value % b.value, (a, b))
