"""Unrolls a spec's layers into a graph: blocks and repeats expanded, names resolved.

Vertices stand in topological order by construction: a layer may read only earlier ones.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import expr, items
from .diagnostics import Collector, Problem, Span
from .dialects import Dialect, dialect
from .layers import REGISTRY
from .layers.base import Layer
from .layers.fields import Count
from .marking import NOTHING, Marking
from .marking import read as read_marking
from .names import Names, Place
from .parts import Part
from .scope import Scope
from .source import Node, shorten
from .spec import MAX_NAME, Block, Spec

MAX_LAYERS = 20_000
MAX_STEPS = 50_000


class Vertex(NamedTuple):
    """One use of a layer, by full path name."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    dialect: Dialect
    span: Span | None = None
    spans: Mapping[str, Span | None] = {}
    expect: Node | None = None
    scope: Scope | None = None
    share: str | None = None
    broken: bool = False  # stands in for an item that could not be read
    marking: Marking = NOTHING


class Group(NamedTuple):
    """A named run of vertices (a block or repeat) that may carry answers."""

    name: str
    first: int
    last: int  # one past
    output: str
    expect: Node | None
    scope: Scope
    span: Span | None
    marking: Marking = NOTHING


class Graph(NamedTuple):
    vertices: tuple[Vertex, ...]
    groups: tuple[Group, ...]
    outputs: tuple[str, ...]
    whole: Part | None = None  # as it was written; None for a network built in Python


def unroll(spec: Spec, found: Collector) -> Graph:
    """The graph of `spec`; problems are collected and reading goes on past them."""
    return _Unroller(spec, found).run()


