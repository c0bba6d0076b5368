"""Peak memory against a simulation by reference counts; receptive fields against probes."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc import Network
from cnncalc.formula import substitute
from cnncalc.layers import REGISTRY
from cnncalc.layers.base import Layer
from cnncalc.memory import BYTES, live, volumes
from cnncalc.rows import Report, Row


def make(op: str, **fields: Any) -> Layer:
    return REGISTRY[op](**fields)


# --- peak memory ---------------------------------------------------------------


class Volume:
    """A stored activation: how many values, and who still wants them."""

    def __init__(self, size: int, wanted: int) -> None:
        self.size, self.wanted = size, wanted


class Simulated(NamedTuple):
    peaks: list[int]  # values live while each layer computes
    stored: int  # values of all the volumes that were ever made


def simulate(rows: Sequence[Row], sizes: dict[str, int], outputs: Sequence[str]) -> Simulated:
    """Runs the layers in order, keeping a volume while anyone is still to read it.

    A layer that may work in place takes over its input's volume when it is its only reader.
    """
    wanted = {name: outputs.count(name) for name in [*sizes, *(row.name for row in rows)]}
    for row in rows:
        for name in row.inputs:
            wanted[name] += 1
    held = {name: Volume(size, wanted[name]) for name, size in sizes.items() if wanted[name]}
    stored = sum(sizes.values())
    peaks = []
    for row in rows:
        inputs = [held[name] for name in row.inputs]
        if row.layer.in_place and inputs[0].wanted == wanted[row.inputs[0]] == 1:
            volume = inputs[0]
            volume.wanted += wanted[row.name]
        else:
            volume = Volume(int(np.prod(row.output)), wanted[row.name])
            stored += volume.size
        held[row.name] = volume
        peaks.append(sum(v.size for v in {id(v): v for v in held.values()}.values()))
        for given_ in inputs:
            given_.wanted -= 1
        held = {name: v for name, v in held.items() if v.wanted > 0}
    return Simulated(peaks, stored)


def size_of(report: Report) -> dict[str, int]:
    return {name: int(np.prod(shape)) for name, shape in report.input_shapes.items()}


def check_memory(report: Report) -> Simulated:
    """The report's three memory figures, from the simulation alone."""
    totals = report.totals
    assert totals is not None
    sim = simulate(report.layers, size_of(report), list(report.outputs))
    kept = volumes(report.layers, report.input_shapes, report.outputs)
    alive = live(report.layers, kept, report.outputs)
    assert [sum(kept.size[name] for name in names) for names in alive] == sim.peaks
    assert totals.activations == sim.stored
    weights = totals.params + totals.buffers
    assert totals.peak_memory == BYTES * (weights + max(sim.peaks))
    pairs = [sum(map(np.prod, (row.output, *row.input))) for row in report.layers]
    training = 2 * totals.params + totals.buffers + sim.stored + max(pairs)
    assert totals.training_memory == BYTES * training
    return sim


OPS = {
    "relu": {},
    "dropout": {},
    "flatten": {},
    "batchnorm": {},
    "conv": {"kernel": 1},
    "upsample": {"scale": 2},
    "maxpool": {"kernel": 2},
    "add": {},
    "concat": {},
}
Item = tuple[str, int, int, int]  # op, the volumes it reads counted from the last, filters
items = st.lists(
    st.tuples(st.sampled_from(list(OPS)), *[st.integers(0, 3)] * 2, st.integers(1, 5)),
    min_size=1,
    max_size=14,
)


