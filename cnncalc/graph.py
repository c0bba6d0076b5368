"""Unrolls a spec's layers into a graph: blocks and repeats expanded, names resolved.

Vertices stand in topological order by construction: a layer may read only earlier ones.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import expr
from .diagnostics import Collector, Problem, Span
from .dialects import Dialect, dialect
from .layers import REGISTRY
from .layers.base import Layer
from .layers.fields import Count
from .scope import Scope
from .source import Node, shorten
from .spec import MAX_NAME, Block, Spec

MAX_LAYERS = 20_000
MAX_STEPS = 200_000
ITEM_KEYS = ("name", "from", "expect", "dialect", "share")
JOINS = ("concat", "add", "multiply", "matmul")


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


class Group(NamedTuple):
    """A named run of vertices (a block or repeat) that may carry answers."""

    name: str
    first: int
    last: int  # one past
    output: str
    expect: Node | None
    scope: Scope
    span: Span | None


class Graph(NamedTuple):
    vertices: tuple[Vertex, ...]
    groups: tuple[Group, ...]
    outputs: tuple[str, ...]


class Names:
    """Layer names visible at one place: local short names, then the outer ones."""

    def __init__(self, prefix: str = "", parent: "Names | None" = None) -> None:
        self.prefix, self.parent = prefix, parent
        self.local: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.later: set[str] = set()

    def find(self, name: str) -> str | None:
        names: Names | None = self
        while names is not None:
            if name in names.local:
                return names.local[name]
            names = names.parent
        return None

    def known(self) -> list[str]:
        names: Names | None = self
        found: list[str] = []
        while names is not None:
            found.extend(names.local)
            names = names.parent
        return found

    def is_later(self, name: str) -> bool:
        names: Names | None = self
        while names is not None:
            if name in names.later:
                return True
            names = names.parent
        return False


class Place(NamedTuple):
    """Where an item stands: its names, values, enclosing blocks and default dialect."""

    names: Names
    scope: Scope
    dialect: Dialect
    open: tuple[str, ...] = ()


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

    def run(self) -> Graph:
        names = Names()
        names.local.update(self.taken)
        first = next(iter(self.spec.inputs))
        names.local.setdefault("input", first)
        place = Place(names, self.spec.scope, self.spec.dialect)
        try:
            last = self.items(self.spec.layers.items, place, (first,))
        except _TooLarge as stop:
            self.report(Problem("E013", str(stop), stop.span))
            last = (self.vertices[-1].name,) if self.vertices else (first,)
        outputs = tuple(self.output(node, names) for node in self.spec.outputs)
        return Graph(tuple(self.vertices), tuple(self.groups), tuple(filter(None, outputs)) or last)

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

    def items(self, items: list[Node], place: Place, current: tuple[str, ...]) -> tuple[str, ...]:
        """Unrolls a list of items; returns the names of the last one's output."""
        for item in items:
            name = item.get("name") if item.kind == "map" else None
            if name is not None:
                place.names.later.add(name.text)
        for item in items:
            self.steps += 1
            if self.steps > MAX_STEPS or len(self.vertices) > MAX_LAYERS:
                raise _TooLarge(f"more than {MAX_LAYERS:,} layers after unrolling", item.span)
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
        op, op_key, value = self.split(item)
        keys = {k.text: v for k, v in item.pairs if k.text in ITEM_KEYS}
        if "dialect" in keys:
            own = dialect(keys["dialect"].text, keys["dialect"].span)
            place = place._replace(dialect=own)
        if "from" in keys:
            current = self.sources(keys["from"], place.names)
        short, name = self.name(op, keys.get("name"), place.names)
        place.names.local[short] = name
        try:
            if op == "repeat":
                return self.group(name, short, keys, place, op_key,
                                  lambda p: self.repeat(value, p, current, op_key))  # fmt: skip
            if op in self.spec.blocks:
                block = self.spec.blocks[op]
                return self.group(name, short, keys, place, op_key,
                                  lambda p: self.block(block, value, p, place, current, op_key))  # fmt: skip
            return self.layer(op, op_key, value, name, keys, place, current)
        except Problem:
            place.names.local[short] = name
            raise

    def split(self, item: Node) -> tuple[str, Node, Node]:
        """The op of an item, where it is written, and its value."""
        if item.kind == "text":
            self.known_op(item)
            return item.text, item, Node("none", item.span)
        if item.kind != "map":
            message = f"a layer is an op or a mapping with one, got {item.describe()}"
            raise Problem("E015", message, item.span, ["for example `- conv: {filters: 8, kernel: 3}`"])
        others = [(k, v) for k, v in item.pairs if k.text not in ITEM_KEYS]
        ops = [(k, v) for k, v in others if self.is_op(k.text)]
        if len(ops) > 1:
            names = " and ".join(f"'{k.text}'" for k, _ in ops)
            raise Problem("E015", f"an item has one op, this has {names}", ops[1][0].span,
                          ["begin the second one on a line of its own with a dash"])  # fmt: skip
        if not others:
            raise Problem("E015", "this item has no op", item.span, [self.op_hint()])
        if not ops:
            self.known_op(others[0][0])
        for key, _ in others:
            if key is not ops[0][0]:
                self.report(self.stray(key, ops[0][0].text))
        return ops[0][0].text, ops[0][0], ops[0][1]

    def stray(self, key: Node, op: str) -> Problem:
        fields = REGISTRY[op].fields if op in REGISTRY else {}
        near = expr.nearest(key.text, ITEM_KEYS)
        if key.text in fields:
            help_ = [f"put it inside the op: - {op}: {{{key.text}: ...}}"]
        elif near:
            help_ = [f"did you mean '{near}'?"]
        else:
            help_ = ["beside its op an item has: " + ", ".join(ITEM_KEYS)]
        return Problem("E004", f"an item has no key '{shorten(key.text)}'", key.span, help_)

    def is_op(self, name: str) -> bool:
        return name in REGISTRY or name in self.spec.blocks or name == "repeat"

    def known_op(self, key: Node) -> None:
        if self.is_op(key.text):
            return
        near = expr.nearest(key.text, [*REGISTRY, *self.spec.blocks, "repeat"])
        help_ = [f"did you mean '{near}'?"] if near else [self.op_hint()]
        raise Problem("E003", f"unknown op '{shorten(key.text)}'", key.span, help_)

    def op_hint(self) -> str:
        return "ops: " + ", ".join([*REGISTRY, "repeat", *self.spec.blocks])

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
                raise Problem("E006", f"a name must be a short text, got {node.describe()}", node.span)
            if names.prefix + short in self.taken or short == "input":
                help_ = ["give each layer a name of its own"]
                raise Problem("E009", f"the name '{shorten(short)}' is used twice", node.span, help_)
        full = names.prefix + short
        self.taken[full] = full
        return short, full

    def sources(self, node: Node, names: Names) -> tuple[str, ...]:
        items = node.items if node.kind == "list" else [node]
        if not items:
            raise Problem("E006", "from needs at least one name", node.span)
        return tuple(self.lookup(item, names) for item in items)

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
        self, name: str, short: str, keys: Mapping[str, Node], place: Place, op_key: Node, body: Any
    ) -> str:
        if "share" in keys:
            raise Problem("E004", "share works on single layers", keys["share"].span)
        first = len(self.vertices)
        inner = place._replace(names=Names(name + "/", place.names))
        output: str = body(inner)[0]
        group = Group(name, first, len(self.vertices), output, keys.get("expect"), place.scope,
                      op_key.span)  # fmt: skip
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
            message = f"{times:,} repeats give more than {MAX_LAYERS:,} layers"
            raise Problem("E013", message, times_node.span)
        for i in range(1, times + 1):
            names = Names(f"{place.names.prefix}{i}/", place.names)
            current = self.items(layers.items, place._replace(names=names), current)
        return current

    def block(
        self, block: Block, value: Node, place: Place, outer: Place, current: tuple[str, ...],
        op_key: Node,
    ) -> tuple[str, ...]:  # fmt: skip
        if block.name in place.open:
            chain = " -> ".join([*place.open, block.name])
            raise Problem("E010", f"block '{block.name}' uses itself: {chain}", op_key.span)
        self.single(current, block.name, op_key)
        scope = Scope(self.arguments(block, value, outer.scope, op_key), self.spec.scope)
        inner = place._replace(scope=scope, open=(*place.open, block.name))
        return self.items(block.layers.items, inner, current)

    def single(self, current: tuple[str, ...], op: str, op_key: Node) -> None:
        if len(current) != 1:
            raise Problem("E018", f"{op} takes one input, from names {len(current)}", op_key.span)

    def arguments(self, block: Block, value: Node, scope: Scope, op_key: Node) -> dict[str, Any]:
        names = [name for name, _ in block.args]
        usage = f"{block.name}: [{', '.join(names)}]" if names else block.name
        given: dict[str, Node] = {}
        if value.kind == "map":
            given = {key.text: item for key, item in value.pairs}
            for key, _ in value.pairs:
                if key.text not in names:
                    near = expr.nearest(key.text, names)
                    help_ = [f"did you mean '{near}'?" if near else f"use it as - {usage}"]
                    message = f"block '{block.name}' has no argument '{shorten(key.text)}'"
                    raise Problem("E016", message, key.span, help_)
        elif value.kind != "none":
            items = value.items if value.kind == "list" else [value]
            if len(items) > len(names):
                message = f"block '{block.name}' takes {len(names)} values, got {len(items)}"
                raise Problem("E016", message, value.span, [f"use it as - {usage}"])
            given = dict(zip(names, items, strict=False))
        found: dict[str, Any] = {}
        for name, default in block.args:
            node = given.get(name, default)
            if node is None:
                message = f"block '{block.name}' needs a value for '{name}'"
                raise Problem("E016", message, op_key.span, [f"use it as - {usage}"])
            found[name] = argument(node, scope if name in given else self.spec.scope)
        return found

    # --- layers ----------------------------------------------------------------------

    def layer(
        self, op: str, op_key: Node, value: Node, name: str, keys: Mapping[str, Node],
        place: Place, current: tuple[str, ...],
    ) -> str:  # fmt: skip
        cls = REGISTRY[op]
        branches = self.branches_of(op, value)
        if branches is not None:
            current = self.branches(branches, name, place, current, op_key)
            value = _without(value, "branches")
        if not cls.inputs_min <= len(current) <= cls.inputs_max:
            raise self.wrong_inputs(op, cls, len(current), op_key)
        values, spans = self.fields(cls, op_key, value, place.scope)
        share = self.shared(keys.get("share"), op, place.names)
        self.ops[name] = op
        self.vertices.append(
            Vertex(name, cls.build(values), current, place.dialect, op_key.span, spans,
                   keys.get("expect"), place.scope, share)
        )  # fmt: skip
        return name

    def wrong_inputs(self, op: str, cls: type[Layer], count: int, op_key: Node) -> Problem:
        if cls.inputs_max == 1:
            return Problem("E018", f"{op} takes one input, from names {count}", op_key.span,
                           ["join them first: - concat, - add or - multiply with from"])  # fmt: skip
        help_ = [f"- {op}: [[...layers], [...layers]]", f"- {op}\n  from: [A, B]"]
        return Problem("E018", f"{op} joins several inputs, this has {count}", op_key.span, help_[:1])

    def shared(self, node: Node | None, op: str, names: Names) -> str | None:
        if node is None:
            return None
        found = self.lookup(node, names)
        if self.ops.get(found) != op:
            message = f"share needs an earlier {op}, '{shorten(node.text)}' is not one"
            raise Problem("E008", message, node.span)
        return found

    @staticmethod
    def branches_of(op: str, value: Node) -> list[Node] | None:
        if op not in JOINS:
            return None
        if value.kind == "list":
            return value.items
        found = value.get("branches")
        if found is None:
            return None
        return found.items if found.kind == "list" else [found]

    def branches(
        self, branches: list[Node], name: str, place: Place, current: tuple[str, ...], op_key: Node
    ) -> tuple[str, ...]:
        self.single(current, f"a join with branches ({name})", op_key)
        ends: list[str] = []
        for i, branch in enumerate(branches, 1):
            items = branch.items if branch.kind == "list" else [branch]
            if branch.kind == "none":
                items = []
            names = Names(f"{name}/{i}/", place.names)
            ends.extend(self.items(items, place._replace(names=names), current))
        return tuple(ends)

    def fields(
        self, cls: type[Layer], op_key: Node, value: Node, scope: Scope
    ) -> tuple[dict[str, Any], dict[str, Span | None]]:
        """Values of the fields and where each is written; all problems are collected."""
        value = scope.resolve(value)
        values: dict[str, Any] = {}
        spans: dict[str, Span | None] = {}
        bad = False
        for name, node, key in self.given(cls, op_key, value):
            field = cls.fields.get(name)
            if field is None:
                self.report(self.unknown_field(cls, key))
                continue
            spans[name] = node.span
            try:
                values[name] = field.read(scope.resolve(node), scope)
            except Problem as problem:
                d = problem.diagnostic
                self.report(Problem(d.code, f"{cls.op}: {d.message}", d.span or node.span, d.help))
                bad = True
        missing = [n for n, f in cls.fields.items() if f.required and n not in spans]
        if missing:
            text = " and ".join(missing)
            help_ = [f"- {cls.op}: {{{', '.join(f'{n}: ...' for n in missing)}}}"]
            raise Problem("E005", f"{cls.op} needs {text}", op_key.span, help_)
        if bad:
            raise _Reported()
        return values, spans

    def given(self, cls: type[Layer], op_key: Node, value: Node) -> list[tuple[str, Node, Node]]:
        if value.kind == "map":
            return [(k.text, v, k) for k, v in value.pairs]
        if value.kind == "none":
            return []
        first = next(iter(cls.fields), None)
        if first is None:
            message = f"{cls.op} has no fields, got {value.describe()}"
            raise Problem("E006", message, value.span, [f"write it as - {cls.op}"])
        return [(first, value, op_key)]

    def unknown_field(self, cls: type[Layer], key: Node) -> Problem:
        near = expr.nearest(key.text, [*cls.fields, *ITEM_KEYS])
        help_ = [f"did you mean '{near}'?"] if near else []
        if key.text in ITEM_KEYS:
            help_ = [f"put it beside the op, not inside: {key.text}: ... on its own line"]
        fields = ", ".join(cls.fields) or "no fields"
        help_.append(f"{cls.op} has: {fields}")
        return Problem("E004", f"{cls.op} has no field '{shorten(key.text)}'", key.span, help_)


