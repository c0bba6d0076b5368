"""Every mistake on many layers, every right answer in many spellings, and what strangers send."""

import json
import random
import time

import pytest

import cnncalc
from cnncalc.homework import QUANTITIES, mark, quantity, read_answer, subject, subjects
from cnncalc.homework.mistakes import derived, own
from cnncalc.homework.reading import show
from cnncalc.layers import REGISTRY

ASKED = ("output", "params", "macs", "neurons", "receptive_field")


def of(op, fields, volumes):
    """The subject of one layer on these inputs."""
    names = [f"i{i}" for i in range(len(volumes))]
    spec = {"dialect": "torch", "inputs": dict(zip(names, volumes, strict=True)),
            "layers": [{op: fields, "from": names, "name": "x"}]}  # fmt: skip
    report = cnncalc.load(json.dumps(spec)).derive()
    assert report.layers, report.diagnostics
    return subject(report, "x")


def cases():
    for op, cls in REGISTRY.items():
        for volumes, fields in cls.examples[:2]:
            given = [volumes] if isinstance(volumes, str) else volumes
            if cls.mistakes and "connect" not in fields:
                yield pytest.param(op, fields, given, id=f"{op}-{'-'.join(given)}")


def written(value):
    """An answer as a sheet would have it."""
    return [str(v) for v in value] if isinstance(value, tuple) else str(value)


def made(layer, asked):
    """Every wrong answer that a declared mistake gives: the mistake and the value."""
    what = quantity(asked)
    correct = what.correct(layer)
    for mistake in type(layer.row.layer).mistakes:
        changed = derived(layer, own(layer), (mistake,))
        if changed is None:
            continue
        try:
            value = what.correct(changed)
        except (ArithmeticError, ValueError, LookupError, TypeError):
            continue
        if value is not None and value != correct:
            yield mistake, value


@pytest.mark.parametrize(("op", "fields", "volumes"), list(cases()))
def test_a_mistake_is_named_where_it_is_made(op, fields, volumes):
    layer = of(op, fields, volumes)
    for asked in ASKED:
        for mistake, value in made(layer, asked):
            verdict = mark(layer, asked, written(value))
            right = verdict.verdict == "right" and verdict.convention
            assert right or mistake.id in verdict.mistakes, (mistake.id, asked, value, verdict)


def random_convolution(draw):
    fields = {
        "filters": 2 * draw.randint(1, 32), "kernel": draw.randint(1, 7),
        "stride": draw.randint(1, 3), "pad": draw.randint(0, 3), "dilation": draw.randint(1, 2),
        "groups": draw.choice([1, 1, 2]), "bias": draw.random() < 0.7,
    }  # fmt: skip
    n = draw.randint(15, 64)
    return of("conv", fields, [f"{n}x{n + draw.choice([0, 0, 3])}x{2 * draw.randint(1, 16)}"])


def test_mistakes_on_random_convolutions():
    draw = random.Random(2)
    named = set()
    for _ in range(12):
        layer = random_convolution(draw)
        for asked in ("output", "params"):
            for mistake, value in made(layer, asked):
                verdict = mark(layer, asked, written(value))
                right = verdict.verdict == "right" and verdict.convention
                assert right or mistake.id in verdict.mistakes, (mistake.id, value, verdict)
                named.add(mistake.id)
    wanted = {"biases-left-out", "depth-left-out", "plus-one-forgotten", "padding-ignored",
              "stride-ignored", "rounded-up", "dilation-ignored", "groups-ignored",
              "output-depth-is-input-depth", "no-weight-sharing", "padding-once",
              "one-bias", "same-for-valid"}  # fmt: skip
    assert wanted <= named


def test_two_mistakes_together():
    layer = of("conv", {"filters": 10, "kernel": 5, "pad": 2, "stride": 2}, ["33x33x3"])
    verdict = mark(layer, "output", "15x15x3")  # right: 17x17x10
    assert "output-depth-is-input-depth+padding-ignored" in verdict.mistakes
    assert any("output depth = input depth and" in reason for reason in verdict.reasons)
    assert mark(layer, "params", "250").mistakes[0] == "biases-left-out+depth-left-out"


