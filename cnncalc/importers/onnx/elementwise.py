"""Operators value by value on constants: with numbers, and with closed forms of symbols."""

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any

from ...formula import Expr, ceil_div, floor, maximum, minimum
from .core import Converter, Unknown
from .reading import SMALL, Node
from .values import Const, Sizes


def of(numbers: Any, shape: Any = None) -> Const:
    """A constant with these values."""
    import numpy as np

    if isinstance(numbers, np.ndarray):
        return Const(tuple(numbers.shape), numbers, frozenset(), numbers.dtype.kind == "f")
    plain = all(isinstance(n, int | float | bool) for n in numbers)
    array: Any = np.empty(len(numbers), object)
    array[:] = numbers
    if plain and not any(isinstance(n, int) and abs(n) >= 2**62 for n in numbers):
        array = np.array(numbers, float if any(isinstance(n, float) for n in numbers) else int)
    if shape is not None:
        array = array.reshape(shape)
    return Const(tuple(array.shape), array, frozenset(), False)


Inputs = Sequence[Const | None]


def _values(inputs: Inputs) -> list[Any] | None:
    found = [v.values for v in inputs if v is not None]
    return found if all(v is not None for v in found) else None


def first(inputs: Inputs) -> Const:
    if not inputs or inputs[0] is None:
        raise Unknown
    return inputs[0]


def ints(inputs: Inputs, i: int) -> list[Any] | None:
    if i >= len(inputs) or (given := inputs[i]) is None:
        return None
    found = given.numbers()
    if found is None:
        raise Unknown
    return found


def bounded(shape: Sizes) -> tuple[int, ...]:
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise Unknown
    return tuple(int(str(n)) for n in shape)


def _broadcast(inputs: Inputs) -> Sizes:
    import numpy as np

    shapes = [bounded(v.shape) for v in inputs if v is not None]
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise Unknown from None


def _elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(c: Converter, node: Node, inputs: Inputs) -> Any:
        import numpy as np

        values, shape = _values(inputs), _broadcast(inputs)
        if values is None or prod(bounded(shape)) > SMALL:
            return Const(shape)
        try:
            with np.errstate(all="ignore"):
                if any(v.dtype == object for v in values):
                    return _objects(function, values, shape)
                return np.asarray(function(*values))
        except (TypeError, ValueError, ZeroDivisionError, AttributeError):
            return Const(shape)

    return run


def _objects(function: Callable[..., Any], values: list[Any], shape: Sizes) -> Any:
    import numpy as np

    grids = [np.broadcast_to(v, bounded(shape)).reshape(-1) for v in values]
    found = [function(*(_plain(x) for x in row)) for row in zip(*grids, strict=True)]
    return of(found, bounded(shape))


def _plain(x: Any) -> Any:
    return x.item() if hasattr(x, "item") else x


def _div(a: Any, b: Any) -> Any:
    import numpy as np

    if isinstance(a, np.ndarray) and a.dtype.kind in "iu":
        return (np.abs(a) // np.abs(b)) * np.sign(a) * np.sign(b)
    if isinstance(a, Expr) or isinstance(b, Expr):
        return a // b
    return a / b if isinstance(a, float) or not isinstance(a, int) else a // b


def _mod(a: Any, b: Any) -> Any:
    return a % b


def _numpy(name: str) -> Callable[..., Any]:
    def call(*xs: Any) -> Any:
        import numpy as np

        return getattr(np, name)(*xs)

    return call


def _floor(a: Any) -> Any:
    import numpy as np

    return floor(a) if isinstance(a, Expr) else np.floor(a)


def _ceil(a: Any) -> Any:
    import numpy as np

    return ceil_div(a, 1) if isinstance(a, Expr) else np.ceil(a)


def _extreme(symbolic: Callable[..., Any], plain: str) -> Callable[..., Any]:
    """The largest or smallest of values: as a closed form where one is symbolic."""

    def call(*xs: Any) -> Any:
        import numpy as np

        pick = symbolic if any(isinstance(x, Expr) for x in xs) else getattr(np, plain)
        return reduce(pick, xs)

    return call


def _where(a: Any, b: Any, c: Any) -> Any:
    import numpy as np

    return np.where(a, b, c) if isinstance(a, np.ndarray) else (b if a else c)


def _cast(c: Converter, node: Node, inputs: Inputs) -> Any:
    x = first(inputs)
    to = node.attributes.get("to", 1)
    if x.values is None or x.values.dtype == object:
        return x
    kind = {6: "int32", 7: "int64", 9: "bool", 3: "int8", 5: "int16", 2: "uint8"}.get(to, "float64")
    return Const(x.shape, x.values.astype(kind), x.weights, kind == "float64")


def _unary(name: str) -> Callable[..., Any]:
    return _elementwise(_numpy(name))


TABLE: dict[str, Callable[[Converter, Node, Inputs], Any]] = {
    "Add": _elementwise(lambda a, b: a + b),
    "Sub": _elementwise(lambda a, b: a - b),
    "Mul": _elementwise(lambda a, b: a * b),
    "Div": _elementwise(_div),
    "Mod": _elementwise(_mod),
    "Pow": _elementwise(lambda a, b: a**b),
    "Max": _elementwise(_extreme(maximum, "maximum")),
    "Min": _elementwise(_extreme(minimum, "minimum")),
    "Neg": _elementwise(lambda a: -a),
    "Floor": _elementwise(_floor),
    "Ceil": _elementwise(_ceil),
    "Equal": _elementwise(lambda a, b: a == b),
    "Greater": _elementwise(lambda a, b: a > b),
    "GreaterOrEqual": _elementwise(lambda a, b: a >= b),
    "Less": _elementwise(lambda a, b: a < b),
    "LessOrEqual": _elementwise(lambda a, b: a <= b),
    "And": _elementwise(lambda a, b: a & b),
    "Or": _elementwise(lambda a, b: a | b),
    "Where": _elementwise(_where),
    "Not": _unary("logical_not"), "Abs": _unary("abs"), "Sqrt": _unary("sqrt"),
    "Exp": _unary("exp"), "Log": _unary("log"), "Sign": _unary("sign"), "Tanh": _unary("tanh"),
    "Round": _unary("round"), "Reciprocal": _unary("reciprocal"), "Sin": _unary("sin"),
    "Cos": _unary("cos"),
    "Cast": _cast,
}  # fmt: skip
