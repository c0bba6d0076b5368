"""Which input sizes fit a whole network: residue classes, proved from the closed forms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..dialects import floor_rule
from ..formula import Expr, FormulaLimit, Number, Symbol, compare, symbols
from ..layers.base import Shape
from ..layers.reshape import position
from ..rows import Report, Row
from ..rules.base import Case
from ..rules.sizes import findings
from ..source import shorten
from .residues import Class, Condition, Unproved, solve
from .subjects import rederive

NAMES = {1: ("length",), 2: ("height", "width"), 3: ("slices", "height", "width")}
LETTERS = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
CHECKED = 1024
SAMPLE = 48
EXAMPLES = 4
JOINS = ("add", "multiply", "concat")


class Axis(NamedTuple):
    """The sizes that fit along one axis (or several alike)."""

    name: str  # "height", or "height and width"
    symbol: str
    classes: tuple[Class, ...]
    smallest: tuple[int, ...]  # examples
    largest: int | None = None  # the domain's end
    proved: bool = True
    reason: str = ""  # why none fits
    whole: tuple[Class, ...] | None = None  # where nothing is rounded, if that is less

    def has(self, n: int) -> bool:
        inside = self.largest is None or n <= self.largest
        return inside and any(c.has(n) for c in self.classes)


class Fits(NamedTuple):
    """The sizes along every axis of the input called `input`."""

    input: str
    axes: tuple[Axis, ...]
    dialect: str = ""
    rounds: bool = False  # the dialect rounds down where a stride does not fit

    @property
    def any(self) -> bool:
        return all(axis.classes for axis in self.axes)


def fits(report: Report) -> Fits:
    """The input sizes for which no layer of a derived network complains.

    Raises ValueError where the network has no spatial input, or sizes are not comparable.

    >>> import cnncalc
    >>> found = fits(cnncalc.load("alexnet").derive())
    >>> found.axes[0].classes[0]
    Class(modulus=32, residue=3, smallest=67)
    """
    name, shape = _first(report)
    rank = len(shape) - 1
    letters = _letters(shape, report)
    symbolic: Shape = (*letters, shape[-1])
    volumes = {**report.input_shapes, name: symbolic}
    volumes.setdefault("input", symbolic)
    exact = report.dialect.exact
    names = NAMES.get(rank) or tuple(f"axis {i + 1}" for i in range(rank))
    try:
        rows = rederive(report.layers, volumes).rows
        found = [
            _axis(names[i], letter, report, name, list(_conditions(rows, letter)), rows)
            for i, letter in enumerate(dict.fromkeys(letters))
        ]
    except (Unproved, FormulaLimit, _Mixed):
        found = [_checked(report, name, rank)]
    return Fits(name, tuple(_alike(found, names)), report.dialect.label, not exact)


def _first(report: Report) -> tuple[str, Shape]:
    for name, shape in report.input_shapes.items():
        if len(shape) > 1:
            return name, shape
    raise ValueError("the network's input has no height or width: every input is a flat vector")


def _letters(shape: Shape, report: Report) -> tuple[Symbol, ...]:
    """A symbol for each spatial axis: the spec's own, or one for each number."""
    names = LETTERS.get(len(shape) - 1) or tuple(f"N{i}" for i in range(1, len(shape)))
    taken = set(report.symbols)
    found = []
    for size, name in zip(shape[:-1], names, strict=True):
        if isinstance(size, Symbol):
            found.append(size)
        else:
            while name in taken:
                name += "_"
            found.append(Symbol(name))
    return tuple(found)


class _Mixed(Exception):
    """A condition that depends on two symbols."""


def _conditions(rows: Sequence[Row], letter: Symbol) -> Iterator[tuple[Condition, bool]]:
    """What each layer asks of the size; True for what only rules out rounding."""
    for row in rows:
        for condition, exact in _of_row(row):
            form = condition.form
            inside = {s.name for s in symbols(form)} if isinstance(form, Expr) else set()
            if letter.name not in inside:
                if not inside and not _holds(condition):
                    yield condition._replace(form=letter - letter, kind="never"), exact
                continue
            if len(inside) > 1:
                raise _Mixed
            yield condition, exact


def _holds(c: Condition) -> bool:
    value = c.form
    if not isinstance(value, int):
        return False
    return value % c.modulus == 0 if c.kind == "divides" else value >= 0


def _of_row(row: Row) -> Iterator[tuple[Condition, bool]]:
    rounding = getattr(row.layer, "round", None) is not None or not row.dialect.exact
    for w in row.windows:
        if w.flaw is not None:
            yield Condition(-1, "least", 1, row.name, w.flaw[1]), False
        room = w.padded - w.extent
        if w.kind != "transpose":
            yield Condition(room, "least", 1, row.name, "the kernel must fit in"), False
            if w.rule is floor_rule and isinstance(w.s, int) and w.s > 1:
                words = f"{w.s} must divide {room}"
                yield Condition(room, "divides", w.s, row.name, words), rounding
        yield Condition(w.out - 1, "least", 1, row.name, "something must be left"), False
    if row.op in JOINS:
        yield from _joined(row)
    elif not row.windows:
        for n in row.output[:-1]:
            yield Condition(n - 1, "least", 1, row.name, "something must be left"), False


