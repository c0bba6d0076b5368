"""Operators that move, join, repeat, reduce or multiply constants, by values or by shapes alone."""

from collections.abc import Callable
from math import prod
from typing import Any

from .core import Converter, Unknown
from .elementwise import Inputs, bounded, first, ints, of
from .reading import SMALL, Node
from .values import Const


def _moved(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator that only moves values: on weights that are not there, on a stand-in."""

    def run(c: Converter, node: Node, inputs: Inputs) -> Any:
        import numpy as np

        x = first(inputs)
        known = x.values is not None
        data: Any = x.values if known else np.broadcast_to(np.int8(0), bounded(x.shape))
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
    return found if found is not None else ints(inputs, 1)


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
    to = [int(n) for n in node.attributes.get("shape") or ints(inputs, 1) or []]
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
        places = Const(places.shape, np.zeros(bounded(places.shape), int))
    if prod(places.values.shape) > SMALL:
        raise Unknown
    axis = node.attributes.get("axis", 0)
    if axis % x.ndim == 0 and x.ndim > 1 and prod(x.shape[1:]) * places.values.size > 1 << 24:
        return np.broadcast_to(np.int8(0), (*places.values.shape, *x.shape[1:]))
    return np.take(x, places.values.astype(int), axis=axis)


def _slice(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    starts = node.attributes.get("starts") or ints(inputs, 1) or []
    ends = node.attributes.get("ends") or ints(inputs, 2) or []
    axes = node.attributes.get("axes") or ints(inputs, 3) or list(range(len(starts)))
    steps = ints(inputs, 4) or [1] * len(starts)
    cut = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        low = None if step < 0 and end < -x.shape[axis] else int(end)
        cut[int(axis)] = slice(int(start), low, int(step))
    return x[tuple(cut)]


def _concat(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    parts = [v.values if v.values is not None else np.broadcast_to(np.int8(0), bounded(v.shape))
             for v in inputs if v is not None]  # fmt: skip
    if sum(p.size for p in parts) > 1 << 24:
        raise Unknown
    return np.concatenate(parts, node.attributes.get("axis", 0))


def _split(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    axis = node.attributes.get("axis", 0)
    sizes = node.attributes.get("split") or ints(inputs, 1)
    if sizes is None:
        return list(np.array_split(x, len(node.outputs), axis))
    return list(np.split(x, np.cumsum(sizes)[:-1].astype(int), axis))


def _expand(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    to = [int(n) for n in ints(inputs, 1) or []]
    shape = np.broadcast_shapes(x.shape, tuple(to))
    if prod(shape) > 1 << 24:
        raise Unknown
    return np.broadcast_to(x, shape)


def _constant_of_shape(c: Converter, node: Node, inputs: Inputs) -> Any:
    import numpy as np

    shape = tuple(ints(inputs, 0) or [])
    fill = node.attributes.get("value")
    value = fill.values.reshape(-1)[0] if fill is not None and fill.values is not None else 0.0
    if not all(isinstance(n, int) for n in shape) or prod(shape) > SMALL:
        return Const(shape, None, frozenset(), False)
    return np.full(shape, value)


def _range(c: Converter, node: Node, inputs: Inputs) -> Any:
    import numpy as np

    values = [(ints(inputs, i) or [0])[0] for i in range(3)]
    if not all(isinstance(v, int | float) for v in values) or not values[2]:
        raise Unknown
    count = (values[1] - values[0]) / values[2]
    if count > SMALL:
        raise Unknown
    return np.arange(*values)


def _reduced(name: str) -> Callable[..., Any]:
    def run(c: Converter, node: Node, inputs: Inputs) -> Any:
        import numpy as np

        x = first(inputs)
        axes = _axes(c, node, inputs)
        keep = bool(node.attributes.get("keepdims", 1))
        if x.values is None:
            shape = bounded(x.shape)
            gone = {a % len(shape) for a in axes} if axes else set(range(len(shape)))
            kept = [1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone]
            return Const(tuple(kept))
        over = tuple(int(a) for a in axes) if axes else None
        return np.asarray(getattr(np, name)(x.values, axis=over, keepdims=keep))

    return run


def _matmul(c: Converter, node: Node, inputs: Inputs) -> Any:
    a, b = bounded(first(inputs).shape), bounded(inputs[1].shape if inputs[1] else ())
    if node.op == "Gemm":
        a = a[::-1] if node.attributes.get("transA") else a
        b = b[::-1] if node.attributes.get("transB") else b
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise Unknown
    import numpy as np

    made = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    return Const(made, macs=prod(made) * a[-1])


def _linear(c: Converter, node: Node, inputs: Inputs) -> Any:
    x, w = bounded(first(inputs).shape), bounded(inputs[1].shape if inputs[1] else ())
    if not x or len(w) != 2 or x[-1] != w[1]:
        raise Unknown
    made = (*x[:-1], w[0])
    return Const(made, macs=prod(made) * x[-1])


def _same(c: Converter, node: Node, inputs: Inputs) -> Any:
    return first(inputs)


def _trilu(c: Converter, node: Node, x: Any, inputs: Inputs) -> Any:
    import numpy as np

    by = ints(inputs, 1) or [0]
    return (np.triu if node.attributes.get("upper", 1) else np.tril)(x, int(by[0]))


def _shape(c: Converter, node: Node, inputs: Inputs) -> Any:
    sizes = first(inputs).shape
    if node.op == "Size":
        return of([prod(bounded(sizes))], ())
    return of(list(sizes)[node.attributes.get("start", 0) : node.attributes.get("end")])


TABLE: dict[str, Callable[[Converter, Node, Inputs], Any]] = {
    "Sigmoid": _same, "Relu": _same, "Clip": _same, "Softmax": _same, "Erf": _same,
    "Identity": _same, "Dropout": _same, "LayerNormalization": _same,
    "CastLike": _same,
    "Shape": _shape, "Size": _shape,
    "Unsqueeze": _moved(_unsqueeze), "Squeeze": _moved(_squeeze),
    "Transpose": _moved(_transpose), "Reshape": _moved(_reshape), "Flatten": _moved(_flatten),
    "Gather": _moved(_gather), "Slice": _moved(_slice), "Concat": _moved(_concat),
    "Split": _moved(_split), "Trilu": _moved(_trilu), "Expand": _moved(_expand),
    "ConstantOfShape": _constant_of_shape, "Range": _range,
    "ReduceProd": _reduced("prod"), "ReduceSum": _reduced("sum"), "ReduceMax": _reduced("max"),
    "ReduceMin": _reduced("min"), "ReduceMean": _reduced("mean"), "ReduceL2": _reduced("max"),
    "MatMul": _matmul, "Gemm": _matmul, "Linear": _linear,
}  # fmt: skip
