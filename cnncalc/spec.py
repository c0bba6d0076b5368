"""Reads a spec's top level: name, dialect, inputs, symbols, values, blocks.

Every problem is located and collected; reading goes on past it where it can.
"""

from collections.abc import Mapping
from typing import NamedTuple

from . import expr
from .diagnostics import Collector, Problem, Span
from .dialects import DEFAULT, Dialect, dialect
from .formula import Number, Symbol, symbols
from .layers.base import Shape
from .layers.fields import Volume
from .marking import MARKING_KEYS, NOTHING, Marking
from .marking import read as read_marking
from .scope import Scope
from .source import STARTER, Node, Source, shorten

TOP_KEYS = (
    "name", "description", "dialect", "input", "inputs", "let", "assume", "blocks", "layers",
    "outputs", "expect", "budget", *MARKING_KEYS,
)  # fmt: skip
DOMAIN_KEYS = ("min", "max", "multiple_of")
MAX_AXES = 7  # beside the batch
MAX_SYMBOLS = 32
MAX_NAME = 120
RESERVED = frozenset({"floor", "ceil", "min", "max"})


class Block(NamedTuple):
    """A named, parametrised list of layers."""

    name: str
    args: tuple[tuple[str, Node | None], ...]  # with defaults
    layers: Node
    span: Span | None


class Spec(NamedTuple):
    """A spec's top level, read; `layers` is still nodes (see `graph`)."""

    source: Source
    name: str
    dialect: Dialect
    inputs: Mapping[str, Shape]
    scope: Scope
    symbols: Mapping[str, Symbol]
    blocks: Mapping[str, Block]
    layers: Node
    outputs: tuple[Node, ...]
    expect: Node | None
    budget: Node | None
    sized: bool  # all input volumes could be read
    marking: Marking = NOTHING
    stated: bool = False  # the dialect was named, not taken by default


