"""The readings used everywhere: the sliding-window size, products, whole values."""

from __future__ import annotations

from fractions import Fraction

from .core import Expr, Floor, Number, Terms, build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def slide(n: Any, k: Any, s: Any, p: Any) -> Any:
    """Output size of a window of k with stride s over n inputs with p pixels of padding in all.

    (W - F + 2P)/S + 1 of the CS231n notes ("Spatial arrangement"), with p = 2P, rounded down.
    Only operators are used, so any operand type that has them will do.

    >>> slide(227, 11, 4, 0), slide(7, 3, 1, 2)
    (55, 7)
    """
    if type(n) is Floor and type(k) is type(s) is type(p) is int and s > 0:
        from .rounding import divided_again

        found = divided_again(n, p - k, s)
        if found is not None:
            return found + 1
    return (n - k + p) // s + 1


def product(xs: Iterable[Number]) -> Number:
    """The product; 1 for none.

    >>> product([55, 55, 96])
    290400
    """
    result: Number = 1
    for x in xs:
        result = result * x
    return result


def total(xs: Iterable[Number]) -> Number:
    """The sum, in time linear in the number of all terms; 0 for none.

    >>> from cnncalc.formula import Symbol
    >>> H = Symbol("H")
    >>> total([H, 2, H // 2, H]), total([1, 2])
    (2*H + floor(H/2) + 2, 3)
    """
    plain: Number = 0
    terms: Terms = {}
    for x in xs:
        if not isinstance(x, Expr):
            plain = plain + x
            continue
        for mono, c in x.terms.items():
            terms[mono] = terms.get(mono, 0) + c
    return build(terms) + plain if terms else plain


def as_int(x: Number) -> int | None:
    """x as an int if it is a whole plain number, else None.

    >>> as_int(Fraction(4, 2)), as_int(Fraction(1, 2))
    (2, None)
    """
    if isinstance(x, int):
        return int(x)
    return x.numerator if isinstance(x, Fraction) and x.denominator == 1 else None
