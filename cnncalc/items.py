"""Reads one item of a `layers` list: its op, its fields, its block arguments."""

from collections.abc import Callable, Collection
from typing import Any

from . import expr
from .diagnostics import Problem, Span
from .layers import REGISTRY
from .layers.base import Layer
from .marking import MARKING_KEYS
from .scope import Scope
from .source import Node, shorten
from .spec import Block

ITEM_KEYS = ("name", "from", "expect", "dialect", "share", *MARKING_KEYS)
JOINS = tuple(op for op, cls in REGISTRY.items() if cls.inputs_min > 1)
REPEAT = "repeat"

Tell = Callable[[Problem], None]


class ReportedError(Problem):
    """An item whose problems were told already."""

    def __init__(self) -> None:
        super().__init__("", "")


def split(item: Node, blocks: Collection[str], tell: Tell) -> tuple[str, Node, Node]:
    """The op of an item, where it is written, and its value; raises `Problem`."""
    if item.kind == "text":
        _known_op(item, blocks)
        return item.text, item, Node("none", item.span)
    if item.kind != "map":
        message = f"a layer is an op or a mapping with one, got {item.describe()}"
        help_ = ["for example `- conv: {filters: 8, kernel: 3}`"]
        raise Problem("E015", message, item.span, help_)
    others = [(k, v) for k, v in item.pairs if k.text not in ITEM_KEYS]
    ops = [(k, v) for k, v in others if _is_op(k.text, blocks)]
    if len(ops) > 1:
        names = " and ".join(f"'{k.text}'" for k, _ in ops)
        help_ = ["begin the second one on a line of its own with a dash"]
        raise Problem("E015", f"an item has one op, this has {names}", ops[1][0].span, help_)
    if not others:
        raise Problem("E015", "this item has no op", item.span, [_op_hint(blocks)])
    if not ops:
        _known_op(others[0][0], blocks)
    for key, _ in others:
        if key is not ops[0][0]:
            tell(_stray(key, ops[0][0].text))
    return ops[0][0].text, ops[0][0], ops[0][1]


def _stray(key: Node, op: str) -> Problem:
    fields = REGISTRY[op].fields if op in REGISTRY else {}
    near = expr.nearest(key.text, ITEM_KEYS)
    if key.text in fields:
        help_ = [f"put it inside the op: - {op}: {{{key.text}: ...}}"]
    elif near:
        help_ = [f"did you mean '{near}'?"]
    else:
        help_ = ["beside its op an item has: " + ", ".join(ITEM_KEYS)]
    return Problem("E004", f"an item has no key '{shorten(key.text)}'", key.span, help_)


def _is_op(name: str, blocks: Collection[str]) -> bool:
    return name in REGISTRY or name in blocks or name == REPEAT


def _known_op(key: Node, blocks: Collection[str]) -> None:
    if _is_op(key.text, blocks):
        return
    near = expr.nearest(key.text, [*REGISTRY, *blocks, REPEAT])
    help_ = [f"did you mean '{near}'?"] if near else [_op_hint(blocks)]
    raise Problem("E003", f"unknown op '{shorten(key.text)}'", key.span, help_)


def _op_hint(blocks: Collection[str]) -> str:
    return "ops: " + ", ".join([*REGISTRY, REPEAT, *blocks])


# --- fields ----------------------------------------------------------------------------


def fields(
    cls: type[Layer], op_key: Node, value: Node, scope: Scope, tell: Tell
) -> tuple[dict[str, Any], dict[str, Span | None]]:
    """Values of a layer's fields and where each is written; every problem is told."""
    values: dict[str, Any] = {}
    spans: dict[str, Span | None] = {}
    meant: set[str | None] = set()
    bad = False
    for name, node, key in _given(cls, op_key, scope.resolve(value)):
        field = cls.fields.get(name)
        if field is None:
            meant.add(expr.nearest(name, list(cls.fields)))
            tell(_unknown_field(cls, key))
            continue
        spans[name] = node.span
        try:
            values[name] = field.read(scope.resolve(node), scope)
        except Problem as problem:
            d = problem.diagnostic
            tell(Problem(d.code, f"{cls.op}: {d.message}", d.span or node.span, d.help))
            bad = True
    required = [n for n, f in cls.fields.items() if f.required and n not in spans]
    missing = [n for n in required if n not in meant]
    if missing:
        help_ = [f"- {cls.op}: {{{', '.join(f'{n}: ...' for n in missing)}}}"]
        raise Problem("E005", f"{cls.op} needs {' and '.join(missing)}", op_key.span, help_)
    if bad or required:
        raise ReportedError()
    return values, spans


