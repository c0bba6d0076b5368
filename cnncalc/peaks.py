"""The largest of many sums of volumes, in closed form.

One volume's size against another's is decided for the sizes at which the network fits
(every axis of every volume at least 1). There a floor lies between two straight lines,
(x - d + 1)/d <= floor(x/d) <= x/d, so that one sum covers another where the difference of
the polynomials through those lines has no negative coefficient, counted from the smallest
size. That proof costs a few additions, and a chain of any length needs one a layer.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from .formula import Expr, Floor, Max, Number, Symbol, evaluate, product, symbols, total
from .layers.base import Shape

MOST = 24  # closed forms in one maximum whose order is left open
TRIES = 3  # covering forms tried for one value

Line = dict[str, Fraction]  # slope by symbol; the constant under ""
Poly = dict[tuple[str, ...], Fraction]
Bounds = tuple[Poly, Poly]


def largest(sums: Sequence[Sequence[Shape]], seen: Iterable[Shape] = ()) -> Number:
    """The largest total size among `sums` of volumes; `seen` are all volumes that must fit.

    Forms that another one provably covers are left out of the maximum. Where more than
    `MOST` stay open, only those that are the largest at one of the sampled sizes (the
    corners of the domain among them) are kept.

    >>> largest([[(4, 4, 2), (3,)], [(40,)]])
    40
    """
    totals: dict[Number, Sequence[Shape]] = {}
    for shapes in sums:
        totals.setdefault(total(product(shape) for shape in shapes), shapes)
    if not any(isinstance(t, Expr) for t in totals):
        return max((t for t in totals if not isinstance(t, Expr)), default=0)
    return _Search(totals, [*seen, *(s for shapes in totals.values() for s in shapes)]).run()


class _Search:
    def __init__(self, totals: Mapping[Number, Sequence[Shape]], seen: Iterable[Shape]) -> None:
        self.totals = totals
        self.lowest = _lowest(seen)
        self.cache: dict[Shape, Bounds | None] = {}

    def run(self) -> Number:
        points = _samples(self.totals, self.lowest)
        values = {t: tuple(evaluate(t, p) for p in points) for t in self.totals}
        kept: list[Number] = []
        for form in sorted(self.totals, key=lambda t: (values[t][::-1], str(t)), reverse=True):
            above = [k for k in kept if _covers_all(values[k], values[form])]
            if not any(self.covers(k, form) for k in above[:TRIES]):
                kept.append(form)
        if len(kept) > MOST:
            kept = [max(kept, key=lambda t: values[t][i]) for i in range(len(points))]
            kept = list(dict.fromkeys(kept))
        return kept[0] if len(kept) == 1 else Max(*sorted(kept, key=str))

    def covers(self, a: Number, b: Number) -> bool:
        """Is the sum behind a at least the one behind b wherever the network fits?"""
        gap: Poly = {}
        for shapes, end, sign in ((self.totals[a], 0, 1), (self.totals[b], 1, -1)):
            for shape in shapes:
                bounds = self.bounds(shape)
                if bounds is None:
                    return False
                for mono, c in bounds[end].items():
                    gap[mono] = gap.get(mono, Fraction(0)) + sign * c
        return all(c >= 0 for c in gap.values())

    def bounds(self, shape: Shape) -> Bounds | None:
        """Polynomials below and above the volume's size, in the distances from `lowest`."""
        if shape not in self.cache:
            self.cache[shape] = self._bounds(shape)
        return self.cache[shape]

    def _bounds(self, shape: Shape) -> Bounds | None:
        low: Poly = {(): Fraction(1)}
        high: Poly = {(): Fraction(1)}
        for axis in shape:
            below, above = line(axis, up=False), line(axis, up=True)
            if below is None or above is None:
                return None
            low, high = _times(low, self._shift(below)), _times(high, self._shift(above))
        # Below the first positive value a line says less than "at least 1" does.
        return ({(): Fraction(1)} if any(c < 0 for c in low.values()) else low), high

    def _shift(self, x: Line) -> Poly:
        start = x.get("", Fraction(0)) + sum(c * self.lowest[n] for n, c in x.items() if n)
        return {(): start, **{(name,): c for name, c in x.items() if name}}


def line(x: Number, up: bool) -> Line | None:
    """A straight line above (`up`) or below a size that is linear in symbols and floors."""
    if not isinstance(x, Expr):
        return {"": Fraction(x)}
    found: Line = {"": Fraction(0)}
    for mono, c in x.terms.items():
        if not mono:
            found[""] += c
            continue
        atom, power = mono[0]
        if len(mono) > 1 or power != 1:
            return None
        part = _atom_line(atom, up == (c > 0))
        if part is None:
            return None
        for name, slope in part.items():
            found[name] = found.get(name, Fraction(0)) + c * slope
    return found


def _atom_line(atom: Expr, up: bool) -> Line | None:
    if isinstance(atom, Symbol):
        return {atom.name: Fraction(1)}
    if not isinstance(atom, Floor) or not isinstance(atom.den, int):
        return None
    inner = line(atom.num, up)
    if inner is None:
        return None
    found = {name: c / atom.den for name, c in inner.items()}
    found[""] = (
        found.get("", Fraction(0)) + atom.shift - (0 if up else Fraction(atom.den - 1, atom.den))
    )
    return found


def _lowest(seen: Iterable[Shape]) -> dict[str, int]:
    """The smallest value of each symbol at which axes of one symbol can all reach 1."""
    axes = {axis for shape in seen for axis in shape if isinstance(axis, Expr)}
    found = {s.name: s.min for axis in axes for s in symbols(axis)}
    for axis in axes:
        above = line(axis, up=True)
        names = [n for n in above or () if n]
        if above is None or len(names) != 1 or above[names[0]] <= 0:
            continue
        need = (1 - above[""]) / above[names[0]]
        found[names[0]] = max(found[names[0]], -int(-need // 1))
    return found


def _times(a: Poly, b: Poly) -> Poly:
    found: Poly = {}
    for x, c in a.items():
        for y, d in b.items():
            mono = tuple(sorted((*x, *y)))
            found[mono] = found.get(mono, Fraction(0)) + c * d
    return found


def _samples(totals: Iterable[Number], lowest: Mapping[str, int]) -> list[dict[str, int]]:
    """Assignments of the symbols in their domains: corners first, then growing together."""
    known = {s for total in totals for s in symbols(total)}
    low = {s.name: _inside(s, lowest.get(s.name, 1)) for s in known}
    high = {s.name: _inside(s, 4096 * low[s.name]) for s in known}
    points = [low, *({**high, name: low[name]} for name in sorted(low))]
    for factor in (8, 64, 4096):
        points.append({s.name: _inside(s, factor * max(low[s.name], 32)) for s in known})
    return points


def _inside(symbol: Symbol, value: int) -> int:
    value = -(-max(symbol.min, value) // symbol.multiple_of) * symbol.multiple_of
    return value if symbol.max is None else min(value, symbol.max)


def _covers_all(a: Sequence[int | Fraction], b: Sequence[int | Fraction]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True))
