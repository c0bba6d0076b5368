"""How fast the maps of a network shrink, for the lecture's caution."""

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from ..dialects import Window
from ..formula import compare
from ..rows import Row
from .base import whole
from .net import Net

RUN = 3  # unpadded convolutions in a row before the rule speaks
STEP = 4  # the largest stride of one layer inside a network


class _Run(NamedTuple):
    """Unpadded stride-1 convolutions in a row: how many, and the sizes they began with."""

    length: int
    first: tuple[int, ...]
    earlier: str  # the row that the run was extended from


def fast_runs(net: Net) -> Iterator[tuple[Row, int, tuple[int, ...], tuple[int, ...]]]:
    """Runs of unpadded convolutions that lose half an axis: last row, length, sizes."""
    runs: dict[str, _Run] = {}
    for row in net.rows:
        source = runs.get(row.inputs[0]) if len(row.inputs) == 1 else None
        sizes = whole(row.input[0][:-1]) if row.input else None
        if row.windows and sizes is not None and _narrows(row):
            count, first = (source.length, source.first) if source else (0, sizes)
            runs[row.name] = _Run(count + 1, first, row.inputs[0])
        elif source is not None and row.output[:-1] == row.input[0][:-1] and len(row.output) > 1:
            runs[row.name] = source._replace(earlier=row.inputs[0])
    extended = {run.earlier for run in runs.values()}
    for row in net.rows:
        run = runs.get(row.name)
        if run is None or run.length < RUN or row.name in extended:
            continue
        last = whole(row.output[:-1]) or ()
        if any(2 * b <= a for a, b in zip(run.first, last, strict=False)):
            yield _last_window(net, row), run.length, run.first, last


def _last_window(net: Net, row: Row) -> Row:
    """The convolution at the end of a run, before the layers that keep its size."""
    found: Row | None = row
    while found is not None and not found.windows:
        found = net.source(found)
    return found or row


def _narrows(row: Row) -> bool:
    """An unpadded stride-1 convolution, unless its kernel covers the map (a dense layer)."""
    slides = all(
        w.kind == "conv" and w.s == 1 and w.before == 0 == w.after and compare(w.out, 1) != -1
        for w in row.windows
    )
    return slides and not row.assumed and any(w.k != 1 and w.out != 1 for w in row.windows)


def long_steps(net: Net) -> Iterator[tuple[Row, int, int, int]]:
    """Layers amid sliding layers with a stride above STEP: row, axis, n, out."""
    for row in net.rows:
        if row.assumed or not _slides(row) or not _slid_before(net, row):
            continue
        for axis, w in enumerate(row.windows):
            sizes = whole((w.n, w.out))
            if sizes and sizes[1] > 1 and compare(w.s, STEP) == 1 and _slid_after(net, row):
                yield row, axis, sizes[0], sizes[1]
                break


def lone_pixels(net: Net) -> Iterator[Row]:
    """Convolutions whose kernel is larger than 1 along an axis with one position."""
    for row in net.rows:
        if not row.layer.linear or row.assumed or not _slides(row):
            continue
        if any(w.n == 1 and w.k != 1 for w in row.windows) and _slid_before(net, row):
            yield row


def _slides(row: Row) -> bool:
    return any(w.kind != "transpose" and w.k != 1 for w in row.windows)


def _slid_before(net: Net, row: Row) -> bool:
    """Whether a sliding layer comes before: the first one may take the input in large steps."""
    seen, todo = set(), [*row.inputs]
    while todo:
        found = net.by_name.get(todo.pop())
        if found is None or found.name in seen:
            continue
        if _slides(found):
            return True
        seen.add(found.name)
        todo.extend(found.inputs)
    return False


def _slid_after(net: Net, row: Row) -> bool:
    seen, todo = set(), [*net.readers.get(row.name, [])]
    while todo:
        found = todo.pop()
        if found.name in seen:
            continue
        if _slides(found):
            return True
        seen.add(found.name)
        todo.extend(net.readers.get(found.name, []))
    return False


def empty_taps(row: Row) -> tuple[int, int]:
    """Kernel positions that never meet a pixel, and all kernel positions."""
    alive = [_alive(w) for w in row.windows]
    taps = whole(w.k for w in row.windows)
    if taps is None or any(a is None for a in alive):
        return 0, 1
    return prod(taps) - prod(a or 0 for a in alive), prod(taps)


def _alive(w: Window) -> int | None:
    """Taps along one axis that meet a pixel in some window."""
    sizes = whole((w.n, w.k, w.s, w.d, w.before, w.out))
    if sizes is None or sizes[1] > 4096:
        return None
    n, k, s, d, before, out = sizes
    alive = 0
    for tap in range(k):
        first = tap * d - before  # position read in window 0; window j reads first + j*s
        j = max(0, -(first // s))  # the first window that reads at or after position 0
        alive += j < out and first + j * s < n
    return alive