class Reader:
    """Reads one spec; problems go to `found`."""

    def __init__(
        self, source: Source, root: Node, found: Collector, sets: Mapping[str, str | Symbol]
    ) -> None:
        self.source, self.root, self.found = source, root, found
        self.sets = dict(sets)
        self.symbols: dict[str, Symbol] = {}
        self.scope = Scope()
        self.used_sets: set[str] = set()
        self.sized = True

    def read(self, override: Dialect | None = None) -> Spec | None:
        root = self.root
        if root.kind != "map":
            message = f"a spec is a mapping with `input:` and `layers:`, this is {root.describe()}"
            self.found.add("E006", message, root.span, [STARTER])
            return None
        self.unknown_keys(root, TOP_KEYS, "a spec")
        name = self._text("name") or self.source.path
        own = self._dialect()
        self._assume()
        self._sets()
        self._let()
        inputs = self._inputs()
        self._unused_sets()
        return Spec(
            self.source, name, override or own, inputs, self.scope, self.symbols,
            self._blocks(), self._layers(), self._outputs(),
            root.get("expect"), self._mapping("budget"), self.sized, self._marking(),
            stated=override is not None or root.get("dialect") is not None,
        )  # fmt: skip

    def unknown_keys(self, node: Node, known: tuple[str, ...], what: str) -> None:
        for key, _ in node.pairs:
            if key.text not in known:
                near = expr.nearest(key.text, known)
                help_ = [f"did you mean '{near}'?"] if near else []
                help_.append(f"{what} has: " + ", ".join(known))
                self.found.add("E004", f"{what} has no key '{shorten(key.text)}'", key.span, help_)

    def _text(self, key: str) -> str:
        node = self.root.get(key)
        if node is None or node.kind == "none":
            return ""
        if node.kind != "text":
            self.found.add("E006", f"{key} must be text, got {node.describe()}", node.span)
            return ""
        return shorten(node.text, MAX_NAME)

    def _dialect(self) -> Dialect:
        node = self.root.get("dialect")
        if node is None:
            return DEFAULT
        try:
            return dialect(node.text, node.span)
        except Problem as problem:
            self.found.catch(problem)
            return DEFAULT

    def _mapping(self, key: str) -> Node | None:
        node = self.root.get(key)
        if node is None or node.kind == "none":
            return None
        if node.kind != "map":
            self.found.add("E006", f"{key} must be a mapping, got {node.describe()}", node.span)
            return None
        return node

    def _marking(self) -> Marking:
        given = {key.text: value for key, value in self.root.pairs if key.text in MARKING_KEYS}
        try:
            return read_marking(given, self.scope)
        except Problem as problem:
            self.found.catch(problem)
            return NOTHING

    # --- names -----------------------------------------------------------------

    def _assume(self) -> None:
        node = self._mapping("assume")
        for key, domain in node.pairs if node else ():
            try:
                self._check_name(key)
                self.symbols[key.text] = self._domain(key.text, domain)
            except Problem as problem:
                self.found.catch(problem)
        for name, symbol in self.symbols.items():
            self.scope.names[name] = symbol

    def _check_name(self, key: Node) -> None:
        if not _is_name(key.text):
            message = f"'{shorten(key.text)}' cannot be a name"
            raise Problem("E006", message, key.span, ["use letters, digits and _, as in k or C_in"])
        if len(self.symbols) >= MAX_SYMBOLS:
            raise Problem("E013", f"more than {MAX_SYMBOLS} symbols", key.span)

    def _domain(self, name: str, node: Node) -> Symbol:
        if node.kind == "none":
            return Symbol(name)
        if node.kind != "map":
            message = f"the domain of {name} must be a mapping, got {node.describe()}"
            raise Problem("E006", message, node.span, ["{min: 32, max: 1024, multiple_of: 32}"])
        self.unknown_keys(node, DOMAIN_KEYS, f"the domain of {name}")
        found: dict[str, int] = {}
        for key, value in node.pairs:
            if key.text not in DOMAIN_KEYS:
                continue
            number = Scope().number(value)
            if not isinstance(number, int) or not 1 <= number <= 10**9:
                message = f"{key.text} must be a whole number from 1, got {value.describe()}"
                raise Problem("E006", message, value.span)
            found[key.text] = number
        step = found.get("multiple_of", 1)
        low = -(-found.get("min", 1) // step) * step
        high = found["max"] // step * step if "max" in found else None
        if high is not None and high < low:
            raise Problem("E006", f"no value of {name} lies in this domain", node.span)
        return Symbol(name, low, high, step)

    def _sets(self) -> None:
        for name, text in self.sets.items():
            try:
                value = self.scope.number(Node.of(text))
                symbol = self.symbols.get(name)
                if symbol is not None:
                    self._check_domain(symbol, value)
                    if not symbols(value):
                        del self.symbols[name]
                self.scope.names[name] = value
            except Problem as problem:
                given = shorten(str(text))
                message = f"--set {shorten(name)}={given}: {problem.diagnostic.message}"
                self.found.add(problem.diagnostic.code, message, None, problem.diagnostic.help)

    def _check_domain(self, symbol: Symbol, value: Number) -> None:
        if not isinstance(value, int):
            return
        high = symbol.max if symbol.max is not None else value
        if not symbol.min <= value <= high or value % symbol.multiple_of:
            parts = [f"min {symbol.min}"]
            parts += [f"max {symbol.max}"] if symbol.max is not None else []
            parts += [f"multiple of {symbol.multiple_of}"] if symbol.multiple_of > 1 else []
            raise Problem("E006", f"outside the assumed domain ({', '.join(parts)})")

    def _let(self) -> None:
        node = self._mapping("let")
        raw = {key.text: (key, value) for key, value in node.pairs} if node else {}
        opened: list[str] = []

        def value_of(name: str) -> Number:
            if name not in raw or name in self.scope.names:
                found = self.scope.find(name)
                if found is None or isinstance(found, Node):
                    raise KeyError(name)
                return found
            key, value = raw[name]
            if name in opened:
                chain = " -> ".join([*opened[opened.index(name) :], name])
                raise Problem("E010", f"let refers to itself: {chain}", key.span)
            opened.append(name)
            try:
                if value.kind == "text":
                    for other in self._names_in(value):
                        if other in raw:
                            value_of(other)
                number = self.scope.number(value, f"the value of {name}")
                self.scope.names[name] = number
                return number
            finally:
                opened.pop()

        for name, (key, _) in raw.items():
            if name in self.sets:
                self.used_sets.add(name)
                continue
            try:
                self._check_name(key)
                if name in self.symbols:
                    raise Problem("E009", f"{name} is both a let value and a symbol", key.span)
                value_of(name)
            except Problem as problem:
                self.found.catch(problem)
                self.scope.names.setdefault(name, 1)

    @staticmethod
    def _names_in(node: Node) -> list[str]:
        try:
            return sorted(expr.names(expr.parse(node.text)))
        except expr.ExprError:
            return []

    def _unused_sets(self) -> None:
        assume = self.root.get("assume")
        known = set(self.used_sets) | self.symbols.keys()
        known |= set(assume.keys()) if assume is not None else set()
        let = self.root.get("let")
        known |= set(let.keys()) if let is not None and let.kind == "map" else set()
        for name in self.sets:
            if name in known:
                continue
            near = expr.nearest(name, sorted(known))
            help_ = [f"did you mean '{near}'?"] if near else []
            if known and not near:
                help_ = ["this spec's names: " + ", ".join(sorted(known))]
            message = f"--set {shorten(name)}: the spec has no such name"
            self.found.add("E020", message, None, help_)

    # --- inputs and outputs ------------------------------------------------------

    def _inputs(self) -> dict[str, Shape]:
        single, several = self.root.get("input"), self.root.get("inputs")
        if single is None and several is None:
            message = "the spec has no input"
            self.found.add("E005", message, self._first(), ["add `input: 32x32x3`, H x W x C"])
            return self._no_input()
        if single is not None and several is not None:
            self.found.add("E004", "give `input` or `inputs`, not both", several.span)
        if single is not None:
            return {"input": self._volume("input", single)}
        assert several is not None
        if several.kind != "map" or not several.pairs:
            example = ["inputs: {image: 224x224x3, tokens: 16x512}"]
            message = f"inputs must map names to volumes, got {several.describe()}"
            self.found.add("E006", message, several.span, example)
            return self._no_input()
        return {key.text: self._volume(key.text, value) for key, value in several.pairs}

    def _no_input(self) -> dict[str, Shape]:
        """A stand-in, so that names still resolve; nothing is derived from it."""
        self.sized = False
        return {"input": (1, 1, 1)}

    def _first(self) -> Span | None:
        return self.root.pairs[0][0].span if self.root.pairs else self.root.span

    def _volume(self, name: str, node: Node) -> Shape:
        field = Volume()
        field.name = name
        try:
            self._introduce(node)
            shape: Shape = field.read(node, self.scope)
        except Problem as problem:
            d = problem.diagnostic
            code = "E011" if d.code in ("E006", "E012") else d.code
            help_ = d.help or ("write it as H x W x C, for example 32x32x3 or HxWx3",)
            self.found.add(code, d.message, d.span or node.span, help_)
            return self._no_input()["input"]
        if len(shape) > MAX_AXES:
            message = f"{name} has {len(shape)} axes; at most {MAX_AXES} are known"
            self.found.add("E011", message, node.span)
            return shape[-MAX_AXES:]
        return shape

    def _introduce(self, node: Node) -> None:
        """Names in an input volume that mean nothing yet become symbols."""
        parts = [node]
        if node.kind == "list":
            parts = node.items
        elif node.kind == "text":
            split = Scope(dict.fromkeys(self.sets, 1), self.scope).split(node, star=True) or []
            parts = [Node.of(text) for text, _ in split]
        for part in parts:
            for name in self._names_in(part) if part.kind == "text" else ():
                if self.scope.find(name) is not None:
                    if name in self.sets:
                        self.used_sets.add(name)
                elif len(self.symbols) < MAX_SYMBOLS:
                    self.symbols[name] = Symbol(name)
                    self.scope.names[name] = self.symbols[name]

    def _outputs(self) -> tuple[Node, ...]:
        node = self.root.get("outputs")
        if node is None or node.kind == "none":
            return ()
        return tuple(node.items) if node.kind == "list" else (node,)

    # --- layers and blocks -------------------------------------------------------

    def _layers(self) -> Node:
        node = self.root.get("layers")
        if node is None or node.kind == "none" or (node.kind == "list" and not node.items):
            span = node.span if node is not None else self._first()
            self.found.add("E017", "the spec has no layers", span, ["layers: [{conv: ...}, relu]"])
            return Node("list", span)
        if node.kind != "list":
            message = f"layers must be a list, got {node.describe()}"
            self.found.add("E006", message, node.span, ["begin each layer with a dash: - relu"])
            return Node("list", node.span)
        return node

    def _blocks(self) -> dict[str, Block]:
        node = self._mapping("blocks")
        found: dict[str, Block] = {}
        for key, body in node.pairs if node else ():
            try:
                found[key.text] = self._block(key, body)
            except Problem as problem:
                self.found.catch(problem)
        return found

    def _block(self, key: Node, body: Node) -> Block:
        from .layers import RESERVED

        if key.text in RESERVED or key.text == "repeat":
            raise Problem("E009", f"'{key.text}' is an op; a block needs another name", key.span)
        if body.kind == "list":
            return Block(key.text, (), body, key.span)
        if body.kind != "map":
            raise Problem("E006", f"a block is a mapping with `layers:`, got {body.describe()}",
                          body.span)  # fmt: skip
        self.unknown_keys(body, ("args", "layers"), "a block")
        layers = body.get("layers")
        if layers is None or layers.kind != "list":
            raise Problem("E005", f"block '{shorten(key.text)}' needs a list `layers:`", key.span)
        return Block(key.text, self._args(body.get("args")), layers, key.span)

    def _args(self, node: Node | None) -> tuple[tuple[str, Node | None], ...]:
        if node is None or node.kind == "none":
            return ()
        if node.kind == "map":
            pairs = [(k, None if v.kind == "none" else v) for k, v in node.pairs]
        elif node.kind == "list":
            pairs = []
            for item in node.items:
                pairs.extend(item.pairs if item.kind == "map" else [(item, None)])
        else:
            pairs = [(node, None)]
        names = [key.text for key, _ in pairs]
        for key, _ in pairs:
            if key.kind != "text" or not _is_name(key.text):
                raise Problem("E006", f"{key.describe()} cannot be an argument's name", key.span)
            if names.count(key.text) > 1:
                raise Problem("E009", f"argument '{key.text}' is listed twice", key.span)
        return tuple((key.text, default) for key, default in pairs)


def _is_name(text: str) -> bool:
    plain = text.isascii() and text.isidentifier() and len(text) <= MAX_NAME
    return plain and text not in RESERVED
