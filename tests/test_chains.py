"""Deep chains: one floor a size, in linear time; signs of single floors decided at once."""

import time

from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc.derive import derive
from cnncalc.formula import Symbol, compare, compile_expr, equal, evaluate, horner, slide, total
from cnncalc.source import Source

STEPS = ((11, 4), (3, 2), (3, 2))


def test_a_thousand_sizes_are_a_thousand_single_floors():
    sizes = [Symbol("H")]
    for i in range(1000):
        k, s = STEPS[i % 3]
        sizes.append(slide(sizes[-1], k, s, 0))
    assert {str(x).count("floor(") for x in sizes[1:]} == {1}
    for start in (10**410, 10**410 + 1, 7**500):
        n = start
        for i, x in enumerate(sizes[1:]):
            k, s = STEPS[i % 3]
            n = (n - k) // s + 1
            assert compile_expr(x, ["H"])(start) == n


def test_a_deep_network_is_derived_like_its_integers():
    lines = [f"  - conv: {{filters: 2, kernel: {k}, stride: {s}}}" for k, s in STEPS * 60]
    text = "dialect: torch\ninput: HxWx3\nlayers:\n" + "\n".join(lines) + "\n"
    graph = cnncalc.load(Source(text, "deep.yaml")).graph()
    large = 2**260
    start = time.process_time()
    whole = derive(graph, {"input": (large, large + 1, 3)})
    middle = time.process_time()
    form = derive(graph, {"input": (Symbol("H"), Symbol("W"), 3)})
    end = time.process_time()
    values = {"H": large, "W": large + 1}
    for a, b in zip(form.rows, whole.rows, strict=True):
        assert tuple(evaluate(n, values) for n in a.output) == b.output
        assert evaluate(a.macs, values) == b.macs
    assert evaluate(form.totals.macs, values) == whole.totals.macs
    assert evaluate(form.totals.peak_memory, values) == whole.totals.peak_memory
    assert end - middle < 20 * (middle - start)


@given(
    st.integers(1, 9), st.one_of(st.none(), st.integers(10, 40)), st.integers(1, 4),
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(0, 3)), max_size=4),
    st.integers(-3, 9),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_signs_are_those_of_all_values(low, high, step, steps, other):
    assume(high is None or high // step * step >= low)
    H = Symbol("H", min=low, max=high, multiple_of=step) if high else Symbol("H", low, None, step)
    size = H
    for k, s, p in steps:
        size = slide(size, k, s, p)
    domain = [*range(H.min, (H.max or 60) + 1, step), *([] if high else [step * 10**7])]
    signs = {(v > other) - (v < other) for v in (evaluate(size, {"H": n}) for n in domain)}
    found = compare(size, other)
    if found is not None:
        assert signs == {found}
    else:
        assert len(signs) > 1
    for n in domain[:9]:
        value = n
        for k, s, p in steps:
            value = slide(value, k, s, p)
        assert evaluate(size, {"H": n}) == value


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5), st.integers(-4, 4)), max_size=9))
@settings(max_examples=100, deadline=None)
def test_a_sum_at_once_is_the_sum_one_by_one(terms):
    H = Symbol("H")
    parts = [c * ((H + shift) // d) + shift for c, d, shift in terms]
    one = 0
    for x in parts:
        one = one + x
    assert total(parts) == one


@given(st.lists(st.tuples(st.integers(-9, 9), *[st.integers(0, 3)] * 3), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_horner_form_says_the_same(terms):
    from cnncalc import expr

    H, W, k = Symbol("H"), Symbol("W"), Symbol("k")
    form = total(c * H**a * (W // 2) ** b * k**e for c, a, b, e in terms)
    text = horner(form)
    assert equal(expr.evaluate(text, {"H": H, "W": W, "k": k}.__getitem__), form)
    values = {"H": 7, "W": 5, "k": -3}
    plain = sum(c * 7**a * 2**b * (-3) ** e for c, a, b, e in terms)
    assert expr.evaluate(text, values.__getitem__) == plain
