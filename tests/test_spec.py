"""The spec language: what it reads, and what it says of what it cannot read."""

from itertools import pairwise
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc.rows import Report


def derive(text: str, **options) -> Report:
    return cnncalc.check(dedent(text), run=False, **options)


def codes(report: Report) -> list[str]:
    return [d.code for d in report.diagnostics]


SMALL = "input: 32x32x3\nlayers:\n"


@pytest.mark.parametrize(
    "literal",
    ["32x32x3", "32 x 32 x 3", "32×32×3", "32*32*3", "32 32 3", "[32, 32, 3]", "'(32, 32, 3)'"],
)
def test_volume_spellings(literal):
    report = derive(f"input: {literal}\nlayers: [relu]\n")
    assert report.ok
    assert report.layers[0].output == (32, 32, 3)


@pytest.mark.parametrize(
    ("literal", "rank"), [("100x8", 1), ("16x112x112x3", 3), ("3072", 0), ("1x1x100", 2)]
)
def test_volumes_of_every_rank(literal, rank):
    assert len(derive(f"input: {literal}\nlayers: [relu]\n").layers[0].output) == rank + 1


def test_json_is_yaml():
    text = '{"input": "32x32x3", "layers": [{"conv": {"filters": 10, "kernel": 5, "pad": 2}}]}'
    assert derive(text).layers[0].output == (32, 32, 10)


def test_first_field_short_form_and_lists():
    report = derive(SMALL + "  - maxpool: 2\n  - conv: {filters: 4, kernel: 5x3, stride: [2, 1]}\n")
    assert report.layers[0].output == (16, 16, 3)
    assert report.layers[1].weights["kernel"] == (5, 3, 3, 4)


def test_let_set_and_expressions():
    text = """
        input: 32x32x3
        let: {n: 2*k, k: 5}
        layers:
          - conv: {filters: n, kernel: k, pad: (k-1)/2}
    """
    assert derive(text).layers[0].output == (32, 32, 10)
    assert derive(text, sets={"k": 3}).layers[0].output == (32, 32, 6)
    assert codes(derive(text, sets={"q": 3})) == ["E020"]


def test_symbols_come_from_input_and_assume():
    text = """
        input: HxWx3
        assume: {k: {min: 1, max: 8}, H: {min: 16, multiple_of: 16}}
        layers:
          - conv: {filters: k, kernel: 3, pad: 1}
          - maxpool: {kernel: 2}
          - repeat: {times: 3, layers: [{maxpool: 2}]}
    """
    report = derive(text)
    assert [str(d) for d in report.layers[0].output] == ["H", "W", "k"]
    assert str(report.layers[-1].output[0]) == "H/16"
    assert str(report.layers[-1].output[1]).count("floor") == 1
    assert str(report.totals.params) == "28*k"
    assert derive(text, sets={"H": 64, "W": 33}).layers[-1].output[:2] == (4, 2)
    assert codes(derive(text, sets={"H": 40}))[0] == "E006"


def test_branches_blocks_repeat_and_path_names():
    text = """
        input: 28x28x192
        blocks:
          inception:
            args: [c1, r3, c3, r5, c5, pp]
            layers:
              - concat:
                  - [{conv: {filters: c1, kernel: 1}}, relu]
                  - [{conv: {filters: r3, kernel: 1}}, {conv: {filters: c3, kernel: 3, pad: 1}}]
                  - [{conv: {filters: r5, kernel: 1}}, {conv: {filters: c5, kernel: 5, pad: 2}}]
                  - [{maxpool: {kernel: 3, stride: 1, pad: 1}}, {conv: {filters: pp, kernel: 1}}]
        layers:
          - inception: [64, 96, 128, 16, 32, 32]
            name: 3a
            expect: {output: 28x28x256, params: 163696}
          - repeat: {times: 2, layers: [{add: [[{conv: {filters: 256, kernel: 1}}], []]}]}
            name: again
          - relu
            """
    report = derive(text.replace("- relu\n", "- relu:\n            from: 3a\n"))
    assert codes(report) == ["W006"] or not report.status(), report.diagnostics
    names = [row.name for row in report.layers]
    assert "3a/concat1/2/conv1" in names
    assert "again/2/add1/1/conv1" in names
    assert report.row("relu1").inputs == ("3a/concat1",)
    assert [e.verdict for e in report.expectations] == ["right", "right"]


