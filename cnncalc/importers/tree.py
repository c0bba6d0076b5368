"""A draft's layers as steps: chains in order, and joins whose branches can be nested."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..items import JOINS
from .draft import Draft, Item

MAX_NESTING = 10


class Leaf(NamedTuple):
    """One layer. `sources` are what it reads where that must be said; else the step above."""

    item: Item
    name: str
    sources: tuple[str, ...] | None
    fields: Mapping[str, Any]

    @property
    def ref(self) -> str:
        return self.item.name


class Join(NamedTuple):
    """A join with its branches, all of which start at the same volume."""

    item: Item
    name: str
    sources: tuple[str, ...] | None
    fields: Mapping[str, Any]
    branches: tuple[tuple["Step", ...], ...]

    @property
    def ref(self) -> str:
        return self.item.name


class Call(NamedTuple):
    """A use of a block."""

    block: str
    values: tuple[Any, ...]
    name: str
    sources: tuple[str, ...] | None
    ref: str  # its last layer
    size: int  # layers in it


Step = Leaf | Join | Call


def arrange(draft: Draft, nested: bool = True) -> list[Step]:
    """The draft's layers as steps, in order; without `nested` every join names its sources."""
    return _Arranger(draft).run(nested)


class _Arranger:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.readers = draft.readers()
        self.outputs = set(draft.outputs)
        shares = [i.share for i in draft.items.values() if i.share]
        self.pinned = {*shares, *(i.name for i in draft.items.values() if i.share)}
        self.above, self.depth = _dominators(draft)

    def run(self, nested: bool) -> list[Step]:
        joins: dict[str, Join] = {}
        absorbed: set[str] = set()
        for item in reversed(self.draft.items.values()) if nested else ():
            if item.op in JOINS and item.name not in absorbed and len(item.inputs) > 1:
                self.met: set[str] = set()
                found = self._join(item, 0)
                inside = set() if found is None else self._closed(found)
                if found is not None and inside:
                    joins[item.name] = found
                    absorbed |= inside - {item.name}
        steps: list[Step] = []
        for item in self.draft.items.values():
            if item.name in joins:
                steps.append(joins[item.name])
            elif item.name not in absorbed:
                steps.append(Leaf(item, self._shown(item), item.inputs, item.fields))
        return _named(steps, self.draft)

    def _shown(self, item: Item) -> str:
        return item.name if item.source else ""

    def _join(self, item: Item, nesting: int) -> Join | None:
        fork = self.above[item.name]
        if fork is None or nesting > MAX_NESTING or item.name in self.pinned:
            return None
        branches = []
        for ref in item.inputs:
            branch = self._chain(fork, ref, nesting)
            if branch is None:
                return None
            branches.append(tuple(branch))
        sources = (fork,) if nesting == 0 else None
        return Join(item, self._shown(item), sources, item.fields, tuple(branches))

    def _chain(self, fork: str, end: str, nesting: int) -> list[Step] | None:
        """The steps from `fork`, not included, to `end`."""
        found: list[Step] = []
        at: str | None = end
        while at != fork:
            if at is None or at in self.draft.inputs or self.depth[at] <= self.depth[fork]:
                return None
            item = self.draft.items[at]
            if at in self.pinned or at in self.met:
                return None  # two branches cannot both hold a layer
            self.met.add(at)
            if len(item.inputs) == 1:
                found.append(Leaf(item, self._shown(item), None, item.fields))
                at = item.inputs[0]
                continue
            join = self._join(item, nesting + 1) if item.op in JOINS else None
            if join is None:
                return None
            found.append(join._replace(sources=None))
            at = self.above[at]
        return found[::-1]

    def _closed(self, join: Join) -> set[str]:
        """The layers of a join; empty where one is met twice or read from outside."""
        inside: set[str] = set()
        waiting: list[Step] = [join]
        while waiting:
            step = waiting.pop()
            if step.ref in inside:
                return set()
            inside.add(step.ref)
            if isinstance(step, Join):
                waiting.extend(s for branch in step.branches for s in branch)
        for name in inside - {join.ref}:
            if name in self.outputs or not inside.issuperset(self.readers[name]):
                return set()
        return inside


def _dominators(draft: Draft) -> tuple[dict[str, str | None], dict[str, int]]:
    """The nearest layer or input that everything on the way to a layer passes."""
    above: dict[str, str | None] = dict.fromkeys(draft.inputs)
    depth: dict[str, int] = dict.fromkeys(draft.inputs, 0)
    for item in draft.items.values():
        found: str | None = item.inputs[0]
        for other in item.inputs[1:]:
            at: str | None = other
            while found != at and found is not None and at is not None:
                if depth[found] >= depth[at]:
                    found = above[found]
                else:
                    at = above[at]
            if at is None:
                found = None
            if found is None:
                break
        above[item.name] = found
        depth[item.name] = 1 if found is None else depth[found] + 1
    return above, depth


def _named(steps: Sequence[Step], draft: Draft) -> list[Step]:
    """Every step that must be called by name gets one; what follows from order goes unsaid."""
    wanted = set(draft.outputs) | {i.share for i in draft.items.values() if i.share}
    previous = next(iter(draft.inputs))
    found: list[Step] = []
    for step in steps:
        if step.sources == (previous,):
            step = step._replace(sources=None)
        wanted.update(step.sources or ())
        previous = step.ref
        found.append(step)
    if draft.outputs == [previous]:
        wanted.discard(previous) if not any(previous in (s.sources or ()) for s in found) else None
    return [s._replace(name=s.ref) if s.ref in wanted and not s.name else s for s in found]


def inner(step: Step) -> list[Step]:
    """The step and everything in its branches, in order."""
    if not isinstance(step, Join):
        return [step]
    return [s for branch in step.branches for b in branch for s in inner(b)] + [step]


def size(step: Step) -> int:
    """Layers that a step stands for."""
    if isinstance(step, Call):
        return 1
    return sum(1 for _ in inner(step))
