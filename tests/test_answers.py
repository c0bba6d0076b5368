"""Answers and budgets: right in any spelling, wrong with the correct value, or unreadable."""

import pytest

import cnncalc
from cnncalc import units

EXERCISE = "input: 32x32x3\nlayers:\n  - conv: {filters: 10, kernel: 5, pad: 2}\n    expect: "


def verdict(answer: str, spec: str = EXERCISE) -> str:
    report = cnncalc.check(spec + answer + "\n", run=False)
    assert len(report.expectations) == 1, report.diagnostics
    return report.expectations[0].verdict


@pytest.mark.parametrize(
    "answer",
    [
        "32x32x10", "[32, 32, 10]", "'(32, 32, 10)'", "32 × 32 × 10", "{output: 32x32x10}",
        "{params: 760}", "{params: (5*5*3+1)*10}", "{params: '760'}", "{weights: 750}",
        "{biases: 10}", "{macs: 768,000}", "{macs: 768K}", "{flops: 1.536M}", "{height: 32}",
        "{width: 32}", "{depth: 10}", "{receptive_field: 5}", "{receptive_field: 5x5}",
        "{jump: [1, 1]}", "{activations: 10240}", "{neurons: 10,240}", "{valid: true}",
        "{buffers: 0}", "{trainable: 760}",
    ],
)  # fmt: skip
def test_right(answer):
    answer = answer.replace("768,000", "'768,000'").replace("10,240", "'10,240'")
    assert verdict(answer) == "right"


@pytest.mark.parametrize(
    "answer",
    ["28x28x10", "32x32x3", "{params: 750}", "{macs: 768}", "10x32x32", "does not fit",
     "{valid: false}", "{receptive_field: 3}", "32x32", "{macs: 767K}"],
)  # fmt: skip
def test_wrong_answers_fail_the_check(answer):
    report = cnncalc.check(EXERCISE + answer + "\n", run=False)
    assert report.expectations[0].verdict == "wrong"
    assert report.status() == 1
    assert [d.code for d in report.diagnostics] == ["A001"]
    assert report.diagnostics[0].span.line == 4


@pytest.mark.parametrize("answer", ["banana", "{params: about 700}", "{valid: maybe}"])
def test_unreadable_answers(answer):
    report = cnncalc.check(EXERCISE + answer + "\n", run=False)
    assert report.expectations[0].verdict == "unreadable"
    assert [d.code for d in report.diagnostics] == ["A002"]


def test_misfit_as_expected_is_no_error():
    spec = "input: 7x7x1\nlayers:\n  - conv: {filters: 1, kernel: 3, stride: 3}\n"
    assert cnncalc.check(spec, run=False).status() == 1
    for answer in ("does not fit", "invalid", "{valid: false}", "doesn't fit"):
        report = cnncalc.check(f"{spec}    expect: {answer}\n", run=False)
        assert (report.status(), report.expectations[0].verdict) == (0, "right")


def test_symbolic_answers_are_decided_algebraically():
    spec = """
input: HxWx3
let: {k: 64}
layers:
  - conv: {filters: k, kernel: 11, stride: 4}
  - maxpool: {kernel: 3, stride: 2}
    expect: {output: "[ANSWER, floor((W-19)/8)+1, k]"}
dialect: torch
"""
    right = ["floor((H-19)/8)+1", "floor((floor((H-11)/4)-2)/2)+1", "floor((H-11)/8)", "(H-11)//8"]
    for answer in right:
        assert verdict("", spec.replace("ANSWER", answer)) == "right"
    for answer in ["floor((H-18)/8)+1", "(H-19)/8+1", "ceil((H-19)/8)+1"]:
        assert verdict("", spec.replace("ANSWER", answer)) == "wrong"


def test_network_and_group_answers():
    spec = """
input: 8x8x4
layers:
  - repeat: {times: 3, layers: [{conv: {filters: 4, kernel: 1}}, relu]}
    name: r
    expect: {output: 8x8x4, params: 60, macs: 3072}
expect: {params: 60, output: 8x8x4, activations: 1024}
"""
    report = cnncalc.check(spec, run=False)
    assert [e.verdict for e in report.expectations] == ["right"] * 6


def test_budget():
    base = "input: 32x32x3\nlayers: [{conv: {filters: 10, kernel: 5, pad: 2}}]\nbudget: "
    fine = "{params: 760, macs: 768K, flops: 2M, peak_memory: 1MiB, activations: 13312}"
    assert cnncalc.check(base + fine + "\n", run=False).ok
    over = cnncalc.check(base + "{params: 759, macs: 1K, peak_memory: 1KiB}\n", run=False)
    assert [d.code for d in over.diagnostics] == ["B001"] * 3
    assert over.status() == 1
    assert cnncalc.check(base + "{params: lots}\n", run=False).status() == 2


def test_a_budget_over_symbols_is_decided_over_their_domain():
    spec = """
input: HxHx3
assume: {H: {max: 64}}
layers: [{conv: {filters: 8, kernel: 3, pad: 1}}]
budget: {macs: LIMIT}
"""
    exact = 216 * 64 * 64
    assert cnncalc.check(spec.replace("LIMIT", str(exact)), run=False).diagnostics == ()
    open_ = cnncalc.check(spec.replace("LIMIT", str(exact - 1)), run=False)
    assert [(d.code, d.severity) for d in open_.diagnostics] == [("B001", "warning")]
    none = cnncalc.check(spec.replace("LIMIT", "215"), run=False)
    assert [(d.code, d.severity) for d in none.diagnostics] == [("B001", "error")]


@pytest.mark.parametrize(
    ("text", "exact", "covers"),
    [("35K", 34848, True), ("35K", 34944, True), ("34.9K", 34944, True), ("34.9K", 34848, False),
     ("1.2M", 1234567, True), ("88.7 MiB", 93008691, True), ("760", 760, True),
     ("760", 761, False), ("1e6", 1_000_000, True), ("34,944", 34944, True)],
)  # fmt: skip
def test_rounded_figures(text, exact, covers):
    figure = units.read(text)
    assert figure is not None
    assert figure.covers(exact) is covers


@pytest.mark.parametrize("text", ["", "K", "3,5", "1,00", "12 apples", "1e999", "--3", "0x10"])
def test_what_is_no_figure(text):
    assert units.read(text) is None
