"""A sweep: the points of a grid in blocks, each with its values, in bounded memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .. import expr
from ..diagnostics import Problem
from ..formula import upper_bound
from ..source import shorten
from . import where as conditions
from .evaluate import Chunk, Evaluator, output_axis
from .family import Family
from .grid import Axis, Grid, GridError, read_axis, sample
from .settings import QUANTITIES, SIDES, SweepError, SweepOptions, read_keys

BLOCK = 1 << 16  # points evaluated at a time
MOST_SAMPLES = 50_000_000
TRIES = 8  # points of a part that are derived in numbers too


class Block(NamedTuple):
    """Points that were kept, one entry each; `output` has one column an axis.

    A value is None where the point does not fit and rounding down means nothing.
    """

    index: Any
    columns: Mapping[str, Any]
    output: Any
    fits: Any
    misfit: Sequence[str]  # "" or `CODE layer`
    known: Any
    seen: int  # points looked at for this block
    fitting: int  # of those, how many fit

    @property
    def size(self) -> int:
        return len(self.index)


class Sweep:
    """A family of designs over a grid, or over a sample of it.

    >>> spec = "{input: HxHx3, let: {k: 8}, layers: [{conv: {filters: k, kernel: 3}}]}"
    >>> sweep = Sweep(SweepOptions(spec, set=("k=8..16:8", "H=5..6")))
    >>> [(row["k"], row["H"], row["macs"]) for block in sweep.blocks() for row in sweep.rows(block)]
    [(8, 5, 1944), (8, 6, 3456), (16, 5, 3888), (16, 6, 6912)]
    """

    def __init__(self, options: SweepOptions) -> None:
        self.options = options
        try:
            axes = [read_axis(text) for text in options.set]
            self._once(axes)
            self.family = Family(options.spec, axes, options.dialect)
            self.grid: Grid = self.family.grid
        except GridError as error:
            raise SweepError(str(error)) from None
        except Problem as problem:
            raise SweepError(problem.diagnostic.message) from None
        self.names = [axis.name for axis in axes]
        self.sort, self.pareto = read_keys(options.sort), read_keys(options.pareto)
        self.where = self._condition(options.where)
        self.columns = self._columns()
        self._evaluators: dict[int, Evaluator] = {}
        self.inner = Grid([a for a in self.grid.axes if a.name not in self.family.through])
        self._checked = False
        self.indexes = self._sample()
        self.total = self.grid.total if self.indexes is None else len(self.indexes)

    @staticmethod
    def _once(axes: Sequence[Axis]) -> None:
        names = [axis.name for axis in axes]
        for name in names:
            if names.count(name) > 1:
                raise GridError(f"--set {name} is given twice: list its values, {name}=1,2,3")

    def _sample(self) -> Any:
        count = self.options.sample
        if count is None:
            return None
        if count > MOST_SAMPLES:
            raise SweepError(f"--sample takes at most {MOST_SAMPLES:,} points")
        return sample(self.grid.total, count, self.options.seed)

    # --- names -----------------------------------------------------------------

    def _condition(self, text: str | None) -> expr.Node | None:
        if text is None:
            return None
        try:
            node = conditions.parse(text)
            for name in conditions.names(node):
                if name != "fits":
                    self._known(name, "--where")
        except expr.ExprError as error:
            hint = f" ({error.hint})" if error.hint else ""
            place = f"at character {error.offset + 1} of"
            message = f"--where: {error.message}{hint}, {place} '{shorten(text)}'"
            raise SweepError(message) from None
        return node

    def _known(self, name: str, option: str) -> None:
        side = name in SIDES and output_axis(name, self.family.rank) is not None
        if name in QUANTITIES or name in self.names or side:
            return
        known = [*self.names, *QUANTITIES, *SIDES]
        near = expr.nearest(name, known)
        help_ = f"did you mean '{near}'?" if near else "there are " + ", ".join(known)
        raise SweepError(f"{option}: there is no '{shorten(name)}': {help_}")

    def _columns(self) -> list[str]:
        """The quantities shown: parameters, MACs, and whatever an option speaks of."""
        asked = [c.strip() for text in self.options.columns for c in text.split(",") if c.strip()]
        for name in asked:
            self._known(name, "--columns")
        for option, keys in (("--sort", self.sort), ("--pareto", self.pareto)):
            for key in keys:
                self._known(key.name, option)
        spoken = [key.name for key in (*self.sort, *self.pareto)]
        spoken += list(conditions.names(self.where)) if self.where is not None else []
        found = dict.fromkeys([*(asked or ("params", "macs")), *spoken])
        return [n for n in found if n not in self.names and n != "fits"]

    # --- evaluation ------------------------------------------------------------

    def evaluator(self, number: int) -> Evaluator:
        """The compiled part with this number."""
        if number not in self._evaluators:
            if len(self._evaluators) > 64:
                self._evaluators.clear()
            part = self.family.part(self._given(number))
            wanted = [n for n in self.columns if n in QUANTITIES]
            self._evaluators[number] = Evaluator(
                part, self.inner.names, wanted, self.where, self.options.form  # type: ignore[arg-type]
            )  # fmt: skip
        found = self._evaluators[number]
        if not self._checked:
            self._checked = True
            self._check(found)
        return found

    def wide(self, name: str) -> bool:
        """Whether a quantity may exceed 64 bits somewhere in the grid."""
        if name not in QUANTITIES:
            return False
        part = self.evaluator(0).part
        top = upper_bound(part.forms[name])
        return len(self.family.through) > 0 or top is None or top >= 2**63

    def _given(self, number: int) -> dict[str, int]:
        axes = [a for a in self.grid.axes if a.name in self.family.through]
        return Grid(axes).point(number) if axes else {}

    def _check(self, evaluator: Evaluator) -> None:
        """Compares some points with derivations in numbers: corners, and others at random."""
        import numpy as np

        last = self.inner.total - 1
        drawn = sample(self.inner.total, TRIES - 2, 0).tolist()
        for i in dict.fromkeys([0, last, *drawn]):
            at = np.array([i], dtype=np.int64)
            values = self.inner.at(at)
            (chunk,) = evaluator.run(values, at, (1,))
            found, reason = self.family.numbers({**evaluator.part.given, **self.inner.point(i)})
            same = bool(reason) == bool(chunk.reason[0]) or bool(chunk.apart[0])
            if same and not reason and not chunk.apart[0]:
                same = all(int(v[0]) == found[n] for n, v in chunk.values.items())
            if not same:
                evaluator.alone = True  # not a closed form: every point by itself
                return

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """Blocks of kept points in order, from the point numbered `start` on.

        `Block.seen` adds up to the number of points looked at.
        """
        if self.indexes is not None:
            for low in range(start, self.total, BLOCK):
                yield self.at(self.indexes[low : low + BLOCK])
            return
        size = self.inner.total
        for number in range(start // size, self.family.parts_total):
            evaluator = self.evaluator(number)
            first = max(start - number * size, 0)
            for chunk in self._chunks(evaluator, first):
                yield self._block(evaluator, chunk, number * size)

    def _chunks(self, evaluator: Evaluator, first: int) -> Iterator[Chunk]:
        """The points of one part in order."""
        import numpy as np

        if self.options.engine == "jax":
            from .sharded import Sharded

            if Sharded.suits(evaluator, self.inner):
                yield from Sharded(evaluator, self.inner).chunks(first)
                return
        for box in self.inner.boxes(first, BLOCK):
            index = np.arange(box.start, box.start + box.size, dtype=np.int64)
            yield from evaluator.run(self.inner.values(box), index, box.shape)

    def at(self, indexes: Any, every: bool = False) -> Block:
        """The points with these numbers, in this order; `every`: the condition set aside."""
        import numpy as np

        found = []
        size = self.inner.total
        numbers = indexes // size
        for number in np.unique(numbers):
            mine = np.flatnonzero(numbers == number)
            evaluator = self.evaluator(int(number))
            inside = indexes[mine] - number * size
            chunks = evaluator.run(self.inner.at(inside), inside, (len(inside),))
            blocks = [self._block(evaluator, c, int(number) * size, every) for c in chunks]
            found += blocks
        block = join(found)
        place = {int(n): i for i, n in enumerate(indexes)} if len(found) > 1 else None
        if place is None:
            return block
        order = np.argsort(np.array([place[int(n)] for n in block.index]), kind="stable")
        return take(block, order)

    def _block(self, evaluator: Evaluator, chunk: Chunk, first: int, every: bool = False) -> Block:
        import numpy as np

        if evaluator.alone or chunk.apart.any():
            chunk = self._alone(evaluator, chunk)
        fits = chunk.reason == 0
        keep = np.flatnonzero(chunk.kept) if not (every or chunk.kept.all()) else slice(None)
        reason = chunk.reason[keep]
        misfit: Sequence[str] = _NONE
        if reason.any():
            texts = np.array(["", *chunk.reasons], dtype=object)
            misfit = texts[reason]
        columns = {}
        for name in [*self.names, *self.columns]:
            if name in evaluator.part.given:
                columns[name] = np.full(len(reason), evaluator.part.given[name], dtype=np.int64)
            elif name in chunk.names:
                columns[name] = chunk.names[name][keep]
            else:
                side = output_axis(name, chunk.rank)
                at = name if side is None else f"output {side}"
                columns[name] = chunk.values[at][keep]
        output = [chunk.values[f"output {i}"][keep] for i in range(chunk.rank)]
        return Block(
            chunk.index[keep] + first, columns, output, fits[keep], misfit, chunk.known[keep],
            chunk.size, int(fits.sum()),
        )  # fmt: skip

    def _alone(self, evaluator: Evaluator, chunk: Chunk) -> Chunk:
        """Points that take another path are derived one by one, in numbers."""
        import numpy as np

        values = {n: v.astype(object) for n, v in chunk.values.items()}
        reason, known = np.array(chunk.reason), np.array(chunk.known)
        kept = np.array(chunk.kept)
        reasons = list(chunk.reasons)
        each = range(chunk.size) if evaluator.alone else np.flatnonzero(chunk.apart)
        for i in each:
            point = {n: int(v[i]) for n, v in chunk.names.items()}
            found, why = self.family.numbers({**evaluator.part.given, **point})
            if why and why not in reasons:
                reasons.append(why)
            reason[i] = reasons.index(why) + 1 if why else 0
            known[i] = bool(found)
            for name, column in values.items():
                column[i] = found.get(name, 0)
            kept[i] = evaluator.keeps(point, found, not why)
        return chunk._replace(values=values, reason=reason, known=known, kept=kept, reasons=reasons)

    def rows(self, block: Block) -> Iterator[dict[str, Any]]:
        """The points of a block as Python values; None for what is unknown."""
        for i in range(block.size):
            known = bool(block.known[i])
            row: dict[str, Any] = {n: int(block.columns[n][i]) for n in self.names}
            row["output"] = [int(x[i]) for x in block.output if x[i]] if known else None
            for name in self.columns:
                row[name] = int(block.columns[name][i]) if known else None
            row["fits"] = bool(block.fits[i])
            row["misfit"] = (block.misfit[i] if len(block.misfit) else "") or None
            yield row


_NONE: tuple[str, ...] = ()


def take(block: Block, order: Any) -> Block:
    """The entries of a block with these positions."""
    return block._replace(
        index=block.index[order],
        columns={n: v[order] for n, v in block.columns.items()},
        output=[v[order] for v in block.output],
        fits=block.fits[order],
        misfit=block.misfit[order] if len(block.misfit) else block.misfit,
        known=block.known[order],
    )


def join(blocks: Sequence[Block]) -> Block:
    """Blocks one after the other."""
    import numpy as np

    if len(blocks) == 1:
        return blocks[0]
    if not blocks:
        none = np.empty(0, dtype=np.int64)
        return Block(none, {}, [], none == 0, _NONE, none == 0, 0, 0)
    misfit: Any = _NONE
    if any(len(b.misfit) for b in blocks):
        misfit = np.concatenate(
            [b.misfit if len(b.misfit) else np.full(b.size, "", dtype=object) for b in blocks]
        )
    rank = max(len(b.output) for b in blocks)
    return Block(
        np.concatenate([b.index for b in blocks]),
        {n: np.concatenate([b.columns[n] for b in blocks]) for n in blocks[0].columns},
        [np.concatenate([_side(b, i) for b in blocks]) for i in range(rank)],
        np.concatenate([b.fits for b in blocks]), misfit,
        np.concatenate([b.known for b in blocks]),
        sum(b.seen for b in blocks), sum(b.fitting for b in blocks),
    )  # fmt: skip


def _side(block: Block, i: int) -> Any:
    """One axis of the outputs; 0 where they have fewer axes."""
    return block.output[i] if i < len(block.output) else block.index * 0
