"""Worked arithmetic written out, as text that parses back and as LaTeX."""

from collections.abc import Sequence
from fractions import Fraction

from . import expr
from .formula import Expr, Number, to_latex
from .worked import ROUNDED, Worked

SUM, PRODUCT, ATOM = 1, 2, 3
Piece = tuple[str, int]  # a text and how tightly it is bound


class Text:
    """Writes a worked value in the language that `expr.parse` reads.

    `names`: symbols, else numbers; `reduce`: divisions that are rounded show their
    dividend as one number; `grouped`: thousands are set apart.
    """

    dot = "*"

    def __init__(self, names: bool, reduce: bool = False, grouped: bool = False) -> None:
        self.names, self.reduce, self.grouped = names, reduce, grouped

    def top(self, x: Worked) -> str:
        """The whole expression; factors in brackets stand apart, as in (5*5*3 + 1) * 10."""
        return self._product(x, " * ")[0] if x.kind == "product" else self.write(x)[0]

    def write(self, x: Worked) -> Piece:
        if x.kind == "leaf":
            return self._leaf(x)
        if x.kind == "sum":
            return self._sum(x), SUM
        if x.kind == "product":
            return self._product(x, self.dot)
        if x.kind in ROUNDED and not x.exact:
            return self._rounded(x), ATOM
        if x.kind in ("quotient", *ROUNDED):
            return self._ratio(x.args[0], x.args[1])
        args = [self.write(arg) for arg in x.args]
        if x.kind == "mod":
            a, b = (self._bound(piece, ATOM) for piece in args)
            return f"{a} {self._percent()} {b}", PRODUCT
        return self._call(x.kind, [text for text, _ in args]), ATOM

    def _leaf(self, x: Worked) -> Piece:
        if self.names and x.name:
            return self.name(x.name), ATOM
        return self.number(x.value), _level(x.value)

    def _sum(self, x: Worked) -> str:
        found = ""
        for sign, term in zip(x.signs, x.args, strict=True):
            text, level = self.write(term)
            if level == SUM and (found or sign < 0 or term.kind == "leaf"):
                text = self.brackets(text)
            mark = " + " if sign > 0 else " - "
            found += mark + text if found else text if sign > 0 else f"-{text}"
        return found

    def _product(self, x: Worked, apart: str) -> Piece:
        found, closed = "", False
        for i, arg in enumerate(x.args):
            text, opened = self._factor(arg, i == 0)
            if found:
                found += apart if opened or closed else self.dot
            found, closed = found + text, opened
        return found, PRODUCT

    def _factor(self, x: Worked, first: bool) -> tuple[str, bool]:
        if x.kind == "quotient" and not self.names:
            text, level = self.number(x.value), _level(x.value)
        else:
            text, level = self.write(x)
        group = x.kind in ("product", "mod", "leaf") and level == PRODUCT and not first
        if level == SUM or group:
            return self.brackets(text), True
        return text, False

    def _bound(self, piece: Piece, least: int) -> str:
        text, level = piece
        return text if level >= least else self.brackets(text)

    def _dividend(self, x: Worked) -> Piece:
        if self.reduce:
            return self.number(x.value), _level(x.value)
        return self.write(x)

    # --- what LaTeX does in its own way ----------------------------------------

    def _ratio(self, a: Worked, b: Worked) -> Piece:
        top, bottom = self.write(a), self.write(b)
        return f"{self._bound(top, PRODUCT)}/{self._bound(bottom, ATOM)}", PRODUCT

    def _rounded(self, x: Worked) -> str:
        a, b = x.args
        top, bottom = self._dividend(a), self.write(b)
        if b.is_literal(1):
            return f"{x.kind}({top[0]})"
        return f"{x.kind}({self._bound(top, PRODUCT)}/{self._bound(bottom, ATOM)})"

    def _call(self, name: str, args: Sequence[str]) -> str:
        return f"{name}({', '.join(args)})"

    def _percent(self) -> str:
        return "%"

    def brackets(self, text: str) -> str:
        return f"({text})"

    def name(self, name: str) -> str:
        return name

    def number(self, value: Number) -> str:
        return f"{value:,}" if self.grouped and isinstance(value, int) else str(value)


class Latex(Text):
    r"""Writes a worked value as LaTeX, for math mode.

    >>> from cnncalc.worked import quantity
    >>> n, s = quantity("W", 7), quantity("S", 2)
    >>> print(Latex(True).top((n - 3) // s + 1), Latex(False).top(n // s))
    \frac{W - 3}{S} + 1 \left\lfloor \frac{7}{2} \right\rfloor
    """

    dot = r" \cdot "

    def top(self, x: Worked) -> str:
        return self.write(x)[0]

    def _ratio(self, a: Worked, b: Worked) -> Piece:
        return rf"\frac{{{self.write(a)[0]}}}{{{self.write(b)[0]}}}", ATOM

    def _rounded(self, x: Worked) -> str:
        top, bottom = self._dividend(x.args[0])[0], self.write(x.args[1])[0]
        inner = top if x.args[1].is_literal(1) else rf"\frac{{{top}}}{{{bottom}}}"
        return rf"\left\l{x.kind} {inner} \right\r{x.kind}"

    def _call(self, name: str, args: Sequence[str]) -> str:
        return rf"\{name}\left({', '.join(args)}\right)"

    def _percent(self) -> str:
        return r"\bmod"

    def brackets(self, text: str) -> str:
        return rf"\left({text}\right)"

    def name(self, name: str) -> str:
        return name if len(name) == 1 else f"{name[0]}_{{{name[1:]}}}"

    def number(self, value: Number) -> str:
        if isinstance(value, int):
            return f"{value:,}".replace(",", "{,}") if self.grouped else str(value)
        return to_latex(value)


def _level(value: Number) -> int:
    """How tightly the text of a number is bound."""
    if isinstance(value, Expr):
        return _level_of(str(value))
    if value < 0:
        return SUM
    return PRODUCT if isinstance(value, Fraction) else ATOM


def _level_of(text: str) -> int:
    try:
        node = expr.parse(text)
    except expr.ExprError:  # too long to look at
        return SUM
    if node.kind == "binary":
        return SUM if node.value in ("+", "-") else PRODUCT
    return SUM if node.kind == "sign" else ATOM
