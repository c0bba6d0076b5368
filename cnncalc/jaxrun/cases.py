"""The sizes at which a layer fits, as substitutions: equations solved, residues listed.

`misfits` of a layer over symbols asks questions that the symbols leave open. The answers that
lead to no misfit are the sizes that fit; a case puts them in terms of fewer or other symbols,
so that what was open (windows divide, branches agree) holds by its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product as combinations
from math import gcd, lcm, prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..dialects import Dialect
from ..formula import (
    Atom,
    Expr,
    Number,
    Symbol,
    compile_expr,
    divide,
    lower_bound,
    substitute,
    symbols,
    upper_bound,
)
from ..formula.core import terms_of
from ..formula.undecided import paths
from ..layers.base import Layer, Shape
from .sizes import in_fields

if TYPE_CHECKING:
    from ..formula.undecided import Question

    Answers = Mapping[Question, int]

MAX_PATHS, MAX_RESIDUES, MAX_CLASSES = 80, 4096, 256
Env = Mapping[str, Number]
Need = tuple[Number, int]  # a number and the least it has to be


class UnsolvedError(ValueError):
    """A condition that no substitution expresses."""


class Case(NamedTuple):
    """Some of the sizes: what to put for the symbols, and what has to hold besides."""

    env: Env
    needs: list[Need]


def cases(
    layer: Layer, inputs: Sequence[Shape], dialect: Dialect, by_stride: bool
) -> tuple[list[Case], bool]:
    """Cases that cover all sizes at which the layer fits, and whether those are all sizes.

    `by_stride` splits the sizes that a window slides over by their remainder modulo its
    stride, as `same` padding follows it.
    """

    def first_misfit() -> object:
        return next(iter(layer.misfits(inputs, dialect)), None)

    found = paths(first_misfit, MAX_PATHS, _possible)
    if found is None:
        raise UnsolvedError("too many cases")
    numbers = [*(n for shape in inputs for n in shape), *in_fields(layer)]
    fractions = [n for n in numbers if _denominator(n) > 1]
    moduli = _strides(layer, inputs, dialect) if by_stride else {}
    fitting = [given for given, misfit in found if misfit is None]
    made = [case for given in fitting for case in _classes(fractions, given, moduli)]
    return made, not fractions and len(fitting) == len(found)


def _strides(layer: Layer, inputs: Sequence[Shape], dialect: Dialect) -> dict[Symbol, int]:
    found: dict[Symbol, int] = {}
    for n, w in zip(inputs[0], layer.windows(inputs, dialect), strict=False):
        for symbol in symbols(n):
            if isinstance(w.s, int):
                found[symbol] = lcm(found.get(symbol, 1), w.s)
    return found


def _possible(question: Question, answer: int) -> bool:
    kind, x = question
    if kind != "sign":
        return True
    low, high = lower_bound(x), upper_bound(x)
    if answer == 0:
        return not (low is not None and low > 0) and not (high is not None and high < 0)
    top = high if answer > 0 else None if low is None else -low
    return top is None or top > 0


def _classes(
    fractions: Sequence[Number], given: Answers, moduli: Mapping[Symbol, int]
) -> Iterator[Case]:
    # Equations are solved first; what has to be whole (or not) then picks residue classes.
    env: dict[str, Number] = {}
    for (kind, x), answer in given.items():
        if kind == "sign" and answer == 0:
            solved = _solved(substitute(x, env))
            if solved is None:
                return
            env = {k: substitute(v, solved) for k, v in env.items()} | solved
    wholes = [(substitute(n, env), 1) for n in fractions]
    needs: list[Need] = []
    for (kind, x), answer in given.items():
        if kind == "whole":
            wholes.append((substitute(x, env), answer))
        elif answer:
            needs.append((substitute(x, env) * answer, 1))
    free = {symbol: m for symbol, m in moduli.items() if symbol.name not in env}
    for part in _residue_classes(wholes, free):
        solved = {name: substitute(n, part) for name, n in env.items()}
        yield Case({**part, **solved}, [(substitute(n, part), least) for n, least in needs])


def _solved(gap: Number) -> dict[str, Number] | None:
    """The substitution that makes `gap` zero; None where nothing does."""
    if not isinstance(gap, Expr):
        return None if gap else {}
    symbol, c, d = line(gap) or (None, 0, 0)
    if isinstance(symbol, Symbol):
        value = -Fraction(d) / c
        fits = value.denominator == 1 and symbol.admits(value.numerator)
        return {symbol.name: value.numerator} if fits else None
    if all(c.denominator == 1 for c in gap.terms.values()):
        shared = gcd(*(int(c) for mono, c in gap.terms.items() if mono))
        if gap.terms.get((), 0) % shared:
            return None
        gap = divide(gap, shared)
    for mono, c in terms_of(gap).items():
        if len(mono) == 1 and mono[0][1] == 1 and abs(c) == 1:
            symbol = mono[0][0]
            rest = (gap - c * symbol) * -c
            if isinstance(symbol, Symbol) and symbol not in symbols(rest):
                return {symbol.name: rest}
    raise UnsolvedError(f"{gap} = 0")


def _residue_classes(
    wholes: Sequence[tuple[Number, int]], given: Mapping[Symbol, int]
) -> Iterator[dict[str, Number]]:
    """n = m*t + r for every symbol that the conditions are about, where they all hold."""
    open_ = [(x, answer) for x, answer in wholes if _denominator(x) > 1 or not answer]
    moduli = dict(given)
    for x, _ in open_:
        for symbol in symbols(x):
            moduli[symbol] = lcm(moduli.get(symbol, 1), _denominator(x))
    if prod(moduli.values()) > MAX_RESIDUES:
        raise UnsolvedError("too many residue classes")
    order = sorted(moduli, key=lambda symbol: symbol.name)
    tests = [(compile_expr(x, [s.name for s in order]), answer) for x, answer in open_]
    count = 0
    for rest in combinations(*(range(moduli[s]) for s in order)):
        if all((test(*rest).denominator == 1) == bool(answer) for test, answer in tests):
            count += 1
            if count > MAX_CLASSES:
                raise UnsolvedError("too many residue classes")
            part = [_residue(s, moduli[s], r) for s, r in zip(order, rest, strict=True)]
            if None not in part:
                yield {s.name: n for s, n in zip(order, part, strict=True) if n is not None}


def _denominator(x: Number) -> int:
    if not isinstance(x, Expr):
        return Fraction(x).denominator
    if not all(isinstance(a, Symbol) and p > 0 for mono in x.terms for a, p in mono):
        raise UnsolvedError(f"whether {x} is whole")
    return lcm(*(Fraction(c).denominator for c in x.terms.values()))


def _residue(symbol: Symbol, modulus: int, r: int) -> Number | None:
    low = -((r - symbol.min) // modulus)
    high = None if symbol.max is None else (symbol.max - r) // modulus
    if high is not None and high < low:
        return None
    return Symbol(symbol.name, min=low, max=high) * modulus + r


def line(number: Number) -> tuple[Atom, Any, Any] | None:
    """The atom, c and d of a number c*atom + d."""
    if not isinstance(number, Expr):
        return None
    terms = dict(number.terms)
    constant = terms.pop((), 0)
    if len(terms) != 1:
        return None
    ((mono, c),) = terms.items()
    return (mono[0][0], c, constant) if len(mono) == 1 and mono[0][1] == 1 else None
