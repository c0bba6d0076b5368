"""Exact closed forms of sizes and counts: whole numbers, fractions and symbolic expressions.

`Number` is `int | Fraction | Expr`.  Whatever has no symbol in it stays a plain number, so that
concrete networks cost plain arithmetic; with symbols the same formulas give a closed form.

>>> H = Symbol("H")
>>> slide(227, 11, 4, 0), slide(H, 11, 4, 0)
(55, floor((H - 11)/4) + 1)
>>> slide(slide(H, 11, 4, 0), 3, 2, 0)
floor((H - 19)/8) + 1
"""

from __future__ import annotations

from .bounds import lower_bound, maximum, minimum, upper_bound
from .core import (
    Atom,
    DomainError,
    Expr,
    Floor,
    FormulaLimit,
    Inverse,
    Max,
    Min,
    Number,
    Rational,
    Symbol,
    power,
)
from .division import divide
from .rewrite import compile_expr, domain_text, equal, evaluate, normal, substitute, symbols
from .rounding import ceil, ceil_div, floor, floor_div
from .sizes import as_int, product, slide, total
from .text import to_latex, to_sympy, to_text
from .timing import limited
from .undecided import at_least, compare, is_whole
from .vector import horner

__all__ = [
    "Atom",
    "DomainError",
    "Expr",
    "Floor",
    "FormulaLimit",
    "Inverse",
    "Max",
    "Min",
    "Number",
    "Rational",
    "Symbol",
    "as_int",
    "at_least",
    "ceil",
    "ceil_div",
    "compare",
    "compile_expr",
    "divide",
    "domain_text",
    "equal",
    "evaluate",
    "floor",
    "floor_div",
    "horner",
    "is_whole",
    "limited",
    "lower_bound",
    "maximum",
    "minimum",
    "normal",
    "power",
    "product",
    "slide",
    "substitute",
    "symbols",
    "to_latex",
    "to_sympy",
    "to_text",
    "total",
    "upper_bound",
]
