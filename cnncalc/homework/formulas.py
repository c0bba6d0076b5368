"""Answers in letters: (W-F+2P)/S+1, k^2*C*K + K; decided algebraically, within a time limit.

The letters are those of the lecture and its relatives. A layer is derived once more with its
own fields and sizes as symbols; an answer is right where, under some consistent reading of
its letters, it is the same closed form.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from itertools import product as combinations
from typing import Any

from .. import expr
from ..formula import (
    DomainError,
    Expr,
    Floor,
    FormulaLimit,
    Number,
    Symbol,
    compare,
    divide,
    equal,
    evaluate,
    limited,
    symbols,
)
from ..layers.base import Layer, Shape
from ..rows import Row
from ..scope import Scope
from .quantities import Quantity
from .reading import lookup
from .subjects import Subject, rederive

SECONDS = 0.5
MOST_READINGS = 300
SIZE_NAMES = ("height", "width", "slices", "length")
LETTERS: dict[str, tuple[str, ...]] = {
    "size": ("W", "H", "N", "n", "I", "i", "w", "h", "L", "W1", "H1", "W_in", "H_in", "L_in",
             "n_H", "n_W", "M", "m", "D_in", "in"),
    "kernel": ("F", "k", "f", "kernel", "K", "R", "r", "M", "m", "n", "HH", "WW", "kH", "kW",
               "k_h", "k_w"),
    "stride": ("S", "s", "stride"),
    "pad": ("P", "p", "pad", "padding"),
    "dilation": ("D", "d", "l", "r", "dilation"),
    "channels": ("C", "c", "D", "d", "D1", "C1", "C_in", "Ci", "M", "m", "n_c", "I", "channels",
                 "depth", "in"),
    "filters": ("K", "C_out", "filters", "units", "k", "N", "n", "Co", "C2", "D2", "M", "m", "O",
                "o", "U", "F", "f"),
    "groups": ("G", "g", "groups"),
    "output": ("W2", "H2", "W_out", "H_out", "O", "o", "Wo", "Ho", "OH", "OW", "L_out"),
}  # fmt: skip
FIELDS = ("kernel", "stride", "pad", "dilation", "filters", "units", "groups")
NEUTRAL = {"stride": 1, "pad": 0, "dilation": 1, "groups": 1}


def time_limit() -> AbstractContextManager[None]:
    """What is decided inside raises FormulaLimit after `SECONDS`."""
    return limited(SECONDS)


SAMPLES = (0, 7, 1000)  # how far above their least values symbols are looked at


def differ(a: Number, b: Number) -> bool:
    """Whether two forms surely differ: their values do, somewhere in the symbols' domain."""
    free = {s.name: s for x in (a, b) for s in symbols(x)}
    for i, step in enumerate(SAMPLES):
        point = {
            name: s.min + s.multiple_of * (step + (i + j) % 3)
            for j, (name, s) in enumerate(sorted(free.items()))
        }
        if any(s.max is not None and point[s.name] > s.max for s in free.values()):
            return False
        try:
            if evaluate(a, point) != evaluate(b, point):
                return True
        except (ArithmeticError, LookupError, ValueError):
            return False
    return False


def is_tree(value: Any) -> bool:
    """Whether an answer holds letters of its own."""
    return isinstance(value, expr.Node)


def holds(tree: expr.Node, value: Any, subject: Subject, what: Quantity, axis: int | None) -> bool:
    """Whether the formula is the right one for `value`, under some reading of its letters."""
    try:
        with time_limit():
            return _holds(tree, value, subject, what, axis)
    except (FormulaLimit, DomainError, expr.ExprError, ArithmeticError, ValueError, LookupError):
        return False


def _holds(tree: expr.Node, value: Any, subject: Subject, what: Quantity, axis: int | None) -> bool:
    row = subject.row
    if row is None or len(subject.rows) != 1:
        return False
    mine = what.correct(subject)
    concrete = mine[axis] if axis is not None and isinstance(mine, tuple) else mine
    if isinstance(value, Expr) or concrete != value:
        return False
    exact = row.dialect.exact or all(compare(w.remainder, 0) == 0 for w in row.windows)
    for general in _generals(subject, row):
        right = _right(general, subject, what, axis)
        if right is None:
            continue
        for reading in _readings(tree, subject.scope, general):
            found = expr.evaluate(tree, _reading(subject.scope, reading))
            if equal(found, right) or (exact and equal(found, _unrounded(right))):
                return True
    return False


def _unrounded(x: Number) -> Number:
    """The form where every division comes out even, so that no floor is written."""
    if not isinstance(x, Expr):
        return x
    total: Number = 0
    for mono, factor in x.terms.items():
        term: Number = factor
        for atom, power in mono:
            plain: Number = atom
            if isinstance(atom, Floor):
                plain = divide(_unrounded(atom.num), atom.den) + atom.shift
            term = term * plain**power
        total = total + term
    return total


