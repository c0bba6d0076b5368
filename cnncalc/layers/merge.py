"""Joins: several branches become one volume."""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from ..formula import Number, compare, total
from .accounts import Account, Mistake, mistake
from .base import Dialect, Fix, Flag, Index, Layer, Misfit, Run, Shape, Shapes, Sizes, product
from .mistakes import COMMON
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


@mistake("add-for-concat", "concat confused with add: the depths do not add up")
def as_sum(a: Account) -> Account | None:
    return a._replace(output=a.inputs[0])


@mistake("last-branch", "only the last branch counted")
def last_branch(a: Account) -> Account | None:
    return a._replace(output=a.inputs[-1])


def _without(left: int) -> Mistake:
    @mistake("branch-left-out", f"branch {left + 1} left out")
    def change(a: Account) -> Account | None:
        rest = [shape[-1] for i, shape in enumerate(a.inputs) if i != left]
        return a.depth(total(rest)) if len(a.inputs) > max(left, 1) else None

    return change


def _alone(kept: int) -> Mistake:
    @mistake("one-branch-only", f"branch {kept + 1} only")
    def change(a: Account) -> Account | None:
        return a._replace(output=a.inputs[kept]) if len(a.inputs) > kept else None

    return change


BRANCHES = (*map(_without, range(8)), *map(_alone, range(1, 8)))


@mistake("depths-multiplied", "the depths multiplied instead of added")
def depths_multiplied(a: Account) -> Account | None:
    return a.depth(product([shape[-1] for shape in a.inputs]))


@mistake("all-axes-added", "height and width added too, not only the depth")
def all_added(a: Account) -> Account | None:
    total = a.inputs[0]
    for shape in a.inputs[1:]:
        total = tuple(m + n for m, n in zip(total, shape, strict=False))
    return a._replace(output=total)


@mistake("concat-for-add", "add confused with concat: the depth stays as it is")
def as_concat(a: Account) -> Account | None:
    return a.depth(total(shape[-1] for shape in a.inputs))


class Concat(Layer, op="concat"):
    """Joins branches along one axis, the channels unless said otherwise.

    The sizes along `axis` add up; all other axes must agree (GoogLeNet, DenseNet;
    torch.cat, keras.layers.Concatenate).

    >>> from cnncalc.dialects import DEFAULT
    >>> Concat().output([(28, 28, 64), (28, 28, 128)], DEFAULT)
    (28, 28, 192)
    """

    axis: Any = Index(default=-1)

    mistakes = (as_sum, last_branch, depths_multiplied, all_added, *BRANCHES, *COMMON)
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

    mistakes = (as_concat, last_branch, all_added, *COMMON)
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

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return max(1, len(inputs) - 1) * prod(output)

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


class Subtract(_Elementwise, op="subtract"):
    """The first input less the second, value by value; an axis of size 1 is repeated."""

    inputs_max = 2
    examples = ((["5x6x4", "5x6x4"], {}), (["7x1", "7x3"], {}))

    def forward(self, run: "Pass", *xs: Any) -> Any:
        return xs[0] - xs[1]

    def reference(self, run: Run, *xs: Any) -> Any:
        return xs[0] + -1.0 * xs[1]


class Divide(_Elementwise, op="divide"):
    """The first input over the second, value by value; an axis of size 1 is repeated."""

    inputs_max = 2
    examples = ((["5x6x4", "5x6x4"], {}), (["7x3", "7x1"], {}))

    def forward(self, run: "Pass", *xs: Any) -> Any:
        from .. import autograd as ag

        return ag.divide(xs[0], xs[1])

    def reference(self, run: Run, *xs: Any) -> Any:
        return xs[0] / xs[1]


class Maximum(_Elementwise, op="maximum"):
    """The largest of the inputs, value by value; an axis of size 1 is repeated.

    (Caffe's Eltwise MAX, keras.layers.Maximum.)
    """

    nonlinear = True
    examples = ((["5x6x4", "5x6x4", "5x6x4"], {}), (["7x1", "7x3"], {}))

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return max(1, len(inputs) - 1) * prod(output)

    def forward(self, run: "Pass", *xs: Any) -> Any:
        from .. import autograd as ag

        found = xs[0]
        for x in xs[1:]:
            found = ag.maximum(found, x)
        return found

    def reference(self, run: Run, *xs: Any) -> Any:
        import jax.numpy as jnp

        return jnp.max(jnp.stack(jnp.broadcast_arrays(*xs)), axis=0)


