"""A network at given sizes, and sizes drawn from the domains of its symbols."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..dialects import Window
from ..formula import Expr, Number, Symbol, at_least, compare, evaluate, symbols
from ..layers.base import Layer, Shape
from ..rows import Report, Row

Env = Mapping[str, int]
MAX_STEPS = 3000


class Net(NamedTuple):
    """Rows whose every size is a number."""

    rows: tuple[Row, ...]
    inputs: Mapping[str, Shape]


def at(report: Report, env: Env) -> Net:
    """The network of `report` with its symbols replaced by numbers."""
    if not report.symbols:
        return Net(report.layers, report.input_shapes)
    inputs = {name: shape_at(shape, env) for name, shape in report.input_shapes.items()}
    return Net(tuple(row_at(row, env) for row in report.layers), inputs)


def whole(shape: Iterable[Any]) -> tuple[int, ...]:
    """A shape as plain integers."""
    return tuple(map(int, shape))


def shape_at(shape: Shape, env: Env) -> Shape:
    return tuple(evaluate(n, env) for n in shape)


def row_at(row: Row, env: Env) -> Row:
    """One row with numbers for symbols."""
    return row._replace(
        layer=layer_at(row.layer, env),
        input=tuple(shape_at(shape, env) for shape in row.input),
        output=shape_at(row.output, env),
        weights={name: shape_at(shape, env) for name, shape in row.weights.items()},
        buffer_shapes={name: shape_at(s, env) for name, s in row.buffer_shapes.items()},
        params=evaluate(row.params, env),
        buffers=evaluate(row.buffers, env),
        macs=evaluate(row.macs, env),
    )


def layer_at(layer: Layer, env: Env) -> Layer:
    """A layer with numbers for the symbols in its fields."""
    return layer.substitute(env) if any(in_fields(layer)) else layer


def in_fields(layer: Layer) -> Iterator[Expr]:
    """The closed forms in a layer's fields."""
    todo: list[Any] = list(layer.values().values())
    while todo:
        value = todo.pop()
        if isinstance(value, Expr):
            yield value
        elif isinstance(value, tuple):
            todo.extend(value)


def names_in(*values: Number) -> set[str]:
    return {s.name for value in values for s in symbols(value)}


def field_names(layer: Layer) -> set[str]:
    """The symbols that a layer's fields use."""
    return names_in(*in_fields(layer))


