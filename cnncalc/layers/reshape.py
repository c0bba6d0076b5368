"""Layers that only regroup, reorder, pick or average values: no weights, no MACs."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..formula import Number, compare, maximum
from .accounts import Account, Mistake, mistake
from .base import (
    Axes,
    Count,
    Dialect,
    Fix,
    Flag,
    Layer,
    Misfit,
    Reach,
    Run,
    Shape,
    Shapes,
    Volume,
    divides,
    product,
    ratio,
    spatial,
)
from .conv import group_misfits
from .mistakes import COMMON

if TYPE_CHECKING:
    from ..execute import Pass


def position(axis: Any, rank: int) -> int | None:
    """Place of an axis counted from either end; None where there is no such axis.

    >>> position(-1, 3), position(3, 3)
    (2, None)
    """
    if not isinstance(axis, int) or not -rank <= axis < rank:
        return None
    return axis % rank


def axis_misfits(values: Sequence[Any], rank: int, field: str) -> Iterator[Misfit]:
    """S008 for axes that the volume does not have, or that are named twice."""
    for axis in values:
        if position(axis, rank) is None:
            text = f"there is no axis {axis}: the input's axes are 0 to {rank - 1}"
            yield Misfit("S008", text, field)
            return
    if len({position(axis, rank) for axis in values}) < len(values):
        yield Misfit("S008", f"{field} names an axis twice", field)


def volume_text(shape: Shape) -> str:
    return "x".join(str(d) if isinstance(d, int) else f"({d})" for d in shape)


@mistake("flatten-forgotten", "flatten forgotten")
def not_flattened(a: Account) -> Account | None:
    return a._replace(output=a.inputs[0])


@mistake("depth-left-out", "depth (input channels) left out: only height times width")
def no_depth(a: Account) -> Account | None:
    return a._replace(output=(product(a.inputs[0][:-1]),)) if len(a.inputs[0]) > 1 else None


@mistake("added-not-multiplied", "the sizes added instead of multiplied")
def sizes_added(a: Account) -> Account | None:
    total: Number = 0
    for n in a.inputs[0]:
        total = total + n
    return a._replace(output=(total,))


def _axis_left_out(axis: int, name: str) -> Mistake:
    @mistake("axis-left-out", f"the {name} left out", rare=True)
    def change(a: Account) -> Account | None:
        sizes = a.inputs[0]
        if len(sizes) != 3:
            return None
        return a._replace(output=(product(sizes[:axis] + sizes[axis + 1 :]),))

    return change


AXES = (_axis_left_out(0, "height"), _axis_left_out(1, "width"))


@mistake("map-left-out", "only the channels left: height and width left out")
def no_map(a: Account) -> Account | None:
    return a._replace(output=(a.inputs[0][-1],))


class Flatten(Layer, op="flatten"):
    """Stretches a volume into a flat vector, channels varying fastest."""

    in_place = True
    mistakes = (not_flattened, no_depth, no_map, sizes_added, *AXES, *COMMON)
    examples = (("5x6x4", {}), ("7x3", {}), ("10", {}), ("2x3x4x5", {}))
    kept = 0

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (product(inputs[0]),)

    def forward(self, run: "Pass", x: Any) -> Any:
        from . import _ag

        return _ag.flatten(x)

    def reference(self, run: Run, x: Any) -> Any:
        from . import _lax

        return _lax.flatten(x)


class Reshape(Layer, op="reshape"):
    """The same values in another shape; one entry may be -1 and takes what is left."""

    to: Any = Volume(minimum=-1)

    in_place = True
    examples = (
        ("100", {"to": "5x5x4"}),
        ("8x6x4", {"to": [12, -1]}),
        ("4x4x4", {"to": [-1]}),
    )
    kept = 0

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        if all(d != -1 for d in self.to):
            shape: Shape = self.to
            return shape
        total, given = product(inputs[0]), self._given()
        rest = 0 if given == 0 else total // given
        return tuple(rest if d == -1 else d for d in self.to)

    def _given(self) -> Number:
        """Product of the entries that are not -1."""
        return product([d for d in self.to if d != -1])

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        total, given = product(inputs[0]), self._given()
        free = sum(1 for d in self.to if d == -1)
        if free > 1:
            yield Misfit("S007", "only one entry of `to` may be -1", "to")
        elif free and (compare(given, 0) == 0 or divides(total, given) is False):
            text = f"the input has {total} values, not a multiple of {given}"
            yield Misfit("S007", text, "to")
        elif not free and compare(total, given) in (-1, 1):
            text = f"{volume_text(self.to)} holds {given} values, but the input has {total}"
            yield Misfit("S007", text, "to", self._fixes(total))

    def _fixes(self, total: Number) -> tuple[Fix, ...]:
        """The same request with one entry changed so that the counts agree."""
        found = []
        for i in range(len(self.to)):
            others = product(self.to[:i] + self.to[i + 1 :])
            if compare(others, 0) == 1 and divides(total, others):
                to = (*self.to[:i], ratio(total, others), *self.to[i + 1 :])
                found.append(Fix(f"to: {volume_text(to)}", {"to": to}))
        return tuple(found)

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.reshape(x, (x.shape[0], *self.to))

    def reference(self, run: Run, x: Any) -> Any:
        return x.reshape((x.shape[0], *self.to))


class Permute(Layer, op="permute"):
    """Reorders the axes: output axis i is input axis axes[i]; the batch is not counted."""

    axes: Any = Axes()

    examples = (
        ("5x6x4", {"axes": [2, 0, 1]}),
        ("7x3", {"axes": [1, 0]}),
        ("2x3x4x5", {"axes": [0, 2, 1, -1]}),
    )
    kept = 0

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape = inputs[0]
        if any(True for _ in self.misfits(inputs, dialect)):
            return shape
        return tuple(shape[axis] for axis in self.axes)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        rank = len(inputs[0])
        if len(self.axes) != rank:
            text = f"axes lists {len(self.axes)} axes, but the input has {rank}"
            yield Misfit("S008", text, "axes")
        else:
            yield from axis_misfits(self.axes, rank, "axes")

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        return ag.transpose(x, (0, *(a + 1 if a >= 0 else a + x.ndim for a in self.axes)))

    def reference(self, run: Run, x: Any) -> Any:
        from jax import lax

        order = [axis + 1 if axis >= 0 else axis + x.ndim for axis in self.axes]
        return lax.transpose(x, (0, *order))


class ChannelShuffle(Layer, op="channel_shuffle"):
    """Mixes the channels of `groups` groups: channel g·(C/groups) + c goes to c·groups + g.

    (Zhang 2017, ShuffleNet; torch.nn.ChannelShuffle.)
    """

    groups: Any = Count()

    examples = (("5x6x8", {"groups": 2}), ("7x6", {"groups": 3}), ("12", {"groups": 4}))

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        return group_misfits("the input channels", inputs[0][-1], self.groups)

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        rank, channels = x.ndim, x.shape[-1]
        split = ag.reshape(x, (*x.shape[:-1], self.groups, channels // self.groups))
        turned = ag.transpose(split, (*range(rank - 1), rank, rank - 1))
        return ag.reshape(turned, x.shape)

    def reference(self, run: Run, x: Any) -> Any:
        c = x.shape[-1]
        y = x.reshape((*x.shape[:-1], self.groups, c // self.groups))
        return y.swapaxes(-1, -2).reshape(x.shape)


class Mean(Layer, op="mean"):
    """The mean over the given axes, which go away; with `keepdims` they stay with size 1."""

    axes: Any = Axes()
    keepdims: Any = Flag(default=False)

    examples = (
        ("5x6x4", {"axes": [0, 1]}),
        ("16x8", {"axes": 0, "keepdims": True}),
        ("5x6x4", {"axes": -1, "keepdims": True}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape = inputs[0]
        gone = {position(axis, len(shape)) for axis in self.axes}
        if self.keepdims:
            return tuple(1 if i in gone else n for i, n in enumerate(shape))
        return tuple(n for i, n in enumerate(shape) if i not in gone) or (1,)

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        rank = len(inputs[0])
        yield from axis_misfits(self.axes, rank, "axes")
        if not self.keepdims and {position(axis, rank) for axis in self.axes} >= set(range(rank)):
            text = "no axis is left; keep them with keepdims: true"
            yield Misfit("S008", text, "axes", (Fix("keepdims: true", {"keepdims": True}),))

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """A spatial axis that is averaged is read whole."""
        rank = len(inputs[0])
        gone = {position(axis, rank) for axis in self.axes}
        sizes = spatial(inputs[0])
        found = (Reach(maximum(n - 1, 0) if i in gone else 0, 1) for i, n in enumerate(sizes))
        return tuple(found) or None

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        over = tuple(axis + 1 if axis >= 0 else axis + x.ndim for axis in self.axes)
        return ag.mean(x, axis=over, keepdims=self.keepdims)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        found = tuple(axis + 1 if axis >= 0 else axis for axis in self.axes)
        return jnp.mean(x, axis=found, keepdims=self.keepdims)
