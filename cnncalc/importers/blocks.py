"""Finds parts of a network that repeat and makes parametrised blocks of them.

A block is worth its name where it saves lines; `runs` finds the parts.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..layers import REGISTRY
from .draft import Draft
from .runs import Column, Path, Run, best_runs, columns_of, derived, numbered
from .tree import Call, Join, Step, size

MAX_BLOCKS = 24
SHORT = {
    "filters": "c", "units": "u", "kernel": "k", "stride": "s", "pad": "p", "groups": "g",
    "dilation": "d", "multiplier": "m", "rate": "rate", "eps": "eps", "size": "n", "heads": "h",
}  # fmt: skip


class Block(NamedTuple):
    name: str
    args: tuple[str, ...]
    steps: tuple[Step, ...]


def recover(draft: Draft, steps: Sequence[Step]) -> tuple[list[Step], list[Block]]:
    """The steps with repeated runs replaced by calls, and the blocks they call."""
    found = list(steps)
    blocks: list[Block] = []
    taken: set[str] = set(REGISTRY) | {"repeat"}
    for _ in range(MAX_BLOCKS):
        best = best_runs(draft, found)
        if best is None:
            break
        runs, local = best
        block, calls = _made(found, runs, local, taken)
        taken.add(block.name)
        for run, values in reversed(list(zip(runs, calls, strict=True))):
            found = _replaced(found, run, block.name, values)
        blocks.append(block)
    return found, blocks


def _made(
    steps: Sequence[Step], runs: Sequence[Run], local: tuple[str, ...], taken: set[str]
) -> tuple[Block, list[tuple[Any, ...]]]:
    """The block that runs have in common, and the values each passes."""
    body = _sequence(steps, runs[0].where)[runs[0].start : runs[0].stop]
    columns = columns_of(runs)
    fields = _field_names(body)
    args: list[str] = []
    for column in columns:
        args.append(_argument(fields[column.places[0]], args))
    text: dict[int, str] = {}
    for arg, column in zip(args, columns, strict=True):
        text.update(dict.fromkeys(column.places, arg))
    for i, values in enumerate(zip(*(r.values for r in runs), strict=True)):
        if i not in text and any(v != values[0] for v in values):
            found = derived(Column(values, (i,)), columns)
            assert found is not None  # else it would be a column
            text[i] = found[1].format(args[found[0]])
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
        kind, _ = numbered(step.item.op, step.fields)
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
        for field in numbered(step.item.op, step.fields)[0]:
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
