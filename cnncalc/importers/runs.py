"""Runs of steps that do the same: which of them would save most as a block.

Candidates are runs of steps that share the beginning of their names (layer1.0.conv1,
layer1.0.bn1) or differ in one piece of them (res2a_branch1, res2b_branch1); runs without names
are compared by what they do alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..layers import REGISTRY
from .draft import Draft
from .tree import Call, Join, Leaf, Step, inner, size

MAX_ARGS = 9
LEAST = 3  # layers of a block
WORTH = 7  # layers saved
LONGEST = 10  # steps of a run found without names
SEPARATORS = re.compile(r"[./_]")


class Run(NamedTuple):
    """One place where a block could stand: steps start to stop of one sequence."""

    where: tuple[int, ...]  # the sequence: top, or a branch
    start: int
    stop: int
    prefix: str
    values: tuple[Any, ...]


Path = tuple[int, ...]  # step, branch, step, branch...


# --- what a step does, apart from its numbers -----------------------------------------------------


def shape(step: Step) -> tuple[Any, tuple[Any, ...]]:
    """What a step is, and its numbers: two steps of one kind differ in the numbers alone."""
    if isinstance(step, Call):
        return (step.block,), step.values
    kind, values = numbered(step.item.op, step.fields)
    note = step.item.note
    if isinstance(step, Leaf):
        return (step.item.op, kind, note), values
    parts = [[shape(s) for s in branch] for branch in step.branches]
    kinds = tuple(tuple(k for k, _ in branch) for branch in parts)
    return (step.item.op, kind, note, kinds), (
        *(v for branch in parts for _, vs in branch for v in vs), *values,
    )  # fmt: skip


def numbered(op: str, fields: Mapping[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    kind: list[Any] = []
    values: list[Any] = []
    for name, field in REGISTRY[op].fields.items():
        value = fields.get(name, field.default)
        if _is_number(value):
            values.append(_frozen(value))
            kind.append(name)
        else:
            kind.append((name, _frozen(value)))
    return tuple(kind), tuple(values)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, str):
        return bool(re.fullmatch(r"-?[\d./]+", value))
    return True


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


# --- candidates -----------------------------------------------------------------------------------


def _sequences(steps: Sequence[Step], at: Path = ()) -> Iterator[tuple[Path, Sequence[Step]]]:
    yield at, steps
    for i, step in enumerate(steps):
        if isinstance(step, Join):
            for j, branch in enumerate(step.branches):
                yield from _sequences(branch, (*at, i, j))


Class = tuple[Any, tuple[str, ...]]  # what the steps are, their local names


def best_runs(draft: Draft, steps: Sequence[Step]) -> tuple[list[Run], tuple[str, ...]] | None:
    """The class of runs that saves most."""
    named = _referenced(draft, steps)
    classes: dict[Class, list[Run]] = {}
    sizes: dict[Class, int] = {}
    for at, sequence in _sequences(steps):
        shapes = [shape(s) for s in sequence]
        for start, stop, prefix in _prefixed(sequence):
            local = _localised(sequence[start:stop], prefix)
            _note(classes, sizes, sequence, shapes, (at, start, stop, prefix), local, named)
    found = _worthy(classes, sizes)
    return found or _nameless(steps, named)


def _worthy(
    classes: Mapping[Class, list[Run]], sizes: Mapping[Class, int]
) -> tuple[list[Run], tuple[str, ...]] | None:
    best: tuple[int, int] = (0, 0)
    chosen = None
    for key, runs in classes.items():
        runs = _apart(runs)
        saved = (len(runs) - 1) * sizes[key]
        if len(runs) < 2 or saved < WORTH or len(columns_of(runs)) > MAX_ARGS:
            continue
        if (saved, sizes[key]) > best:
            best, chosen = (saved, sizes[key]), (runs, key[1])
    return chosen


def _apart(runs: Sequence[Run]) -> list[Run]:
    """Runs that do not overlap, from the left."""
    found: list[Run] = []
    for run in runs:
        if not found or found[-1].where != run.where or found[-1].stop <= run.start:
            found.append(run)
    return found


def _note(
    classes: dict[Class, list[Run]], sizes: dict[Class, int], sequence: Sequence[Step],
    shapes: Sequence[Any], place: tuple[Path, int, int, str], local: tuple[str, ...],
    named: frozenset[str],
) -> None:  # fmt: skip
    at, start, stop, prefix = place
    layers = sum(size(s) for s in sequence[start:stop])
    shown = [n for n in local if n]
    if len(set(shown)) < len(shown):
        return
    if layers < LEAST or not _closed(sequence, start, stop, named):
        return
    key = (tuple(kind for kind, _ in shapes[start:stop]), local)
    values = tuple(v for _, vs in shapes[start:stop] for v in vs)
    classes.setdefault(key, []).append(Run(at, start, stop, prefix, values))
    sizes[key] = layers


def _referenced(draft: Draft, steps: Sequence[Step]) -> frozenset[str]:
    """Layers that are called by name."""
    found = set(draft.outputs[:-1] if len(draft.outputs) > 1 else ())
    found |= {i.share for i in draft.items.values() if i.share}
    found |= {i.name for i in draft.items.values() if i.share}
    for step in steps:
        found.update(step.sources or ())
    return frozenset(found)


def _closed(sequence: Sequence[Step], start: int, stop: int, named: frozenset[str]) -> bool:
    """Whether a run has one way in, and only its end is called by name."""
    first = sequence[start]
    if first.sources is not None and len(first.sources) != 1:
        return False
    if any(s.sources is not None for s in sequence[start + 1 : stop]):
        return False
    inside = [s.ref for step in sequence[start:stop] for s in inner(step)]
    pinned = any(
        isinstance(s, Leaf) and (s.item.share or s.item.dialect) for s in sequence[start:stop]
    )
    return not pinned and not any(ref in named for ref in inside[:-1])


def _names(step: Step) -> list[str]:
    return [s.name for s in inner(step) if s.name]


def _prefixed(sequence: Sequence[Step]) -> Iterator[tuple[int, int, str]]:
    """Maximal runs whose names begin with the same components."""
    heads: list[list[str]] = []
    for step in sequence:
        names = _names(step)
        heads.append(_beginnings(names) if names else [])
    depth = max((len(h) for h in heads), default=0)
    for d in range(depth):
        start = 0
        for i in range(1, len(sequence) + 1):
            same = i < len(sequence) and len(heads[i]) > d and heads[i][d : d + 1] == (
                heads[start][d : d + 1])  # fmt: skip
            if not same:
                if len(heads[start]) > d:
                    yield start, i, heads[start][d]
                    if i - start > 1 and sequence[start].sources is not None:
                        yield start + 1, i, heads[start][d]
                start = i


def _beginnings(names: Sequence[str]) -> list[str]:
    """Every beginning, up to a separator, that all names have."""
    first = min(names, key=len)
    found = [first[: m.start()] for m in SEPARATORS.finditer(first) if m.start()]
    return [p for p in found if all(_begins(n, p) for n in names)]


def _begins(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name[len(prefix) : len(prefix) + 1] in (".", "/", "_")


def _localised(steps: Sequence[Step], prefix: str) -> tuple[str, ...]:
    """The names within a block: without their common beginning; empty ones stay empty."""
    found = [s.name for step in steps for s in inner(step)]
    return tuple(n[len(prefix) + 1 :] if n else "" for n in found)


def _nameless(
    steps: Sequence[Step], named: frozenset[str]
) -> tuple[list[Run], tuple[str, ...]] | None:
    """Runs that do the same, their names apart by one piece or absent."""
    classes: dict[Class, list[Run]] = {}
    sizes: dict[Class, int] = {}
    for at, sequence in _sequences(steps):
        shapes = [shape(s) for s in sequence]
        kinds = [hash(k) for k, _ in shapes]
        for length in range(1, min(LONGEST, len(sequence)) + 1):
            places: dict[tuple[int, ...], list[int]] = {}
            for start in range(len(sequence) - length + 1):
                places.setdefault(tuple(kinds[start : start + length]), []).append(start)
            for starts in places.values():
                for start, token, local in _alike(sequence, starts, length):
                    place = (at, start, start + length, token)
                    _note(classes, sizes, sequence, shapes, place, local, named)
    return _worthy(classes, sizes)


def _alike(
    sequence: Sequence[Step], starts: Sequence[int], length: int
) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Places whose names are the same but for one piece, with the piece left out."""
    lists = [[s.name for step in sequence[i : i + length] for s in inner(step)] for i in starts]
    if not any(any(names) for names in lists):
        yield from ((start, "", tuple("" for _ in lists[0])) for start in starts)
        return
    if len(starts) < 2 or not all(lists[0]):
        return
    for i, (start, names) in enumerate(zip(starts, lists, strict=True)):
        other = lists[i + 1] if i + 1 < len(lists) else lists[i - 1]
        token = _token(names[-1], other[-1])
        if token and all(token in n for n in names):
            yield start, names[-1], tuple(_without(n, token) for n in names)