class _Unroller:
    def __init__(self, spec: Spec, found: Collector) -> None:
        self.spec, self.found = spec, found
        self.vertices: list[Vertex] = []
        self.groups: list[Group] = []
        self.taken: dict[str, str] = {name: name for name in spec.inputs}
        self.ops: dict[str, str] = {}
        self.steps = 0
        self.seen: set[tuple[Any, ...]] = set()
        self._done: set[str] = set()
        self._outputs_of: dict[str, str] = {}
        self.part = Part("network", "", next(iter(spec.inputs)))

    @contextmanager
    def inside(self, part: Part) -> Iterator[Part]:
        """What is unrolled meanwhile belongs to `part`."""
        outer = self.part
        outer.children.append(part)
        self.part = part
        try:
            yield part
        finally:
            self.part = outer

    def run(self) -> Graph:
        names = Names()
        names.local.update(self.taken)
        first = next(iter(self.spec.inputs))
        names.local.setdefault("input", first)
        place = Place(names, self.spec.scope, self.spec.dialect)
        try:
            last = self.sequence(self.spec.layers.items, place, (first,))
        except TooLargeError as stop:
            self.report(Problem("E013", str(stop), stop.span))
            return Graph((), (), (first,))
        outputs = tuple(self.output(node, names) for node in self.spec.outputs)
        outputs = tuple(filter(None, outputs)) or last
        return Graph(tuple(self.vertices), tuple(self.groups), outputs, self.part)

    def report(self, problem: Problem) -> None:
        """Keeps one of several equal problems: a block's own is met at each use."""
        d = problem.diagnostic
        if d.code and (d.code, d.message, d.span) not in self.seen:
            self.seen.add((d.code, d.message, d.span))
            self.found.catch(problem)

    def output(self, node: Node, names: Names) -> str:
        try:
            return self.lookup(node, names)
        except Problem as problem:
            self.report(problem)
            return ""

    def sequence(
        self, entries: list[Node], place: Place, current: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Unrolls a list of items; returns the names of the last one's output."""
        for item in entries:
            name = item.get("name") if item.kind == "map" else None
            if name is not None:
                place.names.later.add(name.text)
        for item in entries:
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise TooLargeError(f"more than {MAX_STEPS:,} items are unrolled", item.span)
            try:
                current = (self.item(item, place, current),)
            except Problem as problem:
                self.report(problem)
                current = (self.stand_in(item, place, current),)
        return current

    def stand_in(self, item: Node, place: Place, current: tuple[str, ...]) -> str:
        """A vertex for an unreadable item, so that later names still resolve."""
        node = item.get("name") if item.kind == "map" else None
        text = node.text if node is not None and node.kind == "text" else ""
        name = place.names.local.get(text) or f"{place.names.prefix}?{len(self.vertices) + 1}"
        if text:
            place.names.local.setdefault(text, name)
        layer = REGISTRY["identity"]()
        self.vertices.append(
            Vertex(name, layer, current[:1], place.dialect, item.span, broken=True)
        )
        return name

    # --- one item ----------------------------------------------------------------

    def item(self, item: Node, place: Place, current: tuple[str, ...]) -> str:
        op, op_key, value = items.split(item, self.spec.blocks, self.report)
        keys = {k.text: v for k, v in item.pairs if k.text in items.ITEM_KEYS}
        if "dialect" in keys:
            own = dialect(keys["dialect"].text, keys["dialect"].span)
            place = place._replace(dialect=own)
        if "from" in keys:
            current = self.sources(keys["from"], place.names)
        short, name = self.name(op, keys.get("name"), place.names)
        place.names.local[short] = name
        try:
            if op == items.REPEAT or op in self.spec.blocks:
                return self.group(name, op, op_key, value, keys, place, current)
            return self.layer(op, op_key, value, name, keys, place, current)
        except Problem:
            place.names.local[short] = name
            raise

    def name(self, op: str, node: Node | None, names: Names) -> tuple[str, str]:
        """Short and full name: as given, or the op and its number in this list."""
        if node is None or node.kind == "none":
            while True:
                names.counts[op] = names.counts.get(op, 0) + 1
                short = f"{op}{names.counts[op]}"
                if names.prefix + short not in self.taken and short not in names.later:
                    break
        else:
            short = node.text.strip()
            if node.kind != "text" or not short or len(short) > MAX_NAME or not short.isprintable():
                raise Problem(
                    "E006", f"a name must be a short text, got {node.describe()}", node.span
                )
            if names.prefix + short in self.taken or short == "input":
                help_ = ["give each layer a name of its own"]
                raise Problem(
                    "E009", f"the name '{shorten(short)}' is used twice", node.span, help_
                )
        full = names.prefix + short
        self.taken[full] = full
        return short, full

    def sources(self, node: Node, names: Names) -> tuple[str, ...]:
        sources = node.items if node.kind == "list" else [node]
        if not sources:
            raise Problem("E006", "from needs at least one name", node.span)
        return tuple(self.lookup(item, names) for item in sources)

    def lookup(self, node: Node, names: Names) -> str:
        """The vertex or input that a name stands for; raises `Problem` E008 or E010."""
        text = node.text.strip()
        if node.kind != "text":
            raise Problem("E006", f"expected the name of a layer, got {node.describe()}", node.span)
        full = names.find(text) or self.taken.get(text)
        if full is not None and full in self.outputs_of:
            return self.outputs_of[full]
        if full is not None and (full in self.done or full in self.spec.inputs):
            return full
        if full is not None or names.is_later(text):
            message = f"'{shorten(text)}' comes later or contains this layer: that is a cycle"
            raise Problem("E010", message, node.span, ["a layer reads only layers above it"])
        known = [n for n in names.known() if n != "input"]
        near = expr.nearest(text, [*known, *self.taken])
        help_ = [f"did you mean '{near}'?"] if near else ["layers above: " + ", ".join(known[-8:])]
        raise Problem("E008", f"there is no layer '{shorten(text)}'", node.span, help_)

    @property
    def done(self) -> set[str]:
        while self._counted < len(self.vertices):
            self._done.add(self.vertices[self._counted].name)
            self._counted += 1
        return self._done

    _counted = 0

    @property
    def outputs_of(self) -> dict[str, str]:
        while self._grouped < len(self.groups):
            group = self.groups[self._grouped]
            self._outputs_of[group.name] = group.output
            self._grouped += 1
        return self._outputs_of

    _grouped = 0

    # --- blocks and repeats --------------------------------------------------------

    def group(
        self, name: str, op: str, op_key: Node, value: Node, keys: Mapping[str, Node],
        place: Place, current: tuple[str, ...],
    ) -> str:  # fmt: skip
        if "share" in keys:
            raise Problem("E004", "share works on single layers", keys["share"].span)
        first = len(self.vertices)
        inner = place._replace(names=Names(name + "/", place.names))
        kind = "repeat" if op == items.REPEAT else "block"
        with self.inside(Part(kind, name, current[0], "" if kind == "repeat" else op)) as part:
            if kind == "repeat":
                output = self.repeat(value, inner, current, op_key)[0]
            else:
                output = self.block(self.spec.blocks[op], value, inner, place, current, op_key)[0]
            part.output = output
        group = Group(name, first, len(self.vertices), output, keys.get("expect"), place.scope,
                      op_key.span, self.marking(keys, place))  # fmt: skip
        self.groups.append(group)
        return output

    def repeat(
        self, value: Node, place: Place, current: tuple[str, ...], op_key: Node
    ) -> tuple[str, ...]:
        self.single(current, "repeat", op_key)
        example = ["- repeat: {times: 3, layers: [...]}"]
        times_node, layers = value.get("times"), value.get("layers")
        if value.kind != "map" or times_node is None or layers is None or layers.kind != "list":
            raise Problem("E005", "repeat needs times and a list of layers", op_key.span, example)
        for key in (k for k, _ in value.pairs if k.text not in ("times", "layers")):
            message = f"repeat has no field '{shorten(key.text)}'"
            self.report(Problem("E004", message, key.span, example))
        field = Count(minimum=0)
        field.name = "times"
        times = field.read(times_node, place.scope)
        if not isinstance(times, int):
            raise Problem("E006", f"times must be a number, got {times}", times_node.span)
        if times * max(1, len(layers.items)) > MAX_STEPS:
            most = f"{MAX_LAYERS:,} layers" if layers.items else f"{MAX_STEPS:,} items"
            message = f"{times:,} repeats give more than {most}"
            raise Problem("E013", message, times_node.span)
        for i in range(1, times + 1):
            names = Names(f"{place.names.prefix}{i}/", place.names)
            with self.inside(Part("iteration", names.prefix[:-1], current[0])) as part:
                current = self.sequence(layers.items, place._replace(names=names), current)
                part.output = current[0]
        return current

    def block(
        self, block: Block, value: Node, place: Place, outer: Place, current: tuple[str, ...],
        op_key: Node,
    ) -> tuple[str, ...]:  # fmt: skip
        if block.name in place.open:
            chain = " -> ".join([*place.open, block.name])
            raise Problem("E010", f"block '{block.name}' uses itself: {chain}", op_key.span)
        self.single(current, block.name, op_key)
        values = items.arguments(block, value, outer.scope, self.spec.scope, op_key)
        self.part.values = values
        scope = Scope(values, self.spec.scope)
        inner = place._replace(scope=scope, open=(*place.open, block.name))
        return self.sequence(block.layers.items, inner, current)

    def single(self, current: tuple[str, ...], op: str, op_key: Node) -> None:
        if len(current) != 1:
            raise Problem("E018", f"{op} takes one input, from names {len(current)}", op_key.span)

    # --- layers ----------------------------------------------------------------------

    def layer(
        self, op: str, op_key: Node, value: Node, name: str, keys: Mapping[str, Node],
        place: Place, current: tuple[str, ...],
    ) -> str:  # fmt: skip
        cls = REGISTRY[op]
        branches = items.branches(op, value)
        if branches is not None:
            current = self.branches(branches, name, place, current, op_key)
            value = items.without_branches(value)
        if not cls.inputs_min <= len(current) <= cls.inputs_max:
            raise self.wrong_inputs(op, cls, len(current), op_key)
        values, spans = items.fields(cls, op_key, value, place.scope, self.report)
        share = self.shared(keys.get("share"), op, place.names)
        if len(self.vertices) == MAX_LAYERS:
            raise TooLargeError(f"more than {MAX_LAYERS:,} layers after unrolling", op_key.span)
        self.ops[name] = op
        self.part.children.append(len(self.vertices))
        self.vertices.append(
            Vertex(name, cls.build(values), current, place.dialect, op_key.span, spans,
                   keys.get("expect"), place.scope, share, marking=self.marking(keys, place))
        )  # fmt: skip
        return name

    def marking(self, keys: Mapping[str, Node], place: Place) -> Marking:
        """How a key marks the answers here; what cannot be read is told, and left out."""
        try:
            return read_marking(keys, place.scope)
        except Problem as problem:
            self.report(problem)
            return NOTHING

    def wrong_inputs(self, op: str, cls: type[Layer], count: int, op_key: Node) -> Problem:
        if cls.inputs_max == 1:
            message = f"{op} takes one input, from names {count}"
            help_ = "join them first: - concat, - add or - multiply with from"
        else:
            message = f"{op} joins several inputs, this has {count}"
            help_ = f"- {op}: [[...layers], [...layers]], or from: [A, B]"
        return Problem("E018", message, op_key.span, [help_])

    def shared(self, node: Node | None, op: str, names: Names) -> str | None:
        if node is None:
            return None
        found = self.lookup(node, names)
        if self.ops.get(found) != op:
            message = f"share needs an earlier {op}, '{shorten(node.text)}' is not one"
            raise Problem("E008", message, node.span)
        return found

    def branches(
        self, branches: list[Node], name: str, place: Place, current: tuple[str, ...], op_key: Node
    ) -> tuple[str, ...]:
        self.single(current, f"a join with branches ({name})", op_key)
        ends: list[str] = []
        for i, branch in enumerate(branches, 1):
            inside = branch.items if branch.kind == "list" else [branch]
            if branch.kind == "none":
                inside = []
            names = Names(f"{name}/{i}/", place.names)
            with self.inside(Part("branch", names.prefix[:-1], current[0])) as part:
                ends.extend(self.sequence(inside, place._replace(names=names), current))
                part.output = ends[-1]
        return tuple(ends)


class TooLargeError(Exception):
    def __init__(self, message: str, span: Span | None) -> None:
        super().__init__(message)
        self.span = span