def build(volume: str, plan: Sequence[Item]) -> Network:
    """Layers that each read one or two of the last volumes; `kinds` says which are equal."""
    net = Network(volume, assume={"H": {"min": 64}} if "H" in volume else None)
    kinds: list[tuple[str, tuple[Any, ...]]] = [("input", (0, 3))]  # halvings, channels
    for op, back, other, filters in plan:
        source, kind = kinds[-1 - back % len(kinds)]
        if len(kind) == 1 and op in ("conv", "upsample", "maxpool"):
            continue
        if op == "maxpool" and kind[0] >= 5:
            continue
        halvings, channels = kind if len(kind) == 2 else (kind[0], 0)
        sources = [source]
        if op in ("add", "concat"):
            same = [name for name, k in kinds if k == kind]
            sources.append(same[-1 - other % len(same)])
        fields = {**OPS[op], "filters": filters} if op == "conv" else OPS[op]
        name = net.add(make(op, **fields), *sources)
        if op == "conv":
            kind = (halvings, filters)
        elif op == "upsample":
            kind = (halvings - 1, channels)
        elif op == "maxpool":
            kind = (halvings + 1, channels)
        elif op == "flatten" or (op == "concat" and len(kind) == 1):
            kind = (name,)
        elif op == "concat":
            kind = (halvings, 2 * channels)
        kinds.append((name, kind))
    return net


@settings(max_examples=250, deadline=None)
@given(items)
def test_peak_memory_of_random_graphs(plan: list[Item]) -> None:
    report = build("64x64x3", plan).derive()
    assert not [d for d in report.diagnostics if d.severity == "error"]
    if report.layers:
        check_memory(report)


@settings(max_examples=60, deadline=None)
@given(items, st.integers(2, 6))
def test_peak_memory_in_closed_form(plan: list[Item], times: int) -> None:
    H = 32 * times
    form = build("HxHx3", plan).derive().totals
    number = build(f"{H}x{H}x3", plan).derive().totals
    assert form is not None
    assert number is not None
    for mine, theirs in zip(form, number, strict=True):
        assert substitute(mine, {"H": H}) == theirs


def test_peak_memory_moves_from_layer_to_layer() -> None:
    """Small pictures: the wide dense layer is the largest; large ones: the convolution."""
    spec = """
input: HxHx1
assume: {H: {min: 3}}
layers:
  - conv: {filters: 3, kernel: 3, pad: 1}
  - global_avgpool
  - dense: 5000
"""
    form = cnncalc.load(spec).derive().totals
    assert form is not None
    where = set()
    for H in range(3, 60):
        report = cnncalc.load(spec, sets={"H": H}).derive()
        peaks = check_memory(report).peaks
        where.add(peaks.index(max(peaks)))
        assert substitute(form.peak_memory, {"H": H}) == report.totals.peak_memory
    assert where == {0, 2}


@pytest.mark.parametrize("H", [224, 256, 384, 1024])
def test_peak_memory_of_any_picture(H: int) -> None:
    form = cnncalc.load("fully-convolutional").derive().totals
    report = cnncalc.load("fully-convolutional", sets={"H": H, "W": 256}).derive()
    assert form is not None
    assert report.totals is not None
    check_memory(report)
    assert substitute(form.peak_memory, {"H": H, "W": 256}) == report.totals.peak_memory
    assert substitute(form.training_memory, {"H": H, "W": 256}) == report.totals.training_memory


@pytest.mark.parametrize(
    "name",
    ["alexnet", "vgg16", "googlenet", "googlenet-aux", "resnet50", "densenet121", "unet",
     "mobilenet_v2", "inception_v3", "efficientnet_b0", "convnext_tiny"],
)  # fmt: skip
def test_peak_memory_of_networks(name: str) -> None:
    sim = check_memory(cnncalc.load(name).derive())
    assert max(sim.peaks) < sim.stored


def test_vgg16_activations() -> None:
    """The volumes that the CS231n notes list; their sum there, 24M, is wrong."""
    listed = (
        [224 * 224 * 3]
        + [224 * 224 * 64] * 2 + [112 * 112 * 64]
        + [112 * 112 * 128] * 2 + [56 * 56 * 128]
        + [56 * 56 * 256] * 3 + [28 * 28 * 256]
        + [28 * 28 * 512] * 3 + [14 * 14 * 512]
        + [14 * 14 * 512] * 3 + [7 * 7 * 512]
        + [4096, 4096, 1000]
    )  # fmt: skip
    totals = cnncalc.load("vgg16").derive().totals
    assert totals is not None
    assert sum(listed) == 15_237_608
    assert totals.activations == sum(listed)
    peak = totals.peak_memory - 4 * totals.params
    assert peak == 4 * 2 * 224 * 224 * 64  # conv1_2 reads one such volume and writes another
    assert totals.training_memory > 4 * (2 * totals.params + sum(listed))