PIECES = re.compile(r"\d+[a-z]?\d*(?![a-z])|[A-Za-z]+|\d+")


def _token(a: str, b: str) -> str:
    """The piece of a name that tells it from another: a number with its letter."""
    ours, theirs = PIECES.findall(a), PIECES.findall(b)
    if len(ours) != len(theirs):
        return ""
    different = [x for x, y in zip(ours, theirs, strict=True) if x != y]
    return different[0] if len(different) == 1 and different[0][0].isdigit() else ""


def _without(name: str, token: str) -> str:
    before, _, after = name.partition(token)
    if before[-1:] in ("_", "/", ".") and (not after or after[0] in "_/."):
        before = before[:-1]
    return (before + after).strip("_/.") or name


# --- the numbers that tell runs apart -------------------------------------------------------------


class Column(NamedTuple):
    """One argument: its values at every run, and where in a run they stand."""

    values: tuple[Any, ...]
    places: tuple[int, ...]


def columns_of(runs: Sequence[Run]) -> list[Column]:
    """The numbers that differ between runs, equal ones together."""
    found: dict[Any, list[int]] = {}
    for i, values in enumerate(zip(*(r.values for r in runs), strict=True)):
        if any(v != values[0] for v in values):
            found.setdefault(values, []).append(i)
    kept: list[Column] = []
    for values, places in found.items():
        column = Column(values, tuple(places))
        if derived(column, kept) is None:
            kept.append(column)
    return kept


def derived(column: Column, earlier: Sequence[Column]) -> tuple[int, str] | None:
    """How a column follows from an earlier one: a multiple, a part, or (k-1)/2."""
    for i, other in enumerate(earlier):
        pairs = list(zip(column.values, other.values, strict=True))
        if not all(type(a) is int and type(b) is int and b > 0 for a, b in pairs):
            continue
        for k in range(2, 17):
            if all(a == k * b for a, b in pairs):
                return i, f"{k}*{{}}"
            if all(a * k == b for a, b in pairs):
                return i, f"{{}}/{k}"
        if all(2 * a == b - 1 for a, b in pairs):
            return i, "({}-1)/2"
    return None