class _Reported(Problem):
    """An item whose problems are already collected."""

    def __init__(self) -> None:
        super().__init__("", "")


class _TooLarge(Exception):
    def __init__(self, message: str, span: Span | None) -> None:
        super().__init__(message)
        self.span = span


def _without(value: Node, key: str) -> Node:
    if value.kind == "list":
        return Node("none", value.span)
    rest = Node(value.kind, value.span)
    rest.pairs = [(k, v) for k, v in value.pairs if k.text != key]
    return rest


def argument(node: Node, scope: Scope) -> Any:
    """A block argument, evaluated where the block is used.

    Numbers and expressions become values; a list or literal such as `kx1` has its
    entries evaluated; any other word (`same`) stays text for the field that uses it.
    """
    node = scope.resolve(node)
    if node.kind == "list":
        entries = [argument(item, scope) for item in node.items]
        found = Node("list", node.span)
        found.items = [e if isinstance(e, Node) else Node.of(e, node.span) for e in entries]
        return found
    if node.kind not in ("text", "value"):
        return node
    try:
        parts = expr.split_volume(node.text, scope.known(), star=False) if node.text else None
        if node.kind == "text" and parts is not None and len(parts) > 1:
            values = [scope.evaluate(text, node, at) for text, at in parts]
            return Node.of(values, node.span)
        return scope.number(node)
    except Problem:
        return node