def test_two_outputs_and_an_unread_input() -> None:
    spec = """
inputs: {image: 8x8x2, unused: 100x100x3}
layers:
  - conv: {filters: 4, kernel: 3, pad: 1}
    from: image
    name: a
  - relu
  - conv: {filters: 1, kernel: 8}
    name: b
outputs: [a, b]
"""
    report = cnncalc.load(spec).derive()
    sim = check_memory(report)
    # a stays, as an output, so the ReLU has a volume of its own
    assert sim.peaks == [8 * 8 * 2 + 8 * 8 * 4, 2 * 8 * 8 * 4, 2 * 8 * 8 * 4 + 1]


# --- receptive fields ----------------------------------------------------------


class Step(NamedTuple):
    """One window along one axis: kernel, stride, dilation, padding; or branches to add."""

    k: int = 1
    s: int = 1
    d: int = 1
    p: int = 0
    pool: bool = False
    branches: tuple[tuple["Step", ...], ...] = ()

    def spec(self) -> str:
        if self.branches:
            inside = (", ".join(step.spec() for step in branch) for branch in self.branches)
            return f"add: [{', '.join(f'[{layers}]' for layers in inside)}]".join("{}")
        fields = f"kernel: {self.k}, stride: {self.s}, dilation: {self.d}, pad: {self.p}"
        filters = "" if self.pool else "filters: 1, "
        return f"{{{'maxpool' if self.pool else 'conv'}: {{{filters}{fields}}}}}"

    def read(self, x: np.ndarray) -> np.ndarray:
        """Which inputs reach which outputs: x is (positions, inputs), of booleans."""
        if self.branches:
            outputs = [reached(branch, x) for branch in self.branches]
            return np.logical_or.reduce(outputs)
        x = np.pad(x, ((self.p, self.p), (0, 0)))
        last = len(x) - self.d * (self.k - 1)
        starts = range(0, last, self.s)
        return np.array([x[i : i + self.d * self.k : self.d].any(0) for i in starts])


def reached(steps: Sequence[Step], x: np.ndarray) -> np.ndarray:
    for step in steps:
        x = step.read(x)
    return x


def probe(steps: Sequence[Step], n: int) -> tuple[int, int]:
    """Extent of an interior output's input, and its distance from the next output's.

    Row j of the identity is input j flipped alone: one pass shows what each flip changes.
    """
    seen = reached(steps, np.eye(n, dtype=bool))
    spans = [np.flatnonzero(row) for row in seen]
    at = max(
        range(len(spans) - 1), key=lambda i: (spans[i][-1] - spans[i][0], -abs(2 * i - len(spans)))
    )
    first, last = spans[at][0], spans[at][-1]
    assert first > 0, "the output at hand is not an interior one"
    assert last < n - 1
    return last - first + 1, spans[at + 1][0] - first


windows = st.tuples(
    st.integers(1, 4), st.integers(1, 2), st.integers(1, 2), st.just(0), st.booleans()
).map(lambda fields: Step(*fields))
odd = st.sampled_from(
    [Step(1), Step(3, p=1), Step(5, p=2), Step(3, d=2, p=2), Step(3, p=1, pool=True)]
)
branches = st.lists(st.lists(odd, max_size=2).map(tuple), min_size=2, max_size=3).map(tuple)
joined = branches.map(lambda found: Step(branches=found))


def derive(steps: Sequence[Step], n: int) -> Row:
    layers = "\n".join(f"  - {step.spec()}" for step in steps)
    report = cnncalc.load(f"dialect: onnx\ninput: {n}x1\nlayers:\n{layers}\n").derive()
    assert not [d for d in report.diagnostics if d.severity == "error"]
    return report.layers[-1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(windows, windows, joined), min_size=1, max_size=5))
