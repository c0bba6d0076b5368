"""Shape arithmetic: operators on constants alone are computed, symbols and all.

Where values are not known (weights left out of the file) the shape alone is followed.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from ...formula import Expr, Number, ceil_div, floor, maximum, minimum
from .core import Converter, Unknown
from .reading import SMALL, Constant, Node
from .values import Const, Sizes, Tensor

if TYPE_CHECKING:
    pass


def fold(c: Converter, node: Node) -> None:
    """Computes a node whose inputs are all constants; raises `Unknown`."""
    inputs = [v for i in node.inputs if (v := c.values[i] if i else None) is None
              or isinstance(v, Const)]  # fmt: skip
    weights = frozenset(w for v in inputs if v is not None for w in v.weights)
    floating = any(v.floating for v in inputs if v is not None)
    if node.op == "Constant":
        c.set(node, _constant(node))
        return
    first = inputs[0] if inputs else None
    if node.op == "Identity" and first is not None and node.inputs[0] in first.weights:
        # equal weights written once: each keeps its name and its count
        c.set(node, c.weight(node.outputs[0], first.shape, first.values, first.floating))
        return
    table = SHAPED.get(node.op)
    if table is None:
        raise Unknown
    found = table(c, node, inputs)
    if not isinstance(found, list):
        found = [found]
    for i, value in enumerate(found):
        if value is first and first is not None:
            value = first._replace(macs=0)
        if not isinstance(value, Const):
            value = of(value)
        if node.op in MULTIPLIED and len(inputs) > 1 and inputs[1] is not None:
            # what a weight multiplies is data, unless products made it before
            data = inputs[0] if inputs[0] is not None and not inputs[0].macs else None
            others = [v for v in inputs if v is not None and v is not data]
            weights = frozenset(w for v in others for w in v.weights)
        kept = weights if floating and node.op not in INTEGER else frozenset()
        macs = sum(v.macs for v in inputs if v is not None) + (0 if i else value.macs)
        c.set(node, value._replace(weights=kept, floating=floating, macs=macs), i)


def shape_of(c: Converter, node: Node) -> None:
    """`Shape` and `Size` of a tensor of the network."""
    value = c.value(node, 0)
    assert value is not None
    sizes = value.sizes if isinstance(value, Tensor) else value.shape
    if node.op == "Size":
        total: Number = 1
        for n in sizes:
            total = total * n
        c.set(node, of([total], ()))
        return
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    c.set(node, of(list(sizes)[start:end]))


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


def _constant(node: Node) -> Const:
    import numpy as np

    for key, value in node.attributes.items():
        if isinstance(value, Constant):
            return Const(value.shape, value.values, frozenset(), value.floating)
        if key in ("value_int", "value_float") and value is not None:
            return of(np.array(value))
        if key in ("value_ints", "value_floats") and value is not None:
            return of(np.array(value))
    return Const((), None, frozenset(), False)


# --- one function an operator ---------------------------------------------------------------

Inputs = Sequence[Const | None]


def _values(inputs: Inputs) -> list[Any] | None:
    found = [v.values for v in inputs if v is not None]
    return found if all(v is not None for v in found) else None


def _first(inputs: Inputs) -> Const:
    if not inputs or inputs[0] is None:
        raise Unknown
    return inputs[0]


def _ints(inputs: Inputs, i: int) -> list[Any] | None:
    if i >= len(inputs) or (given := inputs[i]) is None:
        return None
    found = given.numbers()
    if found is None:
        raise Unknown
    return found


def _bounded(shape: Sizes) -> tuple[int, ...]:
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise Unknown
    return tuple(int(str(n)) for n in shape)


def _broadcast(inputs: Inputs) -> Sizes:
    import numpy as np

    shapes = [_bounded(v.shape) for v in inputs if v is not None]
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise Unknown from None


def _elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(c: Converter, node: Node, inputs: Inputs) -> Any:
        import numpy as np

        values, shape = _values(inputs), _broadcast(inputs)
        if values is None or prod(_bounded(shape)) > SMALL:
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

    grids = [np.broadcast_to(v, _bounded(shape)).reshape(-1) for v in values]
    found = [function(*(_plain(x) for x in row)) for row in zip(*grids, strict=True)]
    return of(found, _bounded(shape))


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


def _max(*xs: Any) -> Any:
    import numpy as np

    if any(isinstance(x, Expr) for x in xs):
        total = xs[0]
        for x in xs[1:]:
            total = maximum(total, x)
        return total
    found = xs[0]
    for x in xs[1:]:
        found = np.maximum(found, x)
    return found


def _min(*xs: Any) -> Any:
    import numpy as np

    if any(isinstance(x, Expr) for x in xs):
        total = xs[0]
        for x in xs[1:]:
            total = minimum(total, x)
        return total
    found = xs[0]
    for x in xs[1:]:
        found = np.minimum(found, x)
    return found


def _where(a: Any, b: Any, c: Any) -> Any:
    import numpy as np

    return np.where(a, b, c) if isinstance(a, np.ndarray) else (b if a else c)


def _cast(c: Converter, node: Node, inputs: Inputs) -> Any:
    x = _first(inputs)
    to = node.attributes.get("to", 1)
    if x.values is None or x.values.dtype == object:
        return x
    kind = {6: "int32", 7: "int64", 9: "bool", 3: "int8", 5: "int16", 2: "uint8"}.get(to, "float64")
    return Const(x.shape, x.values.astype(kind), x.weights, kind == "float64")


def _moved(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator that only moves values: on weights that are not there, on a stand-in."""

    def run(c: Converter, node: Node, inputs: Inputs) -> Any:
        import numpy as np

        x = _first(inputs)
        known = x.values is not None
        data: Any = x.values if known else np.broadcast_to(np.int8(0), _bounded(x.shape))
        try:
            found = function(c, node, data, inputs)
        except (TypeError, ValueError, IndexError, OverflowError):
            raise Unknown from None
        parts = found if isinstance(found, list) else [found]
        made = [of(np.asarray(p)) if known else Const(tuple(p.shape)) for p in parts]
        return made if isinstance(found, list) else made[0]

    return run


