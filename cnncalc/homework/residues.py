"""Whole numbers as residue classes: where conditions on a closed form of one symbol hold.

Every size along an axis is built of n, sums, multiples and floors by whole numbers, so it is
quasi-linear: f(n + p) = f(n) + c for a period p that is read off the form. A condition modulo
s then repeats, and a lower bound, once met in a class, stays met where c >= 0. So finitely many
n decide for all: that is the proof.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from ..formula import Expr, Floor, Max, Number, Symbol, compile_expr

MOST = 200_000  # of a period


class Condition(NamedTuple):
    """One thing that a size must satisfy: form mod `modulus` = 0, form >= 0, or form = 0."""

    form: Number
    kind: str  # "divides", "least" or "zero"
    modulus: int = 1
    layer: str = ""
    words: str = ""


Bound = tuple[Callable[[int], Fraction | int], tuple[int, Fraction]]  # form, and how it rises


class Unproved(Exception):
    """A form that is not quasi-linear, or whose period is too long."""


class Class(NamedTuple):
    """n = residue (mod modulus), from `smallest` on."""

    modulus: int
    residue: int
    smallest: int

    def has(self, n: int) -> bool:
        return n >= self.smallest and n % self.modulus == self.residue


def quasi_linear(x: Number, name: str) -> tuple[int, Fraction]:
    """(p, c) with x(n + p) = x(n) + c for all n; raises Unproved.

    >>> H = Symbol("H")
    >>> quasi_linear((H - 11) // 4 + 1, "H")
    (4, Fraction(1, 1))
    """
    if not isinstance(x, Expr):
        return 1, Fraction(0)
    if isinstance(x, Symbol):
        return 1, Fraction(1 if x.name == name else 0)
    if isinstance(x, Floor):
        if not isinstance(x.den, int):
            raise Unproved(str(x))
        period, step = quasi_linear(x.num, name)
        times = (step / x.den).denominator
        return _bounded(period * times), step * times / x.den
    if isinstance(x, Max):
        parts = [quasi_linear(arg, name) for arg in x.args]
        if len({step / period for period, step in parts}) != 1:
            raise Unproved(str(x))
        period = _bounded(lcm(*(p for p, _ in parts)))
        return period, parts[0][1] * (period // parts[0][0])
    return _sum(x, name)


def _sum(x: Expr, name: str) -> tuple[int, Fraction]:
    parts: list[tuple[int, Fraction]] = []
    for mono, factor in x.terms.items():
        if not mono:
            continue
        if len(mono) != 1 or mono[0][1] != 1 or mono[0][0] is x:
            raise Unproved(str(x))
        period, step = quasi_linear(mono[0][0], name)
        parts.append((period, step * factor))
    period = _bounded(lcm(*(p for p, _ in parts)))
    return period, sum((step * (period // p) for p, step in parts), Fraction(0))


def _bounded(period: int) -> int:
    if period > MOST:
        raise Unproved(f"the period is more than {MOST:,}")
    return period


def solve(
    conditions: Iterable[Condition], name: str, low: int = 1, step: int = 1
) -> tuple[Class, ...]:
    """The residue classes of the n >= `low`, multiples of `step`, that meet every condition.

    >>> n = Symbol("n")
    >>> solve([Condition(n - 11, "divides", 4), Condition(n - 11, "least")], "n")
    (Class(modulus=4, residue=3, smallest=11),)
    """
    known = list(conditions)
    period = step
    for c in known:
        p, rise = quasi_linear(c.form, name)
        if c.kind == "divides":
            p *= (rise / c.modulus).denominator
        elif (c.kind == "zero" and rise != 0) or (c.kind == "least" and rise < 0):
            raise Unproved(str(c.form))
        period = _bounded(lcm(period, p))
    tests = [_test(c, name) for c in known]
    steady = [t for c, t in zip(known, tests, strict=True) if c.kind != "least"]
    least = [
        (t, quasi_linear(c.form, name))
        for c, t in zip(known, [_form(c, name) for c in known], strict=True)
        if c.kind == "least"
    ]
    found: dict[int, int] = {}
    first = -(-low // step) * step
    for n in range(first, first + period, step):
        if all(test(n) for test in steady):
            start = _start(n, period, least)
            if start is not None:
                found[n % period] = start
    return _merged(found, period)


def _form(c: Condition, name: str) -> Callable[[int], Fraction | int]:
    return compile_expr(c.form, [name])


def _test(c: Condition, name: str) -> Callable[[int], bool]:
    form = _form(c, name)
    if c.kind == "divides":
        return lambda n: form(n) % c.modulus == 0
    return lambda n: form(n) == 0


def _start(
    n: int,
    period: int,
    least: Sequence[tuple[Callable[[int], Fraction | int], tuple[int, Fraction]]],
) -> int | None:
    """The smallest n + k*period at which every bound holds."""
    k = 0
    for form, (p, rise) in least:
        value = form(n)
        if value >= 0:
            continue
        per_period = rise * (period // p)
        if per_period == 0:
            return None
        k = max(k, -int(value // per_period))
    return n + k * period


def _merged(found: dict[int, int], period: int) -> tuple[Class, ...]:
    """The same numbers with the smallest modulus."""
    if not found:
        return ()
    top = max(found.values()) + 2 * period
    divisors = [d for d in range(1, period + 1) if period % d == 0]
    for modulus in divisors:
        classes: dict[int, int] = {}
        for residue, smallest in found.items():
            key = residue % modulus
            classes[key] = min(classes.get(key, smallest), smallest)
        if len(classes) * (period // modulus) != len(found):
            continue
        if modulus == period or all(
            (n >= found[n % period]) == (n >= start)
            for residue, start in classes.items()
            for n in range(start, top, modulus)
        ):
            ordered = sorted(classes.items())
            return tuple(Class(modulus, r, s) for r, s in ordered)
    raise AssertionError
