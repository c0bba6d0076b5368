"""Layers that pick parts of a volume, or repeat it: no weights, no MACs.

Axes are counted without the batch, from 0 or, where negative, from the end.
"""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from ..formula import Number, ceil_div, compare, minimum
from .base import (
    Axes,
    Count,
    Dialect,
    Fix,
    Index,
    Indices,
    Layer,
    Misfit,
    PerAxis,
    Ranges,
    Run,
    Shape,
    Shapes,
    Sizes,
    Volume,
    divides,
)
from .reshape import axis_misfits, position, volume_text

if TYPE_CHECKING:
    from ..execute import Pass

Cut = tuple[int, Any, Any, Any]  # axis, start, stop, step


def _from_start(place: Number, n: Number) -> Number:
    return n + place if compare(place, 0) == -1 else place


def along(axis: int, rank: int) -> int:
    """The axis of an array of `rank` axes, batch first, that a layer's axis means."""
    return axis + 1 if axis >= 0 else axis + rank


def with_axis(shape: Shape, axis: int, n: Number) -> Shape:
    return (*shape[:axis], n, *shape[axis + 1 :])


class Slice(Layer, op="slice"):
    """A part of one axis or of several: positions start, start + step, ... below stop.

    One axis by `axis`, `start`, `stop` and `step`; several by `ranges`, one an axis from the
    first, written as in Python: `ranges: [0::2, 1:-1]`. Axes are counted without the batch,
    and negative positions from the end.
    """

    axis: Any = Index(default=None)
    start: Any = Index(default=0)
    stop: Any = Index(default=None)
    step: Any = Count(default=1)
    ranges: Any = Ranges(default=None)

    examples = (
        ("9x8x4", {"axis": 0, "start": 2, "stop": 7}),
        ("9x8x4", {"axis": -1, "stop": 2}),
        ("9x8x4", {"axis": 1, "start": -5, "stop": -1, "step": 2}),
        ("20", {"axis": 0, "start": 3}),
        ("9x8x4", {"ranges": ["0::2", "1:-1"]}),
    )
    kept = 0

    def _cuts(self, rank: int) -> list[Cut]:
        """Axis, start, stop and step of every axis that is cut."""
        if self.ranges is not None:
            return [(i, *cut) for i, cut in enumerate(self.ranges[:rank])]
        axis = None if self.axis is None else position(self.axis, rank)
        return [] if axis is None else [(axis, self.start, self.stop, self.step)]

    @staticmethod
    def _ends(cut: Cut, n: Number) -> tuple[Number, Number]:
        stop = n if cut[2] is None else cut[2]
        return _from_start(cut[1], n), _from_start(stop, n)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape = inputs[0]
        for cut in self._cuts(len(shape)):
            start, stop = self._ends(cut, shape[cut[0]])
            shape = with_axis(shape, cut[0], ceil_div(stop - start, cut[3]))
        return shape

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        shape = inputs[0]
        if self.ranges is None:
            if self.axis is None:
                text = f"slice needs an axis, or ranges, one an axis of {volume_text(shape)}"
                yield Misfit("S008", text)
                return
            yield from axis_misfits([self.axis], len(shape), "axis")
        elif len(self.ranges) > len(shape):
            text = f"ranges lists {len(self.ranges)} axes, but the input has {len(shape)}"
            yield Misfit("S008", text, "ranges")
            return
        for cut in self._cuts(len(shape)):
            yield from self._empty(cut, shape[cut[0]])

    def _empty(self, cut: Cut, n: Number) -> Iterator[Misfit]:
        start, stop = self._ends(cut, n)
        where = f"positions {start} to {stop} of axis {cut[0]}, which has {n}"
        first, last = ("ranges", "ranges") if self.ranges is not None else ("start", "stop")
        if compare(stop, n) == 1 or compare(start, 0) == -1:
            yield Misfit("S009", f"the slice takes {where}", first if stop == n else last)
        elif compare(start, stop) in (0, 1):
            yield Misfit("S009", f"nothing is left: the slice takes {where}", first)

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        key = [slice(None)] * x.ndim
        for axis, start, stop, step in self._cuts(x.ndim - 1):
            key[axis + 1] = slice(start, stop, step)
        return ag.getitem(x, tuple(key))

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        if self.ranges is None:
            return _lax.cut(x, self.axis, self.start, self.stop, self.step)
        for axis, (start, stop, step) in enumerate(self.ranges):
            x = _lax.cut(x, axis, start, stop, step)
        return x


