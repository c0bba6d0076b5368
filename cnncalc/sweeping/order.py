"""Sorting and Pareto fronts of a stream of points, in bounded memory."""

import heapq
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from .settings import Key, SweepError
from .sweep import Block

RUN = 4_000_000  # points sorted in memory; more are kept in sorted runs on disk
MOST_FRONT = 1_000_000
READ = 1 << 16


def ranks(column: Any) -> Any:
    """int64 numbers in the same order as the values, whatever their type."""
    import numpy as np

    if column.dtype != object:
        return column
    return np.unique(column, return_inverse=True)[1].astype(np.int64)


def objectives(block: Block, keys: Sequence[Key]) -> list[Any]:
    """The columns that are to be small."""
    return [-block.columns[k.name] if k.down else block.columns[k.name] for k in keys]


class Front:
    """The points that no other point is better than in every objective, kept online.

    >>> import numpy as np
    >>> front = Front(2)
    >>> front.add(np.arange(4), [np.array([1, 2, 2, 3]), np.array([9, 5, 7, 5])])
    >>> front.index.tolist()
    [0, 1]
    """

    def __init__(self, count: int) -> None:
        import numpy as np

        self.index: Any = np.empty(0, dtype=np.int64)
        self.values: list[Any] = [np.empty(0, dtype=np.int64) for _ in range(count)]

    def add(self, index: Any, values: Sequence[Any]) -> None:
        """Takes more points in."""
        import numpy as np

        if len(values) > 1 and len(self.index):
            index, values = self._hopeful(index, values)
        joined = [np.concatenate(pair) for pair in zip(self.values, values, strict=True)]
        numbers = np.concatenate([self.index, index])
        keep = efficient([ranks(x) for x in joined])
        if len(keep) > MOST_FRONT:
            raise SweepError(
                f"the Pareto front has more than {MOST_FRONT:,} points: "
                "most of the names swept do not change its quantities"
            )
        self.index, self.values = numbers[keep], [x[keep] for x in joined]

    def _hopeful(self, index: Any, values: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
        # A few points of the front refute most newcomers at little cost.
        import numpy as np

        keep = np.arange(len(index))
        step = max(1, len(self.index) // 8)
        for i in range(0, len(self.index), step):
            now = [v[keep] for v in values]
            worse = np.ones(len(keep), dtype=bool)
            better = np.zeros(len(keep), dtype=bool)
            for mine, theirs in zip(self.values, now, strict=True):
                worse &= theirs >= mine[i]
                better |= theirs > mine[i]
            keep = keep[~(worse & better).astype(bool)]
        return index[keep], [v[keep] for v in values]


def efficient(values: Sequence[Any]) -> Any:
    """Positions of the points that no other point dominates, in their order.

    A point dominates another one where it is at most as large in everything and smaller in
    something.

    >>> import numpy as np
    >>> efficient([np.array([3, 1, 2, 1]), np.array([1, 3, 2, 3])]).tolist()
    [0, 1, 2, 3]
    """
    import numpy as np

    order = np.lexsort(tuple(reversed(values)))
    if len(values) == 1:
        return np.flatnonzero(values[0] == values[0].min()) if len(order) else order
    a, b = values[0][order], values[1][order]
    if len(values) > 2 or not len(order):
        return _many([v[order] for v in values], order)
    lowest = np.minimum.accumulate(b)
    first = np.searchsorted(a, a, side="left")  # where each value of a begins
    before = np.where(first > 0, lowest[first - 1], lowest.max() + 1)
    return np.sort(order[(b < before) & (b == b[first])])


def _many(values: list[Any], order: Any) -> Any:
    # Sorted by the first objective, no point is dominated by a later one that differs in it.
    import numpy as np

    kept = []
    alive = np.arange(len(order))
    while len(alive):
        i = alive[0]
        kept.append(i)
        at_most = np.ones(len(alive), dtype=bool)
        same = np.ones(len(alive), dtype=bool)
        for v in values:
            at_most &= v[alive] >= v[i]
            same &= v[alive] == v[i]
        kept.extend(alive[1:][same[1:]])
        alive = alive[~at_most]
    return np.sort(order[np.array(kept, dtype=np.int64)]) if kept else order


class Sorter:
    """Points in the order of some keys; those whose values are unknown come last.

    With `limit` only the first ones are kept; without it sorted runs go to disk.
    """

    def __init__(self, keys: Sequence[Key], limit: int | None = None) -> None:
        self.keys, self.limit = keys, limit
        self.columns: list[list[Any]] = []  # of each block: unknown, keys, index
        self.held = 0
        self.runs: list[str] = []
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    def add(self, block: Block) -> None:
        """Takes the points of a block in."""
        import numpy as np

        unknown = (~block.known.astype(bool)).astype(np.int64)
        columns = [unknown, *objectives(block, self.keys), block.index]
        columns[1:-1] = [np.where(unknown == 1, 0, c) for c in columns[1:-1]]
        self.columns.append(columns)
        self.held += block.size
        if self.held > RUN or (self.limit and self.held > 4 * max(self.limit, READ)):
            self._settle()

    def _settle(self) -> None:
        """Sorts what is held; keeps the first `limit`, or writes a run."""
        held = self._sorted()
        self.columns, self.held = [held], len(held[-1])
        if self.limit is None and self.held > RUN // 2:
            self._spill(held)
            self.columns, self.held = [], 0

    def _sorted(self) -> list[Any]:
        import numpy as np

        joined = [np.concatenate(parts) for parts in zip(*self.columns, strict=True)]
        order = np.lexsort(tuple(ranks(c) for c in reversed(joined)))
        return [c[order[: self.limit]] for c in joined]

    def _spill(self, held: list[Any]) -> None:
        import numpy as np

        if any(c.dtype == object for c in held):
            raise SweepError(
                f"more than {RUN:,} points with numbers beyond 64 bits cannot be sorted: "
                "keep fewer with --where, --limit or --sample"
            )
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="cnncalc-sweep-")
        path = os.path.join(self.folder.name, f"run{len(self.runs)}.npy")
        np.save(path, np.stack(held, axis=1))
        self.runs.append(path)

    def order(self) -> Iterator[Any]:
        """The numbers of the points in order, some at a time."""
        import numpy as np

        held = self._sorted() if self.columns else None
        if not self.runs:
            index = held[-1] if held is not None else np.empty(0, dtype=np.int64)
            for low in range(0, len(index), READ):
                yield index[low : low + READ]
            return
        if held is not None:
            self._spill(held)
        streams = [_rows(np.load(path, mmap_mode="r")) for path in self.runs]
        batch: list[int] = []
        for row in heapq.merge(*streams):
            batch.append(row[-1])
            if len(batch) == READ:
                yield np.array(batch, dtype=np.int64)
                batch = []
        if batch:
            yield np.array(batch, dtype=np.int64)

    def close(self) -> None:
        if self.folder is not None:
            self.folder.cleanup()


def _rows(table: Any) -> Iterator[list[int]]:
    for low in range(0, len(table), READ):
        yield from table[low : low + READ].tolist()
