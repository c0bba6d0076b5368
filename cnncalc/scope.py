"""Names and what they stand for: `let` values, symbols and block arguments."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from . import expr, literals
from .diagnostics import Problem, Span
from .formula import Expr, Number
from .source import Node, shorten


class Scope:
    """Looks names up and evaluates expression text; inner scopes hide outer ones."""

    __slots__ = ("names", "parent")

    def __init__(
        self, names: Mapping[str, "Number | Node"] | None = None, parent: "Scope | None" = None
    ) -> None:
        self.names = dict(names or {})
        self.parent = parent

    def find(self, name: str) -> "Number | Node | None":
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def known(self) -> set[str]:
        names: set[str] = set()
        scope: Scope | None = self
        while scope is not None:
            names |= scope.names.keys()
            scope = scope.parent
        return names

    def resolve(self, node: Node) -> Node:
        """A scalar that is just the name of a block argument becomes that argument."""
        for _ in range(32):
            if node.kind != "text":
                return node
            value = self.find(node.text.strip())
            if not isinstance(value, Node):
                return node
            node = value
        return node

    def number(self, node: Node, what: str = "a number") -> Number:
        """The exact value of a scalar; raises `Problem` E006, E007 or E012."""
        node = self.resolve(node)
        if node.kind == "value" and isinstance(node.value, int | Fraction | Expr):
            if isinstance(node.value, bool):
                raise Problem("E006", f"expected {what}, got {node.value}", node.span)
            return node.value
        if node.kind != "text":
            raise Problem("E006", f"expected {what}, got {node.describe()}", node.span)
        return self.evaluate(node.text, node, 0)

    def evaluate(self, text: str, node: Node, offset: int) -> Number:
        """Value of `text`, a part of the scalar `node` that starts at `offset`."""
        if len(text) < 10 and text.isascii() and text.isdigit():
            return int(text)  # what `expr` gives, at once
        try:
            return expr.evaluate(text, self._lookup)
        except expr.UnknownName as error:
            raise self._unknown(error, text, node, offset) from None
        except expr.ExprError as error:
            hint = [error.hint] if error.hint else []
            place = _inside(node, offset + error.offset)
            raise Problem("E012", f"{error.message} in '{shorten(text)}'", place, hint) from None

    def split(self, node: Node, star: bool) -> list[tuple[str, int]] | None:
        """Axis texts of a volume literal with their offsets; raises `Problem` E012."""
        if node.text.isascii() and node.text.isdigit() and len(node.text) < 10:
            return [(node.text, 0)]
        try:
            return literals.split_volume(node.text, self.known(), star=star)
        except expr.ExprError as error:
            place = _inside(node, error.offset)
            raise Problem("E012", f"{error.message} in '{shorten(node.text)}'", place) from None

    def _lookup(self, name: str) -> Number:
        value = self.find(name)
        if value is None:
            raise KeyError(name)
        if isinstance(value, Node):
            return self.number(value)
        return value

    def _unknown(self, error: Any, text: str, node: Node, offset: int) -> Problem:
        known = sorted(self.known())
        near = expr.nearest(error.name, known)
        if near:
            help_ = [f"did you mean '{near}'?"]
        else:
            help_ = ["define it under `let:`, or introduce it as a symbol in `input` or `assume`"]
            if known:
                help_.append("known names: " + ", ".join(known[:12]))
        place = _inside(node, offset + error.offset, len(error.name))
        return Problem("E007", f"unknown name '{shorten(error.name)}'", place, help_)


def _inside(node: Node, offset: int, length: int = 1) -> Span | None:
    """The place of character `offset` of a one-line scalar."""
    span = node.span
    if span is None:
        return None
    offset += int(node.quoted)
    if offset >= span.length:
        return span
    return Span(span.line, span.column + offset, min(length, span.length - offset))