class Sizes:
    """Finds sizes at which every layer of a symbolic network works."""

    def __init__(self, report: Report, skip: frozenset[str] = frozenset()) -> None:
        self.report, self.skip, self.ignored = report, skip, frozenset[str]()
        self.symbols = report.symbols

    def smallest(self, exact: bool = True) -> dict[str, int] | None:
        """The smallest sizes that work, found by raising whatever is too small."""
        return self.repair({name: s.min for name, s in self.symbols.items()}, exact)

    def draw(self, count: int, random: Any) -> list[dict[str, int]]:
        """The smallest sizes that work, and others a little above; `random` is a Generator.

        Where strides never fit, sizes that are floored do.
        """
        first = self.smallest()
        exact = first is not None
        first = first or self._floored()
        found = [] if first is None else [first]
        for _ in range(4 * count):
            if first is None or len(found) >= count:
                break
            moved = self.repair({n: self._step(n, v, random) for n, v in first.items()}, exact)
            if moved is not None and moved not in found:
                found.append(moved)
        return found

    def _floored(self) -> dict[str, int] | None:
        """The smallest sizes without regard to strides, nor at last to layers that never work."""
        found = self.smallest(exact=False)
        if found is None and self.skip:
            self.ignored = self.skip
            found = self.smallest(exact=False)
        return found

    def _step(self, name: str, value: int, random: Any) -> int:
        symbol = self.symbols[name]
        return _clip(symbol, value + symbol.multiple_of * int(random.integers(0, 5)))

    def points(self, count: int, random: Any) -> list[dict[str, int]]:
        """About `count` sizes: every symbol alone through consecutive values, then all at once."""
        base = self._floored()
        if base is None:
            return []
        found = {tuple(base.values()): base}
        each = max(2, count * 2 // (3 * len(self.symbols)))
        for name, symbol in self.symbols.items():
            for i in range(1, each):
                self._keep(found, {**base, name: base[name] + i * symbol.multiple_of})
        for _ in range(count):
            if len(found) >= count:
                break
            jump = {n: int(random.integers(0, 64)) * s.multiple_of for n, s in self.symbols.items()}
            self._keep(found, {n: base[n] + jump[n] for n in base})
        return list(found.values())

    def _keep(self, found: dict[tuple[int, ...], dict[str, int]], env: dict[str, int]) -> None:
        inside = all(self.symbols[n].admits(v) for n, v in env.items())
        if inside and self.trouble(env, exact=False) is None:
            found[tuple(env.values())] = env

    def repair(self, env: dict[str, int], exact: bool) -> dict[str, int] | None:
        """`env`, raised until no layer is in trouble; None where the domains end before that."""
        env = dict(env)
        for _ in range(MAX_STEPS):
            names = self.trouble(env, exact)
            if names is None:
                return env
            movable = [n for n in names if self.symbols[n].admits(self._next(env, n))]
            if not movable:
                return None
            for name in movable:
                env[name] = self._next(env, name)
        return None

    def _next(self, env: Env, name: str) -> int:
        return env[name] + self.symbols[name].multiple_of

    def trouble(self, env: Env, exact: bool) -> set[str] | None:
        """The symbols to blame for the first layer that does not work at these sizes."""
        shapes = {n: shape_at(s, env) for n, s in self.report.input_shapes.items()}
        for row in self.report.layers:
            inputs = [shapes[name] for name in row.inputs]
            layer = layer_at(row.layer, env)
            uneven = {n for v in in_fields(row.layer) for n in self._fractional(v, env)}
            if uneven:
                return uneven
            if row.name not in self.ignored:
                strict = exact and row.name not in self.skip
                blame = self._blame(row, layer, inputs, env, strict)
                if blame is not None:
                    return blame
            shapes[row.name] = layer.output(inputs, row.dialect)
        return None

    @staticmethod
    def _fractional(value: Number, env: Env) -> set[str]:
        return set() if isinstance(evaluate(value, env), int) else names_in(value)

    def _blame(
        self, row: Row, layer: Layer, inputs: list[Shape], env: Env, exact: bool
    ) -> set[str] | None:
        axes_in = row.input[0][:-1] or row.input[0]
        for axis, window in enumerate(layer.windows(inputs, row.dialect)):
            if not _works(window, exact and row.dialect.exact):
                return names_in(axes_in[axis]) or field_names(row.layer)
        names = names_in(*(n for shape in row.input for n in shape)) | field_names(row.layer)
        misfit = next(layer.misfits(inputs, row.dialect), None)
        if misfit is not None:
            return {n for n in names if self._matters(n, row, env, misfit.message)} or names
        small = any(compare(n, 1) == -1 for n in layer.output(inputs, row.dialect))
        return names if small else None

    def _matters(self, name: str, row: Row, env: Env, message: str) -> bool:
        """Whether what the layer says changes with this symbol (floors need some steps)."""
        symbol = self.symbols[name]
        for i in range(7):
            moved = {**env, name: env[name] + (symbol.multiple_of << i)}
            if not symbol.admits(moved[name]):
                return False
            inputs = [shape_at(shape, moved) for shape in row.input]
            said = next(layer_at(row.layer, moved).misfits(inputs, row.dialect), None)
            if said is None or said.message != message:
                return True
        return False


def _works(w: Window, exact: bool) -> bool:
    if not at_least(w.out, 1):
        return False
    if w.kind == "transpose":
        return True
    return at_least(w.padded, w.extent) and not (exact and w.remainder != 0)


def _clip(symbol: Symbol, value: int) -> int:
    return value if symbol.max is None else min(value, symbol.max)
