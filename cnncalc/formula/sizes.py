"""The readings used everywhere: the sliding-window size, products, whole values."""

from __future__ import annotations

from fractions import Fraction

from .core import Number

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


def as_int(x: Number) -> int | None:
    """x as an int if it is a whole plain number, else None.

    >>> as_int(Fraction(4, 2)), as_int(Fraction(1, 2))
    (2, None)
    """
    if isinstance(x, int):
        return int(x)
    return x.numerator if isinstance(x, Fraction) and x.denominator == 1 else None
