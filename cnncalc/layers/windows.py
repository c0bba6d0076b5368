"""Windows of a map, side by side or interleaved, and the cyclic shift between them.

Where a framework folds windows into the batch, (N·windows, tokens, C), the volumes here keep
them as leading axes: an HxWxC map becomes (H/w)x(W/w)x(w·w)xC, a grid of windows of tokens.
Layers that act on tokens (linear, layernorm, attention, matmul) act on each window alike.
"""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from ..formula import Number, compare
from .base import (
    Axes,
    Dialect,
    Fix,
    Flag,
    Layer,
    Misfit,
    PerAxis,
    Run,
    Shape,
    Shapes,
    axes,
    divides,
    product,
    rank_misfits,
    spatial,
)
from .fields import LIMIT
from .reshape import axis_misfits
from .select import along

if TYPE_CHECKING:
    from ..execute import Pass


class Roll(Layer, op="roll"):
    """Cyclic shift: what leaves an axis at its end comes in again at its start.

    `by` positions towards the end, negative ones towards the start, one an axis; along the
    spatial axes unless `axes` lists others (numpy.roll, torch.roll; Swin's shifted windows).
    """

    by: Any = PerAxis(minimum=-LIMIT)
    axes: Any = Axes(default=None)

    examples = (
        ("5x6x4", {"by": -3}),
        ("5x6x4", {"by": [1, 7]}),
        ("7x4", {"by": 2, "axes": [1]}),
        ("9", {"by": -2}),
    )

    def _shifts(self, rank: int) -> list[tuple[int, Any]]:
        """Axis and shift, along all axes that are rolled."""
        over = self.axes if self.axes is not None else tuple(range(max(rank - 1, 1)))
        return list(zip(over, axes(self.by, len(over)), strict=True))

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        rank = len(inputs[0])
        over = self.axes if self.axes is not None else tuple(range(max(rank - 1, 1)))
        yield from axis_misfits(over, rank, "axes")
        if isinstance(self.by, tuple) and len(self.by) != len(over):
            text = f"by lists {len(self.by)} axes, but {len(over)} are rolled"
            yield Misfit("S008", text, "by")

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        for axis, by in self._shifts(x.ndim - 1):
            axis = along(axis, x.ndim)
            cut = x.shape[axis] - by % x.shape[axis]
            before = (slice(None),) * axis
            if cut != x.shape[axis]:
                parts = (ag.getitem(x, (*before, s)) for s in (slice(cut, None), slice(0, cut)))
                x = ag.concatenate(*parts, axis=axis)
        return x

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        over = self.axes if self.axes is not None else tuple(range(max(x.ndim - 2, 1)))
        shifts = self.by if isinstance(self.by, tuple) else (self.by,) * len(over)
        return jnp.roll(x, shifts, [a + 1 if a >= 0 else a + x.ndim for a in over])


