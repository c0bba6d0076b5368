"""Layers that only move values, followed position by position.

A chain of reshapes, permutations, cuts and joins is known by where it takes each value from:
every value of a volume carries its place in the volume that the chain starts at. Two chains
are the same where these places are, however they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..layers import REGISTRY

if TYPE_CHECKING:
    from ..layers.base import Layer
    from .draft import Draft, Item

MOVES = frozenset(
    ("reshape", "permute", "slice", "gather", "roll", "concat", "flatten", "window_partition",
     "window_reverse")
)  # fmt: skip
WRITTEN = re.compile(
    "(reshape|view|flatten|permute|transpose|slice|concat|cat|gather|select|roll|matmul|linear)"
    r"(_\d+)?"
)
NUMBER = re.compile(r"_\d+$")
MOST = 1 << 23  # values of a volume that is followed
DEEPEST = 24  # layers between a volume and the one that it is followed to
MOST_ABOVE = 60  # layers that are looked through for the cut that made windows
MOST_WINDOWS = 64  # sides of a window that are tried for an axis


class Walk(NamedTuple):
    """A volume by its places in another one, `root`."""

    root: str
    places: Any  # of every value, its place among the root's, row by row
    covered: frozenset[str]  # the layers in between


class _Pass:
    """What the forward of a layer without weights asks for."""

    def __init__(self, dialect: Any) -> None:
        self.dialect, self.training, self.mask = dialect, False, None


def sizes(draft: Draft, ref: str) -> tuple[int, ...] | None:
    """The shape of a volume; None where it has symbols or is too large to follow."""
    found = numbers(draft, ref)
    return None if found is None or prod(found) > MOST else found


def numbers(draft: Draft, ref: str) -> tuple[int, ...] | None:
    """The shape of a volume; None where it has symbols."""
    shape = draft.shapes[ref]
    if not all(isinstance(n, int) for n in shape):
        return None
    return tuple(int(str(n)) for n in shape)


def moved(draft: Draft, layer: Layer, *xs: Any) -> Any:
    """What a layer that moves values makes of arrays, as its own forward does."""
    run: Any = _Pass(draft.dialect)
    return layer.forward(run, *(x[None] for x in xs))[0]


def start(draft: Draft, ref: str) -> Walk | None:
    """A volume as its own root."""
    import numpy as np

    shape = sizes(draft, ref)
    return (
        None
        if shape is None
        else Walk(ref, np.arange(prod(shape), dtype="int32").reshape(shape), frozenset())
    )


def walk(draft: Draft, ref: str, deep: int = 0) -> Walk | None:
    """A volume followed up through all that only moves values."""
    item = draft.items.get(ref)
    if item is None or item.op not in MOVES or item.note or item.share or deep > DEEPEST:
        return start(draft, ref)
    if sizes(draft, ref) is None:
        return None
    found = [walk(draft, i, deep + 1) for i in dict.fromkeys(item.inputs)]
    by_name = dict(zip(dict.fromkeys(item.inputs), found, strict=True))
    roots = {w.root if w else None for w in found}
    if None in roots or len(roots) > 1:
        return start(draft, ref)
    walks: list[Any] = [by_name[i] for i in item.inputs]
    places = moved(draft, draft.layers[ref], *(w.places for w in walks))
    return Walk(walks[0].root, places, frozenset({ref}).union(*(w.covered for w in walks)))


def called(draft: Draft, item: Item, op: str, last: Item | None = None) -> Item:
    """A layer to name another after: its path, where its own word says how it was written.

    >>> from cnncalc.dialects import dialect
    >>> from cnncalc.importers.draft import Draft, Item
    >>> draft = Draft("net", dialect("torch"))
    >>> called(draft, Item("attn.reshape_4", "reshape", {}, ()), "window_partition").name
    'attn.window_partition'
    """
    path, dot, word = item.name.rpartition("." if "." in item.name else "/")
    if not item.source or not dot:
        return item
    name = f"{path}{dot}{op}" if WRITTEN.fullmatch(word) else item.name
    if last is not None and last.source and last.name.rpartition(dot)[0] == path:
        ends = [NUMBER.sub("", w) for w in (word, last.name.rpartition(dot)[2])]
        name = path if ends[0] != ends[1] else name  # attn.qkv and attn.proj are parts of attn
    return item._replace(name=name if name == item.name else draft.unique(name))


def plain(values: Sequence[int]) -> Any:
    """One number for equal ones."""
    return values[0] if len(set(values)) == 1 else list(values)


def same(a: Any, b: Any) -> bool:
    """Are two arrays the same?"""
    import numpy as np

    return a.shape == b.shape and bool(np.array_equal(a, b))


def closed(draft: Draft, covered: frozenset[str] | set[str], end: str) -> bool:
    """Whether nothing outside reads what is covered, but for its end."""
    readers = draft.readers()
    shared = {i.share for i in draft.items.values() if i.share}
    inner = set(covered) - {end}
    if inner & set(draft.outputs) or (inner | {end}) & shared:
        return False
    return all(set(covered).issuperset(readers[name]) for name in inner)


# --- rolls and windows -----------------------------------------------------------------------


def rearrange(draft: Draft) -> None:
    """Cyclic shifts, and windows cut out and put back, in place of the layers they are made of."""
    for name in list(draft.items):
        item = draft.items.get(name)
        if item is not None and item.op == "concat":
            _roll(draft, item)
    for name in list(draft.items):
        item = draft.items.get(name)
        if item is not None and item.op == "reshape":
            _windows(draft, item)


def pick(draft: Draft) -> None:
    """One position along an axis, cut out and its axis dropped, is a `gather`."""
    for name in list(draft.items):
        item = draft.items.get(name)
        if item is not None and item.op in ("reshape", "flatten"):
            _gathered(draft, item)


def _gathered(draft: Draft, item: Item) -> None:
    chain = [item]
    while chain[-1].op != "slice":
        above = draft.items.get(chain[-1].inputs[0])
        if above is None or above.op not in ("permute", "slice") or above.note or above.share:
            return
        chain.append(above)
        if len(chain) > 3:
            return
    cut = chain[-1]
    (source,) = cut.inputs
    begin, axis = sizes(draft, source), cut.fields.get("axis")
    if begin is None or axis is None or cut.fields.get("ranges") is not None:
        return
    axis = int(axis) % len(begin)
    fields = {"indices": int(cut.fields.get("start", 0)), "axis": axis}
    here = start(draft, source)
    if here is None or draft.shapes[cut.name][axis] != 1 or len(begin) < 2:
        return
    places = here.places
    for step in reversed(chain):
        places = moved(draft, draft.layers[step.name], places)
    covered = {i.name for i in chain}
    wanted = moved(draft, REGISTRY["gather"](**fields), here.places)
    if same(places, wanted) and closed(draft, covered, item.name):
        named = called(draft, chain[-1], "gather")
        draft.fuse(item.name, covered, "gather", fields, (source,), named)


def _roll(draft: Draft, item: Item) -> None:
    """Two parts of one volume, in the other order; one more axis of a roll just before."""
    parts = [draft.items.get(i) for i in item.inputs]
    if len(parts) != 2 or any(p is None or p.op != "slice" for p in parts):
        return
    a, b = (p for p in parts if p is not None)
    shape = sizes(draft, item.name)
    if a.inputs != b.inputs or shape is None or draft.shapes[a.inputs[0]] != shape:
        return
    found, whole = walk(draft, item.name), walk(draft, a.inputs[0])
    if found is None or whole is None or found.root != whole.root:
        return
    import numpy as np

    axis = int(item.fields.get("axis", -1)) % len(shape)
    shift = int(str(draft.shapes[b.name][axis]))  # the second part, that was first
    covered = {a.name, b.name, item.name}
    if not same(found.places, np.roll(whole.places, -shift, axis)):
        return
    if not closed(draft, covered, item.name):
        return
    (source,) = a.inputs
    by_axis = {axis: _short(-shift, shape[axis])}
    before = draft.items.get(source)
    if (
        before is not None
        and before.op == "roll"
        and closed(draft, {source, *covered}, item.name)
        and axis not in _shifted(draft, before)
    ):
        by_axis = {**_shifted(draft, before), **by_axis}
        covered.add(source)
        (source,) = before.inputs
    fields: dict[str, Any] = {"by": list(by_axis.values()), "axes": list(by_axis)}
    first = next(i for i in draft.items.values() if i.name in covered)
    draft.fuse(item.name, covered, "roll", fields, (source,), called(draft, first, "roll"))


def _shifted(draft: Draft, item: Item) -> dict[int, int]:
    """A roll's shift along each axis."""
    layer: Any = draft.layers[item.name]
    rank = len(draft.shapes[item.name])
    return {axis % rank: int(by) for axis, by in layer._shifts(rank)}


