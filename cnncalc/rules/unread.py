"""Positions of the input that no window reads, counted along each axis."""

from collections.abc import Sequence
from math import gcd
from typing import NamedTuple

from ..dialects import Window, floor_rule
from ..formula import Expr, Number
from ..formula.core import Symbol
from .base import Case, counted, listed, whole

EXACT = 100_000  # taps that are laid out one by one where a formula does not do


class Unread(NamedTuple):
    """Real positions of one axis that no window reads: in all, and at the far end."""

    total: int
    tail: int

    @property
    def only_tail(self) -> bool:
        return self.total == self.tail


def real(case: Case) -> list[tuple[int, Unread]]:
    """The axes along which real positions surely go unread, with their counts."""
    found = [(i, count(w)) for i, w in enumerate(case.windows) if w.kind != "transpose"]
    return [(i, c) for i, c in found if c.total != 0]


def count(w: Window) -> Unread:
    """Real positions along one axis that no window reads.

    Subsampling by a kernel of one position is deliberate and counts as read.

    >>> from cnncalc.dialects import DEFAULT, conv_window
    >>> count(conv_window(DEFAULT, 8, 3, 2, 1, 0))
    Unread(total=1, tail=1)
    >>> count(conv_window(DEFAULT, 11, 2, 3, 1, 0))
    Unread(total=3, tail=0)
    """
    if w.extent == 1:
        return Unread(0, 0)
    sizes = whole((w.n, w.k, w.s, w.d, w.before, w.out))
    if sizes is None:
        return _closed_form(w)
    n, k, s, d, before, out = sizes
    tail = w.unread
    assert isinstance(tail, int)
    if (d == 1 and s <= k) or (d > 1 and out * k > EXACT):
        return Unread(tail, tail)
    if d == 1:
        first, end = (_covered(x, k, s, out) for x in (before, before + n))
        total = n - (end - first)
    else:
        taps = {j * s + i * d - before for j in range(out) for i in range(k)}
        total = n - len([t for t in taps if 0 <= t < n])
    return Unread(total, total if total == tail else 0)


def _closed_form(w: Window) -> Unread:
    """With symbols: the remainder, where it is the same number for every size."""
    sizes = whole((w.remainder, w.after)) if w.rule is floor_rule else None
    tail = max(0, sizes[0] - sizes[1]) if sizes else 0
    return Unread(tail, tail)


def _covered(end: int, k: int, s: int, out: int) -> int:
    """Positions before `end` of the padded axis that `out` disjoint windows cover."""
    places = min(end // s, out)
    partial = min(end - places * s, k) if places < out else 0
    return places * k + partial


def tail(counts: Sequence[tuple[int, Number]], case: Case) -> str:
    """The unread far end in words: the last 1 row and 1 column."""
    return f"the last {amounts(counts, case)}"


def amounts(counts: Sequence[tuple[int, Number]], case: Case) -> str:
    return listed([counted(n, case.axes[i]) for i, n in counts])


def verb(counts: Sequence[tuple[int, Number]]) -> str:
    return "is" if [n for _, n in counts] == [1] else "are"


def residue_class(w: Window) -> str:
    """The sizes for which the stride fits, as a residue class where there is one symbol.

    >>> from cnncalc.dialects import DEFAULT, conv_window
    >>> residue_class(conv_window(DEFAULT, Symbol("H"), 11, 4, 1, 0))
    'H mod 4 = 3'
    """
    total = w.padded - w.extent
    linear = _linear(total)
    if linear is None or not isinstance(w.s, int):
        return f"({total}) mod {w.s} = 0"
    name, factor, const = linear
    shared = gcd(factor, w.s)
    modulus = w.s // shared
    value = -(const // shared) * pow(factor // shared, -1, modulus) % modulus
    return f"{name} mod {modulus} = {value}"


def _linear(x: Number) -> tuple[str, int, int] | None:
    """(symbol, a, b) where x is a*symbol + b with whole a and b."""
    if not isinstance(x, Expr):
        return None
    const = x.terms.get((), 0)
    rest = [(mono, c) for mono, c in x.terms.items() if mono]
    if len(rest) != 1:
        return None
    mono, factor = rest[0]
    if not isinstance(const, int) or not isinstance(factor, int):
        return None
    if len(mono) != 1 or mono[0][1] != 1 or not isinstance(mono[0][0], Symbol):
        return None
    return mono[0][0].name, factor, const