class _Part(Layer):
    """Shared facts of the layers that give one part of an axis."""

    parts: Any = PerAxis()
    index: Any = Count(default=0, minimum=0)
    axis: Any = Index(default=-1)

    def _bounds(self, n: Number) -> tuple[Number, Number]:
        """First position of the part, and one past its last."""
        raise NotImplementedError

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape = inputs[0]
        axis = position(self.axis, len(shape))
        if axis is None or self._outside():
            return shape
        start, stop = self._bounds(shape[axis])
        return with_axis(shape, axis, stop - start)

    def _count(self) -> int:
        return len(self.parts) if isinstance(self.parts, tuple) else self.parts

    def _outside(self) -> bool:
        return compare(self.index, self._count()) in (0, 1)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        if position(self.axis, len(inputs[0])) is None:
            yield from axis_misfits([self.axis], len(inputs[0]), "axis")
        elif self._outside():
            text = f"there is no part {self.index}: {self._count()} parts are counted from 0"
            yield Misfit("S009", text, "index")
        else:
            yield from self._uneven(inputs[0][position(self.axis, len(inputs[0])) or 0])

    def _uneven(self, n: Number) -> Iterator[Misfit]:
        return iter(())

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        axis = along(self.axis, x.ndim)
        start, stop = self._bounds(x.shape[axis])
        return ag.getitem(x, (*(slice(None),) * axis, slice(start, stop)))


class Split(_Part, op="split"):
    """One part of an axis that is split: into `parts` equal ones, or ones of the sizes listed.

    Parts are counted from 0; every part is a layer of its own that reads the same volume,
    `from` it (torch.split, numpy.split, ONNX Split). Three equal parts of a fused projection
    are its queries, keys and values.

    >>> from cnncalc.dialects import DEFAULT
    >>> Split(3, index=2).output([(197, 2304)], DEFAULT), Split([2, 5]).output([(7,)], DEFAULT)
    ((197, 768), (2,))
    """

    examples = (
        ("7x12", {"parts": 3, "index": 1}),
        ("9x4x4", {"parts": [2, 3, 4], "index": 2, "axis": 0}),
        ("10", {"parts": 2}),
    )
    kept = 0

    def _bounds(self, n: Number) -> tuple[Number, Number]:
        if not isinstance(self.parts, tuple):
            each = n // self.parts
            return self.index * each, (self.index + 1) * each
        start: Number = 0
        for size in self.parts[: self.index]:
            start = start + size
        return start, start + self.parts[self.index]

    def _uneven(self, n: Number) -> Iterator[Misfit]:
        if isinstance(self.parts, tuple):
            total: Number = 0
            for size in self.parts:
                total = total + size
            if compare(total, n) in (-1, 1):
                text = f"the parts have {total} positions together, but axis {self.axis} has {n}"
                rest = n - total + self.parts[-1]
                fixed = (*self.parts[:-1], rest)
                fix = Fix(f"parts: [{', '.join(map(str, fixed))}]", {"parts": fixed})
                yield Misfit("S007", text, "parts", (fix,) if compare(rest, 0) == 1 else ())
        elif divides(n, self.parts) is False:
            text = f"{self.parts} equal parts do not divide the {n} positions of axis {self.axis}"
            fits = [p for p in range(2, 65) if isinstance(n, int) and n % p == 0 and p > self.index]
            fixes = tuple(Fix(f"parts: {p}", {"parts": p}) for p in fits[:3])
            yield Misfit("S004", text, "parts", fixes)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp
        from jax import lax

        axis = self.axis + 1 if self.axis >= 0 else self.axis + x.ndim
        if not isinstance(self.parts, tuple):
            size = x.shape[axis] // self.parts
            return lax.slice_in_dim(x, self.index * size, (self.index + 1) * size, axis=axis)
        places = [sum(self.parts[:i]) for i in range(1, len(self.parts))]
        return jnp.split(x, places, axis)[self.index]