def _short(shift: int, n: int) -> int:
    """The shift of the smaller size, of those that are the same around n positions."""
    shift %= n
    return shift if 2 * shift <= n else shift - n


def _windows(draft: Draft, item: Item) -> None:
    """reshape, permute, reshape: a map cut into windows, or put together from them."""
    chain = [item]
    while len(chain) < 3:
        above = draft.items.get(chain[-1].inputs[0])
        if above is None or above.op not in ("reshape", "permute") or above.note or above.share:
            return
        chain.append(above)
    covered = {i.name for i in chain}
    (source,) = chain[-1].inputs
    if not closed(draft, covered, item.name):
        return
    begin, end = sizes(draft, source), sizes(draft, item.name)
    found = walk(draft, item.name)
    here = walk(draft, source)
    if begin is None or end is None or found is None or here is None or found.root != here.root:
        return
    cut = sizes(draft, chain[-1].name)
    back = len(end) == 3 and _in_windows(draft, source)
    for op, fields, view in _reversed(begin, end, cut) if back else _cut(begin, end):
        layer = REGISTRY[op](**fields)
        shape = layer.output([view], draft.dialect)
        if prod(int(str(n)) for n in shape) != prod(end):
            continue
        if same(moved(draft, layer, here.places.reshape(view)).reshape(end), found.places):
            if view != begin:  # windows in a row are laid out as a grid
                row = draft.behind(source, "reshape", {"to": list(view)}, (chain[-1].name,))
                source = row
            named = called(draft, chain[-1], op)
            ref = draft.fuse(item.name, covered, op, fields, (source,), named)
            if shape != end:
                draft.behind(ref, "reshape", {"to": list(end)})
            return


