"""One layer proved at all sizes, in symbols of its own, whatever lies before it.

The sizes that reach a layer are polynomials in a few atoms, the spec's symbols and floors of
them. Each atom becomes a fresh symbol, so that equal layers are proved once however deep they
lie, and JAX never sees a nested floor. Three steps make the proof:

1. The rule: over the fresh symbols JAX's symbolic shapes and the layer's own closed forms have
   one normal form.
2. Where JAX or the layer puts a condition (windows that must divide, branches that must agree),
   the undecided questions of `misfits` split the sizes into cases: an equation is solved for a
   symbol, a divisor (and a stride under `same`) splits its symbols into residue classes, and
   each case that fits is proved by itself. Cases that do not fit are sizes at which the
   network does not work.
3. The atoms put back into the rule give the row's closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from ..dialects import Dialect
from ..formula import (
    Expr,
    Floor,
    Inverse,
    Number,
    Symbol,
    equal,
    lower_bound,
    power,
    product,
    substitute,
    total,
    upper_bound,
)
from ..layers.base import Layer, Shape
from ..rows import Row
from .cases import Case, Env, Need, cases, line
from .dims import Dims, UntranslatableError
from .layer import trace
from .sizes import in_fields

FREE = -(10**9)  # lower end of a symbol of which nothing is asked
Known = Literal["always", "fitting"]
Facts = list[tuple[str, Shape]]


class Local(NamedTuple):
    """A layer over symbols of its own; equal to every other occurrence of it."""

    layer: Layer
    inputs: tuple[Shape, ...]
    dialect: Dialect

    def map(self, change: Callable[[Number], Any]) -> Local:
        layer = self.layer
        if any(in_fields(layer)):
            layer = layer.build({k: _mapped(v, change) for k, v in layer.values().items()})
        return self._replace(layer=layer, inputs=_mapped(self.inputs, change))

    def at(self, env: Env) -> Local:
        return self.map(lambda n: substitute(n, env))

    def numbers(self) -> list[Number]:
        return [*(n for shape in self.inputs for n in shape), *in_fields(self.layer)]

    def facts(self) -> Facts:
        """Every shape that the layer's rules give."""
        layer, given, dialect = self
        output, weights = layer.output(given, dialect), layer.weights(given, dialect)
        return _facts(output, weights, layer.buffers(given, dialect))

    def needs(self) -> Iterator[Need]:
        """What sizes are like where the network works: windows fit, and nothing is empty."""
        yield from ((n, 1) for shape in self.inputs for n in shape)
        for w in self.layer.windows(self.inputs, self.dialect):
            if w.kind != "transpose":
                yield w.padded - w.extent, 0
        yield from ((n, 1) for n in self.layer.output(self.inputs, self.dialect))


