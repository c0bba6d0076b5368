"""For which sizes every layer of a symbolic network fits, as tests on closed forms.

What a layer states (its `misfits`, windows, output, weights) is followed down every path
that undecided comparisons open; the windows are judged by the size rules' own conditions.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from ..dialects import Window, floor_rule
from ..formula import Expr, Number, at_least, compare, divide, is_whole
from ..formula.undecided import paths
from ..layers.base import Layer, Shape
from ..layers.fields import LIMIT, Count, Field, PerAxis, Rational, Volume
from ..rows import Row

MOST_PATHS = 400  # of one layer


class Test(NamedTuple):
    """One question about a closed form: `sign` -1, 0 or 1 of it, or whether it is `whole`."""

    kind: str
    form: Number
    answer: int


class Condition(NamedTuple):
    """Points that pass all `tests` (at least one) do not fit; or must be derived by themselves."""

    code: str  # a diagnostic's; "" where the points take another path
    layer: str
    tests: tuple[Test, ...]

    @property
    def rounded(self) -> bool:
        """Whether the sizes are still those that rounding down gives."""
        return self.code == "S001"


def conditions(rows: Sequence[Row], inputs: Mapping[str, Shape]) -> list[Condition]:
    """All conditions, the first layer's first; those that surely never hold are left out."""
    found: dict[tuple[Any, ...], Condition] = {}
    seen: dict[str, Row] = {}
    studied: dict[tuple[Layer, tuple[Shape, ...], str], list[Condition]] = {}
    for name, shape in inputs.items():
        _keep(found, _small("E011", name, shape, 1))
    for row in rows:
        key = (row.layer, row.input, row.dialect.label)
        if key not in studied:
            studied[key] = list(_of(row))
        _keep(found, (c._replace(layer=row.name) for c in studied[key]))
        if row.shared is not None and row.shared in seen:
            _keep(found, _shares(row, seen[row.shared]))
        seen[row.name] = row
    return list(found.values())


def _keep(found: dict[tuple[Any, ...], Condition], more: Iterable[Condition]) -> None:
    """The first layer to fail is named; the same tests of a later layer never come first."""
    for condition in more:
        tests = tuple(t for t in condition.tests if _possible(t) is not True)
        if any(_possible(t) is False for t in tests):
            continue
        key = (tests, condition.code == "", condition.rounded)
        found.setdefault(key, condition._replace(tests=tests))


def _possible(test: Test) -> bool | None:
    """Whether a test surely passes, or surely fails; None where it depends on the point."""
    known = compare(test.form, 0) if test.kind == "sign" else is_whole(test.form)
    if known is None:
        if test.kind == "sign" and test.answer == -1 and at_least(test.form, 0):
            return False
        return None
    return int(known) == test.answer


def _of(row: Row) -> Iterator[Condition]:
    for name, field in row.layer.fields.items():
        yield from _field(field, row.layer.values()[name])
    yield from _stated(row)
    for w in row.windows:
        yield from _window(w, row)
    yield from _small("S009", row.name, row.output, 1)


def _small(code: str, layer: str, values: Iterable[Number], least: int) -> Iterator[Condition]:
    """Conditions for values that are less than `least`, or not whole."""
    for n in values:
        if isinstance(n, Expr | Fraction) and is_whole(n) is not True:
            yield Condition(code, layer, (Test("whole", n, 0),))
        if isinstance(n, Expr) or n < least:
            yield Condition(code, layer, (Test("sign", n - least, -1),))


def _field(field: Field, value: Any) -> Iterator[Condition]:
    """What reading the field at a point refuses: too small, not whole, too large."""
    forms = list(_forms(value))
    if isinstance(field, Count | PerAxis | Volume) and not getattr(field, "rational", False):
        yield from _small("E006", "", forms, field.minimum)
    for x in forms:
        refused = [Test("sign", x - LIMIT, 1)]
        if isinstance(field, PerAxis) and field.rational:
            refused += [Test("sign", x, 0), Test("sign", x, -1)]
        if isinstance(field, Rational) and field.low is not None:
            refused.append(Test("sign", x - field.low, -1))
        if isinstance(field, Rational) and field.below is not None:
            refused += [Test("sign", x - field.below, 1), Test("sign", x - field.below, 0)]
        for test in refused:
            yield Condition("E006", "", (test,))


def _forms(value: Any) -> Iterator[Number]:
    if isinstance(value, tuple):
        for entry in value:
            yield from _forms(entry)
    elif isinstance(value, Expr):
        yield value


def _window(w: Window, row: Row) -> Iterator[Condition]:
    """S002 and, where no rounding was asked for, S001: the conditions of the size rules."""
    if w.kind == "transpose":
        return
    gap = w.padded - w.extent
    yield Condition("S002", "", (Test("sign", gap, -1),))
    exact = row.dialect.exact and getattr(row.layer, "round", None) is None
    if exact and w.rule is floor_rule and w.s != 1:
        yield Condition("S001", "", (Test("whole", divide(gap, w.s), 0),))


def _stated(row: Row) -> Iterator[Condition]:
    """The layer's own misfits, and points at which it would come out otherwise."""
    plain = _facts(row)
    found = paths(lambda: _facts(row), MOST_PATHS)
    if found is None:
        yield Condition("", row.name, ())
        return
    for answers, facts in found:
        tests = tuple(Test(kind, form, answer) for (kind, form), answer in answers.items())
        assert isinstance(facts, tuple)
        if facts[0]:
            yield Condition(facts[0][0], "", tests)
        elif facts != plain:
            yield Condition("", "", tests)


def _facts(row: Row) -> tuple[Any, ...]:
    """Codes of what does not fit, and all that later layers and totals read."""
    layer, dialect = row.layer, row.dialect
    codes = tuple(m.code for m in layer.misfits(row.input, dialect))
    if "S008" in codes:
        return (codes,)
    windows = layer.windows(row.input, dialect)
    flaws = tuple(w.flaw[0] for w in windows if w.flaw)
    output = layer.output(row.input, dialect)
    weights = layer.weights(row.input, dialect), layer.buffers(row.input, dialect)
    return ((*codes, *flaws), windows, output, weights, layer.macs(row.input, output, dialect))


def _shares(row: Row, other: Row) -> Iterator[Condition]:
    """S003 where a shared array would have another shape here."""
    for name in sorted({*row.weights, *other.weights}):
        mine, theirs = row.weights.get(name), other.weights.get(name)
        if mine is None or theirs is None or len(mine) != len(theirs):
            yield Condition("S003", row.name, ())
            continue
        for a, b in zip(mine, theirs, strict=True):
            if a != b:
                yield Condition("S003", row.name, (Test("sign", a - b, 1),))
                yield Condition("S003", row.name, (Test("sign", a - b, -1),))
