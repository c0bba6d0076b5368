"""Gradients of symbols: SymPy's own derivatives, exact numbers, and formulas as printed."""

import itertools

import numpy as np
import pytest
import sympy
from autograd_cases import CASES
from sympy.printing.pycode import SymPyPrinter
from test_autograd_gradients import sign_turned

from cnncalc import autograd as ag

ROWS = [case for case in CASES if case.symbolic]
MOST = 16  # derivatives of a row: SymPy's are slow


def letters(shapes):
    names = "abcd"
    return [ag.symbols(n, s) for n, s in zip(names, shapes, strict=False)]


def rationals(shapes, positive):
    """Two points: entries that differ from each other, with small denominators."""
    count = sum(int(np.prod(s)) for s in shapes)
    for seed in (0, 1):
        order = np.random.default_rng(seed).permutation(count)
        low = 1 if positive else -(count // 2)
        yield [sympy.Rational(2 * (int(i) + low) + 1, 7 if count < 20 else 5) for i in order]


class Exact(SymPyPrinter):
    """Prints fractions as such: Python would read 1/3 as a float."""

    def _print_Rational(self, number):  # noqa: N802 (a name that SymPy looks up)
        return f"Rational({number.p}, {number.q})"

    _print_Half = _print_Rational  # noqa: N815


def evaluator(arguments, expressions):
    """The expressions' exact values as a function of a point."""
    names = [s for a in arguments for s in a.flat]
    printer = Exact({"fully_qualified_modules": False, "inline": True})
    modules = [{"Rational": sympy.Rational}, "sympy"]
    return sympy.lambdify(names, expressions, modules=modules, printer=printer)


def cotangent(y):
    entries = [sympy.Integer(1 + (3 * i) % 5) for i in range(int(np.prod(np.shape(y))))]
    return np.array(entries, dtype=object).reshape(np.shape(y))


def is_zero(x):
    return x == 0 or abs(sympy.N(x, 30)) < sympy.Float("1e-25")


def our_gradients(case, arguments):
    y, pull = ag.vjp(case.ours, *arguments)
    return y, [g for a in pull(cotangent(y)) for g in np.asarray(a).flat]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_gradient_is_sympys(case):
    arguments = letters(case.shapes)
    y, ours = our_gradients(case, arguments)
    flat = list(np.asarray(y).flat)
    loss = sum(int(u) * v for u, v in zip(cotangent(y).flat, flat, strict=True))
    for e in [*flat, *ours]:
        assert isinstance(e, sympy.Basic)
        assert not e.atoms(sympy.Float)
    names = [s for a in arguments for s in a.flat]
    some = np.random.default_rng(0).permutation(len(names))
    some = sorted(some, key=lambda i: ours[i] == 0)[:MOST]
    ours = [ours[i] for i in some]
    theirs = [sympy.diff(loss, names[i]) for i in some]

    values = evaluator(arguments, [flat, ours, theirs])
    for point in rationals(case.shapes, case.positive):
        found = values(*point)
        assert all(is_zero(p - q) for p, q in zip(found[1], found[2], strict=True))
        parts = np.split(
            np.array(point, dtype=float), np.cumsum([int(np.prod(s)) for s in case.shapes])[:-1]
        )
        plain = case.ours(*(p.reshape(s) for p, s in zip(parts, case.shapes, strict=True)))
        np.testing.assert_allclose(
            [float(v) for v in found[0]], np.ravel(plain), rtol=1e-10, atol=1e-10
        )

    for name in case.reaches:
        with sign_turned(name):
            _, wrong = our_gradients(case, arguments)
        turned = evaluator(arguments, [wrong[i] for i in some])(*point)
        assert not all(is_zero(p - q) for p, q in zip(turned, found[2], strict=True))


def small_network(x, w, v):
    """Convolution, relu, pool, dense: 4x4 to 3x3 to 2x2 (overlapping windows) to one number."""
    hidden = ag.relu(ag.conv(x, w))
    pooled = ag.max_pool(hidden, 2, stride=1)
    return ag.sum(ag.matmul(ag.reshape(pooled, (1, -1)), v))


def test_the_gradient_of_a_small_network():
    """dL/dw as a formula: against diff of the network written in SymPy alone."""
    x, w, v = letters([(1, 4, 4, 1), (2, 2, 1, 1), (4, 1)])
    ours = ag.grad(small_network, argnums=(1, 2))(x, w, v)
    picture, kernel, weights = x[0, :, :, 0], w[:, :, 0, 0], v[:, 0]

    def hidden(i, j):
        places = itertools.product(range(2), repeat=2)
        return sympy.Max(0, sum(picture[i + k, j + m] * kernel[k, m] for k, m in places))

    def pooled(i, j):
        return sympy.Max(*(hidden(i + k, j + m) for k, m in itertools.product(range(2), repeat=2)))

    loss = sum(pooled(i, j) * weights[2 * i + j] for i, j in itertools.product(range(2), repeat=2))
    arguments = [x, w, v]
    mine = [*ours[0].flat, *ours[1].flat]
    theirs = [loss.diff(s) for s in [*w.flat, *v.flat]]
    values = evaluator(arguments, [mine, theirs])
    for seed in range(3):
        rng = np.random.default_rng(seed)
        point = [sympy.Rational(int(n), 11) for n in rng.integers(-99, 99, 24)]
        found = values(*point)
        assert found[0] == found[1]
        assert any(found[0])


def test_formula_of_a_small_network():
    """The homework's question, dL/dw of a filter, on a picture of numbers."""
    picture = np.array([[1, 2, 0], [0, 1, 3], [2, 1, 1]]).reshape(1, 3, 3, 1)
    w = ag.symbols("w", (2, 1))
    b = ag.symbols("b", ())

    def loss(w):
        hidden = ag.relu(ag.conv(picture, ag.reshape(w, (2, 1, 1, 1))) + b)
        return ag.sum(ag.max_pool(hidden, (2, 3)) / 2)

    text = ag.formula(ag.grad(loss)(w), "dL/dw")
    lines = text.splitlines()
    assert [line.partition(" = ")[0] for line in lines] == ["dL/dw[0, 0]", "dL/dw[1, 0]"]
    assert "Piecewise" in text
    assert "w_0_0" in text
    at = {w[0, 0]: 1, w[1, 0]: 2, b.item(): 0}
    # the largest of x00 + 2 x10 and the like is 2 + 2·1, 0 + 2·3, ...: 6 at column 2, row 0
    assert [sympy.sympify(g).subs(at) for g in ag.grad(loss)(w).flat] == [0, sympy.Rational(3, 2)]
    assert r"\begin{cases}" in ag.latex(ag.grad(loss)(w), "L'")


def test_formulas_as_text_and_latex():
    x, w = ag.symbols("x", (2,)), ag.symbols("w", (2,))

    def loss(w):
        return (ag.sum(ag.relu(w * x)) - 1) ** 2 / 2

    found = ag.grad(loss)(w)
    assert ag.formula(found[0]) == (
        "x_0*Piecewise((Max(0, w_0*x_0) + Max(0, w_1*x_1) - 1, w_0*x_0 > 0), (0, True))"
    )
    assert ag.latex(ag.grad(lambda w: ag.sum(w * w * x) / 3)(w), "g") == (
        r"g_{0} = \frac{2 w_{0} x_{0}}{3}" + "\n" + r"g_{1} = \frac{2 w_{1} x_{1}}{3}"
    )
    assert ag.formula(ag.sum(x)) == "x_0 + x_1"
    assert ag.formula(np.array([[1, 2]]), "m") == "m[0, 0] = 1\nm[0, 1] = 2"


def test_floats_beside_symbols_become_exact():
    x = ag.symbols("x", (2,))
    half = np.array([0.5, 0.1])
    found = ag.grad(lambda x: ag.sum(0.5 * x * x * half + x / 3 - 0.25))(x)
    assert list(found) == [x[0] / 2 + sympy.Rational(1, 3), x[1] / 10 + sympy.Rational(1, 3)]
    found = ag.grad(lambda x: ag.mean(x**0.5))(x)
    assert found[0] == 1 / (4 * sympy.sqrt(x[0]))
    integers = np.array([1, 3], dtype=object)
    assert ag.formula(ag.divide(integers, 6)) == "1/6\n1/2"


def test_ties_of_symbols_go_where_numbers_do():
    x = ag.symbols("x", (1, 2, 2, 1))
    formula = ag.grad(lambda x: ag.sum(ag.max_pool(x, 2)))(x)
    at = dict.fromkeys(x.flat, 1)
    assert [e.subs(at) for e in formula.flat] == [1, 0, 0, 0]
    relu = ag.grad(lambda x: ag.sum(ag.relu(x)))(x)
    assert [e.subs(dict.fromkeys(x.flat, 0)) for e in relu.flat] == [0, 0, 0, 0]


def test_hessian_of_symbols():
    x = ag.symbols("x", (3,))

    def f(x):
        return x[0] * ag.exp(x[1] * x[2]) + ag.log(x[0]) * x[2] ** 3

    plain = x[0] * sympy.exp(x[1] * x[2]) + sympy.log(x[0]) * x[2] ** 3
    found = ag.hessian(f)(x)
    expected = sympy.hessian(plain, list(x))
    assert (sympy.Matrix(found) - expected).applyfunc(sympy.simplify) == sympy.zeros(3, 3)


def test_one_symbol_without_an_array():
    t = sympy.Symbol("t")
    found = ag.grad(lambda t: ag.sigmoid(3 * t))(t)
    assert sympy.simplify(sympy.sympify(found.item()) - (1 / (1 + sympy.exp(-3 * t))).diff(t)) == 0
