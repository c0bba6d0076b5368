"""Operators of two and more tensors: sums, products, joins; and weights added or multiplied."""

from collections.abc import Sequence
from typing import Any

from ...formula import Number, product
from ..draft import decimal
from .core import Converter, Unknown, handles
from .reading import Node, array
from .relative import relative_bias
from .values import Const, Tensor, alike, one, same

ELEMENTWISE = {
    "Add": "add", "Sum": "add", "Mul": "multiply", "Sub": "subtract", "Div": "divide",
    "Max": "maximum", "Min": "minimum", "Mean": "average",
}  # fmt: skip


@handles("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min")
def binary(c: Converter, node: Node) -> None:
    if len(node.inputs) != 2:
        total(c, node)
        return
    a, b = c.value(node, 0), c.value(node, 1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        join(c, node, [a, b])
    elif isinstance(a, Tensor) and isinstance(b, Const):
        with_constant(c, node, a, b, first=True)
    elif isinstance(b, Tensor) and isinstance(a, Const):
        with_constant(c, node, b, a, first=False)
    else:
        raise Unknown


@handles("Sum", "Mean")
def total(c: Converter, node: Node) -> None:
    join(c, node, [c.tensor(node, i) for i in range(len(node.inputs))])


def join(c: Converter, node: Node, xs: Sequence[Tensor]) -> None:
    """Two tensors value by value, axes of size 1 repeated."""
    if len(xs) == 1:
        c.set(node, xs[0])
        return
    if node.op not in ELEMENTWISE:
        raise Unknown
    rank = max(x.rank for x in xs)
    lifted = [_lifted(x, rank) for x in xs]
    sizes = tuple(_common([x.sizes[i] for x in lifted]) for i in range(rank))
    order = max((x.order for x in lifted), key=len)
    wide = {a for x in lifted for a in x.order if not one(sizes[a])}
    if not wide <= set(order):
        order = tuple(i for i in range(rank) if not one(sizes[i])) or (rank - 1,)
    refs = [_laid(c, x, order, node.op == "Mul") for x in lifted]
    c.set(node, Tensor(c.emit(node, ELEMENTWISE[node.op], {}, refs), order, sizes))


def _laid(c: Converter, x: Tensor, order: tuple[int, ...], multiplied: bool) -> str:
    """A tensor beside others; `multiply` takes a vector of channels as it is."""
    if multiplied and x.order == order[-1:]:
        return x.ref
    return c.arranged(x, order)


def _lifted(x: Tensor, rank: int) -> Tensor:
    more = rank - x.rank
    return Tensor(x.ref, tuple(a + more for a in x.order), (*(1,) * more, *x.sizes))


def _common(sizes: Sequence[Number]) -> Number:
    return next((n for n in sizes if not one(n)), sizes[0])


# --- a tensor and a constant --------------------------------------------------------------------


def with_constant(c: Converter, node: Node, x: Tensor, k: Const, first: bool) -> None:
    """Weights become a bias, a scale or a positional array; numbers a rescaling."""
    if len(k.shape) > x.rank and not all(one(n) for n in k.shape[: len(k.shape) - x.rank]):
        raise Unknown
    numbers = k.numbers()
    if numbers is not None and all(isinstance(v, int | float | bool) for v in numbers):
        values = set(numbers)
        if len(values) == 1 and (all(one(n) for n in k.shape) or not _is_weight(k)):
            _by_number(c, node, x, float(values.pop()), first)
            return
    places = _places(x, k)
    if places is None or node.op not in ("Add", "Mul") or not _is_weight(k):
        _fixed(c, node, x, k, first)
        return
    count = product(k.shape)
    channels = (places == x.order[-1:] and bool(places)) or (not places and one(count))
    if channels and _into_bias(c, node, x, k):
        return
    if channels and node.op == "Mul" and (places or one(x.sizes[x.order[-1]])):
        ref = c.emit(node, "scale", {}, [x.ref], [k])
        c.set(node, x._replace(ref=ref))
        return
    _array(c, node, x, k, places)


def _is_weight(k: Const) -> bool:
    """Initialisers are trained; what an exporter computed or wrote in place is not."""
    return bool(k.weights) and not all(w.startswith(("onnx::", "val_")) for w in k.weights)


def _places(x: Tensor, k: Const) -> tuple[int, ...] | None:
    """The axes of x along which the constant varies, in the volume's order."""
    more = x.rank - len(k.shape)
    found = []
    for i, n in enumerate(k.shape):
        if one(n):
            continue
        axis = i + more
        if axis < 0 or axis not in x.order or not same(x.sizes[axis], n):
            return None
        found.append(axis)
    return tuple(a for a in x.order if a in found)


def _into_bias(c: Converter, node: Node, x: Tensor, k: Const) -> bool:
    """A vector added straight after a product or scale is its bias."""
    item = c.draft.items.get(x.ref)
    if node.op != "Add" or item is None or item.share:
        return False
    if item.op not in ("conv", "depthwise_conv", "linear", "dense", "scale"):
        return False
    name = next(i for i in node.inputs if isinstance(c.values[i], Tensor))
    if not c.private(name) or item.fields.get("bias", item.op == "conv"):
        return False
    count = c.draft.shapes[x.ref][-1]
    if not alike([product(k.shape)], [count]):
        return False
    c.draft.items[x.ref] = item._replace(fields={**item.fields, "bias": True})
    c.counted.update(k.weights)
    c.set(node, x)
    return True


def _by_number(c: Converter, node: Node, x: Tensor, value: float, first: bool) -> None:
    if value == (0.0 if node.op in ("Add", "Sub") else 1.0) and (
        first or node.op in ("Add", "Mul")
    ):
        c.set(node, x)
        return
    fields: dict[str, Any] | None = None
    op = "rescale"
    if node.op == "Add":
        fields = {"offset": decimal(value)}
    elif node.op == "Mul":
        fields = {"scale": decimal(value)}
    elif node.op == "Sub":
        fields = {"offset": decimal(-value)} if first else {"scale": -1, "offset": decimal(value)}
    elif node.op == "Div" and first and value:
        fields = {"scale": decimal(1 / value)}
    elif node.op == "Pow" and first:
        op, fields = "power", {"exponent": decimal(value)}
    elif node.op in ("Max", "Min"):
        op, fields = "clip", {"low" if node.op == "Max" else "high": decimal(value)}
        if value == 0 and node.op == "Max":
            op, fields = "relu", {}
    if fields is None:
        raise Unknown
    if not c.has(op):
        note = f"{node.op} with {decimal(value)} is left out: it changes no size"
        c.set(node, x._replace(ref=c.emit(node, "identity", {}, [x.ref], note=note)))
        return
    c.set(node, x._replace(ref=c.emit(node, op, fields, [x.ref])))


def _fixed(c: Converter, node: Node, x: Tensor, k: Const, first: bool) -> None:
    """A constant array that is not trained: masks, means, coordinates."""
    places = _places(x, k)
    if places is None:
        raise Unknown
    if _is_weight(k):
        _array(c, node, x, k, places)
        return
    note = f"{node.op} with a constant array is left out: it changes no size"
    ref = c.emit(node, "identity", {}, [x.ref], note=note)
    if node.op == "Add":
        _remember(c, node, ref, x, k)
    c.set(node, x._replace(ref=ref))


def _remember(c: Converter, node: Node, ref: str, x: Tensor, k: Const) -> None:
    """Keeps the values that are added, its axes as the volume's: they may hide pairs of tokens."""
    values = k.values
    if values is None:
        name = next(i for i in node.inputs if isinstance(c.values[i], Const))
        values = array(c.model, name)
    if values is None or values.dtype.kind not in "fi" or values.ndim > x.rank:
        return
    wide = values.reshape(*(1,) * (x.rank - values.ndim), *values.shape)
    gone = [a for a in range(x.rank) if a not in x.order]
    c.draft.arrays[ref] = wide.transpose(*x.order, *gone)[(..., *(0,) * len(gone))]


def _array(c: Converter, node: Node, x: Tensor, k: Const, places: tuple[int, ...]) -> None:
    """A trained array that is added to or multiplied with the volume."""
    if node.op == "Add" and relative_bias(c, node, x, k):
        return
    shape = [x.sizes[a] if a in places else 1 for a in x.order]
    count = product(shape)
    own = sum(_count(c, w) for w in k.weights - c.counted)
    if node.op == "Add" and c.has("positional") and same(count, own):
        fields: dict[str, Any] = {}
        if not alike(shape, [x.sizes[a] for a in x.order]):
            fields = {"shape": shape}
        ref = c.emit(node, "positional", fields, [x.ref], [k])
    elif node.op in ("Add", "Mul") and c.has("parameter") and same(count, own):
        value = c.emit(node, "parameter", {"shape": shape}, [x.ref], [k])
        ref = c.draft.add("add" if node.op == "Add" else "multiply", {}, [x.ref, value])
    else:
        note = f"{node.op} with an array made of weights: its size and parameters are kept"
        fields = {"op": node.op, "output": [x.sizes[a] for a in x.order]}
        if own:
            fields["params"] = own
        if k.macs:
            fields["macs"] = k.macs
        ref = c.emit(node, "opaque", fields, [x.ref], [k], note=note)
    c.set(node, x._replace(ref=ref))


@handles("Where")
def where(c: Converter, node: Node) -> None:
    """A tensor with constants put in some places: the size stays."""
    xs = [v for i in range(1, 3) if isinstance(v := c.value(node, i), Tensor)]
    k = next((v for i in range(1, 3) if isinstance(v := c.value(node, i), Const)), None)
    mask = c.const(node, 0)
    if len(xs) != 1 or k is None or (k.weights and not all(one(n) for n in k.shape)):
        raise Unknown
    (x,) = xs
    for shape in (mask.shape, k.shape):
        more = x.rank - len(shape)
        if more < 0 or not all(one(n) or same(n, x.sizes[i + more]) for i, n in enumerate(shape)):
            raise Unknown
    note = "Where with constants is left out: it changes no size"
    c.set(node, x._replace(ref=c.emit(node, "identity", {}, [x.ref], note=note)))


def _count(c: Converter, name: str) -> int:
    found = product(c.weights.get(name, (0,)))
    return found if isinstance(found, int) else 0


# --- joins along an axis, and products of two tensors ---------------------------------------------


@handles("Concat")
def concat(c: Converter, node: Node) -> None:
    values = [c.values[i] for i in node.inputs if i]
    xs = [v for v in values if isinstance(v, Tensor)]
    rank = xs[0].rank
    axis = node.attributes.get("axis", 1) % rank
    if len(xs) < len(values):
        _with_token(c, node, values, axis)
        return
    if len(xs) == 1:
        c.set(node, xs[0])
        return
    order = xs[0].order
    if axis not in order:
        order = tuple(sorted({*order, axis}))
    for x in xs:
        if not {a for a in x.order if not one(x.sizes[a])} <= set(order):
            order = tuple(sorted({a for y in xs for a in y.order} | {axis}))
    refs = [c.arranged(x, order) for x in xs]
    place = order.index(axis)
    fields = {} if place == len(order) - 1 else {"axis": place}
    c.set(node, c.made(c.emit(node, "concat", fields, refs), order, rank))


def _with_token(c: Converter, node: Node, values: Sequence[Any], axis: int) -> None:
    """One trained array before or behind the tokens: a class token."""
    if len(values) != 2 or not c.has("class_token"):
        raise Unknown
    first = isinstance(values[0], Const)
    k, x = (values[0], values[1]) if first else (values[1], values[0])
    if x.rank != k.rank or not _is_weight(k) or len(x.order) < 2:
        raise Unknown
    width = x.rank - 1
    order = (*(a for a in x.order if a not in (axis, width)), axis, width)
    if axis == width or set(order) != set(x.order) or not same(k.shape[width], x.sizes[width]):
        raise Unknown
    if not all(one(n) for i, n in enumerate(k.shape) if i not in (axis, width)):
        raise Unknown
    held = c.flat(x, order)
    fields: dict[str, Any] = {} if first else {"position": "last"}
    if not one(k.shape[axis]):
        fields["count"] = k.shape[axis]
    c.set(node, c.made(c.emit(node, "class_token", fields, [held.ref], [k]), order, x.rank))


def product_of(c: Converter, node: Node, a: Tensor, b: Tensor) -> None:
    """A matrix product of two tensors; leading axes go along."""
    rank = max(a.rank, b.rank)
    a, b = _lifted(a, rank), _lifted(b, rank)
    lead = [_common([a.sizes[i], b.sizes[i]]) for i in range(rank - 2)]
    sizes = (*lead, a.sizes[-2], b.sizes[-1])
    order = (*(i for i in range(rank - 2) if not one(lead[i])), rank - 2, rank - 1)
    multiplied(c, node, [a, b], [order, order], Tensor("", order, sizes))


def multiplied(
    c: Converter, node: Node, xs: Sequence[Tensor], orders: Sequence[tuple[int, ...]],
    made: Tensor,
) -> None:  # fmt: skip
    """The `matmul` of two tensors held in these orders; `made` has its order and sizes."""
    a, b = xs
    first, second = orders
    swapped = (*second[:-2], second[-1], second[-2])
    turned = b.order == swapped
    refs = [c.arranged(a, first), c.arranged(b, swapped if turned else second)]
    fields = {"transpose_b": True} if turned else {}
    c.set(node, made._replace(ref=c.emit(node, "matmul", fields, refs)))


@handles("Einsum")
def einsum(c: Converter, node: Node) -> None:
    """A product over one index of two tensors, other common indices going along."""
    left, arrow, right = node.attributes.get("equation", "").replace(" ", "").partition("->")
    parts = left.split(",")
    if not arrow or len(parts) != 2 or "." in left:
        raise Unknown
    a, b = c.tensor(node, 0), c.tensor(node, 1)
    one_, two = parts
    if (
        len(one_) != a.rank
        or len(two) != b.rank
        or any(len(set(w)) < len(w) for w in (*parts, right))
    ):
        raise Unknown
    common = [i for i in right if i in one_ and i in two]
    summed = [i for i in one_ if i in two and i not in right]
    rows, columns = ([i for i in w if i not in common + summed] for w in parts)
    if not len(summed) == len(rows) == len(columns) == 1 or set(right) != {
        *common,
        *rows,
        *columns,
    }:
        raise Unknown
    size = {i: n for w, x in ((one_, a), (two, b)) for i, n in zip(w, x.sizes, strict=True)}
    lead = [i for i in common if not one(size[i])]
    orders = [
        tuple(one_.index(i) for i in (*lead, *rows, *summed)),
        tuple(two.index(i) for i in (*lead, *summed, *columns)),
    ]
    order = tuple(right.index(i) for i in (*lead, *rows, *columns))
    made = Tensor("", order, tuple(size[i] for i in right))
    multiplied(c, node, [a, b], orders, made)
