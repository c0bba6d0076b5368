"""The network as a person would write it: a tree of regions over its derived rows.

A region is a block, a repeat, one of its iterations, or a branch. Every region that remains
is closed: it reads one value from outside (`input`) and gives one (`output`). Regions that are
read in the middle, or share weights across their border, are dissolved into the one around.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..network import Network
from ..parts import Part
from ..rows import Report, Row


class Leaf(NamedTuple):
    """One layer; `path` are the names between it and the region it stands in."""

    row: Row
    path: str

    @property
    def value(self) -> str:
        return self.row.name

    @property
    def sources(self) -> tuple[str, ...]:
        return self.row.inputs


class Region(NamedTuple):
    """A closed run of items that begins at `input` and ends at `output`."""

    kind: str  # network, block, repeat, iteration or branch
    name: str  # the full path
    path: str  # the names between it and the region it stands in
    block: str
    values: Mapping[str, Any]
    input: str
    output: str
    items: tuple["Leaf | Region", ...]

    @property
    def value(self) -> str:
        return self.output

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def chain(self) -> bool:
        """Does every item read just the one before it?"""
        current = self.input
        for item in self.items:
            if item.sources != (current,) or (isinstance(item, Leaf) and item.row.shared):
                return False
            current = item.value
        return current == self.output

    def leaves(self) -> Iterator[Leaf]:
        for item in self.items:
            if isinstance(item, Region):
                yield from item.leaves()
            else:
                yield item


def structure(network: Network, report: Report) -> Region:
    """The tree of a network whose rows are derived."""
    graph = network.graph()
    rows = report.layers
    first = next(iter(report.input_shapes))
    whole = graph.whole
    if whole is None:
        whole = Part("network", "", first)
        whole.children = list(range(len(rows)))
    else:
        whole.output = graph.outputs[0]
    return _Builder(rows, graph.outputs, first).build(whole)


class _Builder:
    def __init__(self, rows: Sequence[Row], outputs: Sequence[str], first: str) -> None:
        self.rows, self.outputs, self.first = rows, outputs, first
        self.above: dict[str, tuple[Part, ...]] = {}
        self.open: set[int] = set()  # ids of the parts that are dissolved

    def build(self, whole: Part) -> Region:
        self._place(whole, ())
        readers: dict[str, list[tuple[Part, ...]]] = defaultdict(list)
        for row in self.rows:
            here = self.above[row.name]
            for name in row.inputs:
                self._edge(self._real(name), here)
                readers[self._real(name)].append(here)
            if row.shared:
                self._shares(self.above[row.shared], here)
        for name in self.outputs:
            self._edge(self._real(name), ())
        self._repeats(whole)
        return self._region(whole, "", self._items(whole, ""))

    def _real(self, name: str) -> str:
        return self.first if name == "input" and name not in self.above else name

    def _place(self, part: Part, above: tuple[Part, ...]) -> None:
        for child in part.children:
            if isinstance(child, Part):
                self._place(child, (*above, child))
            else:
                self.above[self.rows[child].name] = above

    def _edge(self, name: str, reader: tuple[Part, ...]) -> None:
        """A value read somewhere: it must enter and leave closed parts by their doors."""
        maker = self.above.get(name, ())
        common = _common(maker, reader)
        self.open.update(id(p) for p in reader[common:] if p.input != name)
        self.open.update(id(p) for p in maker[common:] if p.output != name)

    def _shares(self, a: tuple[Part, ...], b: tuple[Part, ...]) -> None:
        common = _common(a, b)
        self.open.update(id(p) for p in (*a[common:], *b[common:]))

    def _repeats(self, part: Part) -> None:
        """A repeat is kept whole or not at all."""
        for child in part.children:
            if isinstance(child, Part):
                self._repeats(child)
                if child.kind == "repeat":
                    inner = [c for c in child.children if isinstance(c, Part)]
                    if any(id(c) in self.open or c.input == c.output for c in inner):
                        self.open.add(id(child))
                    if id(child) in self.open:
                        self.open.update(id(c) for c in inner)

    def _items(self, part: Part, prefix: str) -> tuple[Leaf | Region, ...]:
        """Items of a part; `prefix` is the path of the region they will stand in."""
        found: list[Leaf | Region] = []
        for child in part.children:
            if not isinstance(child, Part):
                row = self.rows[child]
                found.append(Leaf(row, row.name.removeprefix(prefix)))
            elif id(child) in self.open:
                found.extend(self._items(child, prefix))
            elif child.children and child.output != child.input:
                items = self._items(child, child.name + "/")
                if items:
                    found.append(self._region(child, prefix, items))
        return tuple(found)

    def _region(self, part: Part, prefix: str, items: tuple[Leaf | Region, ...]) -> Region:
        return Region(part.kind, part.name, part.name.removeprefix(prefix), part.block,
                      part.values, part.input, part.output, items)  # fmt: skip


def _common(a: tuple[Part, ...], b: tuple[Part, ...]) -> int:
    common = 0
    while common < min(len(a), len(b)) and a[common] is b[common]:
        common += 1
    return common