ALEXNET = {"filters": 96, "kernel": 11, "stride": 4}
MISCONCEPTIONS = [
    ("conv", ALEXNET, "227x227x3", "params", "34,848", "biases left out"),
    ("conv", ALEXNET, "227x227x3", "params", "11712", "depth (input channels) left out"),
    ("conv", ALEXNET, "227x227x3", "params", "34849", "one bias per layer"),
    ("conv", ALEXNET, "227x227x3", "params", "290400", "neurons for parameters"),
    ("conv", ALEXNET, "227x227x3", "params", "105705600", "no weight sharing"),
    ("conv", ALEXNET, "227x227x3", "flops", "105415200", "MACs for FLOPs"),
    ("conv", ALEXNET, "227x227x3", "output", "54x54x96", "`+1` forgotten"),
    ("conv", ALEXNET, "227x227x3", "output", "217x217x96", "stride ignored"),
    ("conv", ALEXNET, "227x227x3", "output", "96x55x55", "channels first against last"),
    ("conv", {"filters": 8, "kernel": 3, "groups": 4}, "9x9x8", "params", "584", "groups ignored"),
    ("conv", {"filters": 8, "kernel": 3}, "9x12x8", "output", "10x7x8", "H and W exchanged"),
    ("maxpool", {"kernel": 2}, "8x8x6", "output", "4x4x3", "pooling the channels"),
    ("maxpool", {"kernel": 3, "stride": 2, "round": "floor"}, "8x8x6", "output", "4x4x6",
     "rounded up instead of down"),
    ("maxpool", {"kernel": 3, "stride": 2, "round": "ceil"}, "8x8x6", "output", "3x3x6",
     "rounded down instead of up"),
    ("batchnorm", {}, "8x8x6", "params", "24", "4C for 2C"),
    ("dense", {"units": 10}, "8x8x6", "params", "70", "flatten forgotten"),
    ("flatten", {}, "8x8x6", "output", "64", "depth (input channels) left out"),
    ("conv_transpose", {"filters": 4, "kernel": 4, "stride": 2, "pad": 1}, "8x8x6", "output",
     "4x4x4", "transposed confused with normal"),
    ("depthwise_conv", {"kernel": 3}, "8x8x6", "params", "330", "ordinary convolution"),
    ("conv", {"filters": 4, "kernel": 3}, "64x64x3", "memory", "60.06 KB", "MB against MiB"),
    ("conv", {"filters": 4, "kernel": 3}, "64x64x3", "valid", "false", "it fits"),
    ("conv", {"filters": 64, "kernel": 3, "pad": 1}, "224x224x3", "output", "224x224",
     "the depth left out"),
    ("conv", {"filters": 8, "kernel": 3}, "16x32x32x3", "output", "16x30x30x8", "a flat kernel"),
    ("conv", {"filters": 32, "kernel": 4, "stride": 3, "pad": 1}, "121x121x16", "output",
     "118x118x32", "padding ignored and stride ignored"),
    ("maxpool", {"kernel": 3, "stride": 2}, "55x55x96", "output", "27x27x32",
     "depth divided by the kernel"),
    ("global_avgpool", {}, "19x19x8", "output", "19x19", "a map is left"),
    ("dense", {"units": 10}, "7x7x40", "output", "1960", "the values that come in"),
    ("flatten", {}, "7x7x40", "output", "280", "the height left out"),
    ("dense", {"units": 1000}, "1000x1000x3", "params", "3 million", "one unit"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "fields", "volume", "asked", "answer", "said"), MISCONCEPTIONS)
def test_the_misconceptions_by_name(op, fields, volume, asked, answer, said):
    verdict = mark(of(op, fields, [volume]), asked, answer)
    assert verdict.verdict == "wrong"
    assert any(said in reason for reason in verdict.reasons), verdict


# --- what is right is never wrong -----------------------------------------------------------


def spellings(value, draw):
    """The same answer as different people write it."""
    if isinstance(value, tuple):
        sizes = [str(v) for v in value]
        yield "x".join(sizes)
        yield " × ".join(sizes)
        yield f"({', '.join(sizes)})"
        yield f"[{','.join(sizes)}]"
        yield list(value)
        if len(value) == 3:
            yield f"{sizes[2]}x{sizes[0]}x{sizes[1]} (channels first)"
            yield f"{sizes[0]} x ({sizes[1]} + 1 - 1) x {sizes[2]}"
        return
    yield str(value)
    yield f"{value:,}"
    yield value
    yield f"({value} - {draw.randint(1, 9)}*0) + {value}*0"
    yield f"{value} parameters" if value else "none"
    for factor in (2, 3, 5):
        if value % factor == 0:
            yield f"{factor}*{value // factor}"
    if value >= 10_000:
        yield f"{value / 1000:.1f}K"
        yield f"{value / 1e6:.3f}M"


