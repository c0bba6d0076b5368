"""What is added to the scores of an attention: relative positions, and hidden pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..layers import REGISTRY
from ..layers.base import axes
from .moves import same, sizes, walk

if TYPE_CHECKING:
    from .draft import Draft, Item

HIDING = -9.0  # a smaller number added to a score hides the pair


class Scores(NamedTuple):
    """What stands between the product of queries and keys and the softmax."""

    product: Item
    covered: frozenset[str]
    factor: float
    logit: bool
    biases: tuple[tuple[str, str], ...]  # what is added: the layer that adds, what is added
    masks: tuple[str, ...]  # constants that are added


class Found(NamedTuple):
    """An attention: its fields so far, the layers that it covers, and the linear maps."""

    fields: dict[str, Any]
    covered: frozenset[str]
    inputs: tuple[str, ...]
    maps: tuple[str, ...]
    merged: str  # all heads side by side


def chain(draft: Draft, ref: str) -> frozenset[str]:
    found = walk(draft, ref)
    return frozenset() if found is None else found.covered | {found.root}


def extras(
    draft: Draft, found: Found, scores: Scores, shape: tuple[int, ...], covered: frozenset[str]
) -> tuple[dict[str, Any], frozenset[str], str] | None:
    """Fields of the bias and of what is hidden, the layers of the bias, and a note."""
    fields: dict[str, Any] = {}
    also: frozenset[str] = frozenset()
    note = ""
    if len(scores.biases) > 1 or (shape[-1] != shape[-2] and scores.biases):
        return None
    for where, added in scores.biases:
        if where == added:
            told = _unseen_bias(draft, found, where, shape)
        else:
            told = _table(draft, found, added, shape)
            also = chain(draft, added)
        if told is None:
            return None
        fields |= told
    unread = any(ref not in draft.arrays for ref in scores.masks)
    unseen = not scores.masks and any(where == added for where, added in scores.biases)
    if unread or unseen:
        shift = _rolled(draft, found, fields["window"]) if "window" in fields else None
        if shift:
            fields["shift"] = shift
            note = "its mask is computed in the file, and taken to be that of the roll before it"
        elif unread:
            return None
    elif scores.masks:
        hidden = _hidden(draft, scores, shape)
        told = None if hidden is None else _pattern(draft, found, fields, hidden)
        if told is None:
            return None
        fields |= told
    return fields, also, note


def _windows(draft: Draft, found: Found, tokens: int) -> Iterator[tuple[int, ...]]:
    """Sides of windows: those that were cut before it; else of two axes, the squarest first."""
    source = _source(draft, found)
    if source is not None:
        layer: Any = draft.layers[source[0].name]
        yield axes(layer.window, len(draft.shapes[source[0].inputs[0]]) - 1)
    for a in range(int(tokens**0.5), 0, -1):
        if tokens % a == 0:
            yield a, tokens // a
            if a * a != tokens:
                yield tokens // a, a


def _table(draft: Draft, found: Found, ref: str, shape: tuple[int, ...]) -> dict[str, Any] | None:
    """A table of one number a distance and head, read for all pairs."""
    import numpy as np

    from ..layers._agseq import distances

    read = walk(draft, ref)
    root = draft.items.get(read.root) if read else None
    heads, tokens = shape[-3], shape[-1]
    if read is None or root is None or root.op != "parameter":
        return None
    lead = read.places.shape[:-3]
    if read.places.shape[-3:] != (heads, tokens, tokens) or any(n != 1 for n in lead):
        return None
    rows = read.places.reshape(heads, tokens, tokens)
    for window in ((tokens,), *_windows(draft, found, tokens)):
        if tuple(draft.shapes[read.root]) != (prod(2 * w - 1 for w in window), heads):
            continue
        wanted = distances(window)[None] * heads + np.arange(heads)[:, None, None]
        if same(rows, wanted):
            return {"window": list(window), "relative_bias": "table"}
    return None


def _unseen_bias(
    draft: Draft, found: Found, ref: str, shape: tuple[int, ...]
) -> dict[str, Any] | None:
    """A bias by distance of which only the counts are known: a table, or a small network's."""
    fields = draft.items[ref].fields
    params, macs = int(fields.get("params", 0)), int(fields.get("macs", 0))
    heads = shape[-3]
    for window in _windows(draft, found, shape[-1]):
        far = prod(2 * w - 1 for w in window)
        if not macs and params == far * heads:
            return {"window": list(window), "relative_bias": "table"}
        hidden = params // (3 + heads)
        if params == hidden * (3 + heads) and macs == far * hidden * (2 + heads) and hidden:
            told: dict[str, Any] = {"window": list(window), "relative_bias": "continuous"}
            return told if hidden == 512 else told | {"hidden": hidden}
    return None


