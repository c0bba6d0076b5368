"""Closed forms compiled once for whole arrays of sizes.

The checked tree of atoms and monomials becomes closures over array operations, never text.
On NumPy int64 (or JAX) they are safe while `Program.bound` stays below 2**63; the same
closures on object arrays of Python integers are exact at any size.
"""

from __future__ import annotations

from math import lcm

from .core import Atom, Expr, Floor, Inverse, Max, Min, Number, Symbol, terms_of
from .rewrite import symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Literal

    Form = Literal["horner", "expanded"]
    Step = Callable[[list[Any], Any], Any]  # registers, array namespace

SAFE = 2**63 - 1
Factors = tuple[tuple[int, int], ...]  # register, power
Rows = list[tuple[int, Factors]]  # whole coefficient, factors


class Program:
    """Several closed forms, evaluated together: what they share is computed once.

    Polynomials are kept in Horner form, nested from the last of `names` inwards (so that on
    an outer grid most of the work is done on its small axes), or expanded, as asked.

    >>> import numpy as np
    >>> H, k = Symbol("H"), Symbol("k")
    >>> program = Program([(H - 3) // 2 + 1, k * k * H + k], ["k", "H"])
    >>> a, b = program({"k": np.array([[1], [2]]), "H": np.array([[7, 9]])}, np)
    >>> a.tolist(), b.tolist()
    ([[3, 4]], [[8, 10], [30, 38]])
    >>> program.bound({"k": 2, "H": 9})
    38
    """

    def __init__(
        self, forms: Sequence[Number], names: Sequence[str], form: Form = "horner"
    ) -> None:
        missing = {s.name for x in forms for s in symbols(x)} - set(names)
        if missing:
            raise KeyError(min(missing))
        self.names = tuple(names)
        self.form = form
        self._levels: list[int] = []  # of each register: the last name that it depends on
        self._steps: list[Step] = []
        self._bounds: list[Callable[[list[int]], int]] = []
        self._known: dict[Any, int] = {}
        for i, name in enumerate(self.names):
            self._known[name] = self._add(i, lambda r, xp: r, lambda b: 0)
        self._results = [self._value(x) for x in forms]

    def __call__(self, values: Mapping[str, Any], xp: Any) -> list[Any]:
        """The forms at arrays that broadcast against each other, rounded down where not whole."""
        registers = [values[name] for name in self.names]
        for step in self._steps[len(self.names) :]:
            registers.append(step(registers, xp))
        return [registers[i] for i in self._results]

    def bound(self, most: Mapping[str, int]) -> int:
        """No number met on the way exceeds this where each |name| is at most `most`."""
        found = [abs(most[name]) for name in self.names]
        top = max(found, default=0)
        for bound in self._bounds[len(self.names) :]:
            found.append(bound(found))
            top = max(top, found[-1])
        return top

    # --- compiling -------------------------------------------------------------

    def _add(self, level: int, step: Any, bound: Callable[[list[int]], int]) -> int:
        self._levels.append(level)
        self._steps.append(step)
        self._bounds.append(bound)
        return len(self._steps) - 1

    def _value(self, x: Number) -> int:
        key = ("value", x)
        if key not in self._known:
            num, den = ratio(x)
            at = self._whole(num)
            if den != 1:
                at = self._quotient(at, self._whole(den))
            self._known[key] = at
        return self._known[key]

    def _whole(self, x: Number) -> int:
        """A polynomial with whole coefficients."""
        if isinstance(x, Atom):
            return self._atom(x)
        key = ("whole", x)
        if key not in self._known:
            rows: Rows = []
            for mono, c in terms_of(x).items():
                assert isinstance(c, int)
                rows.append((c, tuple((self._atom(a), p) for a, p in mono)))
            level = max((self._levels[i] for _, f in rows for i, _ in f), default=-1)
            read = self._nested(rows) if self.form == "horner" else self._expanded(rows)
            self._known[key] = self._add(level, read, lambda b: _polynomial_bound(rows, b))
        return self._known[key]

    def _atom(self, atom: Atom) -> int:
        if isinstance(atom, Symbol):
            return self._known[atom.name]
        if atom not in self._known:
            self._known[atom] = self._made(atom)
        return self._known[atom]

    def _made(self, atom: Atom) -> int:
        if isinstance(atom, Floor):
            num, below = ratio(atom.num)
            top, bottom, shift = self._whole(num), self._whole(below * atom.den), atom.shift
            level = max(self._levels[top], self._levels[bottom])
            return self._add(
                level,
                lambda r, xp: r[top] // _nonzero(r[bottom], xp) + shift,
                lambda b: b[top] + 1 + abs(shift),
            )
        if isinstance(atom, Max):
            args = [self._value(x) for x in atom.args]
            small = isinstance(atom, Min)
            level = max(self._levels[i] for i in args)
            return self._add(level, _extreme(args, small), lambda b: max(b[i] for i in args))
        assert isinstance(atom, Inverse)
        return self._quotient(self._whole(1), self._whole(atom.base))

    def _quotient(self, top: int, bottom: int) -> int:
        level = max(self._levels[top], self._levels[bottom])
        return self._add(level, lambda r, xp: _divided(r[top], r[bottom], xp), lambda b: b[top])

    # --- polynomials -----------------------------------------------------------

    def _expanded(self, rows: Rows) -> Step:
        levels = self._levels
        terms = [(c, sorted(f, key=lambda item: levels[item[0]])) for c, f in rows]

        def read(r: list[Any], xp: Any) -> Any:
            total: Any = None
            for c, factors in terms:
                piece: Any = None
                for i, p in factors:
                    power = _power(r[i], p)
                    piece = power if piece is None else piece * power
                piece = c if piece is None else piece if c == 1 else piece * c
                total = piece if total is None else total + piece
            return 0 if total is None else total

        return read

    def _nested(self, rows: Rows) -> Step:
        """c0 + v*(c1 + v*(c2 + ...)), the coefficients nested likewise in what comes before v."""
        variables = {i for _, factors in rows for i, _ in factors}
        if not variables:
            constant = sum(c for c, _ in rows)
            return lambda r, xp: constant
        count = {v: sum(1 for _, f in rows if v in dict(f)) for v in variables}
        lead = max(variables, key=lambda v: (self._levels[v], count[v], -v))
        by: dict[int, Rows] = {}
        for c, factors in rows:
            powers = dict(factors)
            rest = tuple(item for item in factors if item[0] != lead)
            by.setdefault(powers.get(lead, 0), []).append((c, rest))
        steps = sorted(by, reverse=True)
        parts = [(p, self._nested(by[p])) for p in steps]

        def read(r: list[Any], xp: Any) -> Any:
            x = r[lead]
            at, first = parts[0]
            total = first(r, xp)
            for p, coefficient in parts[1:]:
                total = _scaled(_power(x, at - p), total) + coefficient(r, xp)
                at = p
            return _scaled(_power(x, at), total) if at else total

        return read


