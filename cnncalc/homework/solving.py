"""The inverse questions of one layer: which fields give this output, or so many parameters?

A size is monotone in each field, so that one unknown is found by bisection and checked on both
sides; several unknowns are tried over small values, the last one by bisection again. What is
offered was derived once more and fits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from itertools import product as combinations
from typing import Any, NamedTuple

from .. import units
from ..derive import count
from ..dialects import Dialect
from ..formula import Expr
from ..layers.base import Layer, Shape
from ..rules.base import Case, volume
from ..rules.fixes import good
from ..rules.sizes import findings
from .reading import read_answer

SMALL: dict[str, range] = {
    "kernel": range(1, 33), "stride": range(1, 33), "pad": range(33), "dilation": range(1, 17),
    "output_pad": range(32), "groups": range(1, 4097), "multiplier": range(1, 65), "by": range(65),
    "scale": range(1, 65), "output": range(1, 4097),
}  # fmt: skip
LARGE = 1 << 20
MOST = 1000  # solutions that are listed
TRIES = 60_000
RISING = frozenset({"pad", "filters", "units", "multiplier", "output_pad", "scale", "by"})


class Wanted(NamedTuple):
    """What the layer is to give; None where anything will do."""

    sizes: tuple[int, ...] | None = None  # along the spatial axes
    depth: int | None = None
    params: units.Figure | None = None
    macs: units.Figure | None = None


class Solution(NamedTuple):
    """Values of the unknown fields, and what they give."""

    fields: Mapping[str, Any]
    output: Shape
    params: Any
    macs: Any


class Solved(NamedTuple):
    """All solutions in order, or the reason why there is none."""

    unknowns: tuple[str, ...]
    solutions: tuple[Solution, ...]
    reason: str = ""
    note: str = ""


def solve(
    shape: Shape, cls: type[Layer], known: Mapping[str, Any], unknowns: Sequence[str],
    wanted: Wanted, dialect: Dialect,
) -> Solved:  # fmt: skip
    """Every value of the unknown fields that gives what is wanted.

    >>> from cnncalc.dialects import DEFAULT
    >>> from cnncalc.layers import Conv
    >>> known = {"filters": 96, "kernel": 11}
    >>> found = solve((227, 227, 3), Conv, known, ["stride"], Wanted((55, 55)), DEFAULT)
    >>> [dict(s.fields) for s in found.solutions]
    [{'stride': 4}]
    """
    job = _Job(shape, cls, known, tuple(unknowns), wanted, dialect)
    solutions = tuple(job.search())
    note = f"the first {MOST:,} are listed" if len(solutions) >= MOST else ""
    if len(unknowns) > 1 and solutions and not note:
        limits = ", ".join(f"{n} up to {job.range(n)[-1]}" for n in unknowns if n in SMALL)
        note = f"small values were tried: {limits}" if limits else ""
    reason = "" if solutions else job.reason()
    return Solved(tuple(unknowns), solutions, reason, note)


class _Job:
    def __init__(
        self, shape: Shape, cls: type[Layer], known: Mapping[str, Any], unknowns: tuple[str, ...],
        wanted: Wanted, dialect: Dialect,
    ) -> None:  # fmt: skip
        self.shape, self.cls, self.known = shape, cls, dict(known)
        self.unknowns, self.wanted, self.dialect = unknowns, wanted, dialect

    # --- trying --------------------------------------------------------------------

    def layer(self, values: Mapping[str, Any]) -> Layer:
        return self.cls.build({**self.known, **values})

    def output(self, values: Mapping[str, Any]) -> Shape | None:
        try:
            return self.layer(values).output((self.shape,), self.dialect)
        except (ArithmeticError, ValueError, TypeError, LookupError):
            return None

    def solution(self, values: Mapping[str, Any]) -> Solution | None:
        """The values with what they give, where that is what is wanted and fits."""
        layer = self.layer(values)
        output = self.output(values)
        if output is None or not self.sized(output):
            return None
        params = count(layer.weights((self.shape,), self.dialect))
        macs = layer.macs((self.shape,), output, self.dialect)
        for figure, value in ((self.wanted.params, params), (self.wanted.macs, macs)):
            if figure is not None and not (isinstance(value, int) and figure.covers(value)):
                return None
        case = Case.of(layer, (self.shape,), self.dialect)
        if any(not good(w, case, False) for w in case.windows):
            return None
        if any(f.severity == "error" for f in findings(case)):
            return None
        return Solution(dict(values), output, params, macs)

    def sized(self, output: Shape) -> bool:
        wanted = self.wanted
        if wanted.depth is not None and output[-1] != wanted.depth:
            return False
        sizes = output[:-1]
        return wanted.sizes is None or self.sizes(len(sizes)) == sizes

    def sizes(self, rank: int) -> tuple[int, ...] | None:
        """The sizes wanted along `rank` axes; one number stands for all."""
        found = self.wanted.sizes
        return found * rank if found is not None and len(found) == 1 else found

    # --- searching -----------------------------------------------------------------

    def search(self) -> Iterator[Solution]:
        free = [name for name in self.unknowns if name not in ("filters", "units")]
        counted = [name for name in self.unknowns if name in ("filters", "units")]
        yield from islice(self._over(free, counted), MOST)

    def _over(self, free: Sequence[str], counted: Sequence[str]) -> Iterator[Solution]:
        if not free:
            yield from self._counted({}, counted)
            return
        *outer, last = free
        tries = 0
        for chosen in combinations(*(self.range(name) for name in outer)):
            values = dict(zip(outer, chosen, strict=True))
            for value in self._last(values, last, counted):
                tries += 1
                if tries > TRIES:
                    return
                changed = {**values, last: value}
                if len(self.unknowns) == 1 or self._sensible(changed):
                    yield from self._counted(changed, counted)

    def _sensible(self, values: Mapping[str, Any]) -> bool:
        """Of many solutions none whose windows may lie on padding alone."""
        both = {**self.known, **values}
        kernel, pad, dilation = (both.get(n) for n in ("kernel", "pad", "dilation"))
        if not isinstance(kernel, int) or not isinstance(pad, int):
            return True
        return pad <= (kernel - 1) * (dilation if isinstance(dilation, int) else 1)

    def range(self, name: str) -> range:
        """The values that are tried for a field when it is not the only unknown."""
        found = SMALL.get(name, range(1, 65))
        longest = max((n for n in self.shape[:-1] if isinstance(n, int)), default=1)
        if name in ("kernel", "stride", "pad"):
            return found[: max(1, min(len(found), longest + 1))]
        return found

    def _last(self, values: Mapping[str, Any], name: str, counted: Sequence[str]) -> Iterator[Any]:
        """Values of the last unknown for which the sizes are right, by bisection where possible."""
        top = self._top(name)
        low = getattr(self.cls.fields[name], "minimum", 1)
        fill = dict.fromkeys(counted, 1)
        if self.wanted.sizes is None or name not in (*SMALL, "size"):
            yield from range(low, min(top, 4096) + 1)
            return
        rank = len(self.shape) - 1
        goal = self.sizes(rank)
        if goal is None or len(goal) != rank or name in ("groups", "multiplier"):
            yield from range(low, min(top, 4096) + 1)
            return

        def size(value: int) -> Any:
            found = self.output({**values, **fill, name: value})
            return None if found is None else found[0]

        rising = self._rises(name)
        start = _first(size, low, top, goal[0], rising)
        for value in range(start, top + 1):
            if size(value) != goal[0]:
                break
            yield value
        if name == "pad" and self.dialect.asymmetric:
            yield from self._uneven(values, fill, goal, start)

    def _uneven(
        self, values: Mapping[str, Any], fill: Mapping[str, Any], goal: Sequence[int], start: int
    ) -> Iterator[Any]:
        """One zero more behind than before, where the dialect can pad so."""
        rank = len(self.shape) - 1
        for before in range(max(0, start - 1), start + 1):
            pad = ((before, before + 1),) * rank
            output = self.output({**values, **fill, "pad": pad})
            if output is not None and output[0] == goal[0]:
                yield pad

    def _rises(self, name: str) -> bool:
        transposed = self.cls.op == "conv_transpose"
        if name in ("kernel", "stride", "dilation"):
            return transposed
        if name == "pad":
            return not transposed
        return self.cls.op != "crop" if name == "by" else True

    def _top(self, name: str) -> int:
        longest = max((n for n in self.shape[:-1] if isinstance(n, int)), default=1)
        if len(self.unknowns) > 1 and name in SMALL:
            return self.range(name)[-1]
        return max(4096, 2 * longest + 64) if name != "filters" else LARGE

    def _counted(self, values: Mapping[str, Any], counted: Sequence[str]) -> Iterator[Solution]:
        """The number of filters or units: from the depth, or from the parameters."""
        if not counted:
            found = self.solution(values)
            if found is not None:
                yield found
            return
        name = counted[0]
        if self.wanted.depth is not None:
            candidates: Sequence[int] = (self.wanted.depth,)
        else:
            figure, per = self.wanted.params or self.wanted.macs, self._per_filter(values, name)
            if figure is None or per is None:
                return
            half = figure.digit / 2
            first = -(-(figure.value - half - per[1]) // per[0])
            last = (figure.value + half - per[1]) // per[0]
            candidates = range(max(1, int(first)), min(int(last), int(first) + MOST) + 1)
        for value in candidates:
            found = self.solution({**values, name: value})
            if found is not None:
                yield found

    def _per_filter(self, values: Mapping[str, Any], name: str) -> tuple[int, int] | None:
        """What one filter adds to what is counted, and what there is without any."""
        counts = [self._count({**values, name: n}) for n in (1, 2)]
        if not all(isinstance(c, int) for c in counts) or counts[1] == counts[0]:
            return None
        return counts[1] - counts[0], 2 * counts[0] - counts[1]

    def _count(self, values: Mapping[str, Any]) -> Any:
        layer, output = self.layer(values), self.output(values)
        if output is None:
            return None
        if self.wanted.params is not None:
            return count(layer.weights((self.shape,), self.dialect))
        return layer.macs((self.shape,), output, self.dialect)

    # --- why not -------------------------------------------------------------------

    def reason(self) -> str:
        """Why nothing gives what is wanted, from the values next to it."""
        for check in (self._rank, self._depth, self._sharing, self._nearest):
            text = check()
            if text:
                return text
        ranges = ", ".join(self.unknowns)
        return f"no small values of {ranges} give it"

    def _rank(self) -> str:
        sizes = self.wanted.sizes
        rank = len(self.shape) - 1
        if sizes is not None and len(sizes) not in (1, rank):
            return f"the output lists {len(sizes)} sizes, but the layer has {rank} spatial axes"
        return ""

    def _depth(self) -> str:
        """A depth that no unknown can change."""
        depth = self.wanted.depth
        if depth is None or {"filters", "units", "multiplier", "scale"} & set(self.unknowns):
            return ""
        output = self.output(self._plain())
        if output is not None and output[-1] != depth:
            return f"the output depth is {output[-1]}, whatever {' and '.join(self.unknowns)}"
        return ""

    def _plain(self) -> dict[str, Any]:
        return {name: 0 if name in ("pad", "output_pad", "by") else 1 for name in self.unknowns}

    def _sharing(self) -> str:
        """So many parameters are no whole number of filters."""
        counted = [n for n in self.unknowns if n in ("filters", "units")]
        figure = self.wanted.params or self.wanted.macs
        if len(self.unknowns) != 1 or not counted or figure is None or self.wanted.depth:
            return ""
        per = self._per_filter({}, counted[0])
        if per is None:
            return ""
        each, rest = per
        amount = int(figure.value) - rest
        what = "parameters" if self.wanted.params is not None else "MACs"
        word = "unit" if counted[0] == "units" else "filter"
        near = max(1, amount // each)
        return (
            f"each {word} has {each:,} {what}, and {each:,} does not divide {amount:,}: "
            f"{near:,} {word}s give {near * each + rest:,}, {near + 1:,} give "
            f"{(near + 1) * each + rest:,}"
        )

    def _nearest(self) -> str:
        """The values on both sides of what is wanted, and what they give."""
        if len(self.unknowns) != 1 or self.wanted.sizes is None:
            return ""
        name = self.unknowns[0]
        rank = len(self.shape) - 1
        goal = self.sizes(rank)
        if goal is None or name not in SMALL:
            return ""

        def size(value: int) -> Any:
            found = self.output({name: value})
            return None if found is None else found[0]

        low = 0 if name in ("pad", "output_pad", "by") else 1
        rising = self._rises(name)
        at = _first(size, low, self._top(name), goal[0], rising)
        told = [self._told(name, v, size(v)) for v in (at - 1, at) if v >= low and size(v)]
        exact = " (exactly, without rounding)" if self.dialect.exact and size(at) == goal[0] else ""
        if size(at) == goal[0] and len(set(goal)) > 1:
            return f"no one {name} gives both {' and '.join(map(str, goal))}"
        return f"no {name} gives {goal[0]}{exact}: " + ", ".join(told) if told else ""

    def _told(self, name: str, value: int, size: Any) -> str:
        case = Case.of(self.layer({name: value}), (self.shape,), self.dialect)
        bad = next((f for f in findings(case) if f.severity == "error"), None)
        rest = ""
        if bad is not None:
            w = case.windows[0] if case.windows else None
            whole = w is not None and isinstance(w.remainder, int) and bad.code == "S001"
            rest = (
                f" rounded down ({w.padded - w.extent}/{w.s} leaves {w.remainder})"
                if whole and w is not None
                else f" but {bad.message}"
            )
        return f"{name} {value} gives {size}{rest}"


def _first(size: Callable[[int], Any], low: int, top: int, goal: int, rising: bool) -> int:
    """The first value from which the size is at least (rising) or at most (falling) the goal."""

    def reached(value: int) -> bool:
        found = size(value)
        if found is None or isinstance(found, Expr):
            return not rising
        return bool(found >= goal) if rising else bool(found <= goal)

    while low < top:
        middle = (low + top) // 2
        if reached(middle):
            top = middle
        else:
            low = middle + 1
    return low


def read_wanted(output: str | None, params: str | None, macs: str | None, shape: Shape) -> Wanted:
    """What `--output`, `--params` and `--macs` ask for; raises ValueError.

    `same` is the input's size; a single size stands for every axis, a volume has a depth.

    >>> read_wanted("55x55x96", None, None, (227, 227, 3))
    Wanted(sizes=(55, 55), depth=96, params=None, macs=None)
    >>> read_wanted("same", None, None, (7, 7, 1)).sizes
    (7, 7)
    """
    counts = [_figure(text) for text in (params, macs)]
    rank = len(shape) - 1
    if output is None:
        return Wanted(None, None, *counts)
    if output.strip().lower() in ("same", "input"):
        sizes = tuple(n for n in shape[:-1] if isinstance(n, int))
        return Wanted(sizes, None, *counts)
    answer = read_answer(output, "volume")
    found = answer.shape
    if found is None:
        reason = answer.problem or "sizes are whole numbers from 1 on"
        what = "--output is a volume such as 55x55x96, a size such as 55, or same"
        raise ValueError(f"{what}: {reason}")
    if len(found) == rank + 1 and rank:
        return Wanted(found[:-1], found[-1], *counts)
    if rank == 0:
        return Wanted(None, found[-1], *counts)
    if len(found) in (1, rank):
        return Wanted(found, None, *counts)
    raise ValueError(
        f"--output {output} has {len(found)} sizes, the input {volume(shape)} {rank + 1}"
    )


def _figure(text: str | None) -> units.Figure | None:
    if text is None:
        return None
    found = units.read(text)
    if found is None:
        answer = read_answer(text)
        if answer.kind != "number" or not isinstance(answer.value, int):
            raise ValueError(f"a count such as 34944 or 35K is wanted, not '{text[:40]}'")
        found = units.read(str(answer.value))
    return found
