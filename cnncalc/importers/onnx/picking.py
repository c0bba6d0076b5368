"""Operators that pick positions of an axis: slices, parts, gathers, words."""

from typing import Any

from ...formula import Number, ceil_div, compare
from .core import Converter, Unknown, handles
from .moving import reshaped
from .reading import Node
from .values import Const, Tensor, alike, is_number, one, same


def part(c: Converter, node: Node, x: Tensor, axis: int, cut: dict[str, Any], n: Number) -> Tensor:
    """Some positions of one axis; `cut` are the fields of `slice`."""
    held = x if axis in x.order else c.flat(x, tuple(sorted({*x.order, axis})))
    place = held.order.index(axis)
    spot = -1 if place == len(held.order) - 1 else place
    ref = c.emit(node, "slice", {"axis": spot, **cut}, [held.ref])
    sizes = (*x.sizes[:axis], n, *x.sizes[axis + 1 :])
    return Tensor(ref, held.order, sizes)


MAX_PICKED = 1 << 10  # longer lists of positions would be unreadable


@handles("Slice")
def slice_(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    starts, ends = c.numbers(node, 1, "starts"), c.numbers(node, 2, "ends")
    if starts is None or ends is None:
        raise Unknown
    axes = c.numbers(node, 3, "axes") or list(range(len(starts)))
    steps = c.numbers(node, 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = int(axis) % x.rank
        n = x.sizes[at]
        if step < 0:
            if step == -1 and alike([n], [n]) and is_number(start, -1):
                note = "reversed in the source: no size changes"
                x = x._replace(ref=c.emit(node, "identity", {}, [x.ref], note=note))
                continue
            raise Unknown
        low = _inside(start, n)
        high = _inside(end, n)
        if is_number(low, 0) and same(high, n) and step == 1:
            continue
        cut: dict[str, Any] = {"start": low}
        if not same(high, n):
            cut["stop"] = high
        if step != 1:
            cut["step"] = int(step)
        x = part(c, node, x, at, cut, ceil_div(high - low, int(step)))
    c.set(node, x)


def _inside(place: Any, n: Number) -> Number:
    """A position counted from the start, within the axis."""
    if isinstance(place, int) and place < 0:
        place = n + place
    if compare(place, n) == 1:
        return n
    found: Number = place
    return 0 if compare(found, 0) == -1 else found


@handles("Split")
def split(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    axis = node.attributes.get("axis", 0) % x.rank
    sizes = c.numbers(node, 1, "split")
    n = x.sizes[axis]
    if sizes is None:
        count = node.attributes.get("num_outputs") or len(node.outputs)
        size = ceil_div(n, count)
        sizes = [size] * (count - 1)
        sizes.append(n - size * (count - 1))
    start: Number = 0
    for i, size in enumerate(sizes):
        if i < len(node.outputs) and c.readers.get(node.outputs[i], 0):
            cut = {"start": start, "stop": start + size}
            if same(start + size, n):
                del cut["stop"]
            c.set(node, part(c, node, x, axis, cut, size), i)
        start = start + size


@handles("SplitToSequence")
def split_to_sequence(c: Converter, node: Node) -> None:
    """Parts of one size, the last one smaller, or of the sizes given; `SequenceAt` picks one."""
    x = c.tensor(node)
    axis = node.attributes.get("axis", 0) % x.rank
    given, n = c.value(node, 1), x.sizes[axis]
    sizes: list[Any] = c.numbers(node, 1) or [1]
    if not isinstance(given, Const) or not given.shape:
        size = sizes[0]
        if not isinstance(n, int) or not isinstance(size, int) or not 0 < n <= size * MAX_PICKED:
            raise Unknown
        sizes = [min(size, n - at) for at in range(0, n, size)]
    kept = bool(node.attributes.get("keepdims", 1)) or given is not None
    c.sequences[node.outputs[0]] = axis, sizes, kept
    c.set(node, x)


@handles("SequenceAt")
def sequence_at(c: Converter, node: Node) -> None:
    found, at = c.sequences.get(node.inputs[0]), c.numbers(node, 1)
    if found is None or not at or not isinstance(at[0], int):
        raise Unknown
    x, (axis, sizes, kept) = c.tensor(node), found
    if not -len(sizes) <= at[0] < len(sizes):
        raise Unknown
    place = at[0] % len(sizes)
    start: Number = 0
    for size in sizes[:place]:
        start = start + size
    cut: dict[str, Any] = {"start": start}
    if place < len(sizes) - 1:
        cut["stop"] = start + sizes[place]
    made = part(c, node, x, axis, cut, sizes[place])
    if not kept:
        reshaped(c, node, made, (*made.sizes[:axis], *made.sizes[axis + 1 :]))
        return
    c.set(node, made)


@handles("Gather")
def gather(c: Converter, node: Node) -> None:
    table, places = c.value(node, 0), c.value(node, 1)
    axis = node.attributes.get("axis", 0)
    if isinstance(table, Const) and isinstance(places, Tensor):
        _embedding(c, node, table, places, axis)
        return
    x, at = c.tensor(node), c.const(node, 1)
    numbers = at.numbers()
    axis %= x.rank
    if numbers is None or not all(isinstance(v, int) for v in numbers):
        raise Unknown
    n = x.sizes[axis]
    if len(at.shape) > 1:
        _by_table(c, node, x, at, numbers, axis)
        return
    if len(numbers) == 1:
        start = _inside(int(numbers[0]), n)
        found = x
        if not (one(n) and is_number(start, 0)):
            cut = {"start": start, "stop": start + 1}
            found = part(c, node, x, axis, cut, 1)
        if not at.shape:
            reshaped(c, node, found, (*x.sizes[:axis], *x.sizes[axis + 1 :]))
            return
        c.set(node, found)
        return
    if not c.has("gather") or axis not in x.order:
        raise Unknown
    fields = {"indices": [int(v) for v in numbers], "axis": x.order.index(axis)}
    ref = c.emit(node, "gather", fields, [x.ref])
    c.set(node, Tensor(ref, x.order, (*x.sizes[:axis], len(numbers), *x.sizes[axis + 1 :])))


def _by_table(
    c: Converter, node: Node, x: Tensor, at: Const, numbers: list[int], axis: int
) -> None:
    """Positions in a table of several axes: picked one after the other, then put in its shape."""
    n = x.sizes[axis]
    if numbers != list(range(n if isinstance(n, int) else 0)):  # else all of them, as they are
        if axis not in x.order or len(numbers) > MAX_PICKED:
            raise Unknown
        fields = {"indices": numbers, "axis": x.order.index(axis)}
        ref = c.draft.add("gather", fields, [x.ref])
        x = Tensor(ref, x.order, (*x.sizes[:axis], len(numbers), *x.sizes[axis + 1 :]))
    reshaped(c, node, x, (*x.sizes[:axis], *at.shape, *x.sizes[axis + 1 :]))


def _embedding(c: Converter, node: Node, table: Const, places: Tensor, axis: int) -> None:
    if not c.has("embedding") or axis != 0 or table.rank != 2:
        raise Unknown
    order = tuple(range(1 if one(places.sizes[0]) else 0, places.rank))
    fields = {"vocab": table.shape[0], "dim": table.shape[1]}
    ref = c.emit(node, "embedding", fields, [c.arranged(places, order)], [table])
    c.set(node, Tensor(ref, (*order, places.rank), (*places.sizes, table.shape[1])))