def test_right_answers_in_any_spelling():
    draw = random.Random(3)
    for _ in range(25):
        layer = random_convolution(draw)
        for asked in ("output", "params", "macs", "neurons", "weights", "biases", "depth", "flops",
                      "connections"):  # fmt: skip
            value = quantity(asked).correct(layer)
            for text in spellings(value, draw):
                verdict = mark(layer, asked, text)
                assert verdict.verdict == "right", (asked, value, text, verdict)


def test_every_quantity_takes_its_own_answer():
    found = subjects(cnncalc.load("alexnet"))
    for name, layer in found.items():
        for asked, what in QUANTITIES.items():
            value = what.correct(layer)
            if value is None:
                continue
            given = "fits" if value is True else list(value) if type(value) is tuple else value
            verdict = mark(layer, asked, given)
            assert verdict.verdict == "right", (name, asked, show(value), verdict)


@pytest.mark.parametrize(
    ("asked", "answer", "right"),
    [
        ("width", "(W-F+2P)/S+1", True), ("height", "(n + 2p - f)/s + 1", True),
        ("width", "floor((W-F+2P)/S)+1", True), ("width", "(W-F+2P)/S", False),
        ("width", "(W-F+P)/S+1", False), ("params", "k^2*C*K + K", True),
        ("params", "(F*F*C+1)*K", True), ("params", "F²·C·K + K", True),
        ("params", "k^2*C*K", False), ("params", "K(F F C + 1)", True),
        ("weights", "K*F*F*D", True), ("params", "F*F*K + K", False),
        ("output", "(W-F+2P)/S+1 x (W-F+2P)/S+1 x K", True), ("neurons", "W2*H2*K", True),
        ("macs", "F*F*C*K*H_out*W_out", True), ("macs", "F*F*C*H_out*W_out", False),
    ],
)  # fmt: skip
def test_formulas_in_letters(asked, answer, right):
    layer = of("conv", {"filters": 10, "kernel": 5, "pad": 2, "stride": 2}, ["33x33x3"])
    assert mark(layer, asked, answer).verdict == ("right" if right else "wrong")


def test_wrong_formulas_are_diagnosed_by_their_numbers():
    layer = of("conv", {"filters": 10, "kernel": 5, "pad": 2, "stride": 2}, ["33x33x3"])
    assert "biases left out" in mark(layer, "params", "k^2*C*K").reasons[0]
    once = mark(layer, "width", "(W-F+P)/S + 1")
    assert any("padding counted once" in reason for reason in once.reasons)
    assert "`+1` forgotten" in mark(layer, "width", "(W-F+2P)/S").reasons[0]


def test_equivalent_conventions_are_right_and_named():
    conv = of("conv", {"filters": 10, "kernel": 5, "pad": 2}, ["32x32x3"])
    assert mark(conv, "macs", 768000 + 10240).convention
    assert mark(conv, "weights_per_neuron", 76).convention
    assert mark(conv, "output", "10x32x32 CHW").reasons == ("channels first",)
    dense = of("dense", {"units": 10}, ["7x7x3"])
    assert mark(dense, "output", "1x1x10").convention
    assert "rounded" in mark(conv, "params", "0.8K").reasons[0]
    assert mark(conv, "pad", "same").verdict == "right"
    assert mark(conv, "params", 750, accept=("biases-left-out",)).verdict == "right"


@pytest.mark.parametrize(
    ("strides", "answer", "said"),
    [
        ((2, 2), "5", "receptive field without strides"),
        ((1, 1, 1), "27", "kernels multiplied"),
        ((1, 1, 1), "5", "this layer itself left out"),
        ((1, 1, 1), "9", "kernels added up"),
    ],
)
def test_receptive_fields_of_chains(strides, answer, said):
    """3x3 convolutions: 1 + 2*1 + 2*2 = 7 at strides 2, 1 + 2 + 2 + 2 = 7 at stride 1."""
    layers = [{"conv": {"filters": 4, "kernel": 3, "stride": s}} for s in strides]
    report = cnncalc.load(json.dumps({"input": "99x99x3", "layers": layers})).derive()
    last = subject(report, f"conv{len(strides)}")
    assert mark(last, "receptive_field", "7").verdict == "right"
    assert said in mark(last, "receptive_field", answer).reasons[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [("28x28x224", "branch 4 left out"), ("28x28x128", "branch 2 only"),
     ("28x28x256", "only the last branch counted")],
)  # fmt: skip
def test_branches_of_a_concatenation(answer, said):
    join = of("concat", {}, ["28x28x64", "28x28x128", "28x28x32", "28x28x256"])
    assert mark(join, "output", "28x28x480").verdict == "right"
    assert said in "\n".join(mark(join, "output", answer).reasons)


