"""Evaluates a part of a family at many points: int64 where that is safe, exact elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..expr import Node
from ..formula import Number
from ..formula.vector import SAFE, Program, ratio
from .family import Part
from .grid import most
from .where import Compiled

if TYPE_CHECKING:
    from ..formula.vector import Form

EXACT = 2048  # points that are redone in Python integers without looking closer


class Chunk(NamedTuple):
    """Some points, one entry each: their numbers, their values, and what does not fit.

    `reason` 0: it fits; i: the i-th of `reasons` (from 1). Where it does not fit, a value
    is that of the floored sizes if `known`, else without meaning.
    """

    index: Any
    names: Mapping[str, Any]
    values: Mapping[str, Any]
    reason: Any
    reasons: Sequence[str]
    known: Any
    kept: Any  # where the condition holds
    apart: Any  # points that must be derived by themselves
    rank: int  # axes of the output

    @property
    def size(self) -> int:
        return len(self.reason)


class Evaluator:
    """One part compiled: `wanted` values, the conditions for fitting, a condition to keep."""

    def __init__(
        self, part: Part, names: Sequence[str], wanted: Sequence[str], where: Node | None,
        form: "Form" = "horner",
    ) -> None:  # fmt: skip
        self.part, self.names, self.where = part, tuple(names), where
        self.alone = part.broken is not None  # every point must be derived by itself
        self.rank = sum(1 for name in part.forms if name.startswith("output "))
        self.wanted = [n for n in wanted if n in part.forms]
        self.wanted += [f"output {i}" for i in range(self.rank)]
        self.reasons = [
            (c.code + (f" {c.layer}" if c.layer else "")) if c.code else "" for c in part.fitting
        ]
        forms: list[Number] = [part.forms[name] for name in self.wanted]
        self._compiled = None if where is None or self.alone else Compiled(where, self._lookup)
        self._tests: list[tuple[str, int, int, int]] = []  # kind, numerator, denominator, answer
        self._spans: list[tuple[int, int]] = []
        for condition in part.fitting:
            first = len(self._tests)
            for test in condition.tests:
                self._tests.append((test.kind, *self._pair(forms, test.form), test.answer))
            self._spans.append((first, len(self._tests)))
        self._gaps = [
            self._pair(forms, x) for x in (self._compiled.forms if self._compiled else ())
        ]
        self.program = Program(forms, self.names, form)

    @staticmethod
    def _pair(forms: list[Number], x: Number) -> tuple[int, int]:
        num, den = ratio(x)
        forms += [num, den]
        return len(forms) - 2, len(forms) - 1

    def _lookup(self, name: str) -> Number:
        """What a name in a condition stands for."""
        if name in self.part.given:
            return self.part.given[name]
        if name in self.part.forms:
            return self.part.forms[name]
        side = output_axis(name, self.rank)
        if side is not None:
            return self.part.forms[f"output {side}"]
        return self.part.symbols[name]

    # --- evaluation ------------------------------------------------------------

    def run(self, values: Mapping[str, Any], index: Any, shape: tuple[int, ...]) -> Iterator[Chunk]:
        """The points whose values broadcast to `shape`, in order; `index` are their numbers."""
        import numpy as np

        for cut, part_shape, span in self._safe(values, shape):
            safe = self.program.bound(most(cut)) <= SAFE if cut else True
            if not safe:
                flat = {k: np.broadcast_to(v, part_shape).ravel() for k, v in cut.items()}
                cut = {k: v.astype(object) for k, v in flat.items()}
                part_shape = (span.stop - span.start,)
            yield self.chunk(cut, index[span], part_shape, np, self.program(cut, np))

    def _safe(
        self, values: Mapping[str, Any], shape: tuple[int, ...]
    ) -> Iterator[tuple[Mapping[str, Any], tuple[int, ...], slice]]:
        """Cuts the points along the first long axis until int64 does, or few are left."""
        import numpy as np

        todo = [(values, shape, 0)]
        while todo:
            cut, box, start = todo.pop()
            count = int(np.prod(box, dtype=np.int64))
            if count <= EXACT or not cut or self.program.bound(most(cut)) <= SAFE:
                yield cut, box, slice(start, start + count)
                continue
            axis = next(i for i, n in enumerate(box) if n > 1)
            half = box[axis] // 2
            inner = count // box[axis]
            for low, high in ((half, box[axis]), (0, half)):
                piece = {
                    k: v[(slice(None),) * axis + (slice(low, high),)] if v.shape[axis] > 1 else v
                    for k, v in cut.items()
                }
                size = (*box[:axis], high - low, *box[axis + 1 :])
                todo.append((piece, size, start + low * inner))

    def chunk(
        self, values: Mapping[str, Any], index: Any, shape: tuple[int, ...], xp: Any,
        found: Sequence[Any],
    ) -> Chunk:  # fmt: skip
        """The results of the program as one entry a point."""

        def flat(x: Any) -> Any:
            return xp.broadcast_to(x, shape).reshape(-1)

        reason: Any = 0
        known: Any = True
        apart: Any = False
        for i, (first, last) in enumerate(self._spans):
            mask: Any = True
            for test in self._tests[first:last]:
                mask = mask & self._passes(test, found, xp)
            condition = self.part.fitting[i]
            if not condition.code:
                apart = apart | (mask & (reason == 0))
                continue
            new = mask & (reason == 0)
            if not condition.rounded:
                known = known & ~(mask & True if mask is not True else xp.asarray(True))
            reason = xp.where(new, i + 1, reason)
        reason = flat(xp.asarray(reason, dtype=xp.int16))
        fits = reason == 0
        columns = {name: flat(found[i]) for i, name in enumerate(self.wanted)}
        kept = flat(xp.asarray(True))
        if self._compiled is not None:
            signs = [self._sign(found, *pair, xp) for pair in self._gaps]
            kept = xp.asarray(self._compiled.truth([flat(xp.asarray(s)) for s in signs], fits))
        known = flat(xp.asarray(known))
        given = {k: flat(v) for k, v in values.items()}
        return Chunk(index, given, columns, reason, self.reasons, known, kept,
                     flat(xp.asarray(apart)), self.rank)  # fmt: skip

    @staticmethod
    def _sign(found: Sequence[Any], num: int, den: int, xp: Any) -> Any:
        top, below = found[num], found[den]
        sign = (top > 0) * 1 - (top < 0) * 1
        return sign if isinstance(below, int) else sign * ((below > 0) * 1 - (below < 0) * 1)

    def _passes(self, test: tuple[str, int, int, int], found: Sequence[Any], xp: Any) -> Any:
        kind, num, den, answer = test
        if kind == "sign":
            return self._sign(found, num, den, xp) == answer
        below = found[den]
        below = below if isinstance(below, int) else xp.where(below == 0, 1, below)
        return ((found[num] % below) == 0) == bool(answer)

    def keeps(self, point: Mapping[str, int], found: Mapping[str, Number], fits: bool) -> bool:
        """Whether the condition holds at a point that was derived by itself."""
        if self.where is None:
            return True

        def lookup(name: str) -> Number:
            side = output_axis(name, sum(1 for n in found if n.startswith("output ")))
            at = name if side is None else f"output {side}"
            return found[at] if at in found else {**self.part.given, **point}[name]

        try:
            compiled = Compiled(self.where, lookup)
        except KeyError:  # it speaks of a value that is not known here
            return False
        signs = [np_bool((x > 0) - (x < 0)) for x in compiled.forms]  # type: ignore[operator]
        return bool(compiled.truth(signs, np_bool(fits)))


def np_bool(x: Any) -> Any:
    """A NumPy scalar, on which `~`, `&` and `|` are logic."""
    import numpy as np

    return np.int64(x) if not isinstance(x, bool) else np.bool_(x)


def output_axis(name: str, rank: int) -> int | None:
    """Which axis of the output a name means; the channels are the last.

    >>> output_axis("height", 3), output_axis("channels", 1), output_axis("width", 1)
    (0, 0, None)
    """
    back = {"channels": 1, "depth": 1, "width": 2, "height": 3}.get(name)
    return None if back is None or back > rank else rank - back