def numbers(tree: expr.Node, subject: Subject) -> Iterator[Number]:
    """What the formula gives with the layer's own numbers, under each reading of its letters."""
    row = subject.row
    if row is None or len(subject.rows) != 1:
        return
    try:
        with time_limit():
            general = _General(row, neutral=False, square=False)
            values = row.layer.values()
            fields = {f"_{n}".replace("units", "filters"): v for n, v in values.items()}
            sizes = {f"_N{i}": n for i, n in enumerate(row.input[0][:-1])}
            known = {**fields, **sizes, "_C": row.input[0][-1]}
            for reading in _readings(tree, subject.scope, (general, row)):
                plain = {k: known.get(str(v), v) for k, v in reading.items()}
                yield expr.evaluate(tree, _reading(subject.scope, plain))
    except (FormulaLimit, DomainError, expr.ExprError, ArithmeticError, ValueError, LookupError):
        return


class _General:
    """The layer with symbols for its fields and sizes, and what each letter may stand for."""

    def __init__(self, row: Row, neutral: bool, square: bool) -> None:
        self.roles: dict[str, Number] = {}
        self.sizes: list[Number] = []
        shape = row.input[0]
        names = ["_N"] * (len(shape) - 1) if square else [f"_N{i}" for i in range(len(shape) - 1)]
        self.sizes = [Symbol(name) for name in names]
        self.roles["channels"] = Symbol("_C")
        if len(shape) == 1:
            self.roles["size"] = self.roles["channels"]
        self.layer = row.layer.replace(**dict(self._fields(row.layer, neutral)))
        self.shape: Shape = (*self.sizes, self.roles["channels"])

    def _fields(self, layer: Layer, neutral: bool) -> Iterator[tuple[str, Any]]:
        for name, value in layer.values().items():
            if name not in FIELDS or isinstance(value, (str, tuple, bool)) or value is None:
                continue
            role = "filters" if name == "units" else name
            if neutral and name in NEUTRAL and value == NEUTRAL[name]:
                self.roles[role] = value
                continue
            if name == "groups":
                continue
            self.roles[role] = Symbol(f"_{role}", min=0 if name == "pad" else 1)
            yield name, self.roles[role]


def _generals(subject: Subject, row: Row) -> Iterator[tuple[_General, Row]]:
    """The layer derived on symbols: square sizes, and one symbol a size."""
    for square in (True, False):
        general = _General(row, neutral=True, square=square)
        made = row._replace(layer=general.layer)
        inputs = dict.fromkeys(row.inputs, general.shape)
        try:
            found = rederive((made,), inputs)
        except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError):
            continue
        yield general, found.rows[0]


def _right(
    general: tuple[_General, Row], subject: Subject, what: Quantity, axis: int | None
) -> Number | None:
    """The right answer on symbols."""
    row = general[1]
    found = what.correct(subject._replace(rows=(row,), output=row.output, memo={}))
    result = found[axis] if axis is not None and isinstance(found, tuple) else found
    return result if not isinstance(result, (tuple, bool)) else None


def _readings(
    tree: expr.Node, scope: Scope, general: tuple[_General, Row]
) -> Iterator[Mapping[str, Number]]:
    """Consistent readings of the letters, likeliest first: no two letters for one thing."""
    free = sorted(name for name in expr.names(tree) if scope.find(name) is None)
    options = [list(_meanings(name, general)) for name in free]
    if not all(options):
        return
    likely = sorted(
        islice(combinations(*options), MOST_READINGS),
        key=lambda chosen: sum(LETTERS[r.rstrip("0123456789")].index(n)
                               for n, (r, _) in zip(free, chosen, strict=True)),
    )  # fmt: skip
    for chosen in likely:
        roles = [role for role, _ in chosen if role != "output"]
        if len(set(roles)) == len(roles):
            yield {name: value for name, (_, value) in zip(free, chosen, strict=True)}


def _meanings(name: str, general: tuple[_General, Row]) -> Iterator[tuple[str, Number]]:
    made, row = general
    for role, letters in LETTERS.items():
        if name not in letters:
            continue
        if role == "size":
            for i, size in enumerate(made.sizes or [made.roles["channels"]]):
                yield f"size{i}", size
        elif role == "output":
            for i, size in enumerate(row.output[:-1]):
                yield role, size
                if i and size == row.output[0]:
                    break
        elif role in made.roles:
            yield role, made.roles[role]


def _reading(scope: Scope, reading: Mapping[str, Number]) -> Any:
    inner = lookup(scope)

    def value(name: str) -> Number:
        return reading[name] if name in reading else inner(name)

    return value
