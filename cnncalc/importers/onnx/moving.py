"""Operators that move, pick, pad and average values."""

from collections.abc import Sequence
from typing import Any

from ...formula import Number, ceil_div, compare, product
from ..draft import padding, plain
from .core import Converter, Unknown, handles
from .folding import shape_of
from .reading import Node
from .values import Const, Sizes, Tensor, alike, groups, one, same

handles("Shape", "Size")(shape_of)


@handles("Transpose")
def transpose(c: Converter, node: Node) -> None:
    """Only the view changes: the volume stays as it is."""
    x = c.tensor(node)
    perm = node.attributes.get("perm") or list(range(x.rank))[::-1]
    if sorted(perm) != list(range(x.rank)):
        raise Unknown
    sizes = tuple(x.sizes[p] for p in perm)
    c.set(node, Tensor(x.ref, tuple(perm.index(a) for a in x.order), sizes))


@handles("Flatten")
def flatten(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    axis = node.attributes.get("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    reshaped(c, node, x, (product(x.sizes[:axis]), product(x.sizes[axis:])))


@handles("Reshape")
def reshape(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    to = c.numbers(node, 1, "shape")
    if to is None:
        raise Unknown
    if not node.attributes.get("allowzero"):
        to = [x.sizes[i] if _is(n, 0) and i < x.rank else n for i, n in enumerate(to)]
    total = product(x.sizes)
    given = product([n for n in to if not _is(n, -1)])
    batch = _batch(c)
    if any(_is(n, -1) for n in to):
        if batch > 1 and to and _is(to[0], batch):
            to[0], given = 1, product([n for n in to[1:] if not _is(n, -1)])
        rest = total // given
        to = [rest if _is(n, -1) else n for n in to]
    elif not same(total, given) and batch > 1:
        to = _per_item(to, batch)
    if not same(product(to), total):
        raise Unknown
    reshaped(c, node, x, tuple(to))


def _batch(c: Converter) -> int:
    """The batch that the file was written for, where it is a number."""
    dims = next(iter(c.model.inputs.values()))
    return dims[0] if dims and len(dims) > 1 and isinstance(dims[0], int) else 1


def _per_item(to: Sequence[Any], batch: int) -> list[Any]:
    """A shape written for a whole batch, for one item."""
    for i, n in enumerate(to):
        if isinstance(n, int) and n % batch == 0:
            return [*to[:i], n // batch, *to[i + 1 :]]
    return list(to)


def _is(n: Any, value: int) -> bool:
    return isinstance(n, int) and n == value


def reshaped(c: Converter, node: Node, x: Tensor, sizes: Sizes) -> None:
    """The tensor with new sizes; adding and dropping axes of size 1 costs nothing."""
    found = groups(x.sizes, sizes)
    if found is None:
        raise Unknown
    wide = [a for a in range(len(sizes)) if not one(sizes[a])]
    if all(len(old) == len(new) == 1 for old, new in found):
        place = {old[0]: new[0] for old, new in found}
        held = x
        if any(a not in place for a in x.order):  # axes of size 1 that the volume writes
            kept = tuple(a for a in x.order if a in place)
            if not kept:
                c.set(node, Tensor(_vector(c, node, x), (len(sizes) - 1,), sizes))
                return
            if len(kept) == 1:
                held = x._replace(ref=_vector(c, node, x), order=kept)
            else:
                held = c.flat(x, kept)
        c.set(node, Tensor(held.ref, tuple(place[a] for a in held.order), sizes))
        return
    if len(wide) == 1:
        c.set(node, Tensor(_vector(c, node, x), (wide[0],), sizes))
        return
    order = tuple(a for a in x.order if not one(x.sizes[a]))
    split = _regrouped(order, found)
    shuffled = _shuffled(c, node, x, found, sizes) if split is None else None
    if shuffled is not None:
        c.set(node, shuffled)
        return
    if split is None:
        order = tuple(sorted(order))
        split = _regrouped(order, found)
        assert split is not None
    ref = c.arranged(x, order) if order else x.ref
    ref = c.emit(node, "reshape", {"to": [sizes[a] for a in split]}, [ref])
    c.set(node, Tensor(ref, split, sizes))


def _shuffled(
    c: Converter, node: Node, x: Tensor, found: Sequence[Any], sizes: Sizes
) -> Tensor | None:
    """Channels split into groups, the two axes swapped and merged again: a channel shuffle."""
    merged = [(old, new) for old, new in found if len(old) != 1 or len(new) != 1]
    source = c.draft.items.get(x.ref)
    if len(merged) != 1 or source is None or source.op != "reshape" or len(x.order) < 2:
        return None
    (old, new) = merged[0]
    before, after = c.draft.shapes[source.inputs[0]], c.draft.shapes[x.ref]
    if len(new) != 1 or x.order[-2:] != tuple(old)[::-1] or not alike(before[:-1], after[:-2]):
        return None
    place = {a[0]: b[0] for a, b in found if len(a) == len(b) == 1}
    if any(a not in place for a in x.order[:-2]):
        return None
    ref = c.emit(node, "channel_shuffle", {"groups": after[-2]}, [source.inputs[0]])
    return Tensor(ref, (*(place[a] for a in x.order[:-2]), new[0]), sizes)


def _vector(c: Converter, node: Node, x: Tensor) -> str:
    if len(x.order) == 1:
        return x.ref
    return c.emit(node, "flatten", {}, [x.ref])


def _regrouped(order: tuple[int, ...], found: Sequence[Any]) -> tuple[int, ...] | None:
    """New axes in the volume's order; None where merged axes do not lie side by side."""
    group = {old[0]: (old, new) for old, new in found}
    result: list[int] = []
    i = 0
    while i < len(order):
        if order[i] not in group:
            return None
        old, new = group[order[i]]
        if order[i : i + len(old)] != old:
            return None
        result.extend(new)
        i += len(old)
    return tuple(result)


@handles("Squeeze")
def squeeze(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    axes = c.numbers(node, 1, "axes")
    gone = {i for i, n in enumerate(x.sizes) if one(n)} if axes is None else {
        int(a) % x.rank for a in axes}  # fmt: skip
    if any(not one(x.sizes[a]) for a in gone):
        raise Unknown
    reshaped(c, node, x, tuple(n for i, n in enumerate(x.sizes) if i not in gone))


@handles("Unsqueeze")
def unsqueeze(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    axes = c.numbers(node, 1, "axes") or []
    rank = x.rank + len(axes)
    new = {int(a) % rank for a in axes}
    places = [i for i in range(rank) if i not in new]
    if len(places) != x.rank:
        raise Unknown
    sizes: list[Number] = [1] * rank
    for place, n in zip(places, x.sizes, strict=True):
        sizes[place] = n
    c.set(node, Tensor(x.ref, tuple(places[a] for a in x.order), tuple(sizes)))


@handles("Expand")
def expand(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    to = c.numbers(node, 1) or []
    rank = max(x.rank, len(to))
    sizes = (*(1,) * (rank - x.rank), *x.sizes)
    wanted = [*(1,) * (rank - len(to)), *to]
    full = tuple(w if one(n) else n for n, w in zip(sizes, wanted, strict=True))
    more = rank - x.rank
    lifted = Tensor(x.ref, tuple(a + more for a in x.order), sizes)
    if alike(full, sizes):
        c.set(node, lifted)
        return
    if not c.has("expand"):
        raise Unknown
    order = tuple(a for a in range(rank) if not one(full[a]))
    ref = c.emit(node, "expand", {"to": [full[a] for a in order]}, [c.arranged(lifted, order)])
    c.set(node, Tensor(ref, order, full))


@handles("Roll")
def roll(c: Converter, node: Node) -> None:
    """PyTorch's cyclic shift."""
    x = c.tensor(node)
    axes = [d % x.rank for d in node.attributes["dims"]]
    if any(a not in x.order for a in axes):
        raise Unknown
    fields = {"by": node.attributes["shifts"], "axes": [x.order.index(a) for a in axes]}
    c.set(node, x._replace(ref=c.emit(node, "roll", fields, [x.ref])))


# --- parts of an axis -----------------------------------------------------------------------------


def part(c: Converter, node: Node, x: Tensor, axis: int, cut: dict[str, Any], n: Number) -> Tensor:
    """Some positions of one axis; `cut` are the fields of `slice`."""
    held = x if axis in x.order else c.flat(x, tuple(sorted({*x.order, axis})))
    place = held.order.index(axis)
    spot = -1 if place == len(held.order) - 1 else place
    ref = c.emit(node, "slice", {"axis": spot, **cut}, [held.ref])
    sizes = (*x.sizes[:axis], n, *x.sizes[axis + 1 :])
    return Tensor(ref, held.order, sizes)


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
            if step == -1 and alike([n], [n]) and _is(start, -1):
                note = "reversed in the source: no size changes"
                x = x._replace(ref=c.emit(node, "identity", {}, [x.ref], note=note))
                continue
            raise Unknown
        low = _inside(start, n)
        high = _inside(end, n)
        if _is(low, 0) and same(high, n) and step == 1:
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
    if numbers is None or len(at.shape) > 1 or not all(isinstance(v, int) for v in numbers):
        raise Unknown
    n = x.sizes[axis]
    if len(numbers) == 1:
        start = _inside(int(numbers[0]), n)
        found = x
        if not (one(n) and _is(start, 0)):
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


def _embedding(c: Converter, node: Node, table: Const, places: Tensor, axis: int) -> None:
    if not c.has("embedding") or axis != 0 or table.rank != 2:
        raise Unknown
    order = tuple(range(1 if one(places.sizes[0]) else 0, places.rank))
    fields = {"vocab": table.shape[0], "dim": table.shape[1]}
    ref = c.emit(node, "embedding", fields, [c.arranged(places, order)], [table])
    c.set(node, Tensor(ref, (*order, places.rank), (*places.sizes, table.shape[1])))


# --- padding, resizing, averages ------------------------------------------------------------------


@handles("Pad")
def pad(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    pads = c.numbers(node, 1, "pads")
    axes = c.numbers(node, 3)
    if pads is None or not all(isinstance(p, int) for p in pads):
        raise Unknown
    if axes is not None:
        full = [0] * 2 * x.rank
        for i, axis in enumerate(axes):
            full[int(axis) % x.rank] = pads[i]
            full[int(axis) % x.rank + x.rank] = pads[len(axes) + i]
        pads = full
    if not any(pads):
        c.set(node, x)
        return
    before, after = pads[: x.rank], pads[x.rank :]
    mode = node.attributes.get("mode", "constant")
    if x.rank < 3 or len(pads) != 2 * x.rank or any(before[:2]) or any(after[:2]):
        raise Unknown
    note = "" if mode == "constant" else f"padded with {mode} values in the source, here zeros"
    ref = c.image(x)
    order = (*range(2, x.rank), 1)
    added = [max(p, 0) for p in before[2:]], [max(p, 0) for p in after[2:]]
    taken = [max(-p, 0) for p in before[2:]], [max(-p, 0) for p in after[2:]]
    if any(added[0] + added[1]):
        ref = c.emit(node, "pad", {"by": padding(*added)}, [ref], note=note)
    if any(taken[0] + taken[1]):
        ref = c.emit(node, "crop", {"by": padding(*taken)}, [ref])
    c.set(node, c.made(ref, order, x.rank))


@handles("Resize", "Upsample")
def resize(c: Converter, node: Node) -> None:
    """By a factor `upsample`, to a size `resize`."""
    x = c.tensor(node)
    a = node.attributes
    method = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[
        a.get("mode", "nearest")]  # fmt: skip
    at = 2 if node.op == "Resize" and c.opset >= 11 else 1
    scales = c.numbers(node, at, "scales") or None
    sizes = c.numbers(node, 3) if node.op == "Resize" and c.opset >= 11 else None
    coordinates = a.get("coordinate_transformation_mode", "half_pixel")
    order = (*range(2, x.rank), 1)
    if x.rank < 3 or a.get("axes"):
        raise Unknown
    note = ""
    if scales and len(scales) == x.rank:
        whole = [int(s) if float(s).is_integer() else float(s) for s in scales[2:]]
        if method == "bicubic" or any(s != 1 for s in scales[:2]):
            raise Unknown
        if method == "bilinear" and coordinates not in ("half_pixel", "pytorch_half_pixel"):
            note = f"coordinates '{coordinates}' in the source, here half_pixel"
        fields: dict[str, Any] = {"scale": plain(whole), "method": method}
        ref = c.emit(node, "upsample", fields, [c.image(x)], note=note)
    elif sizes and len(sizes) == x.rank and c.has("resize"):
        kinds = {"align_corners": "align_corners", "asymmetric": "asymmetric"}
        fields = {"to": plain(sizes[2:]), "method": method}
        if coordinates in kinds:
            fields["coordinates"] = kinds[coordinates]
        ref = c.emit(node, "resize", fields, [c.image(x)])
    else:
        raise Unknown
    c.set(node, c.made(ref, order, x.rank))


@handles("DepthToSpace")
def depth_to_space(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    note = "" if node.attributes.get("mode") == "CRD" else "DCR order in the source, here CRD"
    fields = {"scale": node.attributes.get("blocksize", 1)}
    ref = c.emit(node, "pixel_shuffle", fields, [c.image(x)], note=note)
    c.set(node, c.made(ref, (2, 3, 1), x.rank))


@handles("ReduceMean", "ReduceSum", "ReduceMax")
def reduce(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    axes = c.numbers(node, 1, "axes")
    keep = bool(node.attributes.get("keepdims", 1))
    gone = sorted({int(a) % x.rank for a in axes} if axes else range(x.rank))
    op = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max"}[node.op]
    sizes = tuple(1 if i in gone else n for i, n in enumerate(x.sizes))
    over = [a for a in gone if a in x.order]
    left = tuple(a for a in x.order if a not in gone)
    if not over or not left or not (c.has(op)):
        raise Unknown
    spatial = over == list(range(2, x.rank)) and left == (1,) and x.order == (*over, 1)
    if spatial and op in ("mean", "max") and x.rank > 3:
        whole = "global_avgpool" if op == "mean" else "global_maxpool"
        ref = c.emit(node, whole, {"keepdims": True} if keep else {}, [x.ref])
    else:
        fields: dict[str, Any] = {"axes": [x.order.index(a) for a in over]}
        if keep:
            fields["keepdims"] = True
        ref = c.emit(node, op, fields, [x.ref])
    if keep:
        c.set(node, Tensor(ref, x.order, sizes))
        return
    kept = [i for i in range(x.rank) if i not in gone]
    c.set(node, Tensor(ref, tuple(kept.index(a) for a in left), tuple(sizes[i] for i in kept)))
