"""The parser of expressions and volume literals."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnncalc.expr import (
    ExprError,
    UnknownName,
    evaluate,
    names,
    nearest,
    parse,
)
from cnncalc.formula import Expr, Number, Symbol
from cnncalc.literals import looks_like_volume, split_volume

VALUES: dict[str, Number] = {"k": 5, "H": Symbol("H"), "max_c": 7, "half": Fraction(1, 2)}
VALUES |= {name: Symbol(name) for name in "abcd"}


def value(text: str) -> Number:
    return evaluate(text, VALUES.__getitem__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("96", 96),
        ("2*k + 1", 11),
        ("(k-1)/2", 2),
        ("k/2", Fraction(5, 2)),
        ("k//2", 2),
        ("-k//2", -3),
        ("-7 % 4", 1),
        ("-2**2", -4),
        ("2**3**2", 512),
        ("2^-1", Fraction(1, 2)),
        ("2 - 3 - 4", -5),
        ("12/3/2", 2),
        ("0.1 + .2", Fraction(3, 10)),
        ("3 × 4 · 2", 24),
        ("5 − 2", 3),
        ("+ - + 3", -3),
        ("2*-3", -6),
        ("floor(k/2) + ceil(k/2)", 5),
        ("min(k, 3, 4)*max(2)", 6),
        ("half*4", 2),
        ("floor((227 - 11)/4) + 1", 55),
        ("1" + "+1" * 499, 500),
        ("H - H", 0),
    ],
)
def test_value(text: str, expected: Number) -> None:
    result = value(text)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "expected a number or a name"),
        ("1 +", 3, "expected a number or a name after '+'"),
        ("1 + * 2", 4, "expected a number or a name after '+'"),
        ("(k - 1", 6, "')' is missing"),
        ("k)", 1, "')' without '('"),
        ("2k", 1, "expected an operator between '2' and 'k'"),
        ("k (2)", 0, "unknown function 'k'"),
        ("3 + flor(2)", 4, "unknown function 'flor'"),
        ("floor(1, 2)", 0, "floor takes one value"),
        ("floor()", 6, "expected a number or a name after '('"),
        ("k $ 2", 2, "unexpected character '$'"),
        ("'a'", 0, 'unexpected character "\'"'),
        ("4/(k - 5)", 1, "division by zero"),
        ("4 % 0", 2, "division by zero"),
        ("0**-1", 1, "division by zero"),
        ("2**half", 3, "the exponent must be a whole number"),
        ("2**H", 3, "the exponent must be a whole number"),
        ("2**65", 1, "a power is larger than 64"),
        ("1" * 41, 0, "the number has more than 40 digits"),
        ("3, 4", 1, "unexpected ','"),
        ("k.real", 1, "unexpected character '.'"),
        ("__import__('os')", 11, 'unexpected character "\'"'),
        ("k[0]", 1, "unexpected character '['"),
        ("lambda: 0", 6, "unexpected character ':'"),
    ],
)
def test_error(text: str, offset: int, message: str) -> None:
    with pytest.raises(ExprError) as caught:
        value(text)
    assert (caught.value.offset, caught.value.message) == (offset, message)


def test_hints() -> None:
    for text, hint in [
        ("2k", "write 2*k to multiply"),
        ("2(k)", "write 2*(...) to multiply"),
        ("flor(2)", "did you mean floor?"),
    ]:
        with pytest.raises(ExprError) as caught:
            value(text)
        assert caught.value.hint == hint


def test_unknown_name_says_where() -> None:
    with pytest.raises(UnknownName) as caught:
        value("2*k + width")
    assert (caught.value.name, caught.value.offset) == ("width", 6)
    assert nearest("widht", VALUES) is None
    assert nearest("max_x", VALUES) == "max_c"


def test_names() -> None:
    assert names(parse("floor((H - a_1)/k) + H")) == {"H", "a_1", "k"}


def test_symbols_give_closed_forms() -> None:
    assert str(value("floor((H - 11)/4) + 1")) == "floor((H - 11)/4) + 1"
    assert isinstance(value("H*k"), Expr)


BOMBS = [
    "9**9**9",
    "(" * 10_000,
    "(" * 400 + ")" * 400,
    "-" * 900 + "1",
    "2**" * 300 + "2",
    "((9**64)**64)**64",
    "(((((9**9)**9)**9)**9)**9)**9",
    "9" * 900,
    "(H+1)**64 * (H+2)**64 * (H+3)**64",
    "((H+k)**8+1)**64",
    "max(" * 300,
    "floor(" * 63 + "H*H/3" + "/3*H)" * 63,
    "max(" + ",".join(["H"] * 300) + ")",
    "1/" * 400 + "3",
    "H/(H+1)" + "/(H+1)" * 60,
    "(a+b+c+d)**12/((a+b+c+k)**5+1)",
    "max((a+b+c+d)**9, (a-b+c)**9, (a+b)**60, (a*b-c)**20//3, d**60-c**60)",
    "((a+b+c+d)**9//7 + 1)**2//5",
    "((a+1)**40/3 + b/7)//(c+d)//(b-1)",
    "1/((a+b)**40 + c) + 1/((a+b)**41 + c)",
]


def error_of(call: Callable[[str], object], text: str) -> ExprError | None:
    try:
        call(text)
    except ExprError as error:
        return error
    return None


@pytest.mark.parametrize("text", BOMBS)
def test_bombs_are_bounded(text: str) -> None:
    start = time.process_time()
    error_of(value, text)
    assert time.process_time() - start < 2.0


FRAGMENTS = "0|1|2|64|99|.5|k|H|max_c|half|q|floor|ceil|min|max|(|)|,|+|-|*|/|//|%|**|^|×|x| "
fragments = st.sampled_from(FRAGMENTS.split("|"))


@given(st.one_of(st.text(max_size=40), st.lists(fragments, max_size=24).map("".join)))
@example("floor(max(H/2, 3)/4)")
@settings(max_examples=600, deadline=None)
def test_any_text_gives_a_value_or_an_error(text: str) -> None:
    for call in (value, split_volume, looks_like_volume):
        error = error_of(call, text)
        assert error is None or (error.message and 0 <= error.offset <= len(text))


plain = st.recursive(
    st.integers(0, 30).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-{}".format),
    ),
    max_leaves=12,
)


@given(plain)
@settings(max_examples=200, deadline=None)
def test_agrees_with_python(text: str) -> None:
    try:
        expected = eval(text, {"__builtins__": {}})
    except ZeroDivisionError:
        with pytest.raises(ExprError, match="division by zero"):
            value(text)
        return
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("32x32x3", ["32", "32", "3"]),
        ("32 x 32 x 3", ["32", "32", "3"]),
        ("32x 32 x3", ["32", "32", "3"]),
        ("32X32X3", ["32", "32", "3"]),
        ("32×32×3", ["32", "32", "3"]),
        ("32*32*3", ["32", "32", "3"]),
        ("32 32 3", ["32", "32", "3"]),
        ("(32,32,3)", ["32", "32", "3"]),
        ("[32, 32, 3]", ["32", "32", "3"]),
        ("32, 32, 3", ["32", "32", "3"]),
        ("(32,)", ["32"]),
        ("( 32 x 3 )", ["32", "3"]),
        ("(32 32 3)", ["32", "32", "3"]),
        ("3072", ["3072"]),
        ("  3072 ", ["3072"]),
        ("HxWx3", ["H", "W", "3"]),
        ("heightxwidth", ["height", "width"]),
        ("kx3", ["k", "3"]),
        ("(2*k)x3", ["(2*k)", "3"]),
        ("2*kx3", ["2*k", "3"]),
        ("H/2 x W/2 x 3", ["H/2", "W/2", "3"]),
        ("floor(H/2) x floor(W/2)x96", ["floor(H/2)", "floor(W/2)", "96"]),
        ("floor(H/2) floor (W/2) 3", ["floor(H/2)", "floor (W/2)", "3"]),
        ("floor((H - 11)/4) + 1", ["floor((H - 11)/4) + 1"]),
        ("(floor((H - 11)/4) + 1)x(2)x96", ["(floor((H - 11)/4) + 1)", "(2)", "96"]),
        ("3xmax(a, b)", ["3", "max(a, b)"]),
        ("max(a, b)", ["max(a, b)"]),
        ("HxWxmax_c", ["H", "W", "max_c"]),
        ("max_cxmax_c", ["max_c", "max_c"]),
        ("max_c", ["max_c"]),
        ("k + 1", ["k + 1"]),
        ("context x 512", ["context", "512"]),
        ("x", ["x"]),
    ],
)
def test_split_volume(text: str, axes: list[str]) -> None:
    found = split_volume(text, {"max_c"})
    assert found is not None
    assert [axis for axis, _ in found] == axes
    assert all(text[at : at + len(axis)] == axis for axis, at in found)


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("5x3", True),
        ("kx3", True),
        ("5 x 3", True),
        ("5×3", True),
        ("[5, 3]", True),
        ("HxW", True),
        ("5x", True),
        ("5", False),
        ("2*k + 1", False),
        ("2*k", False),
        ("k", False),
        ("max_c", False),
        ("2*max_c", False),
        ("max(2, 3)", False),
        ("next", False),
        ("", False),
    ],
)
def test_looks_like_volume(text: str, volume: bool) -> None:
    assert looks_like_volume(text, {"k", "H", "max_c"}) is volume


@pytest.mark.parametrize(("text", "offset"), [("32x", 3), ("32xx3", 3), ("32,,3", 3), ("[]", 1)])
def test_missing_size(text: str, offset: int) -> None:
    with pytest.raises(ExprError, match="missing") as caught:
        split_volume(text)
    assert caught.value.offset == offset


@given(st.lists(st.sampled_from(["3", "227", "H", "W", "k", "c_in"]), min_size=1, max_size=5))
def test_every_separator_gives_the_same_axes(axes: list[str]) -> None:
    for separator in ("x", " x ", "×", "*", " ", ",", ", "):
        found = split_volume(separator.join(axes))
        assert found is not None
        assert [axis for axis, _ in found] == axes


@pytest.mark.parametrize(
    ("word", "candidates", "expected"),
    [
        ("kernal", ["filters", "kernel"], "kernel"),
        ("sride", ["stride", "side"], "stride"),
        ("Kernel", ["kernel"], "kernel"),
        ("stirde", ["stride"], "stride"),
        ("zzz", ["stride"], None),
        ("a", [], None),
    ],
)
def test_nearest(word: str, candidates: list[str], expected: str | None) -> None:
    assert nearest(word, candidates) == expected