def _given(cls: type[Layer], op_key: Node, value: Node) -> list[tuple[str, Node, Node]]:
    if value.kind == "map":
        return [(k.text, v, k) for k, v in value.pairs]
    if value.kind == "none":
        return []
    first = next(iter(cls.fields), None)
    if first is None:
        message = f"{cls.op} has no fields, got {value.describe()}"
        raise Problem("E006", message, value.span, [f"write it as - {cls.op}"])
    return [(first, value, op_key)]


def _unknown_field(cls: type[Layer], key: Node) -> Problem:
    near = expr.nearest(key.text, [*cls.fields, *ITEM_KEYS])
    help_ = [f"did you mean '{near}'?"] if near else []
    if key.text in ITEM_KEYS:
        help_ = [f"put it beside the op, not inside: {key.text}: ... on its own line"]
    help_.append(f"{cls.op} has: {', '.join(cls.fields) or 'no fields'}")
    return Problem("E004", f"{cls.op} has no field '{shorten(key.text)}'", key.span, help_)


def branches(op: str, value: Node) -> list[Node] | None:
    """The branches written inside a join, or None."""
    if op not in JOINS:
        return None
    if value.kind == "list":
        return value.items
    found = value.get("branches")
    if found is None:
        return None
    return found.items if found.kind == "list" else [found]


def without_branches(value: Node) -> Node:
    """The rest of a join's value: its fields."""
    if value.kind == "list":
        return Node("none", value.span)
    rest = Node(value.kind, value.span)
    rest.pairs = [(k, v) for k, v in value.pairs if k.text != "branches"]
    return rest


# --- block arguments ---------------------------------------------------------------------


def arguments(
    block: Block, value: Node, scope: Scope, outer: Scope, op_key: Node
) -> dict[str, Any]:
    """Values of a block's arguments, evaluated where it is used (`scope`); defaults in `outer`."""
    names = [name for name, _ in block.args]
    usage = [f"use it as - {block.name}: [{', '.join(names)}]" if names else f"- {block.name}"]
    given: dict[str, Node] = {}
    if value.kind == "map":
        given = {key.text: item for key, item in value.pairs}
        for key, _ in value.pairs:
            if key.text not in names:
                near = expr.nearest(key.text, names)
                message = f"block '{block.name}' has no argument '{shorten(key.text)}'"
                help_ = [f"did you mean '{near}'?"] if near else usage
                raise Problem("E016", message, key.span, help_)
    elif value.kind != "none":
        items = value.items if value.kind == "list" else [value]
        if len(items) > len(names):
            message = f"block '{block.name}' takes {len(names)} values, got {len(items)}"
            raise Problem("E016", message, value.span, usage)
        given = dict(zip(names, items, strict=False))
    found: dict[str, Any] = {}
    for name, default in block.args:
        node = given.get(name, default)
        if node is None:
            message = f"block '{block.name}' needs a value for '{name}'"
            raise Problem("E016", message, op_key.span, usage)
        found[name] = _argument(node, scope if name in given else outer)
    return found


def _argument(node: Node, scope: Scope) -> Any:
    """Numbers and expressions become values; a list or literal such as `kx1` has its
    entries evaluated; any other word (`same`) stays text for the field that uses it."""
    node = scope.resolve(node)
    if node.kind == "list":
        entries = [_argument(item, scope) for item in node.items]
        found = Node("list", node.span)
        found.items = [e if isinstance(e, Node) else Node.of(e, node.span) for e in entries]
        return found
    if node.kind not in ("text", "value"):
        return node
    try:
        parts = scope.split(node, star=False) if node.text else None
        if node.kind == "text" and parts is not None and len(parts) > 1:
            return Node.of([scope.evaluate(text, node, at) for text, at in parts], node.span)
        return scope.number(node)
    except Problem:
        return node
