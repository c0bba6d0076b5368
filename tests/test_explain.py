"""The worked derivation: what is printed is what was derived, in every format."""

import os
import re
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import cnncalc
from cnncalc import bundled, expr, formula
from cnncalc.explain import Line, Step, derivation
from cnncalc.formula import Number
from cnncalc.report.derivation import parts, render
from cnncalc.rows import Report
from cnncalc.tracing import Trace
from cnncalc.worked import Worked, literal, quantity

GOLDEN = Path(__file__).parent / "golden" / "explain"
SPECS = bundled.names()


@cache
def report(name: str) -> Report:
    return cnncalc.load(name).derive()


def network(volume: str, item: str, dialect: str = "cs231n") -> Report:
    text = f"input: {volume}\ndialect: {dialect}\nlayers:\n  - {item}\n"
    return cnncalc.load(text).derive()


def evaluated(text: str, found: Report) -> Number:
    """The value of a printed text, read back by the parser of specs."""
    return expr.evaluate(text, found.symbols.__getitem__)


def agree(a: Number, b: Number) -> bool:
    return formula.equal(a, b) is True


# --- the derivation of every bundled spec ------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_traced_values_are_the_rows_values(name: str) -> None:
    found = report(name)
    before = {row.name: row for row in found.layers}
    for row in found.layers:
        trace = Trace(row)
        for slide in trace.slides():
            assert agree(trace.sizes()[0].work.value, row.output[0])
            line = next(line for line in trace.sizes() if line.label == slide.label)
            assert agree(line.work.value, row.output[slide.axis])
        for lines, value in (
            (trace.parameters(), row.params),
            (trace.buffers(), row.buffers),
            (trace.macs(), row.macs),
        ):
            if not agree(value, 0):
                assert agree(lines[-1].work.value, value)
                assert lines[-1].symbolic, f"{row.name}: {lines[-1].label} is not traced"
            else:
                assert not lines
        reached = trace.reach(before.get(row.inputs[0]))
        grows = row.inputs[0] in before and before[row.inputs[0]].receptive_field
        if row.windows and grows and row.receptive_field != grows:
            assert reached
            assert agree(reached[0].work.value, row.receptive_field[0])
            assert all(line.symbolic for line in reached)


@pytest.mark.parametrize("name", SPECS)
def test_printed_numbers_evaluate_to_the_printed_result(name: str) -> None:
    found = report(name)
    for step in derivation(found):
        for line in step.lines:
            result = evaluated(line.result.replace(",", ""), found)
            for text in (line.numeric, line.work.reduced):
                if text:
                    assert agree(evaluated(text, found), result), f"{step.title}: {text}"


@pytest.mark.parametrize("name", SPECS)
def test_symbols_stand_for_the_numbers(name: str) -> None:
    found = report(name)
    for step in derivation(found):
        meanings = dict(step.legend)
        for line in step.lines:
            named = {leaf.name: leaf.value for leaf in line.work.leaves() if leaf.name}
            if line.symbolic:
                value = expr.evaluate(line.symbolic, named.__getitem__)
                assert agree(value, line.work.value), f"{step.title}: {line.symbolic}"
        assert all(text.strip() for text in meanings.values())


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("format", ["text", "markdown", "latex"])
def test_every_format_renders_every_spec(name: str, format: str) -> None:
    text = render(report(name), format)
    assert text.endswith("\n")
    assert "None" not in text
    assert "Worked" not in text
    if format == "text":
        assert max(map(len, text.splitlines())) <= 80
        assert "\u00a0" not in text
    elif format == "markdown":
        assert text.count("`") % 2 == 0
    else:
        check_latex(text)


def check_latex(text: str) -> None:
    """Braces, environments, delimiters and alignment are as TeX wants them."""
    assert text.isascii() or not re.search(r"[^\x00-\u00ff]", text)
    bare = re.sub(r"(?<!\\)%.*", "", text)
    depth = 0
    for mark in re.findall(r"(?<!\\)[{}]", bare):
        depth += 1 if mark == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert bare.count(r"\left") == bare.count(r"\right")
    assert bare.count(r"\begin{align*}") == bare.count(r"\end{align*}")
    for block in re.findall(r"\\begin\{align\*\}\n(.*?)\n\\end\{align\*\}", bare, re.S):
        rows = block.split("\\\\\n")
        assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in rows)
        assert all(row.strip() and "\n" not in row for row in rows)
    maths = r"\\begin\{align\*\}.*?\\end\{align\*\}|(?<!\\)\$[^$]*\$"
    outside = re.sub(maths, "", bare, flags=re.S)
    assert not re.search(r"(?<!\\)[_^&#$<>|]", outside)


# --- every kind of layer -------------------------------------------------------------

EXAMPLES = [
    (op, i) for op, layer in sorted(cnncalc.layers.REGISTRY.items())
    for i in range(len(layer.examples))
]  # fmt: skip


