"""Conditions on designs: `params < 5M and macs < 600M`, parsed here and never run as Python."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from .. import expr, units
from ..expr import ExprError, Node
from ..formula import Number

COMPARISONS: dict[str, tuple[int, ...]] = {  # the signs of left - right at which it holds
    "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1), "==": (0,), "!=": (-1, 1), "=": (0,),
}  # fmt: skip
BINDING = {"or": 1, "and": 2, **dict.fromkeys(COMPARISONS, 5)}
NOT_BINDING = 3
FIGURE = re.compile(r"[0-9][0-9.]*(?:[kKmMgGtTbB]i?[bB]?)(?![A-Za-z0-9_])")
MARK = re.compile(r"\s*(<=|>=|==|!=|<|>|=)")


def parse(text: str) -> Node:
    """The tree of a condition, or `ExprError`.

    >>> parse("params < 5M and not fits")
    logic(and, compare(<, name(params), number(5000000)), logic(not, name(fits)))
    """
    if len(text) > expr.MAX_TEXT:
        raise ExprError(f"the condition is longer than {expr.MAX_TEXT} characters", expr.MAX_TEXT)
    parser = _Parser(text)
    node = parser.expression(0)
    parser.finish()
    if not is_condition(node):
        raise ExprError("this is a number, not a condition", 0, "compare it: params < 5M")
    return node


def is_condition(node: Node) -> bool:
    return node.kind in ("compare", "logic") or (node.kind == "name" and node.value == "fits")


def _tokens(text: str) -> list[Any]:
    """The tokens of an expression, with comparisons and figures such as 64MiB among them."""
    found: list[Any] = []
    start = at = 0
    while at <= len(text):
        mark = MARK.match(text, at) if at < len(text) else None
        figure = FIGURE.match(text, at) if _starts_word(text, at) else None
        if mark is None and figure is None and at < len(text):
            at += 1
            continue
        piece = text[start:at]
        for token in expr.tokens(piece)[:-1]:
            token.offset += start
            found.append(token)
        if mark is not None:
            found.append(expr.Token("mark", mark[1], mark.start(1)))
            at = start = mark.end()
        elif figure is not None:
            found.append(expr.Token("figure", figure[0], at))
            at = start = figure.end()
        else:
            break
    found.append(expr.Token("end", "", len(text.rstrip())))
    return found


def _starts_word(text: str, at: int) -> bool:
    return at < len(text) and (at == 0 or not (text[at - 1].isalnum() or text[at - 1] in "_."))


class _Parser(expr.Parser):
    """Expressions with comparisons, and, or, not."""

    def __init__(self, text: str) -> None:
        super().__init__("0")
        self.tokens = _tokens(text)

    def binding_of(self, token: expr.Token) -> int:
        if token.kind == "name" or token.text in COMPARISONS:
            return BINDING.get(token.text, -1)
        return super().binding_of(token)

    def joined(self, mark: expr.Token, left: Node, right: Node) -> Node:
        if mark.text in COMPARISONS:
            for side in (left, right):
                if is_condition(side):
                    raise ExprError("a comparison has one sign", mark.offset, "a < b and b < c")
            return Node("compare", mark.text, mark.offset, (left, right))
        if mark.text in ("and", "or"):
            for side in (left, right):
                if not is_condition(side):
                    raise ExprError(f"'{mark.text}' joins conditions", mark.offset)
            return Node("logic", mark.text, mark.offset, (left, right))
        for side in (left, right):
            if is_condition(side):
                raise ExprError(f"{mark.text!r} joins numbers, not conditions", mark.offset)
        return super().joined(mark, left, right)

    def operand(self) -> Node:
        token = self.token
        if token.kind == "figure":
            self.take()
            figure = units.read(token.text)
            if figure is None:
                raise ExprError(f"'{token.text}' is not a figure", token.offset, "5M or 64MiB")
            value = figure.value
            whole = value.numerator if value.denominator == 1 else value
            return Node("number", whole, token.offset)
        if token.text == "not" and token.kind == "name":
            self.take()
            inner = self.expression(NOT_BINDING)
            if not is_condition(inner):
                raise ExprError("'not' needs a condition", token.offset)
            return Node("logic", "not", token.offset, (inner,))
        return super().operand()


def names(node: Node) -> Iterator[str]:
    """The names that a condition refers to."""
    return iter(sorted(expr.names(node)))


class Compiled:
    """A condition whose comparisons are forms: `forms` are to be evaluated, `truth` reads them."""

    def __init__(self, node: Node, lookup: Callable[[str], Number]) -> None:
        self.forms: list[Number] = []
        self._lookup = lookup
        self._read = self._compile(node)

    def truth(self, signs: list[Any], fits: Any) -> Any:
        """Where it holds: `signs` of the forms in order, `fits` where the design fits."""
        return self._read(signs, fits)

    def _compile(self, node: Node) -> Callable[[list[Any], Any], Any]:
        if node.kind == "name":
            return lambda signs, fits: fits
        if node.kind == "compare":
            left, right = (expr.evaluate(arg, self._lookup) for arg in node.args)
            self.forms.append(left - right)
            at, holds = len(self.forms) - 1, COMPARISONS[str(node.value)]
            return lambda signs, fits: _any(signs[at] == sign for sign in holds)
        inner = [self._compile(arg) for arg in node.args]
        if node.value == "not":
            return lambda signs, fits: ~inner[0](signs, fits)
        if node.value == "and":
            return lambda signs, fits: inner[0](signs, fits) & inner[1](signs, fits)
        return lambda signs, fits: inner[0](signs, fits) | inner[1](signs, fits)


def _any(masks: Iterator[Any]) -> Any:
    total = next(masks)
    for mask in masks:
        total = total | mask
    return total