def ratio(x: Number) -> tuple[Number, Number]:
    """x as num/den, both with whole coefficients and without negative powers.

    >>> k = Symbol("k")
    >>> ratio((k * k + k) / 2), ratio(3 / k)
    ((k**2 + k, 2), (3, k))
    """
    if isinstance(x, int):
        return x, 1
    terms = terms_of(x)
    if any(p < 0 or isinstance(a, Inverse) for mono in terms for a, p in mono):
        from .rounding import _together

        num, den = _together(terms)
        scaled, more = ratio(num)
        return scaled, den * more
    factor = lcm(*(c.denominator for c in terms.values()))
    return x * factor, factor


def _scaled(x: Any, by: Any) -> Any:
    return x if isinstance(by, int) and by == 1 else x * by


def _power(x: Any, p: int) -> Any:
    # int64 powers by squaring: NumPy's ** is slow on integers.
    if p == 1:
        return x
    half = _power(x, p // 2) if p > 1 else 1
    return half * half * x if p % 2 else half * half


def _nonzero(den: Any, xp: Any) -> Any:
    """A divisor; where it is 0 the point does not fit, and its value is of no use."""
    return den if isinstance(den, int) else xp.where(den == 0, 1, den)


def _divided(num: Any, den: Any, xp: Any) -> Any:
    return num // _nonzero(den, xp)


def _extreme(args: list[int], small: bool) -> Step:
    def read(r: list[Any], xp: Any) -> Any:
        pick = xp.minimum if small else xp.maximum
        found = r[args[0]]
        for i in args[1:]:
            found = pick(found, r[i])
        return found

    return read


def _polynomial_bound(rows: Rows, bounds: list[int]) -> int:
    # Every partial result of either form is a part of this sum with some factors left out.
    total = 0
    for c, factors in rows:
        piece = abs(c)
        for i, p in factors:
            piece *= max(1, bounds[i]) ** p
        total += piece
    return total


def horner(x: Number) -> str:
    """The polynomial nested in its atoms, as text that parses back.

    >>> H, k = Symbol("H"), Symbol("k")
    >>> horner(3 * k * k * H + 5 * k * H + 7 * k + 1)
    'k*(H*(3*k + 5) + 7) + 1'
    """
    if not isinstance(x, Expr) or isinstance(x, Atom):
        return str(x)
    terms = terms_of(x)
    counted: dict[Atom, int] = {}
    for mono in terms:
        for atom, p in mono:
            if p > 0:
                counted[atom] = counted.get(atom, 0) + 1
    best = max(counted, key=lambda a: (counted[a], a.key), default=None)
    if best is None or counted[best] < 2:
        return str(x)
    inside: Number = 0
    rest: Number = 0
    for mono, c in terms.items():
        powers = dict(mono)
        piece: Number = c
        for atom, p in mono:
            piece = piece * _atom_power(atom, p - (atom == best and powers[best] > 0))
        if powers.get(best, 0) > 0:
            inside = inside + piece
        else:
            rest = rest + piece
    name = f"({best})" if isinstance(best, Floor) and best.shift else str(best)
    text = horner(inside)
    loose = len(terms_of(inside)) > 1 or (isinstance(inside, Floor) and inside.shift)
    text = f"{name}*({text})" if loose or text[:1] == "-" else f"{name}*{text}"
    if rest == 0:
        return text
    more = horner(rest)
    return f"{text} - {more[1:]}" if more.startswith("-") else f"{text} + {more}"


def _atom_power(atom: Atom, p: int) -> Number:
    from .core import power

    return power(atom, p)


__all__ = ["SAFE", "Program", "horner", "ratio"]
