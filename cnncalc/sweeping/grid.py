"""The points of a sweep: named values, every combination of them, or a sample."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import gcd, prod
from typing import Any, NamedTuple

from .. import units
from ..formula import Symbol
from ..source import shorten

LIMIT = 10**12  # of a value: that of a spec's own fields
MOST_VALUES = 10_000_000  # of one name
MOST_POINTS = 2**62
RANGE = re.compile(r"([^.:]+)\.\.([^.:*]+)(?:([:*])([^.:*]+))?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class GridError(ValueError):
    """A `--set` that cannot be read, or too many points."""


class Axis(NamedTuple):
    """One name and its values, in the order given."""

    name: str
    values: Sequence[int]

    @property
    def symbol(self) -> Symbol:
        """A symbol whose domain is as small as a range with a step can be."""
        low, high = min(self.values), max(self.values)
        step = gcd(*self.values) if len(self.values) < 100_000 else 1
        return Symbol(self.name, low, high, max(1, step))


def read_axis(text: str) -> Axis:
    """A `--set` of `sweep`: `k=64`, `k=16,32,64`, `k=16..256:16`, `k=16..1024*2`.

    The end of a range belongs to it where a step reaches it.

    >>> read_axis("k=16..64:16").values, read_axis("k=1..9*3").values
    (range(16, 65, 16), (1, 3, 9))
    >>> read_axis("k=8, 3").values
    (8, 3)
    """
    name, equals, rest = text.partition("=")
    name, rest = name.strip(), rest.strip()
    if not equals or not NAME.fullmatch(name) or not rest:
        form = "name=values, such as k=16..256:16 or k=16,32,64"
        raise GridError(f"--set takes {form}, not '{shorten(text)}'")
    values = _range(name, rest) if ".." in rest else _list(name, rest)
    if not isinstance(values, range) and len(set(values)) < len(values):
        raise GridError(f"--set {name}: a value is given twice")
    return Axis(name, values)


def _list(name: str, text: str) -> tuple[int, ...]:
    return tuple(_number(name, part) for part in text.split(","))


def _range(name: str, text: str) -> Sequence[int]:
    match = RANGE.fullmatch(text)
    if match is None:
        help_ = "a range is first..last, first..last:step or first..last*factor"
        raise GridError(f"--set {name}={shorten(text)}: {help_}")
    low, high = _number(name, match[1]), _number(name, match[2])
    step = _number(name, match[4]) if match[4] else 1
    if step < 1 or (match[3] == "*" and (step < 2 or low < 1)):
        raise GridError(f"--set {name}: a step is at least 1, a factor at least 2")
    if high < low:
        raise GridError(f"--set {name}: {low}..{high} holds no value")
    if match[3] == "*":
        found = [low]
        while found[-1] * step <= high:
            found.append(found[-1] * step)
        return tuple(found)
    if (high - low) // step >= MOST_VALUES:
        raise GridError(f"--set {name}: more than {MOST_VALUES:,} values")
    return range(low, high + 1, step)


def _number(name: str, text: str) -> int:
    text = text.strip()
    sign = -1 if text.startswith("-") else 1
    figure = units.read(text.lstrip("-"))
    if figure is None or figure.value.denominator != 1:
        raise GridError(f"--set {name}: '{shorten(text)}' is not a whole number")
    if figure.value > LIMIT:
        raise GridError(f"--set {name}: {shorten(text)} is larger than {LIMIT:,}")
    return sign * figure.value.numerator


class Box(NamedTuple):
    """Neighbouring points: the outer product of one slice of each axis, from `start` on."""

    start: int
    shape: tuple[int, ...]
    slices: tuple[slice, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)


class Grid:
    """All combinations of the axes; the last axis runs fastest.

    >>> grid = Grid([Axis("k", (1, 2)), Axis("H", range(5, 8))])
    >>> grid.total, grid.point(4)
    (6, {'k': 2, 'H': 6})
    >>> [(box.start, box.shape) for box in grid.boxes(0, 2)]
    [(0, (1, 2)), (2, (1, 1)), (3, (1, 2)), (5, (1, 1))]
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = tuple(axes)
        self.names = tuple(axis.name for axis in axes)
        self.shape = tuple(len(axis.values) for axis in axes)
        self.total = prod(self.shape)
        if self.total > MOST_POINTS:
            raise GridError(f"the grid has {self.total:,} points: more than can be numbered")
        self._arrays: list[Any] | None = None

    @property
    def arrays(self) -> list[Any]:
        """The values of each axis as int64."""
        import numpy as np

        if self._arrays is None:
            self._arrays = [np.array(axis.values, dtype=np.int64) for axis in self.axes]
        return self._arrays

    def point(self, index: int) -> dict[str, int]:
        """The values at one point."""
        found = {}
        for axis in reversed(self.axes):
            index, at = divmod(index, len(axis.values))
            found[axis.name] = axis.values[at]
        return {name: found[name] for name in self.names}

    def boxes(self, start: int, most: int, stop: int | None = None) -> Iterator[Box]:
        """Boxes of at most `most` points, in order, that cover the points from `start` on."""
        whole, inner = len(self.shape), 1  # axes from `whole` on are taken in full
        while whole > 1 and inner * self.shape[whole - 1] <= most:
            whole -= 1
            inner *= self.shape[whole]
        cut = max(whole - 1, 0)
        step = max(1, most // inner)
        stop = self.total if stop is None else stop
        while start < stop:
            yield self._box(start, cut, inner, step, stop)
            start += self._box(start, cut, inner, step, stop).size

    def _box(self, start: int, cut: int, inner: int, step: int, stop: int) -> Box:
        if not self.shape:
            return Box(0, (), ())
        outer, inside = divmod(start, inner)
        if inside or stop - start < inner:  # resumed amid a box: finish a row of the last axis
            cut, inner, outer, step = len(self.shape) - 1, 1, start, max(1, step)
        rest, at = divmod(outer, self.shape[cut])
        count = min(step, self.shape[cut] - at, max(1, (stop - start) // inner))
        slices: list[slice] = [slice(at, at + count)]
        for size in reversed(self.shape[:cut]):
            rest, i = divmod(rest, size)
            slices.insert(0, slice(i, i + 1))
        slices += [slice(0, size) for size in self.shape[cut + 1 :]]
        shape = tuple(s.stop - s.start for s in slices)
        return Box(start, shape, tuple(slices))

    def values(self, box: Box) -> dict[str, Any]:
        """The values of each name in a box, shaped to broadcast against each other."""
        rank = len(self.axes)
        found = {}
        for i, (axis, part) in enumerate(zip(self.axes, box.slices, strict=True)):
            shape = [1] * rank
            shape[i] = -1
            found[axis.name] = self.arrays[i][part].reshape(shape)
        return found

    def at(self, indexes: Any) -> dict[str, Any]:
        """The values of each name at numbered points."""
        found: dict[str, Any] = {}
        for i in range(len(self.axes) - 1, -1, -1):
            found[self.names[i]] = self.arrays[i][indexes % self.shape[i]]
            indexes = indexes // self.shape[i]
        return {name: found[name] for name in self.names}


def sample(total: int, count: int, seed: int) -> Any:
    """`count` of `total` points, each at most once, in order; the same ones for one seed."""
    import random

    import numpy as np

    if count >= total:
        return np.arange(total, dtype=np.int64)
    if total <= 4 * count or total < 100_000:
        chosen = np.random.default_rng(seed).permutation(total)[:count]
    else:
        chosen = np.array(random.Random(seed).sample(range(total), count), dtype=np.int64)
    return np.sort(chosen.astype(np.int64))


def most(values: Mapping[str, Any]) -> dict[str, int]:
    """The largest |value| of each name."""
    return {
        name: max(abs(int(array.min())), abs(int(array.max()))) if array.size else 0
        for name, array in values.items()
    }