def test_a_size_that_does_not_fit():
    spec = "input: 7x7x1\nlayers:\n  - conv: {filters: 1, kernel: 3, stride: 3}\n    expect: "
    open_ = cnncalc.check(spec + "2x2x1\n", run=False).expectations[0]
    assert (open_.verdict, open_.correct) == ("right", "2x2x1")
    assert "rounded down" in open_.reasons[0]
    stated = cnncalc.check("dialect: cs231n\n" + spec + "2x2x1\n", run=False).expectations[0]
    assert (stated.verdict, stated.correct) == ("wrong", "does not fit")
    assert "must come out whole" in stated.reasons[0]
    wrong = cnncalc.check("dialect: cs231n\n" + spec + "{valid: true}\n", run=False)
    assert "leaves a remainder of 1" in wrong.expectations[0].reasons[0]


def test_the_memory_of_vgg16_is_not_24m():
    """The CS231n notes print "TOTAL memory: 24M * 4 bytes ~= 93MB / image"."""
    whole = subjects(cnncalc.load("vgg16"))[None]
    verdict = mark(whole, "activations", "24M")
    assert (verdict.verdict, verdict.correct) == ("wrong", "15237608")
    assert verdict.worked.startswith("150,528 + 3,211,264 + 3,211,264 + 802,816 + ")
    assert verdict.worked.endswith(" = 15,237,608")
    assert mark(whole, "activations", "15.2M").verdict == "right"
    memory = mark(whole, "memory", "93 MB")
    assert (memory.verdict, memory.correct) == ("wrong", "60950432 bytes (61.0 MB, 58.1 MiB)")
    assert mark(whole, "memory", "61 MB").verdict == "right"
    assert mark(whole, "memory", "58.1 MiB").verdict == "right"
    assert "MB against MiB: " in mark(whole, "memory", "58.1 MB").reasons[0]
    assert mark(whole, "params", "138M").verdict == "right"


# --- strangers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bomb",
    ["9**9**9", "(" * 10_000, "1+" * 400 + "1" + ")" * 90, "9" * 5000, "2**64**64", "[" * 60,
     "(a+b+c+d)^60", "(a+b)^60*(a+c)^60*(b+c)^60", "(W+F+P+S+C+K)^40", "1/0", "floor(" * 80,
     "__import__('os')", "W.real", "lambda: 0", "=" * 40, "1" + "\u202e" + "2", "nan", "1e999",
     ["1"] * 1000, [[[["1"]]]], {"a": 1}, 10**5000, float("inf"), b"1", object()],
    ids=lambda bomb: str(type(bomb).__name__),
)  # fmt: skip
@pytest.mark.parametrize("asked", ["output", "params"])
def test_bombs_are_refused_in_bounded_time(bomb, asked):
    layer = of("conv", {"filters": 10, "kernel": 5, "pad": 2, "stride": 3}, ["33x33x3"])
    start = time.process_time()
    verdict = mark(layer, asked, bomb)
    assert time.process_time() - start < 5
    assert verdict.verdict != "right"
    assert len(verdict.given) <= 130
    assert verdict.given.isprintable()
    assert all(len(reason) < 600 for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [("760", "number", 760), ("1e6", "number", 1_000_000), ("(5*5*3+1)*10", "number", 760),
     ("3/4", "number", None), ("35K", "figure", None), ("none", "none", None),
     ("Does not fit!", "fit", False), ("about 700", "unreadable", None),
     ("1,2,3,4", "unreadable", None), ("", "unreadable", None)],
)  # fmt: skip
def test_reading(text, kind, value):
    answer = read_answer(text)
    assert answer.kind == kind
    if value is not None:
        assert answer.value == value
    if kind == "unreadable":
        assert answer.problem