class Minimum(_Elementwise, op="minimum"):
    """The smallest of the inputs, value by value; an axis of size 1 is repeated."""

    nonlinear = True
    examples = ((["5x6x4", "5x6x4", "5x6x4"], {}), (["7x1", "7x3"], {}))

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        return max(1, len(inputs) - 1) * prod(output)

    def forward(self, run: "Pass", *xs: Any) -> Any:
        from .. import autograd as ag

        found = xs[0]
        for x in xs[1:]:
            found = ag.minimum(found, x)
        return found

    def reference(self, run: Run, *xs: Any) -> Any:
        import jax.numpy as jnp

        return jnp.min(jnp.stack(jnp.broadcast_arrays(*xs)), axis=0)


class Average(_Elementwise, op="average"):
    """The mean of the inputs, value by value; an axis of size 1 is repeated."""

    examples = ((["5x6x4", "5x6x4", "5x6x4"], {}), (["7x1", "7x3"], {}))

    def forward(self, run: "Pass", *xs: Any) -> Any:
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total / len(xs)

    def reference(self, run: Run, *xs: Any) -> Any:
        import jax.numpy as jnp

        return jnp.mean(jnp.stack(jnp.broadcast_arrays(*xs)), axis=0)


class Matmul(Layer, op="matmul"):
    """The matrix product of two volumes: ...xMxK times ...xKxN gives ...xMxN.

    The axes before the last two are stacks of matrices; there an axis of size 1 is repeated,
    and missing ones count as 1. `transpose_a` and `transpose_b` swap the last two axes of an
    input first: scores of attention are queries times keys with `transpose_b`
    (numpy.matmul, ONNX MatMul).

    >>> from cnncalc.dialects import DEFAULT
    >>> Matmul(transpose_b=True).output([(12, 197, 64), (12, 197, 64)], DEFAULT)
    (12, 197, 197)
    """

    transpose_a: Any = Flag(default=False)
    transpose_b: Any = Flag(default=False)

    inputs_min = 2
    inputs_max = 2
    examples = (
        (["5x6", "6x4"], {}),
        (["3x5x6", "3x4x6"], {"transpose_b": True}),
        (["2x3x6x5", "3x6x4"], {"transpose_a": True}),
        (["2x1x5x6", "1x3x6x4"], {}),
    )

    def _matrices(self, inputs: Shapes) -> tuple[Shape, Shape]:
        """Both shapes with one number of axes, turned as the product reads them."""
        rank = max(2, *(len(shape) for shape in inputs))
        a, b = ((1,) * (rank - len(shape)) + tuple(shape) for shape in inputs[:2])
        if self.transpose_a:
            a = (*a[:-2], a[-1], a[-2])
        if self.transpose_b:
            b = (*b[:-2], b[-1], b[-2])
        return a, b

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        a, b = self._matrices(inputs)
        stacks = (_joined(list(sizes)) for sizes in zip(a[:-2], b[:-2], strict=True))
        return (*stacks, a[-2], b[-1])

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        """One multiply-add for every output value and inner position."""
        return product((*output, self._matrices(inputs)[0][-1]))

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        for i, shape in enumerate(inputs, 1):
            if len(shape) < 2:
                text = f"matmul needs matrices, but input {i} is a flat vector of {shape[0]}"
                yield Misfit("S008", text)
                return
        a, b = self._matrices(inputs)
        both = f"({volume_text(inputs[0])} and {volume_text(inputs[1])})"
        if compare(a[-1], b[-2]) in (-1, 1):
            text = f"the inner sizes differ, {a[-1]} and {b[-2]} {both}"
            yield Misfit("S003", text, None, self._turned())
            return
        for axis, (n, m) in enumerate(zip(a[:-2], b[:-2], strict=True)):
            if compare(n, 1) != 0 and compare(m, 1) != 0 and compare(n, m) in (-1, 1):
                yield Misfit("S003", f"axis {axis} of the stacks is {n} and {m} {both}")
                return

    def _turned(self) -> tuple[Fix, ...]:
        flags = (("transpose_b", self.transpose_b), ("transpose_a", self.transpose_a))
        return tuple(Fix(f"{name}: {str(not on).lower()}", {name: not on}) for name, on in flags)

    def forward(self, run: "Pass", *xs: Any) -> Any:
        from .. import autograd as ag

        rank = max(x.ndim for x in xs)
        made = []
        for x, turn in zip(xs, (self.transpose_a, self.transpose_b), strict=True):
            x = ag.reshape(x, (x.shape[0], *(1,) * (rank - x.ndim), *x.shape[1:]))
            made.append(ag.transpose(x, (*range(rank - 2), rank - 1, rank - 2)) if turn else x)
        return ag.matmul(*made)

    def reference(self, run: Run, *xs: Any) -> Any:
        import jax.numpy as jnp

        rank = max(x.ndim for x in xs)
        a, b = (x.reshape((x.shape[0], *(1,) * (rank - x.ndim), *x.shape[1:])) for x in xs)
        left = "...km" if self.transpose_a else "...mk"
        right = "...nk" if self.transpose_b else "...kn"
        return jnp.einsum(f"{left},{right}->...mn", a, b)