def _joined(row: Row) -> Iterator[tuple[Condition, bool]]:
    """The branches' sizes must agree, but for the joined axis and sizes of 1."""
    first = row.input[0]
    along = position(row.layer.values().get("axis", -1), len(first)) if row.op == "concat" else None
    for shape in row.input[1:]:
        if len(shape) != len(first):
            return
        for axis, (a, b) in enumerate(zip(first, shape, strict=True)):
            if axis == along or (row.op != "concat" and (a == 1 or b == 1)):
                continue
            gap = a - b
            if compare(gap, 0) != 0:
                words = f"{a} must equal {b}"
                yield Condition(gap, "zero", 1, row.name, words), False


def _axis(
    name: str, letter: Symbol, report: Report, input_name: str,
    conditions: Sequence[tuple[Condition, bool]], rows: Sequence[Row],
) -> Axis:  # fmt: skip
    needed = [c for c, rounding in conditions if not rounding]
    low, high, step = letter.domain
    classes = _solved(needed, letter.name, low, step)
    reason = "" if classes else _why(needed, letter.name, low, step)
    classes = tuple(c for c in classes if high is None or c.smallest <= high)
    if not classes and not reason:
        reason = f"no size up to {high} fits"
    whole = None
    if any(rounding for _, rounding in conditions):
        all_of_it = [c for c, _ in conditions]
        whole = _solved(all_of_it, letter.name, low, step)
        whole = None if whole == classes else whole
    return Axis(name, letter.name, classes, _examples(classes, high), high, True, reason, whole)


def _solved(conditions: Sequence[Condition], name: str, low: int, step: int) -> tuple[Class, ...]:
    if any(c.kind == "never" for c in conditions):
        return ()
    return solve(conditions, name, low, step)


def _why(conditions: Sequence[Condition], name: str, low: int, step: int) -> str:
    """The first layer after which no size is left, and what was left before it."""
    for i, condition in enumerate(conditions):
        if condition.kind == "never":
            return f"{condition.layer}: {condition.words}"
        if not solve(conditions[: i + 1], name, low, step):
            before = solve(conditions[:i], name, low, step)
            what = shorten(condition.words, 80)
            return f"{condition.layer}: {what}, but up to there {describe(before, name)}"
    return ""


def describe(classes: Sequence[Class], name: str) -> str:
    """Residue classes in words.

    >>> describe([Class(4, 3, 11)], "H"), describe([Class(1, 0, 5)], "W")
    ('H mod 4 = 3, from 11 on', 'W >= 5')
    """
    if not classes:
        return f"no {name}"
    modulus = classes[0].modulus
    start = min(c.smallest for c in classes)
    if modulus == 1:
        return f"{name} >= {start}"
    residues = [str(c.residue) for c in classes]
    shown = residues[0] if len(residues) == 1 else "{" + ", ".join(residues[:40]) + "}"
    relation = "=" if len(residues) == 1 else "in"
    return f"{name} mod {modulus} {relation} {shown}, from {start} on"


def _examples(classes: Sequence[Class], high: int | None) -> tuple[int, ...]:
    found = sorted(
        n
        for c in classes
        for n in range(c.smallest, c.smallest + EXAMPLES * c.modulus, c.modulus)
        if high is None or n <= high
    )
    return tuple(found[:EXAMPLES])


def _alike(found: Sequence[Axis], names: Sequence[str]) -> Iterator[Axis]:
    """Axes with the same sizes are told together."""
    if len(found) == 1 and len(names) > 1:
        yield found[0]._replace(name=" and ".join(names))
        return
    groups: dict[object, list[Axis]] = {}
    for axis in found:
        key = (axis.classes, axis.whole, axis.largest, axis.reason.replace(axis.symbol, "n"))
        groups.setdefault(key, []).append(axis)
    for group in groups.values():
        name = " and ".join(axis.name for axis in group)
        yield group[0]._replace(name=name)


# --- one size at a time ------------------------------------------------------------------


def fits_at(report: Report, sizes: Mapping[int, int] | int) -> bool:
    """Whether the network fits an input of these sizes, found by deriving it once more."""
    name, shape = _first(report)
    chosen = [
        sizes if isinstance(sizes, int) else sizes.get(i, n) for i, n in enumerate(shape[:-1])
    ]
    volume: tuple[Number, ...] = (*chosen, shape[-1])
    volumes: dict[str, Shape] = {**report.input_shapes, name: volume}
    volumes.setdefault("input", volume)
    for row in report.layers:
        case = Case.of(row.layer, [volumes[source] for source in row.inputs], row.dialect)
        if any(found.severity == "error" for found in findings(case)):
            return False
        volumes[row.name] = case.output
    return True


def _checked(report: Report, name: str, rank: int) -> Axis:
    """Every size up to CHECKED tried, the axes alike: no proof, but the truth as far as it goes."""
    good = [n for n in range(1, CHECKED + 1) if fits_at(report, n)]
    names = NAMES.get(rank) or tuple(f"axis {i + 1}" for i in range(rank))
    classes = tuple(Class(CHECKED + 1, n, n) for n in good)
    reason = "" if good else f"no size up to {CHECKED} fits"
    examples = tuple(good[:EXAMPLES])
    return Axis(" and ".join(names), "n", classes, examples, CHECKED, False, reason)