Candidate = tuple[str, dict[str, Any], tuple[int, ...]]


def _cut(begin: tuple[int, ...], end: tuple[int, ...]) -> Iterator[Candidate]:
    """Windows that a map can be cut into; those of a batch may be one axis."""
    if len(begin) < 3 or begin[-1] != end[-1] or len(end) < 3:
        return
    for sides in _sides(begin[:-1], end[-2]):
        for grid in (False, True):
            yield "window_partition", {"window": plain(sides), "grid": grid}, begin


def _reversed(begin: tuple[int, ...], end: tuple[int, ...], cut: Any) -> Iterator[Candidate]:
    """Windows that a map can be put together from; they may be in a row."""
    rank = len(end) - 1
    counts = begin[:-2] if len(begin) == rank + 2 else (cut or ())[:rank]
    if (
        begin[-1] != end[-1]
        or len(counts) != rank
        or any(n % c for n, c in zip(end, counts, strict=False))
    ):
        return
    sides = tuple(n // c for n, c in zip(end, counts, strict=False))
    if prod(sides) == begin[-2]:
        for grid in (False, True):
            fields = {"window": plain(sides), "grid": grid}
            yield "window_reverse", fields, (*counts, *begin[-2:])


def _in_windows(draft: Draft, ref: str) -> bool:
    """Whether a volume is windows: the last change of that kind before it cut some."""
    for _ in range(MOST_ABOVE):
        item = draft.items.get(ref)
        if item is None or item.op == "window_reverse":
            return False
        if item.op == "window_partition":
            return True
        ref = item.inputs[0]
    return len(draft.shapes[ref]) > 3


def soak(draft: Draft) -> None:
    """A border lower than any value, before a maximum over windows, is the pool's padding."""
    for name in sorted(draft.lowest & set(draft.items)):
        readers = draft.readers()[name]
        item = draft.items[name]
        pools = [draft.items[r] for r in readers]
        if name in draft.outputs or item.share or any(p.op != "maxpool" or p.share for p in pools):
            continue
        rank = len(draft.shapes[name]) - 1
        more = _ends(item.fields["by"], rank)
        given = [_ends(p.fields.get("pad", 0), rank) for p in pools]
        if more is None or None in given or any(p.fields.get("round") == "ceil" for p in pools):
            continue
        for pool, own in zip(pools, given, strict=True):
            both = [[a + c, b + d] for (a, b), (c, d) in zip(own or [], more, strict=True)]
            fields = {**pool.fields, "pad": both}
            draft.items[pool.name] = pool._replace(fields=fields, inputs=item.inputs)
            draft.layers[pool.name] = REGISTRY["maxpool"](**fields)
        del draft.items[name], draft.shapes[name]


def _ends(by: Any, rank: int) -> list[tuple[int, int]] | None:
    """A border's positions at both ends of every axis; None where it is no list of numbers."""
    values = by if isinstance(by, list | tuple) else [by] * rank
    pairs = [tuple(v) if isinstance(v, list | tuple) else (v, v) for v in values]
    known = all(len(p) == 2 and all(isinstance(n, int) for n in p) for p in pairs)
    return [(p[0], p[1]) for p in pairs] if known and len(pairs) == rank else None


def tidy(draft: Draft) -> None:
    """Drops views that change nothing any more."""
    for name in list(draft.items):
        item = draft.items[name]
        if item.op == "reshape" and not item.note and name not in draft.outputs:
            (source,) = item.inputs
            if draft.shapes[source] == draft.shapes[name]:
                draft.replace(name, source)


def _sides(shape: tuple[int, ...], tokens: int) -> Iterator[tuple[int, ...]]:
    """Sides of windows of so many tokens that divide a map, the squarest first."""
    found: list[tuple[int, ...]] = [()]
    for n in shape:
        found = [(*f, s) for f in found for s in range(1, min(n, MOST_WINDOWS) + 1)
                 if n % s == 0 and tokens % (prod(f) * s) == 0]  # fmt: skip
    yield from sorted((f for f in found if prod(f) == tokens), key=max)