def example(op: str, i: int, dialect: str) -> Report:
    layer = cnncalc.layers.REGISTRY[op]
    volumes, fields = layer.examples[i]
    if isinstance(volumes, str):
        return cnncalc.Network(volumes, [layer(**fields)], dialect=dialect).derive()
    inputs = {f"in{j}": volume for j, volume in enumerate(volumes)}
    found = cnncalc.Network(inputs, dialect=dialect)
    found.add(layer(**fields), *inputs)
    return found.derive()


@pytest.mark.parametrize("dialect", ["cs231n", "caffe", "torch", "keras", "onnx:13"])
@pytest.mark.parametrize(("op", "i"), EXAMPLES)
def test_every_kind_of_layer(op: str, i: int, dialect: str) -> None:
    found = example(op, i, dialect)
    (row,) = found.layers
    (step,) = derivation(found)
    values = {line.label: line for line in step.lines}
    for label, value in (("parameters", row.params), ("MACs", row.macs)):
        assert agree(values[label].work.value if label in values else 0, value)
    for line in step.lines:
        result = evaluated(line.result.replace(",", ""), found)
        for text in filter(None, (line.numeric, line.work.reduced)):
            assert agree(evaluated(text, found), result), text
    for slide in Trace(row).slides():
        size = evaluated(values[slide.label].result.replace(",", ""), found)
        assert formula.maximum(1, size) == row.output[slide.axis]
    for format in ("text", "markdown", "latex"):
        text = render(found, format)
        assert text.endswith("\n")
        if format == "latex":
            check_latex(text)


@pytest.mark.parametrize(
    "layers",
    [
        "[flatten, {conv: {filters: 8, kernel: 3}}]",
        "[{conv: {filters: 8, kernel: 9}}, relu, {maxpool: {kernel: 2}}]",
        "[{conv: {filters: 9, kernel: 3, groups: 2}}]",
        "[{conv: {filters: 4, kernel: [3, 3, 3]}}]",
        "[{maxpool: {kernel: 2, pad: 5}}, {crop: 9}]",
    ],
)
@pytest.mark.parametrize("dialect", ["cs231n", "torch", "caffe"])
def test_layers_that_do_not_work_are_explained_all_the_same(layers: str, dialect: str) -> None:
    found = cnncalc.load(f"input: 6x6x3\ndialect: {dialect}\nlayers: {layers}\n").derive()
    assert found.totals is not None
    for format in ("text", "markdown", "latex"):
        assert render(found, format).strip()


# --- golden texts --------------------------------------------------------------------

CASES = {
    "exercise-1": ("lecture/exercise-1", None),
    "exercise-2": ("lecture/exercise-2", None),
    "stride-does-not-fit": ("lecture/conv-stride-3", None),
    "alexnet-conv1": ("alexnet", "CONV1"),
    "alexnet-pool1": ("alexnet", "POOL1"),
    "alexnet-first-layers": ("lecture/alexnet-first-layers", None),
    "alexnet-fc6": ("alexnet", "FC6"),
    "grouped-conv": ("alexnet-original", "conv2"),
    "googlenet-ceil-pool": ("googlenet", "pool1"),
    "lenet5-table": ("lenet5", "C3"),
    "transposed": ("dcgan-generator", "up1/conv_transpose1"),
    "same": ("mobilenet_v1", "conv1"),
    "separable": ("xception", "block2/1/sep1/separable_conv1"),
    "symbolic-vgg": ("symbolic-vgg-block", None),
    "three-axes": ("c3d", "pool1"),
    "fully-connected": ("lecture/fully-connected", None),
}
LAYERS = {
    "dilated": ("20x20x8", "conv: {filters: 4, kernel: 3, dilation: 2, pad: 2}", "torch"),
    "uneven-kernel": ("9x12x4", "conv: {filters: 6, kernel: [3, 5], stride: [2, 1]}", "torch"),
    "uneven-pad": ("9x9x3", "conv: {filters: 4, kernel: 4, pad: [[1, 2], [1, 2]]}", "jax"),
    "keras-same": ("28x28x3", "conv: {filters: 8, kernel: 5, stride: 3, pad: same}", "keras"),
    "torch-ceil": ("7x7x2", "maxpool: {kernel: 3, stride: 3, pad: 1, round: ceil}", "torch"),
    "output-pad": (
        "7x7x8",
        "conv_transpose: {filters: 4, kernel: 3, stride: 2, pad: 1, output_pad: 1}",
        "torch",
    ),
    "symbolic-stride": ("HxWx3", "conv: {filters: 96, kernel: 11, stride: 4}", "torch"),
    "batchnorm": ("14x14x64", "batchnorm", "torch"),
}


@pytest.mark.parametrize("name", [*CASES, *LAYERS])
@pytest.mark.parametrize("format", ["text", "markdown", "latex"])
def test_golden(name: str, format: str) -> None:
    if name in CASES:
        spec, layer = CASES[name]
        text = render(report(spec), format, layer=layer)
    else:
        text = render(network(*LAYERS[name]), format)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        golden(name, format).write_text(text, encoding="utf-8")
    assert text == golden(name, format).read_text(encoding="utf-8")


