"""Which rows and columns of its input a layer never reads, found out on real tensors."""

from collections.abc import Collection
from typing import Any

from ..diagnostics import Diagnostic
from ..rows import Row
from .layer import Bound, trace
from .sizes import Net, whole

AXES = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}
MAX_PROBE = 4096
SINGLE = {"filters": 1, "groups": 1, "connect": None}


def unread(net: Net, shown: Collection[str]) -> list[Diagnostic]:
    """A note R008 for each layer in `shown` that leaves positions of its input unread."""
    notes = []
    for row in net.rows:
        if row.name in shown and row.layer.windows(row.input, row.dialect):
            text = _sentence(row)
            if text:
                notes.append(Diagnostic("R008", "note", text, row.span, row.name))
    return notes


def _sentence(row: Row) -> str:
    shape = row.input[0]
    parts = []
    for axis, word in enumerate(AXES.get(len(shape) - 1, ())):
        try:
            missed = never_read(row, axis)
        except Exception:  # JAX refuses the layer: the run has said so
            return ""
        if missed:
            parts.append(f"{word}{'s' if len(missed) > 1 else ''} {_ranges(missed)}")
    if not parts:
        return ""
    size = "x".join(str(n) for n in shape)
    text = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
    return f"JAX never reads {text} (counted from 1) of the {size} volume that '{row.name}' gets"


def never_read(row: Row, axis: int) -> list[int]:
    """Positions along a spatial axis, counted from 1, that change no output of the layer.

    One picture for each position, zero but for that position, goes through the real layer
    with one channel and weights of one; a picture that comes out as the blank one does was
    not read. The other axes are cut to the window, which they do not depend on.
    """
    import jax
    import numpy as np

    shape = _probe_shape(row, axis)
    count = shape[axis]
    if count > MAX_PROBE:
        return []
    layer = row.layer.replace(**{k: v for k, v in SINGLE.items() if k in row.layer.fields})
    arrays = {
        name: np.ones(weight.shape, np.float32)
        for name, weight in _weights(trace(layer, row.dialect, [(1, *shape)])).items()
    }
    pictures = np.zeros((count + 1, *shape), np.float32)
    view = np.moveaxis(pictures[:count], axis + 1, 1)
    view[np.arange(count), np.arange(count)] = 1
    out = jax.jit(lambda a, x: layer.reference(Bound(row.dialect, a), x))(arrays, pictures)
    values = np.asarray(out).reshape(count + 1, -1)
    read = (values[:count] != values[count]).any(axis=1)
    return [i + 1 for i in range(count) if not read[i]]


def _weights(traced: Any) -> dict[str, Any]:
    return {**traced.weights, **traced.buffers}


def _probe_shape(row: Row, axis: int) -> tuple[int, ...]:
    found = row.layer.windows(row.input, row.dialect)
    sizes = whole(row.input[0][:-1])
    extents = whole(w.extent for w in found)
    cut = [min(n, e) for n, e in zip(sizes, extents, strict=True)]
    cut[axis] = sizes[axis]
    return (*cut, 1)


def _ranges(positions: list[int]) -> str:
    """Positions in words.

    >>> _ranges([3, 6, 7, 8])
    '3, 6 to 8'
    """
    runs: list[list[int]] = []
    for n in positions:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    texts = [str(r[0]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in runs]
    return ", ".join(texts[:6]) + (f" and {len(texts) - 6} more" if len(texts) > 6 else "")