def _source(draft: Draft, found: Found) -> tuple[Item, Item | None] | None:
    """The windows that an attention reads, through what acts on tokens, and what is before."""
    ref = found.inputs[0]
    for _ in range(3):
        item = draft.items.get(ref)
        if item is None:
            return None
        if item.op == "window_partition":
            return item, draft.items.get(item.inputs[0])
        if item.op not in ("reshape", "layernorm"):
            return None
        ref = item.inputs[0]
    return None


def _rolled(draft: Draft, found: Found, window: list[int]) -> list[int] | None:
    """The shift of the roll before the windows."""
    source = _source(draft, found)
    before = source[1] if source is not None else None
    if before is None or before.op != "roll":
        return None
    layer: Any = draft.layers[before.name]
    by = dict(layer._shifts(len(draft.shapes[before.name])))
    shift = [-int(by.get(axis, 0)) for axis in range(len(window))]
    return shift if any(shift) and all(0 <= s < w for s, w in zip(shift, window, strict=True)) else None  # noqa: E501  # fmt: skip


def _hidden(draft: Draft, scores: Scores, shape: tuple[int, ...]) -> Any:
    """The pairs that constants hide, (..., tokens, keys); None where they do other things."""
    import numpy as np

    total: Any = np.zeros((1,) * len(shape))
    for ref in scores.masks:
        total = total + draft.arrays[ref]
    hidden = total < HIDING
    if not ((total == 0) | hidden).all() or (hidden.ndim > 2 and hidden.shape[-3] != 1):
        return None
    return hidden[..., 0, :, :]


def _pattern(
    draft: Draft, found: Found, fields: dict[str, Any], hidden: Any
) -> dict[str, Any] | None:
    """Causal, or the pairs that a shift has brought together."""
    import numpy as np

    from ..layers._agseq import hidden_pairs

    tokens, keys = hidden.shape[-2:]
    later = np.triu(np.ones((tokens, keys), bool), 1)
    if tokens == keys and (hidden == later).all():
        return {"causal": True}
    grid = _grid(draft, found)
    if "window" not in fields and grid is None:
        return None
    counts = grid if grid is not None else hidden.shape[:-2]
    windows = (
        [fields["window"]] if "window" in fields else map(list, _windows(draft, found, tokens))
    )
    for window in windows:
        for shift in _shifts(window, _rolled(draft, found, window)):
            told = {"window": window, "shift": shift}
            if len(counts) != len(window):
                continue
            layer: Any = REGISTRY["attention"](heads=1, **told)
            pairs = hidden_pairs(layer, (*counts, tokens, 1), (tokens, keys))
            if pairs is None:
                continue
            wanted = pairs[..., 0, :, :] < HIDING
            if same(wanted.reshape(-1, tokens, keys), hidden.reshape(-1, tokens, keys)):
                return told
    return None


def _grid(draft: Draft, found: Found) -> tuple[int, ...] | None:
    """The number of windows along each axis, where they were folded into one."""
    source = _source(draft, found)
    return None if source is None else sizes(draft, source[0].name)[:-2]  # type: ignore[index]


def _shifts(window: Iterable[int], first: list[int] | None) -> Iterator[list[int]]:
    """Shifts that a window can have, the likely ones first."""
    if first is not None:
        yield first
    a, b = (*window, 1)[:2]
    yield [a // 2, b // 2]
    for i in range(a if a * b <= 256 else 0):
        for j in range(b):
            if i or j:
                yield [i, j]
