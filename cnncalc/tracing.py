"""Traces a derived layer: its own facts and size rules, read on named quantities.

Nothing is computed here that the layer or the dialect does not state: the same
`window.rule`, `Layer.weights`, `Layer.macs` and `Layer.reach` are called again, on
`Worked` operands instead of numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

from .derive import Value, reach
from .dialects import Window, floor_rule, same_rule, same_total
from .formula import Expr, Number, equal, product
from .layers.base import Layer, Shape, axes
from .rows import Row
from .rules.base import listed
from .worked import Worked, literal, quantity

AXES = {1: ("L",), 2: ("H", "W"), 3: ("Z", "H", "W")}
WORDS = {1: ("length",), 2: ("height", "width"), 3: ("slices", "height", "width")}
LETTERS = {
    "filters": "K", "units": "K", "kernel": "F", "groups": "G", "multiplier": "M", "scale": "R",
    "by": "P", "heads": "A", "vocab": "V", "dim": "E",
}  # fmt: skip
UNITS = ("groups", "multiplier")  # not mentioned where they are 1
SINGLE = {"dense": "each unit", "linear": "each unit"}


class Line(NamedTuple):
    """One worked line: what it gives, the calculation, and perhaps a remark."""

    label: str
    work: Worked
    note: str = ""
    grouped: bool = False  # thousands set apart in the numbers too

    @property
    def symbolic(self) -> str:
        """The formula with symbols; empty where there are none."""
        return self.work.symbolic if any(leaf.name for leaf in self.work.leaves()) else ""

    @property
    def numeric(self) -> str:
        """The formula with numbers; empty where the result stands alone."""
        return "" if self.work.kind == "leaf" else self.work.numeric

    @property
    def result(self) -> str:
        """The value: an integer with thousands set apart, or a closed form."""
        value = self.work.value
        return f"{value:,}" if isinstance(value, int) else str(value)


class Slide(NamedTuple):
    """A window of named quantities, for the axes along which it is the same."""

    label: str
    window: Window  # of Worked operands
    extra: Any  # output padding
    axis: int  # the first of its axes


class Trace:
    """One row with named inputs and fields.

    >>> import cnncalc
    >>> row = cnncalc.load("alexnet").derive().row("CONV1")
    >>> [str(line.work) for line in Trace(row).sizes()]
    ['(W - F + 2*P)/S + 1 = (227 - 11 + 2*0)/4 + 1 = 55']
    """

    def __init__(self, row: Row) -> None:
        self.row = row
        self.rank = len(row.windows) or len(row.input[0]) - 1
        self.names = AXES.get(self.rank) or tuple(f"A{i}" for i in range(1, self.rank + 1))
        self.inputs = _inputs(row.input)
        self.layer = _named(row.layer, self.names)

    # --- sizes -----------------------------------------------------------------

    def sizes(self) -> list[Line]:
        """How the output size comes about; empty where no axis changes."""
        if self.row.windows:
            exact = self.row.dialect.exact and getattr(self.row.layer, "round", None) is None
            return [line for slide in self.slides() for line in _slide_lines(slide, exact)]
        return self._axes()

    def slides(self) -> list[Slide]:
        """The windows, axes that are alike taken together."""
        windows = self.row.windows
        extras = axes(getattr(self.row.layer, "output_pad", 0), len(windows))
        kinds = [(w._replace(flaw=None), o) for w, o in zip(windows, extras, strict=True)]
        return [
            Slide(self._label(same), self._window(same), _extra(kinds[same[0]][1]), same[0])
            for same in _alike(kinds)
        ]

    def _label(self, which: Sequence[int]) -> str:
        words = WORDS.get(self.rank) or tuple(f"axis {i + 1}" for i in range(self.rank))
        text = listed([words[i] for i in which])
        return f"{text} alike" if len(which) == self.rank > 1 else text

    def _window(self, which: Sequence[int]) -> Window:
        """The window along these axes, the lecture's W, F, S and P standing for its numbers."""
        windows, w, axis = self.row.windows, self.row.windows[which[0]], self.names[which[0]]

        def letter(base: str, values: Iterable[Any]) -> str:
            return base if len(set(values)) == 1 else base + axis

        ends = letter("P", [(v.before, v.after) for v in windows])
        before, after = (ends, ends) if w.before == w.after else (ends + "1", ends + "2")
        named: dict[str, Any] = {
            "n": quantity(self.names[which[-1]], w.n),
            "k": quantity(letter("F", [v.k for v in windows]), w.k),
            "s": quantity(letter("S", [v.s for v in windows]), w.s),
            "d": 1 if w.d == 1 else quantity(letter("D", [v.d for v in windows]), w.d),
            "before": quantity(before, w.before),
            "after": quantity(after, w.after),
        }
        return w._replace(**named)

    def _axes(self) -> list[Line]:
        found = attempt(lambda: self.layer.output(self.inputs, self.row.dialect))
        if found is None or len(found) != len(self.row.output):
            return []
        traced = [(n, v) for n, v in zip(found, self.row.output, strict=True)]
        worked = [_sure(n, v) if _is_worked(n) else literal(v) for n, v in traced]
        words = (*(WORDS.get(len(worked) - 1) or ()), "channels")
        labels = words if len(words) == len(worked) else ("values",) * len(worked)
        if len(worked) == 1:
            labels = ("values",)
        return [Line(t, w) for t, w in zip(labels, worked, strict=True) if w.kind != "leaf"]

    # --- counts ----------------------------------------------------------------

    def parameters(self) -> list[Line]:
        """The trainable values; empty where there are none, or where they are another's."""
        row = self.row
        if row.shared or not row.weights:
            return []
        arrays = self._arrays(lambda: self.layer.weights(self.inputs, row.dialect), row.weights)
        if set(arrays) <= {"kernel", "bias"} and "kernel" in arrays:
            found = _filters(arrays, SINGLE.get(row.op, "each filter"))
            if found is not None and equal(found[-1].work.value, row.params):
                return found
        return [Line("parameters", _sure(_amount(arrays), row.params), listed(list(arrays)))]

    def buffers(self) -> list[Line]:
        """The running statistics."""
        row = self.row
        if row.shared or not row.buffer_shapes:
            return []
        traced = self._arrays(
            lambda: self.layer.buffers(self.inputs, row.dialect), row.buffer_shapes
        )
        note = f"{listed(list(traced))}: kept, not trained"
        return [Line("running statistics", _sure(_amount(traced), row.buffers), note)]

    def macs(self) -> list[Line]:
        """The multiply-adds; empty where there are none."""
        row = self.row
        if equal(row.macs, 0):
            return []
        output = self._output()
        traced = attempt(lambda: self.layer.macs(self.inputs, output, row.dialect))
        return [Line("MACs", _sure(traced, row.macs))]

    def _output(self) -> tuple[Any, ...]:
        """The output volume: H2, W2 and its channels in terms of the layer's fields."""
        shape = self.row.output
        named = [quantity(f"{name}2", n) for name, n in zip(self.names, shape[:-1], strict=False)]
        named += [literal(n) for n in shape[len(named) : -1]]
        found = attempt(lambda: self.layer.output(self.inputs, self.row.dialect)[-1])
        known = found is not None and equal(_value(found), shape[-1])
        return (*named, found if known else quantity("C2", shape[-1]))

    def _arrays(
        self, trace: Callable[[], Mapping[str, Shape]], known: Mapping[str, Shape]
    ) -> dict[str, list[Worked]]:
        """Shapes by name, traced where that gives the derived numbers."""
        found = attempt(trace) or {}
        arrays = {}
        for name, shape in known.items():
            traced = found.get(name, ())
            if len(traced) != len(shape):
                traced = shape
            arrays[name] = [_sure(t, n) for t, n in zip(traced, shape, strict=True)]
        return arrays

    # --- receptive field ---------------------------------------------------------

    def reach(self, before: Row | None) -> list[Line]:
        """The receptive field from that of the layer before (None: the network's input)."""
        row = self.row
        rank = len(row.receptive_field)
        field = before.receptive_field if before else (1,) * rank
        jump = before.jump if before else (1,) * rank
        steps = attempt(self._steps)
        if steps is None or not rank == len(steps) == len(field) or field == row.receptive_field:
            return []
        start = Value(
            row.input[0],
            tuple(_opaque("r", r) for r in field),
            tuple(_opaque("j", j) for j in jump),
        )
        traced = attempt(lambda: reach([start], steps)[0])
        if traced is None:
            return []
        works = [_sure(t, r) for t, r in zip(traced, row.receptive_field, strict=True)]
        groups = _alike([(w.numeric, r) for w, r in zip(works, row.receptive_field, strict=True)])
        label = "receptive field"
        if len(groups) == 1:
            return [Line(label, works[0])]
        return [Line(f"{label}, {self._label(g)}", works[g[0]]) for g in groups]

    def _steps(self) -> Any:
        if type(self.row.layer).reach is not Layer.reach or not self.row.windows:
            return self.layer.reach(self.inputs, self.row.dialect)
        windows = [w for i in range(self.rank) for w in [self._window(self._group(i))]]
        sliding: Any = SimpleNamespace(windows=lambda inputs, dialect: windows)
        return Layer.reach(sliding, self.inputs, self.row.dialect)

    def _group(self, axis: int) -> list[int]:
        return next(g for g in _alike(self.row.windows) if axis in g)


