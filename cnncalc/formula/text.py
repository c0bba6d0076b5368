"""Formulas as text that parses back, as SymPy and as LaTeX."""

from __future__ import annotations

from fractions import Fraction

from .core import (
    Atom,
    Expr,
    Floor,
    Inverse,
    Max,
    Min,
    Mono,
    Number,
    Rational,
    Symbol,
    Terms,
    add,
    scale,
    terms_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def to_text(x: Number) -> str:
    """The expression in the language that `expr.parse` reads; equal values, equal text.

    >>> from cnncalc.formula import Symbol
    >>> H, k = Symbol("H"), Symbol("k")
    >>> to_text(3 * H * H / 4 - k + 1)
    '3*H**2/4 - k + 1'
    """
    if isinstance(x, Atom):
        return _atom_text(x)
    parts = [_term_text(mono, c) for mono, c in ordered(terms_of(x))]
    if not parts:
        return "0"
    text = parts[0]
    for part in parts[1:]:
        text += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
    return text


def ordered(terms: Terms) -> list[tuple[Mono, Rational]]:
    """Terms by falling degree, then by name, the constant last; a positive term leads."""
    rows = sorted(terms.items(), key=lambda row: _mono_key(row[0]))
    if rows and rows[0][1] < 0:
        lead = next((i for i, row in enumerate(rows) if row[1] > 0), 0)
        rows.insert(0, rows.pop(lead))
    return rows


def _mono_key(mono: Mono) -> tuple[bool, int, list[tuple[tuple[int, str], int]]]:
    return not mono, -sum(p for _, p in mono), [(a.key, -p) for a, p in mono]


def sort_key(x: Number) -> tuple[bool, str]:
    """Order of arguments: expressions by text, then constants."""
    return not isinstance(x, Expr), str(x)


def _term_text(mono: Mono, c: Rational) -> str:
    above = [_power_text(a, p) for a, p in mono if (p > 0) != isinstance(a, Inverse)]
    below = [_power_text(a, abs(p)) for a, p in mono if (p > 0) == isinstance(a, Inverse)]
    sign = "-" if c < 0 else ""
    if abs(c.numerator) != 1 or not above:
        above.insert(0, str(abs(c.numerator)))
    if c.denominator != 1:
        below.insert(0, str(c.denominator))
    text = sign + "*".join(above)
    if below:
        text += f"/{below[0]}" if len(below) == 1 else f"/({'*'.join(below)})"
    return text


def _power_text(atom: Atom, p: int) -> str:
    text = to_text(atom.base) if isinstance(atom, Inverse) else str(atom)
    loose = isinstance(atom, Inverse) or (isinstance(atom, Floor) and _is_sum(atom))
    text = f"({text})" if loose else text
    return text if p == 1 else f"{text}**{p}"


def _is_sum(floor: Floor) -> bool:
    return _shown(floor)[1] != 0


def _shown(floor: Floor) -> tuple[Number, int]:
    # Convolution sizes read floor((H - 11)/4) + 1: any shift is shown as 1 and a constant
    # inside, except where the divisor is an expression.
    if floor.shift == 0 or not isinstance(floor.den, int):
        return floor.num, floor.shift
    return add(floor.num, floor.den * (floor.shift - 1)), 1


def _atom_text(atom: Atom) -> str:
    if isinstance(atom, Symbol):
        return atom.name
    if isinstance(atom, Floor):
        num, shift = _shown(atom)
        text = f"floor({_ratio_text(num, atom.den)})"
        return text if not shift else f"{text} {'+' if shift > 0 else '-'} {abs(shift)}"
    if isinstance(atom, Max):
        name = "min" if isinstance(atom, Min) else "max"
        return f"{name}({', '.join(to_text(x) for x in atom.args)})"
    assert isinstance(atom, Inverse)
    return f"1/({to_text(atom.base)})"


def _ratio_text(num: Number, den: int | Expr) -> str:
    if den == 1:
        return to_text(num)
    terms = terms_of(num)
    if len(terms) == 1 and isinstance(den, int):
        return to_text(scale(num, Fraction(1, den)))
    top, bottom = to_text(num), to_text(den)
    if len(terms) > 1 or "+" in top or "/" in top:
        top = f"({top})"
    simple = isinstance(den, int | Symbol)
    return f"{top}/{bottom if simple else f'({bottom})'}"


def to_sympy(x: Number) -> Any:
    """The same expression in SymPy, over integer symbols, positive where the domain is.

    >>> from cnncalc.formula import Symbol
    >>> to_sympy((Symbol("H") - 11) // 4 + 1)
    floor(H/4 - 11/4) + 1
    """
    import sympy

    total: Any = sympy.Integer(0)
    for mono, c in ordered(terms_of(x)):
        piece: Any = sympy.Rational(c.numerator, c.denominator)
        for atom, p in mono:
            piece *= _atom_sympy(sympy, atom) ** p
        total += piece
    return total


def _atom_sympy(sympy: Any, atom: Atom) -> Any:
    if isinstance(atom, Symbol):
        positive = True if atom.min >= 1 else None
        return sympy.Symbol(atom.name, integer=True, positive=positive)
    if isinstance(atom, Floor):
        num, shift = _shown(atom)
        return sympy.floor(to_sympy(num) / to_sympy(atom.den)) + shift
    if isinstance(atom, Max):
        kind = sympy.Min if isinstance(atom, Min) else sympy.Max
        return kind(*(to_sympy(arg) for arg in atom.args))
    assert isinstance(atom, Inverse)
    return 1 / to_sympy(atom.base)


def to_latex(x: Number) -> str:
    r"""LaTeX of the expression in the form in which it is printed.

    >>> from cnncalc.formula import Symbol
    >>> print(to_latex((Symbol("H") - 11) // 4 + 1))
    \left\lfloor \frac{H - 11}{4} \right\rfloor + 1
    """
    if isinstance(x, Atom):
        return _atom_latex(x)
    parts = [_term_latex(mono, c) for mono, c in ordered(terms_of(x))]
    if not parts:
        return "0"
    text = parts[0]
    for part in parts[1:]:
        text += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
    return text


def _term_latex(mono: Mono, c: Rational) -> str:
    above = [_power_latex(a, p) for a, p in mono if (p > 0) != isinstance(a, Inverse)]
    below = [_power_latex(a, abs(p)) for a, p in mono if (p > 0) == isinstance(a, Inverse)]
    if abs(c.numerator) != 1 or not above:
        above.insert(0, str(abs(c.numerator)))
    if c.denominator != 1:
        below.insert(0, str(c.denominator))
    text = r" \cdot ".join(above)
    if below:
        divisor = r" \cdot ".join(below)
        text = rf"\frac{{{text}}}{{{divisor}}}"
    return f"-{text}" if c < 0 else text


def _power_latex(atom: Atom, p: int) -> str:
    if isinstance(atom, Inverse):
        text = rf"\left({to_latex(atom.base)}\right)"
    else:
        text = _atom_latex(atom)
        if isinstance(atom, Floor) and (_is_sum(atom) or p > 1):
            text = rf"\left({text}\right)"
    return text if p == 1 else f"{text}^{{{p}}}"


def _atom_latex(atom: Atom) -> str:
    if isinstance(atom, Symbol):
        return _name_latex(atom.name)
    if isinstance(atom, Floor):
        num, shift = _shown(atom)
        ratio = rf"\frac{{{to_latex(num)}}}{{{to_latex(atom.den)}}}"
        inner = to_latex(num) if atom.den == 1 else ratio
        text = rf"\left\lfloor {inner} \right\rfloor"
        return text if not shift else f"{text} {'+' if shift > 0 else '-'} {abs(shift)}"
    if isinstance(atom, Max):
        name = r"\min" if isinstance(atom, Min) else r"\max"
        return rf"{name}\left({', '.join(to_latex(x) for x in atom.args)}\right)"
    assert isinstance(atom, Inverse)
    return rf"\frac{{1}}{{{to_latex(atom.base)}}}"


def _name_latex(name: str) -> str:
    if len(name) == 1:
        return name
    head, _, tail = name.partition("_")
    if len(head) == 1 and tail:
        tail = tail.replace("_", r"\_")
        return rf"{head}_{{\mathrm{{{tail}}}}}"
    name = name.replace("_", r"\_")
    return rf"\mathrm{{{name}}}"