def test_block_arguments_belong_to_the_caller():
    text = """
        input: 8x8x4
        blocks:
          inner: {args: [c, k, p], layers: [{conv: {filters: c, kernel: k, pad: p}}]}
          outer:
            args: [c, {k: 3}]
            layers: [{inner: [2*c, k, same]}, {inner: {c: c, k: 1xk, p: 0}}]
        layers:
          - outer: [c0]
        let: {c0: 3}
        dialect: keras
    """
    report = derive(text)
    assert [row.output for row in report.layers] == [(8, 8, 6), (8, 6, 3)]


def test_several_inputs_and_outputs():
    text = """
        inputs: {image: 8x8x3, mask: 8x8x1}
        layers:
          - conv: {filters: 4, kernel: 3, pad: 1}
            from: image
            name: features
          - multiply
            from: [features, mask]
            name: gated
          - dense: 10
            from: features
            name: head
        outputs: [gated, head]
    """.replace("- multiply\n", "- multiply:\n")
    report = derive(text)
    assert report.ok, report.diagnostics
    assert report.outputs == ("gated", "head")
    assert report.row("gated").output == (8, 8, 4)
    assert report.row("head").output == (10,)


def test_shared_layers_count_once():
    text = """
        input: 8x8x3
        layers:
          - conv: {filters: 4, kernel: 3, pad: 1}
            name: a
          - conv: {filters: 4, kernel: 3, pad: 1}
            from: input
            share: a
            name: b
          - add:
            from: [a, b]
    """
    report = derive(text)
    assert report.totals.params == 3 * 3 * 3 * 4 + 4
    assert report.totals.macs == 2 * 64 * 27 * 4
    wrong = derive(text.replace("from: input", "from: a"))
    assert "S003" in codes(wrong)


def test_layer_dialect_overrides_the_network():
    text = """
        input: 112x112x8
        dialect: torch
        layers:
          - maxpool: {kernel: 3, stride: 2}
            dialect: caffe
            name: up
          - maxpool: {kernel: 3, stride: 2}
            from: input
            name: down
          - identity:
            from: up
    """
    report = derive(text)
    assert report.row("up").output == (56, 56, 8)
    assert report.row("down").output == (55, 55, 8)


def test_rows_go_on_after_a_misfit():
    text = SMALL + "  - conv: {filters: 8, kernel: 5, stride: 4}\n  - relu\n  - maxpool: 7\n"
    report = derive(text)
    assert report.status() == 1
    assert [row.output for row in report.layers[:2]] == [(7, 7, 8)] * 2
    assert [row.assumed for row in report.layers] == [False, True, True]


def test_all_problems_at_once():
    text = """
        input: 32x32x3
        dialekt: torch
        layers:
          - convv: {filters: 3, kernel: 3}
          - conv: {fliters: 3, kernel: k}
          - conv: {filters: 0, kernel: 3, stride: 1.5}
          - relu: {slope: 1}
          - dense: 10
            from: nowhere
    """
    found = derive(text)
    assert sorted(codes(found)) == sorted(
        ["E004", "E003", "E004", "E007", "E006", "E006", "E004", "E008"]
    )
    assert found.status() == 2
    assert all(d.span is not None for d in found.diagnostics)


CASES = [
    ("", "E001", None),
    ("input: [3, 3\n", "E001", None),
    ("layers: [relu]\n", "E005", 1),
    ("input: 3x3x1\n", "E017", 1),
    ("input: 3x3x1\nlayers: []\n", "E017", 2),
    ("input: 0x3x1\nlayers: [relu]\n", "E011", 1),
    ("input: 3x-3x1\nlayers: [relu]\n", "E011", 1),
    ("input: 3x3x1x4x5x6x7x8\nlayers: [relu]\n", "E011", 1),
    (SMALL + "  - conv: {kernel: 3}\n", "E005", 3),
    (SMALL + "  - conv: {filters: 3, kernel: 3, kernel: 5}\n", "E019", 3),
    (SMALL + "  - conv: {filters: 2*, kernel: 3}\n", "E012", 3),
    (SMALL + "  - conv: {filters: 3, kernel: 3}\n    maxpool: 2\n", "E015", 4),
    (SMALL + "  - name: x\n", "E015", 3),
    (SMALL + "  - relu\n  - [relu]\n", "E015", 4),
    (SMALL + "  - {relu: , name: a}\n  - {relu: , name: a}\n", "E009", 4),
    (SMALL + "  - {relu: , from: b}\n  - {relu: , name: b}\n", "E010", 3),
    (SMALL + "  - {relu: , from: [input, input]}\n", "E018", 3),
    (SMALL + "  - concat: [[relu]]\n", "E018", 3),
    (SMALL + "  - {relu: , dialect: torhc}\n", "E014", 3),
    ("dialect: onnx:99\n" + SMALL + "  - relu\n", "E014", 1),
    ("let: {a: b, b: a}\n" + SMALL + "  - relu\n", "E010", 1),
    ("blocks: {a: {layers: [a]}}\n" + SMALL + "  - a\n", "E010", 1),
    ("blocks: {a: {args: [n], layers: [relu]}}\n" + SMALL + "  - a\n", "E016", 4),
    ("blocks: {a: {args: [n], layers: [relu]}}\n" + SMALL + "  - a: [1, 2]\n", "E016", 4),
    ("blocks: {relu: [tanh]}\n" + SMALL + "  - relu\n", "E009", 1),
    (SMALL + "  - repeat: {times: 10**9, layers: [relu]}\n", "E013", 3),
    (SMALL + "  - repeat: {times: 3}\n", "E005", 3),
    ("assume: {H: {min: 9, max: 3}}\n" + SMALL + "  - relu\n", "E006", 1),
    ("outputs: [nope]\n" + SMALL + "  - relu\n", "E008", 1),
    ("budget: {parms: 5M}\n" + SMALL + "  - relu\n", "E004", 1),
    ("expect: {parms: 5M}\n" + SMALL + "  - relu\n", "E004", 1),
]


