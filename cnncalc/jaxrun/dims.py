"""Sizes in our closed forms and in JAX's symbolic dimensions, translated both ways.

A symbol H with multiple_of m is written m*v_H, so that H/2 has whole coefficients; a floor,
maximum or minimum becomes a dimension of its own (f0, f1, ...), known by its bounds alone.
That keeps every layer's dimensions short, however deep the network.
"""

import ast
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..formula import (
    Expr,
    Floor,
    Inverse,
    Number,
    Symbol,
    floor_div,
    lower_bound,
    maximum,
    minimum,
    upper_bound,
)

LIMIT = 64  # terms that are still worth handing to JAX


Sum = dict[tuple[str, ...], int]


class UntranslatableError(ValueError):
    """A size that one of the two languages cannot say."""


def _gather(total: Sum, more: Sum) -> None:
    for names, c in more.items():
        total[names] = total.get(names, 0) + c
    if len(total) > LIMIT:
        raise UntranslatableError("too many terms")


def _times(a: Sum, b: Sum) -> Sum:
    total: Sum = {}
    for m, c in a.items():
        _gather(total, {tuple(sorted(m + n)): c * d for n, d in b.items()})
    return total


class Dims:
    """The dimensions of one layer: collected as text first, then made in one JAX scope."""

    def __init__(self) -> None:
        self.back: dict[str, Number] = {}  # JAX's name -> our closed form
        self.names: dict[Number, str] = {}
        self.shifts: dict[Number, int] = {}  # a floor's first spelling is a dimension as it is
        self.bounds: dict[str, None] = {}

    def text(self, value: Number) -> str:
        """`value` in JAX's spelling, which has no parentheses."""
        terms = [f"{c}*{'*'.join(names)}" if names else str(c) for names, c in self._sum(value)]
        return " + ".join(terms) or "0"

    def _sum(self, value: Number) -> Iterable[tuple[tuple[str, ...], int]]:
        """Products of names and their whole coefficients."""
        if isinstance(value, int):
            return [((), value)]
        if not isinstance(value, Expr):
            raise UntranslatableError(f"{value} is not whole")
        try:
            total: Sum = {}
            for mono, c in value.terms.items():
                _gather(total, self._product(mono, c))
        except UntranslatableError:
            total = {(self._fresh(value),): 1}
        return [(names, c) for names, c in total.items() if c]

    def _product(self, mono: Any, c: Any) -> Sum:
        for atom, power in mono:
            if power < 1 or isinstance(atom, Inverse):
                raise UntranslatableError("a quotient")
            if isinstance(atom, Symbol):
                c = c * atom.multiple_of**power
        if c != int(c):
            raise UntranslatableError("a fraction")
        found: Sum = {(): int(c)}
        for atom, power in mono:
            for _ in range(power):
                found = _times(found, self._atom(atom))
        return found

    def _atom(self, atom: Number) -> Sum:
        if isinstance(atom, Symbol):
            return {(self._symbol(atom),): 1}
        if isinstance(atom, Floor):
            shown = self.shifts.setdefault(atom.at(0), atom.shift)
            return {(self._fresh(atom.at(shown)),): 1, (): atom.shift - shown}
        return {(self._fresh(atom),): 1}

    def _symbol(self, symbol: Symbol) -> str:
        name = f"v_{symbol.name}"
        if name not in self.back:
            unit = symbol.multiple_of
            self.back[name] = symbol / unit
            self.bounds[f"{name} >= {symbol.min // unit}"] = None
            if symbol.max is not None:
                self.bounds[f"{name} <= {symbol.max // unit}"] = None
        return name

    def _fresh(self, value: Number) -> str:
        if value not in self.names:
            name = f"f{len(self.names)}"
            self.names[value], self.back[name] = name, value
            low, high = lower_bound(value), upper_bound(value)
            if low is not None:
                self.bounds[f"{name} >= {-(-low // 1)}"] = None
            if high is not None:
                self.bounds[f"{name} <= {high // 1}"] = None
        return self.names[value]

    def require(self, value: Number, least: int) -> None:
        """Restricts the sizes to those at which `value` is at least `least`."""
        if isinstance(value, Expr):
            self.bounds[f"{self.text(value)} >= {least}"] = None

    def make(self, values: Iterable[Number]) -> dict[Number, Any]:
        """JAX dimensions for closed forms, all in one scope with the bounds."""
        from jax import export

        wanted = [v for v in dict.fromkeys(values) if isinstance(v, Expr)]
        texts = [self.text(value) for value in wanted]
        if not texts:
            return {}
        made = export.symbolic_shape(",".join(texts), constraints=list(self.bounds))
        return dict(zip(wanted, made, strict=True))

    def read(self, dim: Any) -> Number:
        """A dimension that JAX computed, as a closed form in the spec's symbols."""
        if isinstance(dim, int):
            return dim
        try:
            return read_dim(str(dim), self.back)
        except (SyntaxError, KeyError, RecursionError, ZeroDivisionError) as error:
            raise UntranslatableError(f"JAX's dimension {str(dim)[:80]}") from error


CALLS: dict[str, Callable[..., Number]] = {
    "floordiv": floor_div,
    "mod": lambda a, b: a - b * floor_div(a, b),
    "max": maximum,
    "min": minimum,
    "non_negative": lambda a: maximum(a, 0),
}
BINARY: dict[type, Callable[[Any, Any], Number]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Pow: lambda a, b: a**b,
    ast.FloorDiv: floor_div,
}


def read_dim(text: str, names: Mapping[str, Number]) -> Number:
    """JAX's text of a dimension with `names` put in.

    >>> H = Symbol("H")
    >>> read_dim("- floordiv(- h, 2) + mod(h, 1)", {"h": H})
    -floor(-H/2)
    """
    return _value(ast.parse(text.strip().replace("^", "**"), mode="eval").body, names)


def _value(node: ast.expr, names: Mapping[str, Number]) -> Number:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, names)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, names), _value(node.right, names)
        return BINARY[type(node.op)](left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return CALLS[node.func.id](*(_value(arg, names) for arg in node.args))
    raise SyntaxError(f"unexpected part of a dimension: {ast.dump(node)[:80]}")
