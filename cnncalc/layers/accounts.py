"""How somebody works a layer out, rightly or wrongly: the ground that mistakes are made on.

An account holds what is derived of one layer. A mistake changes it at one of three stages,
so that two mistakes combine in their natural order: the setting (fields and inputs, from
which everything is derived again), the windows (from which sizes are), or the result.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..dialects import Dialect, Window
    from ..formula import Number
    from .base import Layer, Reach, Shape

SETTING, WINDOWS, RESULT = range(3)


class Account(NamedTuple):
    """One layer as somebody derives it."""

    layer: "Layer"
    inputs: "tuple[Shape, ...]"
    dialect: "Dialect"
    windows: "tuple[Window, ...]"
    output: "Shape"
    weights: "Mapping[str, Shape]"
    buffers: "Mapping[str, Shape]"
    macs: "Number"
    steps: "tuple[Reach, ...] | None"

    @classmethod
    def of(cls, layer: "Layer", inputs: "Sequence[Shape]", dialect: "Dialect") -> "Account":
        """Everything as the layer states it."""
        shapes = tuple(inputs)
        output = tuple(layer.output(shapes, dialect))
        return cls(
            layer, shapes, dialect, layer.windows(shapes, dialect), output,
            layer.weights(shapes, dialect), layer.buffers(shapes, dialect),
            layer.macs(shapes, output, dialect), layer.reach(shapes, dialect),
        )  # fmt: skip

    def sized(self, output: "Sequence[Number]") -> "Account":
        """With another output, and the multiply-adds that follow from it."""
        shape = tuple(output)
        return self._replace(output=shape, macs=self.layer.macs(self.inputs, shape, self.dialect))

    def depth(self, channels: "Number") -> "Account":
        """With another depth of the output."""
        return self._replace(output=(*self.output[:-1], channels))

    def slid(self, windows: "Sequence[Window]") -> "Account":
        """With other windows, whose rules are applied again."""
        from .base import Layer

        fresh = []
        for old, new in zip(self.windows, windows, strict=True):
            extra = old.out - _places(old)  # output padding
            fresh.append(new._replace(out=_places(new) + extra))
        found = self.sized((*(w.out for w in fresh), self.output[-1]))
        found = found._replace(windows=tuple(fresh))
        if type(self.layer).reach is Layer.reach:
            from .base import Reach

            found = found._replace(steps=tuple(Reach(w.extent - 1, w.s) for w in fresh))
        return found

    def holding(self, **arrays: "Shape | None") -> "Account":
        """With other weights; None takes an array away."""
        found = {**self.weights, **arrays}
        return self._replace(weights={k: v for k, v in found.items() if v is not None})


def _places(w: "Window") -> Any:
    return w.rule(w.n, w.extent, w.s, w.before, w.after)


Change = Callable[[Account], "Account | None"]


class Mistake(NamedTuple):
    """A known misconception: an id for statistics, its name in words, what it does.

    `change` gives the account as the misconception has it, or None where it does not apply.
    A rare one is told after what is common.
    """

    id: str
    words: str
    stage: int
    change: Change
    rare: bool = False


def mistake(id: str, words: str, rare: bool = False) -> Callable[[Change], Mistake]:
    """Declares a mistake in the result."""
    return lambda change: Mistake(id, words, RESULT, change, rare)


Setting = Callable[["Layer", "tuple[Shape, ...]"], "tuple[Layer, Sequence[Shape]] | None"]


def setting(id: str, words: str, rare: bool = False) -> Callable[[Setting], Mistake]:
    """Declares a mistake in the fields or inputs: from (layer, inputs) to others."""

    def declare(change: Setting) -> Mistake:
        def changed(account: Account) -> Account | None:
            found = change(account.layer, account.inputs)
            return None if found is None else Account.of(*found, account.dialect)

        return Mistake(id, words, SETTING, changed, rare)

    return declare


Sliding = Callable[["Window"], "Window | None"]


def sliding(id: str, words: str, rare: bool = False) -> Callable[[Sliding], Mistake]:
    """Declares a mistake in the windows, the same one along every axis."""

    def declare(change: Sliding) -> Mistake:
        def changed(account: Account) -> Account | None:
            found = [change(w) for w in account.windows]
            if not found or all(w is None for w in found):
                return None
            both = zip(account.windows, found, strict=True)
            return account.slid([new if new is not None else old for old, new in both])

        return Mistake(id, words, WINDOWS, changed, rare)

    return declare


def fields(id: str, words: str, **values: Any) -> Mistake:
    """A mistake that takes fields to have other values; None where nothing changes."""

    def change(
        layer: "Layer", inputs: "tuple[Shape, ...]"
    ) -> "tuple[Layer, Sequence[Shape]] | None":
        known = {k: v for k, v in values.items() if k in layer.fields}
        now = layer.values()
        if not known or all(now[k] == v for k, v in known.items()):
            return None
        return layer.replace(**known), inputs

    return setting(id, words)(change)
