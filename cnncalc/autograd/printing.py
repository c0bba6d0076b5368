"""Symbolic values as formulas, in text and LaTeX."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import as_array, symbolic
from .tape import raw


def formula(x: Any, name: str = "") -> str:
    """A symbol expression as text; of an array one line an entry, `name[i, j] = ...`.

    >>> import sympy
    >>> from cnncalc import autograd as ag
    >>> w = ag.symbols("w", (2,))
    >>> print(formula(ag.grad(lambda w: ag.sum(ag.relu(w)) / 2)(w), "dL/dw"))
    dL/dw[0] = Piecewise((1/2, w_0 > 0), (0, True))
    dL/dw[1] = Piecewise((1/2, w_1 > 0), (0, True))
    """
    import sympy

    return _lines(x, sympy.sstr, lambda index: f"{name}[{', '.join(map(str, index))}]", name)


def latex(x: Any, name: str = "") -> str:
    r"""A symbol expression in LaTeX; of an array one line an entry.

    >>> from cnncalc import autograd as ag
    >>> w = ag.symbols("w", ())
    >>> print(latex(ag.grad(lambda w: ag.exp(w * w) / 2)(w), r"\partial L/\partial w"))
    \partial L/\partial w = w e^{w^{2}}
    """
    import sympy

    def place(index: tuple[int, ...]) -> str:
        return f"{name}_{{{','.join(map(str, index))}}}"

    return _lines(x, sympy.latex, place, name)


def _lines(
    x: Any, text: Callable[[Any], str], place: Callable[[tuple[int, ...]], str], name: str
) -> str:
    found = symbolic().exactly(as_array(raw(x)))
    lines = []
    for index in np.ndindex(found.shape):
        left = place(index) if index else name
        lines.append(f"{left} = {text(found[index])}" if name else text(found[index]))
    return "\n".join(lines)


def symbols(name: str, shape: tuple[int, ...]) -> Any:
    """An array of real symbols: `name_0_0`, `name_0_1`, ...; a single `name` for shape ().

    >>> symbols("w", (2, 2))
    array([[w_0_0, w_0_1],
           [w_1_0, w_1_1]], dtype=object)
    """
    import sympy

    found = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        found[index] = sympy.Symbol("_".join([name, *map(str, index)]), real=True)
    return found