def golden(name: str, format: str) -> Path:
    return GOLDEN / f"{name}.{ {'text': 'txt', 'markdown': 'md', 'latex': 'tex'}[format] }"


# --- what the lecture and the issue ask for -----------------------------------------


def test_the_lectures_exercises() -> None:
    text = render(report("lecture/exercise-1"))
    assert "(W - F + 2*P)/S + 1 = (32 - 5 + 2*2)/1 + 1 = 32" in text
    assert "F*F*C + 1 = 5*5*3 + 1 = 76" in text
    assert "(5*5*3 + 1) * 10 = 760" in text
    assert "32x32x10" in text


def test_totals_are_a_sum() -> None:
    text = " ".join(render(report("alexnet")).split())
    assert "parameters: 34,944 + 614,656 + 885,120" in text
    assert "= 62,378,344" in text


def test_long_sums_are_not_written_out() -> None:
    last = derivation(report("resnet50"))[-1]
    assert last.lines[0].result == "25,557,032"
    assert "the sum over" in last.lines[0].note


def test_unknown_layer() -> None:
    with pytest.raises(ValueError, match=r"no layer 'CONV9': did you mean 'CONV"):
        derivation(report("alexnet"), "CONV9")
    with pytest.raises(ValueError, match="unknown format 'html'"):
        render(report("alexnet"), "html")


def test_remainder_is_said() -> None:
    line = derivation(report("lecture/conv-stride-3"))[0].lines[0]
    assert parts(line) == [
        "floor((W - F + 2*P)/S) + 1", "floor((7 - 3 + 2*0)/3) + 1", "floor(4/3) + 1", "2",
    ]  # fmt: skip
    assert line.note == "remainder 1: does not fit, rounded down to go on"


def test_no_parameters_to_learn_in_a_pool() -> None:
    step = derivation(report("alexnet"), "POOL1")[0]
    assert ("parameters", "0") in [(line.label, line.result) for line in step.lines]
    assert "nothing to learn" in " ".join(step.words)


def test_shared_weights_are_counted_once() -> None:
    conv = cnncalc.layers.REGISTRY["conv"](8, kernel=3, pad=1)
    found = cnncalc.Network("9x9x8", [conv, conv]).derive()
    second = derivation(found, found.layers[1].name)[0]
    assert "parameters" not in [line.label for line in second.lines]
    assert "shares the weights of conv1" in " ".join(second.words)


def test_names_cannot_break_the_markup() -> None:
    text = "input: 5x5x1\nlayers:\n  - conv: {filters: 1, kernel: 3}\n    name: 'a_b%&$#{}*`|<x>'\n"
    found = cnncalc.load(text).derive()
    check_latex(render(found, "latex"))
    assert "<x>" not in render(found, "markdown").replace("\\<x\\>", "")


# --- the arithmetic itself ------------------------------------------------------------


def named(values: dict[str, Number]) -> list[Worked]:
    return [quantity(name, value) for name, value in values.items()]


def test_operators() -> None:
    a, b, c = named({"a": 7, "b": 3, "c": 2})
    assert [str(x) for x in (a - (b - c), a / (b * c), a % b, -a, 1 - a, 2 * (a + b))] == [
        "a - (b - c) = 7 - (3 - 2) = 6",
        "a/(b*c) = 7/(3*2) = 7/6",
        "a % b = 7 % 3 = 1",
        "-a = -7 = -7",
        "1 - a = 1 - 7 = -6",
        "2 * (a + b) = 2 * (7 + 3) = 20",
    ]
    assert str(-(-a // b)) == "ceil(a/b) = ceil(7/3) = 3"
    assert str((a + b - 1) // b) == "ceil(a/b) = ceil(7/3) = 3"
    assert str((a - 1) // b + 1) == "ceil(a/b) = ceil(7/3) = 3"
    least: Any = formula.minimum
    most: Any = formula.maximum
    assert str(most(a, b, 0)) == "max(a, b, 0) = max(7, 3, 0) = 7"
    assert str(least(a - b, c)) == "min(a - b, c) = min(7 - 3, 2) = 2"
    assert (quantity("s", Fraction(3, 2)) * 5 // 1).value == 7


def test_units_and_zeros_fall_away() -> None:
    (a,) = named({"a": 7})
    assert [str(x.symbolic) for x in (1 * a, a * 1, 0 + a, a + 0, a / 1, a // 1)] == ["a"] * 6
    assert (a / a).value == 1


def test_a_line_without_names_has_no_symbols() -> None:
    line = Line("parameters", literal(1234))
    assert (line.symbolic, line.numeric, line.result) == ("", "", "1,234")
    assert parts(line) == ["1,234"]
    assert render([Step("Total", (line,))]) == "Total\n\n  parameters: 1,234\n"