def attempt(function: Callable[[], Any]) -> Any:
    """The result, or None: a fact that looks at its numbers cannot be read on names."""
    try:
        return function()
    except Exception:
        return None


def _sure(work: Any, value: Number) -> Worked:
    """The traced value where it is the derived one, else the plain number."""
    if isinstance(work, Worked) and equal(work.value, value):
        return work
    return literal(value)


def _is_worked(x: Any) -> bool:
    return isinstance(x, Worked)


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Worked) else x


def _opaque(name: str, value: Number) -> Any:
    return quantity(name, value)


def _extra(value: Any) -> Any:
    return 0 if isinstance(value, int) and value == 0 else quantity("O", value)


def _alike(values: Sequence[Any]) -> list[list[int]]:
    """Indices of equal values together, in order."""
    groups: list[list[int]] = []
    for i, value in enumerate(values):
        group = next((g for g in groups if values[g[0]] == value), None)
        if group is None:
            groups.append([i])
        else:
            group.append(i)
    return groups


def _inputs(shapes: Sequence[Shape]) -> list[Any]:
    found = []
    for i, shape in enumerate(shapes, 1):
        suffix = str(i) if len(shapes) > 1 else ""
        rank = len(shape) - 1
        names = (*(AXES.get(rank) or [f"A{j}" for j in range(rank)]), "C") if rank else ("N",)
        found.append(tuple(quantity(n + suffix, v) for n, v in zip(names, shape, strict=True)))
    return found