def _axes(c: Converter, node: Node, inputs: Inputs) -> list[int] | None:
    found = node.attributes.get("axes")
    return found if found is not None else _ints(inputs, 1)


def _unsqueeze(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    axes = _axes(c, node, inputs) or []
    return np.expand_dims(x, tuple(int(a) for a in axes))


def _squeeze(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    axes = _axes(c, node, inputs)
    return np.squeeze(x, None if axes is None else tuple(int(a) for a in axes))


def _transpose(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    return x.transpose(node.attributes.get("perm"))


def _reshape(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    to = [int(n) for n in node.attributes.get("shape") or _ints(inputs, 1) or []]
    if not node.attributes.get("allowzero"):
        to = [x.shape[i] if n == 0 else n for i, n in enumerate(to)]
    return x.reshape(to)


def _flatten(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    axis = node.attributes.get("axis", 1) % (x.ndim + 1)
    return x.reshape(prod(x.shape[:axis]), -1)


def _gather(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    places = inputs[1]
    if places is None:
        raise Unknown
    if places.values is None:
        places = Const(places.shape, np.zeros(_bounded(places.shape), int))
    if prod(places.values.shape) > SMALL:
        raise Unknown
    axis = node.attributes.get("axis", 0)
    if axis % x.ndim == 0 and x.ndim > 1 and prod(x.shape[1:]) * places.values.size > 1 << 24:
        return np.broadcast_to(np.int8(0), (*places.values.shape, *x.shape[1:]))
    return np.take(x, places.values.astype(int), axis=axis)


def _slice(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    starts = node.attributes.get("starts") or _ints(inputs, 1) or []
    ends = node.attributes.get("ends") or _ints(inputs, 2) or []
    axes = node.attributes.get("axes") or _ints(inputs, 3) or list(range(len(starts)))
    steps = _ints(inputs, 4) or [1] * len(starts)
    cut = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        low = None if step < 0 and end < -x.shape[axis] else int(end)
        cut[int(axis)] = slice(int(start), low, int(step))
    return x[tuple(cut)]


def _concat(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    parts = [v.values if v.values is not None else np.broadcast_to(np.int8(0), _bounded(v.shape))
             for v in inputs if v is not None]  # fmt: skip
    if sum(p.size for p in parts) > 1 << 24:
        raise Unknown
    return np.concatenate(parts, node.attributes.get("axis", 0))


def _split(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    axis = node.attributes.get("axis", 0)
    sizes = node.attributes.get("split") or _ints(inputs, 1)
    if sizes is None:
        return list(np.array_split(x, len(node.outputs), axis))
    return list(np.split(x, np.cumsum(sizes)[:-1].astype(int), axis))


def _expand(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    to = [int(n) for n in _ints(inputs, 1) or []]
    shape = np.broadcast_shapes(x.shape, tuple(to))
    if prod(shape) > 1 << 24:
        raise Unknown
    return np.broadcast_to(x, shape)


def _constant_of_shape(c: Converter, node: Node, inputs: Inputs) -> Any:
    import numpy as np

    shape = tuple(_ints(inputs, 0) or [])
    fill = node.attributes.get("value")
    value = fill.values.reshape(-1)[0] if fill is not None and fill.values is not None else 0.0
    if not all(isinstance(n, int) for n in shape) or prod(shape) > SMALL:
        return Const(shape, None, frozenset(), False)
    return np.full(shape, value)


def _range(c: Converter, node: Node, inputs: Inputs) -> Any:
    import numpy as np

    values = [(_ints(inputs, i) or [0])[0] for i in range(3)]
    if not all(isinstance(v, int | float) for v in values) or not values[2]:
        raise Unknown
    count = (values[1] - values[0]) / values[2]
    if count > SMALL:
        raise Unknown
    return np.arange(*values)


def _reduced(name: str) -> Callable[..., Any]:
    def run(c: Converter, node: Node, inputs: Inputs) -> Any:
        import numpy as np

        x = _first(inputs)
        axes = _axes(c, node, inputs)
        keep = bool(node.attributes.get("keepdims", 1))
        if x.values is None:
            shape = _bounded(x.shape)
            gone = {a % len(shape) for a in axes} if axes else set(range(len(shape)))
            kept = [1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone]
            return Const(tuple(kept))
        over = tuple(int(a) for a in axes) if axes else None
        return np.asarray(getattr(np, name)(x.values, axis=over, keepdims=keep))

    return run


def _matmul(c: Converter, node: Node, inputs: Inputs) -> Any:
    a, b = _bounded(_first(inputs).shape), _bounded(inputs[1].shape if inputs[1] else ())
    if node.op == "Gemm":
        a = a[::-1] if node.attributes.get("transA") else a
        b = b[::-1] if node.attributes.get("transB") else b
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise Unknown
    import numpy as np

    made = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    return Const(made, macs=prod(made) * a[-1])


def _linear(c: Converter, node: Node, inputs: Inputs) -> Any:
    x, w = _bounded(_first(inputs).shape), _bounded(inputs[1].shape if inputs[1] else ())
    if not x or len(w) != 2 or x[-1] != w[1]:
        raise Unknown
    made = (*x[:-1], w[0])
    return Const(made, macs=prod(made) * x[-1])


def _same(c: Converter, node: Node, inputs: Inputs) -> Any:
    return _first(inputs)


def _shape(c: Converter, node: Node, inputs: Inputs) -> Any:
    sizes = _first(inputs).shape
    if node.op == "Size":
        return of([prod(_bounded(sizes))], ())
    return of(list(sizes)[node.attributes.get("start", 0) : node.attributes.get("end")])


def _unary(name: str) -> Callable[..., Any]:
    return _elementwise(_numpy(name))


SHAPED: dict[str, Callable[[Converter, Node, Inputs], Any]] = {
    "Add": _elementwise(lambda a, b: a + b),
    "Sub": _elementwise(lambda a, b: a - b),
    "Mul": _elementwise(lambda a, b: a * b),
    "Div": _elementwise(_div),
    "Mod": _elementwise(_mod),
    "Pow": _elementwise(lambda a, b: a**b),
    "Max": _elementwise(_max),
    "Min": _elementwise(_min),
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
    "Sigmoid": _same, "Relu": _same, "Clip": _same, "Softmax": _same, "Erf": _same,
    "Identity": _same, "Dropout": _same, "LayerNormalization": _same,
    "Cast": _cast, "CastLike": _same,
    "Shape": _shape, "Size": _shape,
    "Unsqueeze": _moved(_unsqueeze), "Squeeze": _moved(_squeeze),
    "Transpose": _moved(_transpose), "Reshape": _moved(_reshape), "Flatten": _moved(_flatten),
    "Gather": _moved(_gather), "Slice": _moved(_slice), "Concat": _moved(_concat),
    "Split": _moved(_split), "Expand": _moved(_expand),
    "ConstantOfShape": _constant_of_shape, "Range": _range,
    "ReduceProd": _reduced("prod"), "ReduceSum": _reduced("sum"), "ReduceMax": _reduced("max"),
    "ReduceMin": _reduced("min"), "ReduceMean": _reduced("mean"), "ReduceL2": _reduced("max"),
    "MatMul": _matmul, "Gemm": _matmul, "Linear": _linear,
}  # fmt: skip
MULTIPLIED = frozenset({"MatMul", "Gemm", "Linear"})
INTEGER = frozenset({"Shape", "Size", "ConstantOfShape", "Range"})