class Chunk(_Part, op="chunk"):
    """One of `parts` chunks of an axis: ceil(n/parts) positions each, the last what is left.

    Chunks are counted from 0 (torch.chunk, which gives fewer than `parts` where that many
    are not needed).
    """

    parts: Any = Count()
    index: Any = Count(default=0, minimum=0)
    axis: Any = Index(default=-1)

    examples = (
        ("7x12", {"parts": 3, "index": 1}),
        ("7x12", {"parts": 3, "index": 2, "axis": 0}),
        ("10", {"parts": 4, "index": 3}),
    )
    kept = 0

    def _bounds(self, n: Number) -> tuple[Number, Number]:
        each = ceil_div(n, self.parts)
        return minimum(self.index * each, n), minimum((self.index + 1) * each, n)

    def _uneven(self, n: Number) -> Iterator[Misfit]:
        start, stop = self._bounds(n)
        if compare(start, stop) in (0, 1):
            each = ceil_div(n, self.parts)
            text = f"nothing is left for chunk {self.index}: {n} positions in chunks of {each}"
            yield Misfit("S009", text, "index", (Fix("index: 0", {"index": 0}),))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp
        from jax import lax

        axis = self.axis + 1 if self.axis >= 0 else self.axis + x.ndim
        n = x.shape[axis]
        size = -(-n // self.parts)
        if isinstance(n, int):
            return jnp.split(x, list(range(size, n, size)), axis)[self.index]
        from . import _lax

        ends = [_lax.smaller(k * size, n) for k in (self.index, self.index + 1)]
        return lax.slice_in_dim(x, ends[0], ends[1], axis=axis)


class Gather(Layer, op="gather"):
    """The positions `indices` of one axis, in that order: one number drops the axis.

    A list may repeat positions, and keeps the axis (numpy.take, ONNX Gather with constant
    indices, torch.index_select).

    >>> from cnncalc.dialects import DEFAULT
    >>> Gather(0, axis=0).output([(197, 768)], DEFAULT)
    (768,)
    """

    indices: Any = Indices()
    axis: Any = Index(default=0)

    examples = (
        ("5x6x4", {"indices": 0}),
        ("5x6x4", {"indices": [3, 0, 3, -1], "axis": 1}),
        ("7x3", {"indices": -1, "axis": 1}),
        ("6", {"indices": [5, 1]}),
    )

    def _list(self) -> tuple[Any, ...]:
        return self.indices if isinstance(self.indices, tuple) else (self.indices,)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape = inputs[0]
        axis = position(self.axis, len(shape))
        if axis is None:
            return shape
        if isinstance(self.indices, tuple):
            return with_axis(shape, axis, len(self.indices))
        return (*shape[:axis], *shape[axis + 1 :]) or (1,)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        shape = inputs[0]
        axis = position(self.axis, len(shape))
        if axis is None:
            yield from axis_misfits([self.axis], len(shape), "axis")
            return
        n = shape[axis]
        for i in self._list():
            if compare(i, n) in (0, 1) or compare(i + n, 0) == -1:
                text = f"there is no position {i}: axis {axis} has {n}, counted from 0"
                yield Misfit("S009", text, "indices")
                return
        if len(shape) == 1 and not isinstance(self.indices, tuple):
            text = "no axis is left of a flat vector; a list of one position keeps it"
            fix = Fix(f"indices: [{self.indices}]", {"indices": (self.indices,)})
            yield Misfit("S008", text, "indices", (fix,))

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return prod(output) if isinstance(self.indices, tuple) else 0

    def forward(self, run: "Pass", x: Any) -> Any:
        import numpy as np

        from .. import autograd as ag

        chosen = np.array(self.indices) if isinstance(self.indices, tuple) else self.indices
        return ag.getitem(x, (*(slice(None),) * along(self.axis, x.ndim), chosen))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        axis = self.axis + 1 if self.axis >= 0 else self.axis + x.ndim
        picked = [
            jnp.take(x, i if i >= 0 else x.shape[axis] + i, axis=axis, mode="clip")
            for i in self._list()
        ]
        return jnp.stack(picked, axis) if isinstance(self.indices, tuple) else picked[0]


class Expand(Layer, op="expand"):
    """Repeats axes of size 1 to the sizes of `to`; an entry -1 leaves its axis as it is.

    `to` may have more axes than the input: new ones come first (numpy.broadcast_to,
    torch.Tensor.expand, ONNX Expand).
    """

    to: Any = Volume(minimum=-1)

    examples = (
        ("1x6x4", {"to": "5x6x4"}),
        ("1x4", {"to": [7, -1]}),
        ("4", {"to": "3x2x4"}),
        ("5x1x4", {"to": "1x3x1"}),
    )
    kept = 0

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape = (*(1,) * (len(self.to) - len(inputs[0])), *inputs[0])
        if len(shape) != len(self.to):
            return shape
        pairs = zip(shape, self.to, strict=True)
        return tuple(n if m == -1 or compare(m, 1) == 0 else m for n, m in pairs)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        shape = inputs[0]
        if len(shape) > len(self.to):
            text = f"to lists {len(self.to)} axes, but the input has {len(shape)}"
            yield Misfit("S008", text, "to")
            return
        last = self.to[len(self.to) - len(shape) :]
        for axis, (n, m) in enumerate(zip(shape, last, strict=True)):
            alone = compare(n, 1) == 0 or m == -1 or compare(m, 1) == 0
            if not alone and compare(n, m) in (-1, 1):
                text = f"axis {axis} has {n} positions: only an axis of 1 can be repeated to {m}"
                to = tuple(
                    -1 if compare(k, 1) != 0 else t for k, t in zip(shape, last, strict=True)
                )
                to = (*self.to[: len(self.to) - len(shape)], *to)
                fix = Fix(f"to: [{', '.join(map(str, to))}]", {"to": to})
                yield Misfit("S007", text, "to", (fix,))
                return

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        shape = self.output([x.shape[1:]], run.dialect)
        ones = (1,) * (len(shape) + 1 - x.ndim)
        return ag.broadcast_to(ag.reshape(x, (x.shape[0], *ones, *x.shape[1:])), (len(x), *shape))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        x = x.reshape((x.shape[0], *(1,) * (len(self.to) + 1 - x.ndim), *x.shape[1:]))
        return x * jnp.ones((1, *(1 if m == -1 else m for m in self.to)), x.dtype)


class Squeeze(Layer, op="squeeze"):
    """Drops axes of size 1: those listed (torch.squeeze, ONNX Squeeze)."""

    axes: Any = Axes()

    in_place = True
    examples = (("1x1x8", {"axes": [0, 1]}), ("5x1x4", {"axes": 1}), ("6x1", {"axes": -1}))
    kept = 0

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        gone = {position(axis, len(inputs[0])) for axis in self.axes}
        return tuple(n for i, n in enumerate(inputs[0]) if i not in gone) or (1,)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        shape = inputs[0]
        yield from axis_misfits(self.axes, len(shape), "axes")
        for axis in self.axes:
            place = position(axis, len(shape))
            if place is not None and compare(shape[place], 1) in (-1, 1):
                text = f"axis {axis} has {shape[place]} positions, not 1"
                ones = tuple(i for i, n in enumerate(shape) if compare(n, 1) == 0)
                fixes = (Fix(f"axes: {list(ones)}", {"axes": ones}),) if ones else ()
                yield Misfit("S007", text, "axes", fixes)
                return

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.reshape(x, (x.shape[0], *self.output([x.shape[1:]], run.dialect)))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        y = jnp.squeeze(x, tuple(a + 1 if a >= 0 else a for a in self.axes))
        return y if y.ndim > 1 else y[:, None]


class Unsqueeze(Layer, op="unsqueeze"):
    """Puts new axes of size 1 where the output has the axes listed (ONNX Unsqueeze)."""

    axes: Any = Axes()

    in_place = True
    examples = (("8", {"axes": [0, 1]}), ("5x4", {"axes": 1}), ("6x3", {"axes": -1}))
    kept = 0

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        rank = len(inputs[0]) + len(self.axes)
        new = {position(axis, rank) for axis in self.axes}
        old = iter(inputs[0])
        found = tuple(1 if i in new else next(old, 1) for i in range(rank))
        return found if len(new) == len(self.axes) and None not in new else inputs[0]

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        yield from axis_misfits(self.axes, len(inputs[0]) + len(self.axes), "axes")

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.reshape(x, (x.shape[0], *self.output([x.shape[1:]], run.dialect)))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.expand_dims(x, tuple(a + 1 if a >= 0 else a for a in self.axes))
