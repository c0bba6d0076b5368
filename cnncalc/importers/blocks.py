"""Finds parts of a network that repeat and makes parametrised blocks of them.

A block is worth its name where it saves lines. Candidates are runs of steps that share the
beginning of their names (layer1.0.conv1, layer1.0.bn1) or differ in one piece of them
(res2a_branch1, res2b_branch1); runs without names are compared by what they do alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..layers import REGISTRY
from .draft import Draft
from .tree import Call, Join, Leaf, Step, inner, size

MAX_ARGS = 9
MAX_BLOCKS = 24
LEAST = 3  # layers of a block
WORTH = 7  # layers saved
LONGEST = 10  # steps of a run found without names
SEPARATORS = re.compile(r"[./_]")
SHORT = {
    "filters": "c", "units": "u", "kernel": "k", "stride": "s", "pad": "p", "groups": "g",
    "dilation": "d", "multiplier": "m", "rate": "rate", "eps": "eps", "size": "n", "heads": "h",
}  # fmt: skip


class Block(NamedTuple):
    name: str
    args: tuple[str, ...]
    steps: tuple[Step, ...]


class Run(NamedTuple):
    """One place where a block could stand: steps start to stop of one sequence."""

    where: tuple[int, ...]  # the sequence: top, or a branch
    start: int
    stop: int
    prefix: str
    values: tuple[Any, ...]


Path = tuple[int, ...]  # step, branch, step, branch...


def recover(draft: Draft, steps: Sequence[Step]) -> tuple[list[Step], list[Block]]:
    """The steps with repeated runs replaced by calls, and the blocks they call."""
    found = list(steps)
    blocks: list[Block] = []
    taken: set[str] = set(REGISTRY) | {"repeat"}
    for _ in range(MAX_BLOCKS):
        best = _best(draft, found)
        if best is None:
            break
        runs, local = best
        block, calls = _made(found, runs, local, taken)
        taken.add(block.name)
        for run, values in reversed(list(zip(runs, calls, strict=True))):
            found = _replaced(found, run, block.name, values)
        blocks.append(block)
    return found, _used(blocks)


def _used(blocks: list[Block]) -> list[Block]:
    return blocks


# --- what a step does, apart from its numbers -----------------------------------------------------


def shape(step: Step) -> tuple[Any, tuple[Any, ...]]:
    """What a step is, and its numbers: two steps of one kind differ in the numbers alone."""
    if isinstance(step, Call):
        return (step.block,), step.values
    kind, values = _fields(step.item.op, step.fields)
    note = step.item.note
    if isinstance(step, Leaf):
        return (step.item.op, kind, note), values
    parts = [[shape(s) for s in branch] for branch in step.branches]
    kinds = tuple(tuple(k for k, _ in branch) for branch in parts)
    return (step.item.op, kind, note, kinds), (
        *(v for branch in parts for _, vs in branch for v in vs), *values,
    )  # fmt: skip


def _fields(op: str, fields: Mapping[str, Any]) -> tuple[Any, tuple[Any, ...]]:
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


def _best(draft: Draft, steps: Sequence[Step]) -> tuple[list[Run], tuple[str, ...]] | None:
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
        if len(runs) < 2 or saved < WORTH or len(_columns(runs)) > MAX_ARGS:
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


# --- making a block -------------------------------------------------------------------------------


class Column(NamedTuple):
    """One argument: its values at every run, and where in a run they stand."""

    values: tuple[Any, ...]
    places: tuple[int, ...]


def _columns(runs: Sequence[Run]) -> list[Column]:
    """The numbers that differ between runs, equal ones together."""
    found: dict[Any, list[int]] = {}
    for i, values in enumerate(zip(*(r.values for r in runs), strict=True)):
        if any(v != values[0] for v in values):
            found.setdefault(values, []).append(i)
    kept: list[Column] = []
    for values, places in found.items():
        column = Column(values, tuple(places))
        if _derived(column, kept) is None:
            kept.append(column)
    return kept


def _derived(column: Column, earlier: Sequence[Column]) -> tuple[int, str] | None:
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


def _made(
    steps: Sequence[Step], runs: Sequence[Run], local: tuple[str, ...], taken: set[str]
) -> tuple[Block, list[tuple[Any, ...]]]:
    """The block that runs have in common, and the values each passes."""
    body = _sequence(steps, runs[0].where)[runs[0].start : runs[0].stop]
    columns = _columns(runs)
    fields = _field_names(body)
    args: list[str] = []
    for column in columns:
        args.append(_argument(fields[column.places[0]], args))
    text: dict[int, str] = {}
    for arg, column in zip(args, columns, strict=True):
        text.update(dict.fromkeys(column.places, arg))
    for i, values in enumerate(zip(*(r.values for r in runs), strict=True)):
        if i not in text and any(v != values[0] for v in values):
            derived = _derived(Column(values, (i,)), columns)
            assert derived is not None  # else it would be a column
            text[i] = derived[1].format(args[derived[0]])
    rebuilt = _Rebuilder(text, local).run(body)
    block = Block(_block_name(body, runs, taken), tuple(args), tuple(rebuilt))
    return block, [tuple(c.values[i] for c in columns) for i in range(len(runs))]


def _field_names(body: Sequence[Step]) -> list[str]:
    """The field that each number of a run belongs to."""
    found: list[str] = []
    for step in body:
        if isinstance(step, Call):
            found += ["a"] * len(step.values)
            continue
        if isinstance(step, Join):
            for branch in step.branches:
                found += _field_names(branch)
        kind, _ = _fields(step.item.op, step.fields)
        found += [k for k in kind if isinstance(k, str)]
    return found


def _argument(field: str, taken: Sequence[str]) -> str:
    short = SHORT.get(field, field)
    if short not in taken:
        return short
    return next(f"{short}{i}" for i in range(2, 99) if f"{short}{i}" not in taken)


class _Rebuilder:
    """The body of a block: local names, arguments in place of numbers."""

    def __init__(self, text: Mapping[int, str], local: Sequence[str]) -> None:
        self.text, self.local = text, list(local)
        self.number = self.name = 0

    def run(self, steps: Sequence[Step]) -> list[Step]:
        found: list[Step] = []
        for i, step in enumerate(steps):
            made = self._step(step)
            found.append(made._replace(sources=None) if i == 0 else made)
        return found

    def _step(self, step: Step) -> Step:
        if isinstance(step, Join):
            branches = tuple(tuple(self._step(s) for s in b) for b in step.branches)
            step = step._replace(branches=branches)
        name = self.local[self.name]
        self.name += 1
        if isinstance(step, Call):
            values = tuple(self._value(v) for v in step.values)
            return step._replace(values=values, name=name)
        fields = dict(step.fields)
        for field in _fields(step.item.op, step.fields)[0]:
            if isinstance(field, str):
                declared = REGISTRY[step.item.op].fields[field].default
                before = fields.get(field, declared)
                after = self._value(before)
                if after is not before:
                    fields[field] = after
        return step._replace(fields=fields, name=name)

    def _value(self, value: Any) -> Any:
        found = self.text.get(self.number, value)
        self.number += 1
        return found


def _block_name(body: Sequence[Step], runs: Sequence[Run], taken: set[str]) -> str:
    """From the names in the source if they say something, else from what the block does."""
    stems = {_stem(r.prefix) for r in runs}
    name = stems.pop() if len(stems) == 1 else ""
    if not name:
        ops = [_op(s) for s in body]
        name = "_".join(dict.fromkeys(ops)) if len(set(ops)) <= 4 else "block"
    if name in taken:
        name = next(
            n
            for i in range(1, 999)
            if (n := f"{name}_{i}" if i > 1 else f"{name}_block") not in taken
        )
    return name


def _stem(prefix: str) -> str:
    """The last word of a name that tells something: layer of layer1.0."""
    for part in reversed(re.split(r"[./]", prefix)):
        word = re.sub(r"[^A-Za-z_]+", "", re.sub(r"\d+[a-z]?(?![a-z])", "", part)).strip("_")
        if len(word) >= 3:
            return word
    return ""


def _op(step: Step) -> str:
    if isinstance(step, Call):
        return step.block
    short = {"batchnorm": "bn", "depthwise_conv": "dw", "maxpool": "pool", "avgpool": "pool"}
    return short.get(step.item.op, step.item.op)


def _sequence(steps: Sequence[Step], where: Path) -> Sequence[Step]:
    for i in range(0, len(where), 2):
        step = steps[where[i]]
        assert isinstance(step, Join)
        steps = step.branches[where[i + 1]]
    return steps


def _replaced(steps: Sequence[Step], run: Run, block: str, values: tuple[Any, ...]) -> list[Step]:
    """The steps with one run replaced by a call."""
    if run.where:
        i, j, *rest = run.where
        step = steps[i]
        assert isinstance(step, Join)
        branch = _replaced(step.branches[j], run._replace(where=tuple(rest)), block, values)
        branches = (*step.branches[:j], tuple(branch), *step.branches[j + 1 :])
        return [*steps[:i], step._replace(branches=branches), *steps[i + 1 :]]
    body = steps[run.start : run.stop]
    others = {s.name for s in (*steps[: run.start], *steps[run.stop :])}
    name = run.prefix or body[-1].name
    while name and name in others:
        name += "_"
    call = Call(block, values, name, body[0].sources, body[-1].ref, sum(map(size, body)))
    return [*steps[: run.start], call, *steps[run.stop :]]