def test_receptive_fields_by_probing(steps: list[Step]) -> None:
    n = 700
    row = derive(steps, n)
    assert (row.receptive_field, row.jump) == tuple((v,) for v in probe(steps, n))


def test_axes_have_fields_of_their_own() -> None:
    text = (
        "input: 40x60x1\nlayers: [{conv: {filters: 1, kernel: 3x5, stride: 1x5}}, {maxpool: 2}]\n"
    )
    row = cnncalc.load(text).derive().layers[-1]
    rows, columns = [Step(3), Step(2, 2)], [Step(5, 5), Step(2, 2)]
    assert (row.receptive_field[0], row.jump[0]) == probe(rows, 40)
    assert (row.receptive_field[1], row.jump[1]) == probe(columns, 60)


@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_transposed_convolution_by_probing(k: int, s: int) -> None:
    """Input i is written to the outputs i*s up to i*s + k - 1."""
    n = 20
    readers = [[i for i in range(n) if 0 <= o - i * s < k] for o in range(n * s)]
    text = f"input: {n}x1\nlayers: [{{conv_transpose: {{filters: 1, kernel: {k}, stride: {s}}}}}]\n"
    row = cnncalc.load(text).derive().layers[-1]
    assert row.receptive_field == (max(map(len, readers)),)
    assert row.jump == (Fraction(1, s),)


SLIM = "google-research/receptive_field, RECEPTIVE_FIELD_TABLE.md"
GIST = "samson-wang's table of ResNets with the stride at the 3x3 convolution"
PUBLISHED = [
    ("alexnet", SLIM, {
        "CONV1": (11, 4), "POOL1": (19, 8), "CONV2": (51, 8), "CONV3": (99, 16),
        "CONV4": (131, 16), "CONV5": (163, 16), "POOL3": (195, 32),
    }),
    ("vgg11", SLIM, {
        "stage1": (4, 2), "stage2": (10, 4), "stage3": (30, 8), "stage4": (70, 16),
        "stage5": (150, 32),
    }),
    ("vgg16", SLIM, {
        "stage1": (6, 2), "stage2": (16, 4), "stage3/repeat1/2/conv1": (32, 4),
        "stage3": (44, 8), "stage4": (100, 16), "stage5/repeat1/3/conv1": (196, 16),
        "stage5": (212, 32),
    }),
    ("inception_v3", SLIM, {
        "mixed0": (63, 8), "mixed1": (95, 8), "mixed2": (127, 8), "mixed3": (159, 16),
        "mixed4": (351, 16), "mixed5": (543, 16), "mixed6": (735, 16), "mixed7": (927, 16),
        "mixed8": (1055, 32), "mixed9": (1183, 32), "mixed10": (1311, 32),
    }),
    ("mobilenet_v1", SLIM, {"separable8": (315, 32)}),
    ("resnet18", GIST, {
        "layer1": (43, 4), "layer2": (99, 8), "layer3": (211, 16), "layer4": (435, 32),
    }),
    ("resnet34", GIST, {
        "layer1": (59, 4), "layer2": (179, 8), "layer3": (547, 16), "layer4": (899, 32),
    }),
    ("resnet50", GIST, {
        "layer1": (35, 4), "layer2": (91, 8), "layer3": (267, 16), "layer4": (427, 32),
    }),
    ("resnet101", GIST, {
        "layer1": (35, 4), "layer2": (91, 8), "layer3": (811, 16), "layer4": (971, 32),
    }),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source", "known"), PUBLISHED, ids=[p[0] for p in PUBLISHED])
def test_published_receptive_fields(
    name: str, source: str, known: dict[str, tuple[int, int]]
) -> None:
    rows = cnncalc.load(name).derive().layers
    for layer, (field, jump) in known.items():
        inside = [r for r in rows if r.name == layer or r.name.startswith(f"{layer}/")]
        assert inside[-1].receptive_field == (field, field), (layer, source)
        assert inside[-1].jump == (jump, jump), (layer, source)
