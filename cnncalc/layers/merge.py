"""Joins: several branches become one volume."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..formula import Number, compare
from .base import Dialect, Index, Layer, Misfit, Run, Shape, Shapes
from .reshape import position, volume_text

if TYPE_CHECKING:
    from ..execute import Pass

MOST = 1000


def _ranks_differ(inputs: Shapes) -> Misfit | None:
    first = inputs[0]
    for i, shape in enumerate(inputs[1:], 2):
        if len(shape) != len(first):
            text = (
                f"input 1 is {volume_text(first)} with {len(first)} axes, input {i} is "
                f"{volume_text(shape)} with {len(shape)}"
            )
            return Misfit("S003", text)
    return None


def _disagreement(inputs: Shapes, axis: int, i: int, j: int) -> Misfit:
    a, b = inputs[i], inputs[j]
    text = f"axis {axis} is {a[axis]} in input {i + 1} but {b[axis]} in input {j + 1}"
    return Misfit("S003", f"{text} ({volume_text(a)} and {volume_text(b)})")


class Concat(Layer, op="concat"):
    """Joins branches along one axis, the channels unless said otherwise.

    The sizes along `axis` add up; all other axes must agree (GoogLeNet, DenseNet;
    torch.cat, keras.layers.Concatenate).

    >>> from cnncalc.dialects import DEFAULT
    >>> Concat().output([(28, 28, 64), (28, 28, 128)], DEFAULT)
    (28, 28, 192)
    """

    axis: Any = Index(default=-1)

    inputs_min = 2
    inputs_max = MOST
    examples = (
        (["5x6x4", "5x6x3", "5x6x1"], {}),
        (["5x6x4", "5x2x4"], {"axis": 1}),
        (["10", "7"], {}),
        (["4x3", "6x3"], {"axis": 0}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        first = inputs[0]
        axis = position(self.axis, len(first))
        if axis is None:
            return first
        total: Number = 0
        for shape in inputs:
            total = total + (shape[axis] if axis < len(shape) else 1)
        return (*first[:axis], total, *first[axis + 1 :])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        ranks = _ranks_differ(inputs)
        if ranks is not None:
            yield ranks
            return
        along = position(self.axis, len(inputs[0]))
        if along is None:
            top = len(inputs[0]) - 1
            text = f"there is no axis {self.axis}: the inputs' axes are 0 to {top}"
            yield Misfit("S008", text, "axis")
            return
        for axis, first in enumerate(inputs[0]):
            for i, shape in enumerate(inputs):
                if axis != along and compare(shape[axis], first) in (-1, 1):
                    yield _disagreement(inputs, axis, 0, i)
                    break

    def forward(self, run: "Pass", *xs: Any) -> Any:
        from .. import autograd as ag

        return ag.concatenate(*xs, axis=self.axis + 1 if self.axis >= 0 else self.axis)

    def reference(self, run: Run, *xs: Any) -> Any:
        from jax import lax

        axis = self.axis + 1 if self.axis >= 0 else self.axis + xs[0].ndim
        return lax.concatenate(xs, axis)


def _joined(sizes: list[Number]) -> Number:
    """Common size of one axis: that of the first input which is not 1."""
    return next((n for n in sizes if compare(n, 1) != 0), sizes[0])


class _Elementwise(Layer):
    """Shared facts of the joins that combine values position by position."""

    inputs_min = 2
    inputs_max = MOST

    def _aligned(self, inputs: Shapes) -> list[Shape]:
        """The inputs with one number of axes, where that is allowed."""
        return list(inputs)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        inputs = self._aligned(inputs)
        if _ranks_differ(inputs) is not None:
            return inputs[0]
        return tuple(_joined(list(sizes)) for sizes in zip(*inputs, strict=True))

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        inputs = self._aligned(inputs)
        ranks = _ranks_differ(inputs)
        if ranks is not None:
            yield ranks
            return
        for axis, sizes in enumerate(zip(*inputs, strict=True)):
            whole = [(i, n) for i, n in enumerate(sizes) if compare(n, 1) != 0]
            for i, n in whole[1:]:
                if compare(n, whole[0][1]) in (-1, 1):
                    yield _disagreement(inputs, axis, whole[0][0], i)
                    break


class Add(_Elementwise, op="add"):
    """Sum of the branches, value by value (He 2015, residual networks).

    All axes must agree; an axis of size 1 is repeated. (torch.add, keras.layers.Add.)
    """

    examples = (
        (["5x6x4", "5x6x4"], {}),
        (["5x6x4", "1x1x4", "5x6x4"], {}),
        (["10", "10"], {}),
        (["7x3", "7x1"], {}),
    )

    def forward(self, run: "Pass", *xs: Any) -> Any:
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total

    def reference(self, run: Run, *xs: Any) -> Any:
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total


class Multiply(_Elementwise, op="multiply"):
    """Product of the branches, value by value (Hu 2017, squeeze and excitation).

    All axes must agree; an axis of size 1 is repeated, and a flat vector of C values
    multiplies the channels of a volume ...xC.
    """

    examples = (
        (["5x6x4", "5x6x4"], {}),
        (["5x6x4", "1x1x4"], {}),
        (["5x6x4", "4"], {}),
        (["4", "7x4", "7x4"], {}),
    )

    def _aligned(self, inputs: Shapes) -> list[Shape]:
        rank = max(len(shape) for shape in inputs)
        return [(1,) * (rank - 1) + shape if len(shape) == 1 else shape for shape in inputs]

    def forward(self, run: "Pass", *xs: Any) -> Any:
        from .. import autograd as ag

        rank = max(x.ndim for x in xs)
        flat = [ag.reshape(x, (len(x), *(1,) * (rank - 2), -1)) if x.ndim == 2 else x for x in xs]
        total = flat[0]
        for x in flat[1:]:
            total = total * x
        return total

    def reference(self, run: Run, *xs: Any) -> Any:
        rank = max(x.ndim for x in xs)
        total: Any = 1.0
        for x in xs:
            if x.ndim == 2:
                x = x.reshape((x.shape[0], *(1,) * (rank - 2), x.shape[1]))
            total = total * x
        return total