@pytest.mark.parametrize(("text", "code", "line"), CASES, ids=range(len(CASES)))
def test_located_errors(text, code, line):
    report = cnncalc.check(text + "\n", run=False)
    assert code in codes(report), report.diagnostics
    assert report.status() == 2
    first = next(d for d in report.diagnostics if d.code == code)
    if line is not None:
        assert first.span is not None
        assert first.span.line == line


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("- conf: {filters: 3, kernel: 3}", "conv"),
        ("- conv: {filters: 3, kernal: 3}", "kernel"),
        ("- maxpol: 2", "maxpool"),
        ("- conv: {filters: 3, kernel: 3, pad: sme}", "same"),
        ("- {relu: , nmae: x}", "name"),
    ],
)
def test_typos_name_the_nearest(wrong, right):
    report = derive(SMALL + "  " + wrong + "\n")
    assert report.status() == 2
    text = " ".join(d.message + " ".join(d.help) for d in report.diagnostics)
    assert f"did you mean '{right}'?" in text
    assert len(report.diagnostics) == 1


BOMBS = {
    "aliases": "a: &a [x, x]\n"
    + "".join(f"{c}: &{c} [{', '.join(['*' + p] * 9)}]\n" for p, c in pairwise("abcdefghi"))
    + "layers: *i\ninput: 3x3x1\n",
    "depth": "input: 3x3x1\nlayers: " + "[" * 5000 + "]" * 5000,
    "power": "input: 3x3x1\nlayers: [{dense: 9**9**9**9}]\n",
    "digits": "input: 3x3x1\nlayers: [{dense: " + "9" * 5000 + "}]\n",
    "brackets": "input: 3x3x1\nlayers: [{dense: " + "(" * 900 + "1" + ")" * 900 + "}]\n",
    "blocks": "input: 3x3x1\nblocks:\n  b0: [relu, relu]\n"
    + "".join(f"  b{i}: [b{i - 1}, b{i - 1}]\n" for i in range(1, 40))
    + "layers: [b39]\n",
    "empty blocks": "input: 3x3x1\nblocks:\n  b0: {layers: []}\n"
    + "".join(f"  b{i}: [b{i - 1}, b{i - 1}]\n" for i in range(1, 40))
    + "layers: [b39]\n",
    "self alias": "input: 3x3x1\nlayers: &l [relu, *l]\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name):
    report = cnncalc.check(BOMBS[name], run=False)
    assert report.status() == 2
    assert {d.code for d in report.diagnostics} & {"E013", "E012", "E010", "E015", "E001"}


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_gets_a_report(text):
    cnncalc.check(text + "\n", run=False)
    cnncalc.check(SMALL + f"  - conv: {{filters: {text}, kernel: 3}}\n", run=False)
    cnncalc.check(f"input: {text}\nlayers: [relu]\n", run=False)


TREE = st.recursive(
    st.one_of(st.none(), st.integers(-5, 300), st.booleans(), st.sampled_from(
        ["conv", "relu", "3x3", "same", "k", "input", "2*k", "concat", "a"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["conv", "filters", "kernel", "name", "from", "expect", "concat", "repeat",
                 "times", "layers", "add", "pad", "stride", "dense", "reshape", "maxpool"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(TREE, min_size=1, max_size=5), TREE, TREE)
def test_any_tree_gets_a_report(layers, expect, let):
    import json

    document = {"input": "16x16x3", "layers": layers, "expect": expect, "let": let}
    cnncalc.check(json.dumps(document) + "\n", run=False)