def _named(layer: Layer, names: Sequence[str]) -> Layer:
    """The layer with quantities in the fields that its weights and costs are made of."""
    fields = {
        key: _field(key, LETTERS[key], value, names)
        for key, value in layer.values().items()
        if key in LETTERS and not isinstance(value, (bool, str, type(None)))
    }
    return layer.replace(**fields)


def _field(key: str, letter: str, value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, (int, Fraction, Expr)):
        return value if key in UNITS and value == 1 else quantity(letter, value)
    if not isinstance(value, tuple):
        return value
    same = len(set(value)) == 1
    letters = [letter if same else letter + n for n, _ in zip(names, value, strict=False)]
    if len(letters) < len(value):
        return value
    return tuple(
        tuple(quantity(f"{t}{i}", v) for i, v in enumerate(entry, 1))
        if isinstance(entry, tuple)
        else quantity(t, entry)
        for t, entry in zip(letters, value, strict=True)
    )


def _slide_lines(slide: Slide, exact: bool) -> list[Line]:
    w = slide.window
    size = w.rule(w.n, w.extent, w.s, w.before, w.after) + slide.extra
    rest = _value(w.remainder) if w.rule is floor_rule else 0
    note = f"remainder {rest}" if isinstance(rest, int) and rest else ""
    note += ": does not fit, rounded down to go on" if note and exact else ""
    lines = [Line(slide.label, size if _is_worked(size) else literal(size), note)]
    if w.rule is same_rule and not equal(_value(w.before + w.after), 0):
        zeros = same_total(w.n, w.extent, w.s)
        ends = f"{_value(w.before)} before, {_value(w.after)} after"
        lines.append(Line("zeros in all", zeros, ends))
    return lines


def _filters(arrays: Mapping[str, list[Worked]], label: str) -> list[Line] | None:
    """Weights of one filter, with its bias, times the filters."""
    *taps, filters = arrays["kernel"]
    one: Any = product(taps)  # type: ignore[arg-type]
    bias = arrays.get("bias")
    if bias is not None:
        if [n.symbolic for n in bias] != [filters.symbolic]:
            return None
        one = one + 1
    if not _is_worked(one):
        one = literal(one)
    counted = Line("parameters", one * filters)
    return [counted] if one.kind == "leaf" else [Line(label, one), counted]


def _amount(arrays: Mapping[str, list[Worked]]) -> Worked:
    """Values in all arrays, those of one shape counted together."""
    groups: dict[str, list[Any]] = {}
    for shape in arrays.values():
        size = product(shape)  # type: ignore[arg-type]
        groups.setdefault(str(size), []).append(size)
    terms = [len(sizes) * sizes[0] for sizes in groups.values()]
    total: Any = literal(0)
    for term in terms:
        total = total + term
    return total  # type: ignore[no-any-return]