def _mapped(value: Any, change: Callable[[Number], Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_mapped(v, change) for v in value)
    return change(value) if isinstance(value, Expr) else value


def _facts(output: Shape, weights: Mapping[str, Shape], buffers: Mapping[str, Shape]) -> Facts:
    found = [("output", tuple(output))]
    found += [(f"weight {name}", tuple(shape)) for name, shape in sorted(weights.items())]
    return found + [(f"buffer {name}", tuple(shape)) for name, shape in sorted(buffers.items())]


def _same(a: Facts, b: Facts, read: Callable[[Any], Number] = lambda n: n) -> bool:
    """Whether all shapes of `a` provably are those of `b`, whose numbers `read` translates."""
    if [(name, len(shape)) for name, shape in a] != [(name, len(shape)) for name, shape in b]:
        return False
    return all(
        equal(m, read(n))
        for (_, ours), (_, theirs) in zip(a, b, strict=True)
        for m, n in zip(ours, theirs, strict=True)
    )


class Induction:
    """Proofs of layers, each made once."""

    def __init__(self) -> None:
        self._known: dict[Local, Known | None] = {}

    def known(self, row: Row) -> Known | None:
        """`always` proved, or `fitting`: at all sizes at which the layer fits; else None."""
        derived = _facts(row.output, row.weights, row.buffer_shapes)
        for bounded in (False, True):  # the ranges of the sizes only where they are needed
            try:
                local, back = localized(row, bounded)
                found = self._proved(local)
                if found and _same(_put(local.facts(), back), derived):
                    return found
            except Exception:  # what JAX cannot trace symbolically is checked at points
                continue
        return None

    def _proved(self, local: Local) -> Known | None:
        if local not in self._known:
            self._known[local] = _proved(local)
        return self._known[local]


def _proved(local: Local) -> Known | None:
    facts = local.facts()
    with suppress(Exception):  # JAX refuses what holds for some sizes only
        if _holds(local, facts, ()):
            return "always"
    for by_stride in (False, True):
        with suppress(Exception):
            found, everywhere = cases(local.layer, local.inputs, local.dialect, by_stride)
            if found and all(_holds_in(local, facts, case) for case in found):
                return "always" if everywhere else "fitting"
    return None


def _holds_in(local: Local, facts: Facts, case: Case) -> bool:
    return _holds(local.at(case.env), _put(facts, case.env), case.needs)


def _put(facts: Facts, env: Env) -> Facts:
    return [(name, tuple(substitute(n, env) for n in shape)) for name, shape in facts]


def _holds(local: Local, facts: Facts, needs: Sequence[Need]) -> bool:
    """Whether JAX, tracing the layer over symbolic sizes, gives these shapes."""
    dims = Dims()
    for number, least in (*local.needs(), *needs):
        with suppress(UntranslatableError):  # without it the claim is stronger
            dims.require(number, least)
    made = dims.make(local.numbers())
    real = local.map(lambda n: made[n])
    traced = trace(real.layer, local.dialect, [(1, *shape) for shape in real.inputs])
    weights = {name: weight.shape for name, weight in traced.weights.items()}
    buffers = {name: weight.shape for name, weight in traced.buffers.items()}
    return _same(facts, _facts(traced.output[1:], weights, buffers), dims.read)


# --- symbols of its own ------------------------------------------------------------


def localized(row: Row, bounded: bool) -> tuple[Local, dict[str, Number]]:
    """The row's layer over fresh symbols, and the closed form that each stands for.

    A symbol's least value is what the layer needs; `bounded`, also what the sizes can be.
    """
    fresh = _Fresh()
    draft = Local(row.layer, row.input, row.dialect).map(fresh.renamed)
    lows = dict.fromkeys(fresh.back, FREE)
    for number, least in draft.needs():
        _raise_low(lows, number, least)
    final: dict[str, Number] = {}
    for name, form in fresh.back.items():
        low, high = lows[name], None
        if bounded or low == FREE:
            low = max(low, -(-(lower_bound(form) or FREE) // 1))
            above = upper_bound(form)
            high = None if above is None else max(low, above // 1)
        final[name] = Symbol(name, min=low, max=high)
    return draft.at(final), fresh.back


class _Fresh:
    """Atoms, numbered in the order of their appearance.

    The first size c*(atom + d) that an atom is met in becomes c*n, so that products of sizes
    stay single terms, whose signs JAX knows.
    """

    def __init__(self) -> None:
        self.back: dict[str, Number] = {}
        self._known: dict[Number, tuple[Symbol, int]] = {}  # atom = n - d

    def renamed(self, number: Number) -> Number:
        if not isinstance(number, Expr):
            return number
        if any(p < 0 or isinstance(a, Inverse) for mono in number.terms for a, p in mono):
            return self._atom(number, 1, 0)
        found = line(number)
        if found is not None:
            return self._atom(*found)
        pieces = []
        for mono, c in number.terms.items():
            factors = (power(self._atom(atom, 1, 0), p) for atom, p in mono)
            pieces.append(c * product(factors))
        return total(pieces)

    def _atom(self, atom: Expr, c: Any, d: Any) -> Number:
        """c*atom + d."""
        base: Number = atom
        if isinstance(atom, Floor):
            base, d = atom.at(0), d + c * atom.shift
        elif isinstance(atom, Symbol):
            base, c = atom / atom.multiple_of, c * atom.multiple_of
        if base not in self._known:
            name, shift = f"n{len(self._known)}", d // c if d % c == 0 else 0
            self._known[base] = Symbol(name, min=FREE), shift
            self.back[name] = base + shift
        symbol, shift = self._known[base]
        return total((c * symbol, d - c * shift))


def _raise_low(lows: dict[str, int], number: Number, least: int) -> None:
    # c*n + d >= least for a single n
    symbol, c, d = line(number) or (None, 0, 0)
    if isinstance(symbol, Symbol) and c > 0:
        lows[symbol.name] = max(lows[symbol.name], -((d - least) / Fraction(c) // 1))
