"""Expressions and volume literals of a spec: parsed here, never evaluated as Python.

Text, nesting, digits and powers are bounded, so that no input can hang or exhaust memory.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from .formula import FormulaLimit, Number, as_int, ceil, floor, floor_div, maximum, minimum, power
from .formula import divide as exact_divide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_TEXT = 1000
MAX_NESTING = 64
MAX_DIGITS = 40
MAX_BITS = 2048
FUNCTIONS = {"floor": (1, 1), "ceil": (1, 1), "min": (1, 64), "max": (1, 64)}
BINDING = {"+": 10, "-": 10, "*": 20, "/": 20, "//": 20, "%": 20, "**": 40}
SIGN_BINDING = 30
SPELLINGS = {"^": "**", "×": "*", "·": "*", "−": "-"}

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<mark>\*\*|//|[-+*/%^()×·−,]))"
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ExprError(ValueError):
    """What is wrong with an expression, at which 0-based character, and perhaps a remedy."""

    def __init__(self, message: str, offset: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint


class UnknownName(ExprError):
    """A name that the lookup does not know."""

    def __init__(self, name: str, offset: int) -> None:
        super().__init__(f"unknown name {name!r}", offset)
        self.name = name


class Node:
    """A parsed expression: kind 'number', 'name', 'call', 'sign' or 'binary'."""

    __slots__ = ("args", "kind", "offset", "value")

    def __init__(
        self, kind: str, value: str | int | Fraction, offset: int, args: tuple[Node, ...] = ()
    ) -> None:
        self.kind = kind
        self.value = value
        self.offset = offset
        self.args = args

    def __repr__(self) -> str:
        inner = "".join(f", {arg!r}" for arg in self.args)
        return f"{self.kind}({self.value}{inner})"


def parse(text: str, implicit: bool = False) -> Node:
    """The tree of an expression, or `ExprError`; with `implicit`, `2P` is 2*P.

    >>> parse("2*k + 1")
    binary(+, binary(*, number(2), name(k)), number(1))
    >>> parse("(k - 1")
    Traceback (most recent call last):
    cnncalc.expr.ExprError: ')' is missing
    """
    if len(text) > MAX_TEXT:
        raise ExprError(f"the expression is longer than {MAX_TEXT:,} characters", MAX_TEXT)
    parser = Parser(text, implicit)
    node = parser.expression(0)
    parser.finish()
    return node


class Token:
    """One token: a number, a name, a mark, or the end."""

    __slots__ = ("kind", "offset", "text")

    def __init__(self, kind: str, text: str, offset: int) -> None:
        self.kind = kind
        self.text = text
        self.offset = offset


def tokens(text: str) -> list[Token]:
    """The tokens of a text, the end among them."""
    found: list[Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExprError(f"unexpected character {text[at]!r}", at)
        kind = match.lastgroup or ""
        spelled = match[kind]
        found.append(Token(kind, SPELLINGS.get(spelled, spelled), match.start(kind)))
        at = match.end()
    found.append(Token("end", "", end))
    return found


class Parser:
    """Reads tokens by binding strength; `where` conditions extend it."""

    def __init__(self, text: str, implicit: bool = False) -> None:
        self.tokens = tokens(text)
        self.implicit = implicit
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def expression(self, binding: int) -> Node:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ExprError(f"nested more than {MAX_NESTING} deep", self.token.offset)
        left = self.operand()
        while self.binding_of(self.token) > binding:
            strength = self.binding_of(self.token)
            mark = self.times() if self.implied else self.take()
            # ** groups to the right: 2**3**2 is 2**(3**2), and 2**-1 is allowed.
            right = self.expression(strength - (mark.text == "**"))
            left = self.joined(mark, left, right)
        self.depth -= 1
        return left

    def binding_of(self, token: Token) -> int:
        """How tightly a token binds; -1 where it joins nothing."""
        return BINDING["*"] if self.implied else BINDING.get(token.text, -1)

    @property
    def implied(self) -> bool:
        """Whether a multiplication sign is left out before the next token."""
        return self.implicit and (self.token.kind == "name" or self.token.text == "(")

    def times(self) -> Token:
        """The multiplication sign that is left out in `2P` and `K(C + 1)`."""
        return Token("mark", "*", self.token.offset)

    def joined(self, mark: Token, left: Node, right: Node) -> Node:
        return Node("binary", mark.text, mark.offset, (left, right))

    def operand(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return _number(token)
        if token.kind == "name":
            call = self.token.text == "(" and not (self.implicit and token.text not in FUNCTIONS)
            return self.call(token) if call else Node("name", token.text, token.offset)
        if token.text in ("+", "-"):
            return Node("sign", token.text, token.offset, (self.expression(SIGN_BINDING),))
        if token.text == "(":
            inner = self.expression(0)
            self.close(token)
            return inner
        raise self.missing_operand(token)

    def missing_operand(self, token: Token) -> ExprError:
        if self.at == 1:
            found = f", not {token.text!r}" if token.text else ""
            return ExprError(f"expected a number or a name{found}", token.offset)
        before = self.tokens[self.at - 2].text
        return ExprError(f"expected a number or a name after {before!r}", token.offset)

    def call(self, name: Token) -> Node:
        bounds = FUNCTIONS.get(name.text)
        if bounds is None:
            close = nearest(name.text, FUNCTIONS)
            hint = f"did you mean {close}?" if close else f"there are {', '.join(FUNCTIONS)}"
            raise ExprError(f"unknown function {name.text!r}", name.offset, hint)
        bracket = self.take()
        args = [self.expression(0)]
        while self.token.text == ",":
            self.take()
            args.append(self.expression(0))
        self.close(bracket)
        if not bounds[0] <= len(args) <= bounds[1]:
            raise ExprError(f"{name.text} takes one value", name.offset)
        return Node("call", name.text, name.offset, tuple(args))

    def close(self, bracket: Token) -> None:
        if self.token.text == ")":
            self.take()
        elif self.token.kind == "end":
            raise ExprError("')' is missing", self.token.offset)
        else:
            raise self.unexpected()

    def unexpected(self) -> ExprError:
        token, before = self.token, self.tokens[self.at - 1]
        if token.text == ")":
            return ExprError("')' without '('", token.offset)
        joined = before.kind in ("number", "name") or before.text == ")"
        if joined and (token.kind in ("number", "name") or token.text == "("):
            message = f"expected an operator between {before.text!r} and {token.text!r}"
            after = "(...)" if token.text == "(" else token.text
            hint = f"write {before.text}*{after} to multiply" if before.text != ")" else None
            return ExprError(message, token.offset, hint)
        return ExprError(f"unexpected {token.text!r}", token.offset)

    def finish(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected()


def _number(token: Token) -> Node:
    if len(token.text) > MAX_DIGITS:
        raise ExprError(f"the number has more than {MAX_DIGITS} digits", token.offset)
    value = Fraction(token.text)
    whole = value.numerator if value.denominator == 1 else value
    return Node("number", whole, token.offset)


def _postorder(node: Node) -> Iterator[Node]:
    # Without recursion: a sum of 500 terms is a tree 500 deep.
    todo = [(node, False)]
    while todo:
        current, ready = todo.pop()
        if ready or not current.args:
            yield current
        else:
            todo.append((current, True))
            todo.extend((arg, False) for arg in reversed(current.args))


def names(node: Node) -> frozenset[str]:
    """The names that an expression refers to.

    >>> sorted(names(parse("max(H, W) + k")))
    ['H', 'W', 'k']
    """
    return frozenset(str(n.value) for n in _postorder(node) if n.kind == "name")


def evaluate(expression: Node | str, lookup: Callable[[str], Number]) -> Number:
    """The exact value; `lookup` raises KeyError for a name it does not know.

    >>> evaluate("(k - 1)/2", {"k": 5}.__getitem__)
    2
    """
    node = _parsed(expression) if isinstance(expression, str) else expression
    stack: list[Number] = []
    for step in _postorder(node):
        count = len(step.args)
        args = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        stack.append(_checked(_value(step, args, lookup), step.offset))
    return stack[0]


_parsed = lru_cache(maxsize=512)(parse)  # blocks evaluate the same texts again and again


def _value(node: Node, args: list[Number], lookup: Callable[[str], Number]) -> Number:
    if node.kind == "number":
        assert not isinstance(node.value, str)
        return node.value
    if node.kind == "name":
        try:
            return lookup(str(node.value))
        except KeyError:
            raise UnknownName(str(node.value), node.offset) from None
    try:
        return _applied(node, args)
    except ZeroDivisionError:
        raise ExprError("division by zero", node.offset) from None
    except FormulaLimit as error:
        raise ExprError(str(error), node.offset) from None


def _applied(node: Node, args: list[Number]) -> Number:
    if node.kind == "sign":
        return args[0] if node.value == "+" else -args[0]
    if node.kind == "call":
        one = {"floor": floor, "ceil": ceil}.get(str(node.value))
        if one is not None:
            return one(args[0])
        return (maximum if node.value == "max" else minimum)(*args)
    left, right = args
    if node.value == "**":
        return _power(left, right, node.args[1].offset)
    return _OPERATORS[str(node.value)](left, right)


def _power(base: Number, exponent: Number, offset: int) -> Number:
    whole = as_int(exponent)
    if whole is None:
        raise ExprError("the exponent must be a whole number", offset)
    return power(base, whole)


_OPERATORS: dict[str, Callable[[Number, Number], Number]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": exact_divide,
    "//": floor_div,
    "%": lambda a, b: a - b * floor_div(a, b),
}


def _checked(x: Number, offset: int) -> Number:
    if isinstance(x, int | Fraction):
        if max(x.numerator.bit_length(), x.denominator.bit_length()) > MAX_BITS:
            raise ExprError(f"the number has more than {MAX_BITS:,} bits", offset)
        return x.numerator if x.denominator == 1 else x
    return x


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that the word was probably meant to be, if any is near enough.

    >>> nearest("kernal", ["filters", "kernel", "stride"])
    'kernel'
    """
    allowed = max(1, len(word) // 3)
    scored = [(_distance(word.lower(), c.lower(), allowed), c) for c in candidates]
    best = min(scored, key=lambda row: row[0], default=None)
    return best[1] if best and best[0] <= allowed else None


def _distance(a: str, b: str, allowed: int) -> int:
    # The number of edits and of swaps of neighbours between two words.
    if abs(len(a) - len(b)) > allowed:
        return allowed + 1
    earlier: list[int] = []
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        earlier, above = above, row
    return above[-1]
