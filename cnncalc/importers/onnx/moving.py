"""Operators that move values: transposing, reshaping, repeating along new axes."""

from collections.abc import Sequence
from typing import Any

from ...formula import Number, product
from .core import Converter, Unknown, handles
from .folding import shape_of
from .reading import Node
from .values import Sizes, Tensor, alike, groups, is_number, one, same

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
        to = [x.sizes[i] if is_number(n, 0) and i < x.rank else n for i, n in enumerate(to)]
    total = product(x.sizes)
    given = product([n for n in to if not is_number(n, -1)])
    batch = _batch(c)
    if any(is_number(n, -1) for n in to):
        if batch > 1 and to and is_number(to[0], batch):
            to[0], given = 1, product([n for n in to[1:] if not is_number(n, -1)])
        rest = total // given
        to = [rest if is_number(n, -1) else n for n in to]
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
