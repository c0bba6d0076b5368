"""Size rules against brute force, remedies that work, and the codes."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc.dialects import DIALECTS, conv_window, dialect, pool_window
from cnncalc.formula import Symbol
from cnncalc.layers import REGISTRY
from cnncalc.layers.conv import Conv, ConvTranspose
from cnncalc.layers.merge import Add, Concat
from cnncalc.layers.pool import MaxPool
from cnncalc.layers.reshape import Reshape
from cnncalc.rules import fixes, unread
from cnncalc.rules.base import Case, volume
from cnncalc.rules.codes import ENTRIES, explain_code, table
from cnncalc.rules.sizes import findings, judge
from cnncalc.source import Source

ROOT = Path(__file__).parents[1]
CS231N, TORCH = dialect("cs231n"), dialect("torch")
NAMES = st.sampled_from(sorted(DIALECTS))


def codes(layer, *inputs, under="cs231n"):
    return [(f.code, f.severity) for f in judge(layer, inputs, dialect(under))]


def first(layer, *inputs, under="cs231n"):
    return judge(layer, inputs, dialect(under))[0]


# --- S001, S002, W005 -------------------------------------------------------------------


def test_the_lectures_misfit_in_its_own_form():
    found = first(Conv(1, kernel=3, stride=3), (7, 7, 1))
    assert found.message == (
        "a 3x3 filter at stride 3 does not fit a 7x7 input: (7 - 3 + 2*0)/3 = 4/3, "
        "remainder 1: the last 1 row and 1 column are never read"
    )
    assert found.help == (
        "pad: 1 fits: the output is 3x3x1",
        "stride: 2 fits: the output is 3x3x1",
        "kernel: 4 fits: the output is 2x2x1",
        "an input of 6x6 or 9x9 fits",
    )


@pytest.mark.parametrize("under", sorted(set(DIALECTS) - {"cs231n"}))
def test_elsewhere_a_rest_of_padding_is_a_note(under):
    found = codes(Conv(1, kernel=3, stride=2, pad=1), (224, 224, 1), under=under)
    assert found == [("S001", "note")]


@pytest.mark.parametrize("under", sorted(set(DIALECTS) - {"cs231n"}))
def test_elsewhere_unread_pixels_are_a_warning(under):
    layer = Conv(1, kernel=3, stride=2)
    assert codes(layer, (224, 225, 1), under=under) == [("W005", "warning")]
    found = first(layer, (224, 225, 1), under=under)
    assert found.message.startswith("the last 1 row of the 224x225 input is never read")


def test_rounding_a_pool_on_purpose_is_no_error():
    assert codes(MaxPool(3, stride=2, round="ceil"), (56, 56, 1)) == []
    assert codes(MaxPool(3, stride=2, round="floor"), (56, 56, 1)) == [("W005", "warning")]
    assert codes(MaxPool(3, stride=2), (56, 56, 1)) == [("S001", "error")]
    assert codes(MaxPool(3, stride=2), (56, 56, 1), under="caffe") == []


def test_subsampling_shortcuts_are_silent():
    assert codes(Conv(8, kernel=1, stride=2), (56, 56, 4), under="torch") == []


def test_gaps_between_windows_are_counted():
    found = first(Conv(1, kernel=2, stride=3), (11, 11, 1))
    assert found.code == "W005"
    assert "3 rows and 3 columns of the 11x11 input are never read" in found.message


def test_symbols_give_the_residue_class():
    H, W = Symbol("H"), Symbol("W")
    found = first(Conv(96, kernel=11, stride=4), (H, W, 3))
    assert found.severity == "note"
    assert "fits where H mod 4 = 3 and W mod 4 = 3" in found.message
    even = Symbol("H", multiple_of=2)
    assert codes(Conv(1, kernel=2, stride=2), (even, even, 1)) == []
    assert codes(Conv(1, kernel=3, stride=2), (even, even, 1)) == [("S001", "error")]
    assert codes(Conv(1, kernel=3, stride=2), (even, even, 1), under="torch") == [
        ("W005", "warning")
    ]


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 3), st.integers(0, 40))
def test_residue_classes_are_right(k, s, p, start):
    H = Symbol("H", min=20)
    window = conv_window(CS231N, H, k, s, 1, p)
    text = unread.residue_class(window) if s > 1 else "H mod 1 = 0"
    match = re.fullmatch(r"H mod (\d+) = (\d+)", text)
    assert match
    modulus, value = map(int, match.groups())
    n = 20 + start
    assert (n % modulus == value) == ((n + 2 * p - k) % s == 0)


@pytest.mark.parametrize(
    ("under", "words"),
    [
        ("torch", "PyTorch refuses"),
        ("keras", "Keras refuses"),
        ("jax", "an empty output, size 0"),
        ("caffe", "Caffe truncates (4 - 5 + 2*0)/2 + 1 to 1"),
        ("onnx", "ONNX Runtime refuses"),
        ("cs231n", "(4 - 5 + 2*0)/2 + 1 = 0.5"),
    ],
)
def test_a_large_kernel_is_an_error_and_says_what_the_framework_does(under, words):
    found = judge(Conv(1, kernel=5, stride=2), [(4, 4, 1)], dialect(under))
    assert [f.code for f in found] == ["S002"]
    assert words in found[0].message
    assert found[0].help


@settings(max_examples=300)
@given(
    NAMES, st.integers(1, 30), st.integers(1, 6), st.integers(1, 7), st.integers(1, 4),
    st.integers(0, 5), st.integers(0, 5), st.sampled_from([None, "floor", "ceil"]),
)  # fmt: skip
def test_unread_positions_agree_with_a_count(under, n, k, s, d, before, after, rounding):
    pad = (before, after)
    window = pool_window(dialect(under), n, k, s, d, pad, rounding)
    if window.extent == 1 or window.padded < window.extent:
        return
    read = {j * s + i * d - before for j in range(window.out) for i in range(k)}
    missed = [x for x in range(n) if x not in read]
    tail = [x for x in missed if all(y in missed for y in range(x, n))]
    found = unread.count(window)
    assert found.total == len(missed)
    if found.only_tail:
        assert found.tail == len(tail)


# --- remedies ---------------------------------------------------------------------------

SIZES = st.integers(3, 40)


@settings(max_examples=150, deadline=None)
@given(
    NAMES, SIZES, SIZES, st.integers(1, 9), st.integers(1, 6),
    st.sampled_from([0, 1, 2, 3, "same", [[0, 1], [1, 1]]]),
)  # fmt: skip
def test_every_remedy_for_a_convolution_works(under, h, w, k, s, p):
    check_remedies(Conv(2, kernel=k, stride=s, pad=p), (h, w, 3), dialect(under))


@settings(max_examples=100, deadline=None)
@given(
    NAMES, SIZES, SIZES, st.integers(1, 6), st.integers(1, 5),
    st.sampled_from([0, 1, 2, 3, "same", [[0, 1], [1, 1]]]),
)  # fmt: skip
def test_every_remedy_for_a_pool_works(under, h, w, k, s, pad):
    check_remedies(MaxPool(k, stride=s, pad=pad), (h, w, 3), dialect(under))


def check_remedies(layer, shape, d):
    """Applies each help line as its reader would, and judges again."""
    for finding in judge(layer, [shape], d):
        if finding.severity == "error":
            assert finding.help, finding
        for line in finding.help:
            for changed, inputs in applied(line, layer, shape):
                found = list(findings(Case.of(changed, inputs, d)))
                assert finding.code not in {f.code for f in found if f.severity != "note"}
                promised = re.search(r"the output is (\S+)", line)
                if promised:
                    assert volume(changed.output(inputs, d)) == promised[1]


def applied(line, layer, shape):
    sizes = re.fullmatch(r"an input of (.*) fits", line)
    if sizes:
        for text in sizes[1].split(" or "):
            yield layer, ((*map(int, text.split("x")), shape[-1]),)
        return
    values = {name: v for name, v in layer.values().items() if v != layer.fields[name].default}
    front = re.match(r"a layer `pad: (.*?)` before it", line)
    if front:
        padded = REGISTRY["pad"](eval(front[1])).output([shape], CS231N)
        yield REGISTRY[layer.op](**{**values, "pad": 0}), (padded,)
        return
    changes = re.findall(r"(\w+): (\[\[.*?\]\]|\[.*?\]|\w+)", line.partition(" fits")[0])
    fields = {name: text if text.isalpha() else eval(text) for name, text in changes}
    yield REGISTRY[layer.op](**{**values, **fields}), (shape,)


def test_groups_joins_and_words_have_remedies():
    wrong = [
        (Conv(8, kernel=3, groups=4), [(8, 8, 6)], "cs231n", "groups: 2"),
        (Conv(6, kernel=3, groups=4), [(8, 8, 8)], "cs231n", "filters: 4"),
        (Add(), [(6, 6, 4), (8, 8, 4)], "cs231n", "`crop: 1` on input 2"),
        (Add(), [(6, 6, 4), (6, 6, 8)], "cs231n", "1x1 convolution with 8 filters on input 1"),
        (Concat(), [(7, 7, 4), (8, 8, 4)], "torch", "`pad: [[0, 1], [0, 1]]` on input 1"),
        (Reshape(to="5x10"), [(4, 4, 3)], "cs231n", "to: 48"),
        (Conv(1, kernel=[3, 3, 3]), [(8, 8, 1)], "cs231n", "kernel: [3, 3]"),
        (ConvTranspose(1, kernel=3, stride=2, pad=9), [(3, 3, 1)], "torch", "pad: 3"),
        (ConvTranspose(1, kernel=3, stride=2, pad="same"), [(3, 3, 1)], "torch",
         "pad: 1, output_pad: 1 fits: the output is 6x6x1"),
        (ConvTranspose(1, kernel=3, stride=2, output_pad=2), [(3, 3, 1)], "torch",
         "output_pad: 1"),
        (Conv(1, kernel=3, stride=2, pad="same"), [(8, 8, 1)], "torch", "pad: 1"),
        (Conv(1, kernel=4, pad="same"), [(8, 8, 1)], "cs231n", "kernel: 3"),
        (MaxPool(2, stride=2, pad=2), [(8, 8, 1)], "torch", "pad: 1"),
    ]  # fmt: skip
    for layer, inputs, under, help_ in wrong:
        found = judge(layer, inputs, dialect(under))
        assert any(help_ in line for f in found for line in f.help), (layer, found)


def test_a_remedy_that_brings_another_error_is_not_offered():
    case = Case.of(Conv(8, kernel=3, stride=3, groups=4), [(7, 7, 8)], CS231N)
    (finding,) = findings(case)
    bad = fixes.Trial("groups: 3", case.layer.replace(groups=3, stride=2), case.inputs)
    assert not fixes.works(case, finding, bad)


@pytest.mark.parametrize("n", [4, 10**11])
def test_huge_strides_are_judged_at_once(n):
    found = judge(Conv(1, kernel=3, stride=10**9 + 7), [(n, n, 1)], CS231N)
    assert found[0].code == "S001"


# --- codes ------------------------------------------------------------------------------

EMITTED = {
    code
    for path in (ROOT / "cnncalc").rglob("*.py")
    for code in re.findall(r"\"([ESABWR]0\d\d)\"", path.read_text("utf-8"))
}


def test_every_code_is_explained():
    assert set(ENTRIES) >= EMITTED
    for code, entry in ENTRIES.items():
        assert len(entry.text.split("\n\n")) >= 2 or entry.code in ("E002", "E020"), code
        assert explain_code(code.lower()).startswith(f"{code}: {entry.title}")
        assert f"| {code} | {entry.severity} |" in table()


def test_an_unknown_code_names_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'S011'"):
        explain_code("S019")


RUN_ONLY = {"R004", "R008", "R012", "R013", "R014", "R015", "R016"}


@pytest.mark.parametrize("code", [c for c, e in ENTRIES.items() if e.example])
def test_the_example_of_each_code_sets_it_off(code):
    text = ENTRIES[code].example
    from cnncalc.checker import check

    report = check(Source(text, "spec.yaml"), run=False)
    found = {(d.code, d.severity) for d in report.diagnostics}
    if code in RUN_ONLY:
        assert report.ok
    else:
        assert (code, ENTRIES[code].severity) in found
    assert "```yaml\n" + text + "```" in explain_code(code, "markdown")


# --- robustness -------------------------------------------------------------------------

H, EVEN = Symbol("H"), Symbol("W", min=2, multiple_of=2)
LAYERS = [cls(**fields) for cls in REGISTRY.values() for _, fields in cls.examples]
DIM = st.one_of(st.integers(1, 9), st.sampled_from([16, 10**9, H, 2 * H, EVEN, EVEN + 1]))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(LAYERS), NAMES, st.lists(DIM, min_size=1, max_size=5), st.data())
def test_any_volume_is_judged(layer, under, shape, data):
    count = data.draw(st.integers(layer.inputs_min, min(layer.inputs_max, 3)))
    others = [data.draw(st.lists(DIM, min_size=1, max_size=4)) for _ in range(count - 1)]
    for finding in judge(layer, [tuple(s) for s in [shape, *others]], dialect(under)):
        assert finding.code in ENTRIES
        assert finding.field is None or finding.field in layer.fields or finding.field == "stride"


@pytest.mark.parametrize(
    ("text", "help_"),
    [
        ("input: 9x9x2\nlayers:\n  - concat:\n" + "".join(
            f"      - [{{conv: {{filters: 2, kernel: {k}}}}}]\n" for k in (1, 3, 5, 7)),
         "`crop: 3` on input 1 (9x9 to 3x3), `crop: 2` on input 2 (7x7 to 3x3) and"
         " `crop: 1` on input 3 (5x5 to 3x3) fits"),
        ("input: 8x8x3\nlayers:\n  - flatten\n  - maxpool: {kernel: 2, stride: 2}\n",
         "a layer `reshape: 8x8x3` before it fits"),
    ],
)  # fmt: skip
def test_what_fits_no_single_field(text, help_):
    found = cnncalc.check(Source(text, "a.yaml"), run=False)
    offered = [line for d in found.diagnostics if d.severity == "error" for line in d.help]
    assert help_ in offered, offered


def test_a_layer_for_a_flat_vector_fits_when_made():
    layers = "  - flatten\n  - reshape: 8x8x3\n  - maxpool: {kernel: 2, stride: 2}\n"
    found = cnncalc.check(Source(f"input: 8x8x3\nlayers:\n{layers}", "a.yaml"), run=False)
    assert found.row("maxpool1").output == (4, 4, 3)
    assert not [d for d in found.diagnostics if d.severity == "error"]
