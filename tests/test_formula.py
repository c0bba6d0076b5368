"""Closed forms against plain integer arithmetic."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cnncalc import expr
from cnncalc import formula as f
from cnncalc.formula import DomainError, Expr, FormulaLimit, Number, Symbol

H: Any = Symbol("H")
W: Any = Symbol("W")
k: Any = Symbol("k")
s: Any = Symbol("s")
DOMAINS = {
    "H": Symbol("H"),
    "W": Symbol("W", min=3, max=40),
    "m": Symbol("m", min=16, multiple_of=16),
    "z": Symbol("z", min=-5, max=5),
}
settings.register_profile("quick", deadline=None, max_examples=150)
settings.load_profile("quick")

Reading = Callable[[dict[str, int]], Fraction]
Pair = tuple[Number, Reading]


def constant(value: Fraction) -> Pair:
    return value, lambda env: value


def leaf(name: str) -> Pair:
    return DOMAINS[name], lambda env: Fraction(env[name])


def applied(op: str, a: Pair, b: Pair, n: int) -> Pair:
    """The operation on expressions and, apart from them, on plain fractions."""
    (x, fx), (y, fy) = a, b
    table: dict[str, Callable[[], Pair]] = {
        "add": lambda: (x + y, lambda env: fx(env) + fy(env)),
        "sub": lambda: (x - y, lambda env: fx(env) - fy(env)),
        "mul": lambda: (x * y, lambda env: fx(env) * fy(env)),
        "div": lambda: (f.divide(x, n), lambda env: fx(env) / n),
        "floordiv": lambda: (f.floor_div(x, n), lambda env: Fraction(fx(env) // n)),
        "ceildiv": lambda: (f.ceil_div(x, n), lambda env: Fraction(math.ceil(fx(env) / n))),
        "mod": lambda: (x - n * f.floor_div(x, n), lambda env: fx(env) % n),
        "max": lambda: (f.maximum(x, y), lambda env: max(fx(env), fy(env))),
        "min": lambda: (f.minimum(x, y), lambda env: min(fx(env), fy(env))),
        "floor": lambda: (f.floor(x), lambda env: Fraction(math.floor(fx(env)))),
        "ceil": lambda: (f.ceil(x), lambda env: Fraction(math.ceil(fx(env)))),
    }
    return table[op]()


OPS = ["add", "sub", "mul", "div", "floordiv", "ceildiv", "mod", "max", "min", "floor", "ceil"]
leaves = st.one_of(
    st.sampled_from(sorted(DOMAINS)).map(leaf),
    st.integers(-20, 20).map(lambda n: constant(Fraction(n))),
    st.builds(Fraction, st.integers(-9, 9), st.integers(1, 6)).map(constant),
)
divisors = st.integers(-6, 8).filter(bool)
pairs = st.recursive(
    leaves,
    lambda inner: st.builds(applied, st.sampled_from(OPS), inner, inner, divisors),
    max_leaves=7,
)
environments = st.fixed_dictionaries(
    {
        "H": st.integers(1, 60),
        "W": st.integers(3, 40),
        "m": st.integers(1, 6).map(lambda n: 16 * n),
        "z": st.integers(-5, 5),
    }
)


@given(pairs, environments)
def test_expression_agrees_with_arithmetic(pair: Pair, env: dict[str, int]) -> None:
    x, reading = pair
    assert f.evaluate(x, env) == reading(env)


@given(pairs, environments)
def test_substitution_compilation_and_normal_form_keep_the_value(
    pair: Pair, env: dict[str, int]
) -> None:
    x, reading = pair
    expected = reading(env)
    assert f.substitute(x, dict(env)) == expected
    assert f.compile_expr(x, sorted(env))(*(env[n] for n in sorted(env))) == expected
    assert f.evaluate(f.normal(x), env) == expected
    partly = f.substitute(x, {"H": env["H"], "z": env["z"]})
    assert f.evaluate(partly, env) == expected


@given(pairs, environments)
def test_text_parses_back(pair: Pair, env: dict[str, int]) -> None:
    x, reading = pair
    back = expr.evaluate(str(x), DOMAINS.__getitem__)
    assert f.evaluate(back, env) == reading(env)
    assert f.equal(back, x)


@given(pairs, environments)
def test_bounds_hold(pair: Pair, env: dict[str, int]) -> None:
    x, reading = pair
    low, high = f.lower_bound(x), f.upper_bound(x)
    value = reading(env)
    assert low is None or low <= value
    assert high is None or value <= high
    whole = f.is_whole(x)
    assert whole is None or whole == (value.denominator == 1)


@given(pairs, pairs, environments)
def test_equal_and_compare_never_claim_what_is_false(a: Pair, b: Pair, env: dict[str, int]) -> None:
    difference = a[1](env) - b[1](env)
    if f.equal(a[0], b[0]):
        assert difference == 0
    sign = f.compare(a[0], b[0])
    assert sign is None or sign == (difference > 0) - (difference < 0)


@given(pairs, pairs, pairs)
def test_structure_is_canonical(a: Pair, b: Pair, c: Pair) -> None:
    x, y, z = a[0], b[0], c[0]
    assert x + y == y + x
    assert x * y == y * x
    assert hash(x * y) == hash(y * x)
    assert str(x + y + z) == str(z + y + x)
    assert f.equal(x * (y + z), x * y + x * z)
    for value in (x + y, x * y, x - x):
        assert isinstance(value, int | Fraction) or f.symbols(value)


@given(
    st.integers(-400, 400),
    st.integers(-30, 30),
    st.integers(1, 9),
    st.integers(-30, 30),
    st.integers(1, 9),
)
def test_the_two_identities(n: int, a: int, b: int, c: int, d: int) -> None:
    assert ((n + a) // b + c) // d == (n + a + b * c) // (b * d)
    assert math.ceil(Fraction(n, b)) == (n - 1) // b + 1
    free = Symbol("n", min=-400)
    chain = ((free + a) // b + c) // d
    assert f.evaluate(chain, {"n": n}) == ((n + a) // b + c) // d
    assert str(chain).count("floor") <= 1
    assert f.evaluate(f.ceil_div(free, b), {"n": n}) == -(-n // b)
    fallen = (c - (free + a) // b) // d
    assert f.evaluate(fallen, {"n": n}) == (c - (n + a) // b) // d
    assert str(fallen).count("floor") <= 1


layers = st.lists(
    st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(0, 6), st.booleans()),
    min_size=1,
    max_size=12,
)


@given(layers, st.integers(1, 500))
def test_chain_is_one_floor(chain: list[tuple[int, int, int, bool]], n: int) -> None:
    size: Any = H
    number = n
    for kernel, stride, pad, up in chain:
        if up:
            size = f.ceil_div(size - kernel + pad, stride) + 1
            number = -(-(number - kernel + pad) // stride) + 1
        else:
            size = f.slide(size, kernel, stride, pad)
            number = f.slide(number, kernel, stride, pad)
    assert f.evaluate(size, {"H": n}) == number
    assert str(size).count("floor") <= 1
    assert len(str(size)) < 60


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_symbolic_divisors(h: int, window: int, stride: int, n: int) -> None:
    env = {"H": h, "k": window, "s": stride}
    size = f.slide(f.slide(H, k, s, 0), 3, s + n, 2)
    expected = f.slide(f.slide(h, window, stride, 0), 3, stride + n, 2)
    assert f.evaluate(size, env) == expected
    assert f.substitute(size, {"s": stride, "k": window, "H": h}) == expected
    assert str(size).count("floor") == 1
    assert f.evaluate(f.ceil_div(H, s) * s - H, env) == -(-h // stride) * stride - h
    back = expr.evaluate(str(size), {"H": H, "k": k, "s": s}.__getitem__)
    assert f.evaluate(back, env) == expected


@given(st.integers(1, 30), st.integers(1, 9), st.integers(-20, 20), st.integers(1, 6))
def test_shared_factors_and_steady_remainders(h: int, stride: int, c: int, n: int) -> None:
    shared = f.floor_div(n * H + c, n * s)
    assert f.evaluate(shared, {"H": h, "s": stride}) == (n * h + c) // (n * stride)
    assert f.evaluate(f.ceil_div(n * H + c, n * s), {"H": h, "s": stride}) == math.ceil(
        Fraction(n * h + c, n * stride)
    )
    for product, number in [(H * (H - 1), h * (h - 1)), (H**3 - H, h**3 - h)]:
        assert f.evaluate((n * product + c) // 6, {"H": h}) == (n * number + c) // 6
    part = Symbol("t", min=0, max=30)
    low = f.lower_bound(f.divide(n, part + c * c))
    assert low is None or low <= Fraction(n, h + c * c)


def test_thousand_layers_are_quick_and_short() -> None:
    start = time.process_time()
    size: Any = H
    for i in range(1000):
        size = f.slide(size, 3, 2 if i % 100 == 0 else 1, 2 if i % 3 else 1)
    assert time.process_time() - start < 3.0
    assert str(size).count("floor") == 1
    number = 10**7
    for i in range(1000):
        number = f.slide(number, 3, 2 if i % 100 == 0 else 1, 2 if i % 3 else 1)
    assert f.evaluate(size, {"H": 10**7}) == number


def test_a_thousand_halvings_stay_within_the_limits() -> None:
    size: Any = H
    for _ in range(1000):
        size = f.slide(size, 2, 2, 0)
    assert f.evaluate(size, {"H": 2**1001}) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (f.slide(H, 11, 4, 0), "floor((H - 11)/4) + 1"),
        (f.slide(f.slide(H, 11, 4, 0), 3, 2, 0), "floor((H - 19)/8) + 1"),
        (f.slide(H, 3, 2, 2), "floor((H + 1)/2)"),
        (H // 2, "floor(H/2)"),
        (f.slide(H, k, s, 0), "floor((H - k)/s) + 1"),
        (f.slide(H, 3, 1, 2), "H"),
        (
            34848 * f.slide(H, 11, 4, 0) * f.slide(W, 11, 4, 0),
            "34848*(floor((H - 11)/4) + 1)*(floor((W - 11)/4) + 1)",
        ),
        ((k - 1) / 2, "k/2 - 1/2"),
        (3 * H / 4, "3*H/4"),
        (227 - k, "227 - k"),
        (H * W - 2 * H - 2 * W + 4, "H*W - 2*H - 2*W + 4"),
        (k**2 * H / s, "H*k**2/s"),
        (1 / (H + 1), "1/(H + 1)"),
        (H / (2 * s * (k + 1)), "H/(2*s*(k + 1))"),
        (f.maximum(H, 7), "max(H, 7)"),
        (3 * f.slide(H, 11, 4, 0) ** 2, "3*(floor((H - 11)/4) + 1)**2"),
    ],
)
def test_text(value: Number, text: str) -> None:
    assert str(value) == text


def test_constants_collapse() -> None:
    size = f.slide(H, 11, 4, 0)
    for value, expected in [
        (H - H, 0),
        ((size + 1) - size, 1),
        (2 * size - size - size, 0),
        (H / H, 1),
        ((H + 1) / (2 * H + 2), Fraction(1, 2)),
        (H / (H + 1) + 1 / (H + 1), 1),
        ((H * W + H) / (W + 1) - H, 0),
        (f.substitute(size, {"H": 227}), 55),
    ]:
        assert value == expected
        assert type(value) is type(expected)


def test_whole_terms_leave_the_floor() -> None:
    m = Symbol("m", multiple_of=16)
    assert (m + 3) // 4 == m / 4
    assert (m + 3) // 64 == m // 64
    assert f.floor(k * (k - 1) / 2) == k * (k - 1) / 2
    assert f.slide(H, k, 1, 2 * ((k - 1) / 2)) == H


def test_same_padding_and_clipped_pooling_are_single_floors() -> None:
    out = f.ceil_div(H, 2)
    total = f.maximum((out - 1) * 2 + 3 - H, 0)
    assert not isinstance(total, f.Max)
    assert f.slide(H, 3, 2, total) == out
    assert f.maximum((out - 1) * 2 + 1 - H, 0) == 0
    clipped = f.minimum(f.ceil_div(H - 1, 2) + 1, f.ceil_div(H + 1, 2))
    assert str(clipped) == "floor(H/2) + 1"


def test_dominance_prunes_a_maximum() -> None:
    wide = Symbol("H", min=32)
    first = 96 * f.slide(wide, 11, 4, 0)
    second = 64 * f.slide(f.slide(wide, 11, 4, 0), 3, 2, 0)
    assert f.maximum(first, second, 0) == first
    assert f.compare(first, second) == 1
    assert f.maximum(H // 2, H // 4, H) == H
    assert f.minimum(H // 2, H // 4) == H // 4


def test_joins_in_a_row_nest_no_maximum() -> None:
    """The receptive field after residual blocks whose two branches no one can order."""
    H, field = Symbol("H"), 3
    for i in range(2, 30):
        field = f.maximum(field + i * (H // i), field + 8)
    assert len(str(field)) < 29 * len("max(29*floor(H/29), 8) + ")
    for n in (1, 5, 8, 9, 77, 10**6):
        expected = 3
        for i in range(2, 30):
            expected = max(expected + i * (n // i), expected + 8)
        assert f.evaluate(field, {"H": n}) == expected


@pytest.mark.parametrize(
    ("a", "b", "proved"),
    [
        (-((-H) // 3), (H + 2) // 3, True),
        ((H // 2) + ((H + 1) // 2), H, True),
        ((3 * H) // 2, H + H // 2, True),
        (f.minimum(H, W), -f.maximum(-H, -W), True),
        (H // 2, (H + 1) // 2, False),
        ((H // 4) * 2, H // 2, False),
    ],
)
def test_equal(a: Number, b: Number, proved: bool) -> None:
    assert f.equal(a, b) is proved


def test_domains() -> None:
    even = Symbol("H", min=30, max=100, multiple_of=32)
    assert even.domain == (32, 96, 32)
    for bad in (31, 0, 128):
        with pytest.raises(DomainError):
            f.substitute(even + 1, {"H": bad})
        with pytest.raises(DomainError):
            f.evaluate(even + 1, {"H": bad})
    with pytest.raises(DomainError):
        Symbol("H", min=33, max=63, multiple_of=32)
    with pytest.raises(KeyError):
        f.evaluate(H + W, {"H": 3})
    with pytest.raises(ZeroDivisionError):
        f.evaluate(1 / (H - 3), {"H": 3})
    with pytest.raises(ZeroDivisionError):
        H / 0


def nested(depth: int) -> Any:
    deep: Any = H
    for _ in range(depth):
        deep = (deep * W) // 3
    return deep


def test_limits() -> None:
    with pytest.raises(FormulaLimit):
        H**65
    with pytest.raises(FormulaLimit):
        (H**60) ** 60
    with pytest.raises(FormulaLimit):
        f.power(f.product(Symbol(f"a{i}") + 1 for i in range(8)), 8)
    with pytest.raises(FormulaLimit):
        (2 * H) ** 64 * 2**2040
    with pytest.raises(FormulaLimit):
        nested(100)
    with pytest.raises(FormulaLimit):
        f.maximum(*(Symbol(f"a{i}") for i in range(130)))


def test_plain_numbers_stay_plain() -> None:
    assert f.slide(227, 11, 4, 0) == 55
    assert f.product([]) == 1
    assert f.maximum(3, Fraction(8, 2)) == 4
    assert type(f.maximum(3, Fraction(8, 2))) is int
    assert f.as_int(H) is None
    assert f.as_int(Fraction(6, 2)) == 3
    assert not f.symbols(3)


@given(pairs, environments)
@settings(max_examples=15)
def test_sympy_agrees(pair: Pair, env: dict[str, int]) -> None:
    import sympy

    x, reading = pair
    converted = f.to_sympy(x)
    values = {symbol: env[symbol.name] for symbol in converted.free_symbols}
    expected = reading(env)
    assert converted.subs(values) == sympy.Rational(expected.numerator, expected.denominator)
    assert sympy.sympify(x) == converted


def test_latex() -> None:
    size = f.slide(H, 11, 4, 0)
    assert f.to_latex(size) == r"\left\lfloor \frac{H - 11}{4} \right\rfloor + 1"
    assert f.to_latex(3 * H / (4 * k)) == r"\frac{3 \cdot H}{4 \cdot k}"
    assert f.to_latex(Symbol("c_in") + Symbol("width")) == r"c_{\mathrm{in}} + \mathrm{width}"


def test_expressions_are_values() -> None:
    size = f.slide(H, 11, 4, 0) * W + f.maximum(H, 7) / (k + 1)
    assert pickle.loads(pickle.dumps(size)) == size
    assert {size: 1}[f.slide(H, 11, 4, 0) * W + f.maximum(7, H) / (1 + k)] == 1
    assert Symbol("H") == H
    assert Symbol("H", min=2) != H
    assert H != 1
    with pytest.raises(TypeError):
        H + 1.5
    with pytest.raises(TypeError):
        2**H


@given(pairs)
@settings(max_examples=60)
def test_order_of_arguments_does_not_matter(pair: Pair) -> None:
    x = pair[0]
    assume(isinstance(x, Expr))
    assert f.maximum(x, H, 7) == f.maximum(7, H, x)
    assert f.minimum(x, x + 1) == x


def test_import_is_light() -> None:
    code = (
        "import sys; import cnncalc.formula, cnncalc.expr;"
        "print(*{'sympy', 'numpy', 'jax'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == [], run.stderr


class OtherOperand:
    """An operand type of its own, as a worked line is."""

    def extreme(self, name: str, xs: tuple[Any, ...]) -> str:
        return f"{name} of {len(xs)}"


def test_maximum_and_minimum_leave_other_operands_to_their_type() -> None:
    operand: Any = OtherOperand()
    assert str(f.maximum(0, operand)) == "max of 2"
    assert str(f.minimum(operand, H, 3)) == "min of 3"