class WindowPartition(Layer, op="window_partition"):
    """Cuts a map into windows of tokens: HxWxC to (H/w)x(W/w)x(w·w)xC.

    Every axis is cut into windows of `window` positions; a window's positions become its
    tokens, row by row. With `grid: true` the positions of a window lie H/w and W/w apart, so
    that each window spans the whole map (Liu 2021, Swin; Tu 2022, MaxViT's block and grid).
    The windows stay as leading axes, where frameworks fold them into the batch.

    >>> from cnncalc.dialects import DEFAULT
    >>> WindowPartition(7).output([(56, 56, 96)], DEFAULT)
    (8, 8, 49, 96)
    """

    window: Any = PerAxis()
    grid: Any = Flag(default=False)

    needs_spatial = True
    examples = (
        ("6x9x4", {"window": 3}),
        ("6x4x2", {"window": [3, 2], "grid": True}),
        ("8x3", {"window": 4}),
        ("2x4x6x3", {"window": 2}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        sizes = spatial(inputs[0])
        if not sizes:
            return inputs[0]
        windows = axes(self.window, len(sizes))
        counts = (n // w for n, w in zip(sizes, windows, strict=True))
        return (*counts, product(windows), inputs[0][-1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        yield from rank_misfits(self, inputs[0], ("window",))
        sizes = spatial(inputs[0])
        for axis, (n, w) in enumerate(zip(sizes, axes(self.window, len(sizes)), strict=True)):
            if divides(n, w) is False:
                text = f"windows of {w} do not divide the {n} positions of axis {axis}"
                yield Misfit("S004", text, "window", _windows_that_fit(sizes, inputs[0][-1], w))
                return

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        rank, sizes = x.ndim - 2, x.shape[1:-1]
        windows = axes(self.window, rank)
        pairs = [(w, n // w) if self.grid else (n // w, w)
                 for n, w in zip(sizes, windows, strict=True)]  # fmt: skip
        split = ag.reshape(x, (x.shape[0], *(n for p in pairs for n in p), x.shape[-1]))
        of_windows, of_tokens = _order(rank, self.grid)
        turned = ag.transpose(split, (0, *of_windows, *of_tokens, 2 * rank + 1))
        return ag.reshape(turned, (x.shape[0], *self.output([x.shape[1:]], run.dialect)))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        rank = x.ndim - 2
        windows = self.window if isinstance(self.window, tuple) else (self.window,) * rank
        for axis, w in enumerate(windows):  # the token axes gather at the end
            n = x.shape[axis + 1]
            cut = x.reshape((*x.shape[: axis + 1], -1, w, *x.shape[axis + 2 :]))
            if self.grid:
                cut = x.reshape((*x.shape[: axis + 1], w, n // w, *x.shape[axis + 2 :]))
                cut = jnp.swapaxes(cut, axis + 1, axis + 2)
            x = jnp.moveaxis(cut, axis + 2, -2)
        return x.reshape((*x.shape[: rank + 1], prod(windows), x.shape[-1]))


def _order(rank: int, grid: bool) -> tuple[list[int], list[int]]:
    """Places of the axes of windows and of tokens, where every axis is cut in two."""
    first, second = list(range(1, 2 * rank, 2)), list(range(2, 2 * rank + 1, 2))
    return (second, first) if grid else (first, second)


def _windows_that_fit(sizes: Shape, channels: Number, w: Any) -> tuple[Fix, ...]:
    """Windows that divide every axis, nearest first, and a map that the window divides."""
    if not all(isinstance(n, int) for n in sizes) or not isinstance(w, int):
        return ()
    fits = [k for k in range(2, 65) if all(n % k == 0 for n in sizes)]
    near = sorted(fits, key=lambda k: abs(k - w))[:2]
    found = [Fix(f"window: {k}", {"window": k}) for k in near]
    grown = tuple(n + -n % w for n in sizes)
    ends = [[0, g - n] for n, g in zip(sizes, grown, strict=True)]
    found.append(Fix(f"`pad: {{by: {ends}}}` before it", {}, ((*grown, channels),)))
    return tuple(found)


class WindowReverse(Layer, op="window_reverse"):
    """Puts windows of tokens back into a map: (H/w)x(W/w)x(w·w)xC to HxWxC.

    The inverse of `window_partition` with the same `window` and `grid`.

    >>> from cnncalc.dialects import DEFAULT
    >>> WindowReverse(7).output([(8, 8, 49, 96)], DEFAULT)
    (56, 56, 96)
    """

    window: Any = PerAxis()
    grid: Any = Flag(default=False)

    examples = (
        ("2x3x9x4", {"window": 3}),
        ("2x2x6x2", {"window": [3, 2], "grid": True}),
        ("2x4x3", {"window": 4}),
        ("1x2x3x8x3", {"window": 2}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        *counts, _, channels = inputs[0] if len(inputs[0]) > 2 else (1, 1, *inputs[0])
        windows = axes(self.window, len(counts))
        return (*(n * w for n, w in zip(counts, windows, strict=True)), channels)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        rank = len(inputs[0]) - 2
        if rank < 1:
            yield Misfit(
                "S008", f"window_reverse needs windows of tokens, such as 8x8x49x{inputs[0][-1]}"
            )
        elif isinstance(self.window, tuple) and len(self.window) != rank:
            text = f"window lists {len(self.window)} axes, but there are {rank} axes of windows"
            yield Misfit("S008", text, "window")
        elif compare(product(axes(self.window, rank)), inputs[0][-2]) in (-1, 1):
            total, tokens = product(axes(self.window, rank)), inputs[0][-2]
            text = f"a window has {total} positions, but the input has {tokens} tokens a window"
            fits = [w for w in range(1, 65) if w**rank == tokens]
            fixes = tuple(Fix(f"window: {w}", {"window": w}) for w in fits)
            yield Misfit("S007", text, "window", fixes)

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        rank, counts = x.ndim - 3, x.shape[1:-2]
        windows = axes(self.window, rank)
        split = ag.reshape(x, (x.shape[0], *counts, *windows, x.shape[-1]))
        of_windows, of_tokens = _order(rank, self.grid)
        back = [0] * (2 * rank)
        for i, place in enumerate((*of_windows, *of_tokens)):
            back[place - 1] = i + 1
        turned = ag.transpose(split, (0, *back, 2 * rank + 1))
        return ag.reshape(turned, (x.shape[0], *self.output([x.shape[1:]], run.dialect)))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        rank = x.ndim - 3
        windows = self.window if isinstance(self.window, tuple) else (self.window,) * rank
        x = x.reshape((*x.shape[: rank + 1], *windows, x.shape[-1]))
        for axis, w in enumerate(windows):
            n = x.shape[axis + 1]
            x = jnp.moveaxis(x, rank + 1, axis + 1 if self.grid else axis + 2)
            x = x.reshape((*x.shape[: axis + 1], n * w, *x.shape[axis + 3 :]))
        return x
