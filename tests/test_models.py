"""Real networks, layer by layer: Caffe's prototxts, and graphs executed by ONNX Runtime.

`data/models/caffe` holds the prototxts as published; their blob shapes are computed here by
the formulas of Caffe's conv_layer.cpp and pooling_layer.cpp. `data/models/*.json` holds what
ONNX Runtime made of graphs exported from torchvision (see extract.py there).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, prod
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cnncalc
from cnncalc.dialects import conv_window, dialect, pool_window

DATA = Path(__file__).parent / "data" / "models"


class Fact(NamedTuple):
    """One layer as somebody else sees it, in our words: no batch axis, channels last."""

    op: str
    sources: tuple[int, ...]  # indices of earlier facts; -1 is the input
    output: tuple[int, ...]
    weights: tuple[tuple[int, ...], ...] = ()
    buffers: tuple[tuple[int, ...], ...] = ()
    macs: int = 0


def kept(facts: Sequence[Fact], skip: set[str]) -> list[Fact]:
    """The facts without the ops in `skip`, wired past them."""
    place: dict[int, int] = {-1: -1}
    found: list[Fact] = []
    for i, fact in enumerate(facts):
        sources = tuple(place[s] for s in fact.sources)
        if fact.op in skip:
            place[i] = sources[0]
        else:
            place[i] = len(found)
            found.append(fact._replace(sources=sorted_sum(fact.op, sources)))
    return found


def sorted_sum(op: str, sources: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(sources)) if op == "add" else sources


def ours(spec: str, skip: set[str]) -> list[Fact]:
    """The derivation of a spec as facts."""
    report = cnncalc.load(spec).derive()
    assert report.ok, report.diagnostics
    index = dict.fromkeys(["input", *report.input_shapes], -1)
    facts = []
    for i, row in enumerate(report.layers):
        index[row.name] = i
        op = "conv" if row.op == "depthwise_conv" else row.op
        weights, buffers = tuple(row.weights.values()), tuple(row.buffer_shapes.values())
        sources = tuple(index[name] for name in row.inputs)
        facts.append(Fact(op, sources, row.output, weights, buffers, row.macs))
    totals = report.totals
    assert totals is not None
    assert totals.params == sum(prod(w) for f in facts for w in f.weights)
    assert totals.macs == sum(f.macs for f in facts)
    return kept(facts, skip)


def compare(mine: Sequence[Fact], theirs: Sequence[Fact]) -> None:
    """Every fact of every layer, in order."""
    assert [f.op for f in mine] == [f.op for f in theirs]
    for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        output = b.output
        if len(a.output) == 1:  # a flat vector of ours may be a 1x1 volume of theirs
            output = tuple(n for n in output[:-1] if n != 1) + output[-1:]
        assert a._replace(output=a.output) == b._replace(output=output), f"layer {i}, {b.op}"


# --- Caffe ---------------------------------------------------------------------

TOKEN = re.compile(r'#[^\n]*|"[^"]*"|[{}:]|[^\s{}:"#]+')
Message = dict[str, list[Any]]


def text_format(text: str) -> Message:
    """Reads protobuf's text format: every field is a list of its values."""
    tokens = iter(t for t in TOKEN.findall(text) if not t.startswith("#"))

    def message() -> Message:
        found: Message = {}
        for name in tokens:
            if name == "}":
                return found
            mark = next(tokens)
            value = next(tokens) if mark == ":" else mark
            item = message() if value == "{" else value.strip('"')
            found.setdefault(name, []).append(item)
        return found

    return message()


def number(message: Message, name: str, default: int = 0) -> int:
    return int(message.get(name, [default])[0])


class Slide(NamedTuple):
    """kernel, stride, pad, group and number of filters of one Caffe layer."""

    k: int
    s: int
    p: int
    g: int = 1
    filters: int = 0

    @classmethod
    def of(cls, m: Message) -> "Slide":
        assert not {"kernel_h", "pad_h", "stride_h", "dilation"} & set(m)
        names = ("kernel_size", 0), ("stride", 1), ("pad", 0), ("group", 1), ("num_output", 0)
        return cls(*(number(m, name, default) for name, default in names))

    def conv(self, n: int) -> int:  # conv_layer.cpp, compute_output_shape
        return (n + 2 * self.p - self.k) // self.s + 1

    def pool(self, n: int) -> int:  # pooling_layer.cpp, Reshape
        pooled = ceil((n + 2 * self.p - self.k) / self.s) + 1
        if self.p and (pooled - 1) * self.s >= n + self.p:
            pooled -= 1
        return pooled


# The names of layer types, in upper case as in V1LayerParameter, without underscores.
OPS = {
    "RELU": "relu",
    "LRN": "lrn",
    "DROPOUT": "dropout",
    "SOFTMAX": "softmax",
    "CONVOLUTION": "conv",
    "INNERPRODUCT": "dense",
    "CONCAT": "concat",
}


def layers(net: Message) -> Iterator[tuple[str, Message]]:
    for layer in net.get("layer", net.get("layers", [])):
        kind = layer["type"][0].upper().replace("_", "")
        if kind != "INPUT":
            yield kind, layer


def caffe(path: Path) -> list[Fact]:
    """Shapes of all the blobs and weights of a prototxt."""
    net = text_format(path.read_text(encoding="utf-8"))
    if "input_dim" in net:
        dims = net["input_dim"]
    else:
        dims = net["layer"][0]["input_param"][0]["shape"][0]["dim"]
    _, c, *space = map(int, dims)
    blobs: dict[str, tuple[int, tuple[int, ...]]] = {"data": (-1, (*space, c))}
    facts: list[Fact] = []
    for kind, layer in layers(net):
        sources = tuple(blobs[name][0] for name in layer["bottom"])
        shapes = [blobs[name][1] for name in layer["bottom"]]
        *space, c = shapes[0]
        op, output, weights, macs = OPS.get(kind, ""), shapes[0], (), 0
        if kind == "CONVOLUTION":
            slide = Slide.of(layer["convolution_param"][0])
            output = (*map(slide.conv, space), slide.filters)
            kernel = (slide.k, slide.k, c // slide.g, slide.filters)
            weights, macs = (kernel, (slide.filters,)), prod(output[:2]) * prod(kernel)
        elif kind == "POOLING":
            message = layer["pooling_param"][0]
            op = {"MAX": "maxpool", "AVE": "avgpool"}[message["pool"][0]]
            output = (*map(Slide.of(message).pool, space), c)
        elif kind == "INNERPRODUCT":
            units = number(layer["inner_product_param"][0], "num_output")
            kernel = (prod(shapes[0]), units)
            output, weights, macs = (units,), (kernel, (units,)), prod(kernel)
        elif kind == "CONCAT":
            assert {s[:-1] for s in shapes} == {shapes[0][:-1]}
            output = (*space, sum(s[-1] for s in shapes))
        (top,) = layer["top"]
        blobs[top] = (len(facts), output)
        facts.append(Fact(op, sources, output, weights, (), macs))
    return facts


# spec, prototxt, number of layers (all are compared), parameters, MACs
CAFFE = [
    ("lenet-caffe", "lenet", 8, 431_080, 2_293_000),
    ("alexnet-original", "bvlc_alexnet_deploy", 23, 60_965_224, 724_406_816),
    ("vgg16", "VGG_ILSVRC_16_layers_deploy", 39, 138_357_544, 15_470_264_320),
    ("googlenet", "bvlc_googlenet_deploy", 142, 6_998_552, 1_582_671_872),
]


@pytest.mark.parametrize(
    ("spec", "name", "count", "params", "macs"), CAFFE, ids=[f"{c[0]}-{c[2]}-layers" for c in CAFFE]
)
def test_caffe(spec: str, name: str, count: int, params: int, macs: int) -> None:
    theirs = caffe(DATA / "caffe" / f"{name}.prototxt")
    assert len(theirs) == count
    assert sum(prod(w) for f in theirs for w in f.weights) == params
    assert sum(f.macs for f in theirs) == macs
    compare(ours(spec, set()), theirs)


def test_caffe_ops() -> None:
    """The four prototxts together cover every kind of layer read here."""
    seen: Counter[str] = Counter()
    for _, name, *_ in CAFFE:
        seen.update(f.op for f in caffe(DATA / "caffe" / f"{name}.prototxt"))
    assert seen == {
        "conv": 2 + 5 + 13 + 57,
        "maxpool": 2 + 3 + 5 + 13,
        "avgpool": 1,
        "dense": 2 + 3 + 3 + 1,
        "relu": 1 + 7 + 15 + 57,
        "lrn": 2 + 2,
        "concat": 9,
        "dropout": 2 + 2 + 1,
        "softmax": 4,
    }


# --- ONNX ----------------------------------------------------------------------

# torchvision/models/googlenet.py: batchnorm instead of LRN, a 3x3 where the paper has a 5x5
# (a known slip, kept for the published weights), and pools that round up.
GOOGLENET = """
name: GoogLeNet (torchvision)
dialect: torch
input: 224x224x3
blocks:
  unit:
    args: [c, k, s, p]
    layers:
      - conv: {filters: c, kernel: k, stride: s, pad: p, bias: false}
      - batchnorm
      - relu
  inception:
    args: [c1, r3, c3, r5, c5, pp]
    layers:
      - concat:
          - [{unit: [c1, 1, 1, 0]}]
          - [{unit: [r3, 1, 1, 0]}, {unit: [c3, 3, 1, 1]}]
          - [{unit: [r5, 1, 1, 0]}, {unit: [c5, 3, 1, 1]}]
          - [{maxpool: {kernel: 3, stride: 1, pad: 1, round: ceil}}, {unit: [pp, 1, 1, 0]}]
layers:
  - unit: [64, 7, 2, 3]
  - maxpool: {kernel: 3, stride: 2, round: ceil}
  - unit: [64, 1, 1, 0]
  - unit: [192, 3, 1, 1]
  - maxpool: {kernel: 3, stride: 2, round: ceil}
  - inception: [64, 96, 128, 16, 32, 32]
  - inception: [128, 128, 192, 32, 96, 64]
  - maxpool: {kernel: 3, stride: 2, round: ceil}
  - inception: [192, 96, 208, 16, 48, 64]
  - inception: [160, 112, 224, 24, 64, 64]
  - inception: [128, 128, 256, 24, 64, 64]
  - inception: [112, 144, 288, 32, 64, 64]
  - inception: [256, 160, 320, 32, 128, 128]
  - maxpool: {kernel: 2, stride: 2, round: ceil}
  - inception: [256, 160, 320, 32, 128, 128]
  - inception: [384, 192, 384, 48, 128, 128]
  - global_avgpool
  - dropout: 0.2
  - dense: 1000
"""

# d2l.ai, section 7.6
LENET = """
name: LeNet (d2l)
dialect: torch
input: 28x28x1
layers:
  - conv: {filters: 6, kernel: 5, pad: 2}
  - sigmoid
  - avgpool: {kernel: 2, stride: 2}
  - conv: {filters: 16, kernel: 5}
  - sigmoid
  - avgpool: {kernel: 2, stride: 2}
  - flatten
  - dense: 120
  - sigmoid
  - dense: 84
  - sigmoid
  - dense: 10
"""

# Ops that say the same in both; the others are in `onnx_op`.
SAME_OPS = {
    "Conv": "conv",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Clip": "relu6",
    "Add": "add",
    "Concat": "concat",
    "MaxPool": "maxpool",
    "BatchNormalization": "batchnorm",
    "GlobalAveragePool": "global_avgpool",
    "ReduceMean": "global_avgpool",
    "Gemm": "dense",
    "Flatten": "flatten",
    "Reshape": "flatten",
}


def onnx_op(node: Mapping[str, Any]) -> str:
    if node["op"] == "AveragePool":  # torch's exporter writes adaptive pools as 1x1 windows
        return "adaptive_avgpool" if node["window"]["kernel_shape"] == [1, 1] else "avgpool"
    return SAME_OPS[node["op"]]


def channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    batch, c, *space = shape
    assert batch == 1
    return (*space, c)


def onnx_facts(graph: Mapping[str, Any]) -> Iterator[Fact]:
    for node in graph["nodes"]:
        assert node["inferred"] == node["executed"]
        op, output = onnx_op(node), channels_last(node["executed"])
        sources = tuple(-1 if s == "input" else s for s in node["from"])
        shapes = [tuple(w) for w in node["weights"]]
        macs, buffers = 0, []
        if op == "conv":
            filters, c, *kernel = shapes[0]
            shapes[0] = (*kernel, c, filters)
            macs = prod(output) * prod(kernel) * c
        elif op == "dense":
            shapes[0] = shapes[0][::-1]  # Gemm with transB
            macs = prod(shapes[0])
        elif op == "batchnorm":
            shapes, buffers = shapes[:2], shapes[2:]
        else:
            shapes = []  # Clip's bounds and the like
        yield Fact(op, sources, output, tuple(shapes), tuple(buffers), macs)


def without_bias(facts: Sequence[Fact]) -> list[Fact]:
    """Folding a batchnorm gives its convolution a bias; take it off."""
    return [f._replace(weights=f.weights[:1]) if f.op == "conv" else f for f in facts]


def load_graph(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return graph


# spec, graph, batchnorm folded?, layers compared, parameters of the unfolded network, MACs
GRAPHS = [
    ("alexnet-torchvision", "alexnet_ts", False, 19, 61_100_840, 714_188_480),
    ("resnet18", "resnet18_ts", False, 68, 11_689_512, 1_814_073_344),
    ("resnet50", "resnet50_dynamo", True, 121, 25_557_032, 4_089_184_256),
    ("mobilenet_v2", "mobilenet_v2_ts_bnfused", True, 99, 3_504_872, 300_774_272),
    (GOOGLENET, "googlenet_ts", False, 195, 6_624_904, 1_498_376_192),
    (LENET, "lenet_d2l_ts", False, 11, 61_706, 416_520),
]


@pytest.mark.parametrize(
    ("spec", "name", "folded", "count", "params", "macs"),
    GRAPHS,
    ids=[f"{g[1]}-{g[3]}-layers" for g in GRAPHS],
)
def test_onnx(spec: str, name: str, folded: bool, count: int, params: int, macs: int) -> None:
    skip = {"dropout", "flatten"} | ({"batchnorm"} if folded else set())
    theirs = kept(list(onnx_facts(load_graph(name))), skip)
    assert len(theirs) == count
    compare(ours(spec, skip), without_bias(theirs) if folded else theirs)
    totals = cnncalc.load(spec).derive().totals
    assert totals is not None
    assert (totals.params, totals.macs) == (params, macs)
    assert sum(f.macs for f in theirs) == macs


def windows(graph: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[int]]]:
    """Nodes that slide, with the spatial size of what they read."""
    shapes = [node["executed"] for node in graph["nodes"]]
    for node in graph["nodes"]:
        if "kernel_shape" in node.get("window", {}):
            (source,) = node["from"]
            yield node, (graph["input"] if source == "input" else shapes[source])[2:]


@pytest.mark.parametrize("name", [g[1] for g in GRAPHS])
def test_onnx_windows(name: str) -> None:
    """Every window of the graph, from its own attributes, in the graph's own dialect."""
    graph = load_graph(name)
    rules = dialect(graph["dialect"])
    count = 0
    for node, space in windows(graph):
        w = node["window"]
        assert w.get("auto_pad", "NOTSET") == "NOTSET"
        rank = len(space)
        for i, n in enumerate(space):
            k, s = w["kernel_shape"][i], w["strides"][i]
            pads = w.get("pads", [0] * (2 * rank))
            d, pad = w.get("dilations", [1] * rank)[i], (pads[i], pads[rank + i])
            if node["op"] == "Conv":
                found = conv_window(rules, n, k, s, d, pad)
            else:
                rounding = "ceil" if w.get("ceil_mode") else "floor"
                found = pool_window(rules, n, k, s, d, pad, rounding)
            assert found.out == node["executed"][2 + i], (node, n)
            assert found.flaw is None
            count += 1
    assert (
        count
        == {
            "alexnet_ts": 18,
            "resnet18_ts": 42,
            "resnet50_dynamo": 108,
            "mobilenet_v2_ts_bnfused": 104,
            "googlenet_ts": 140,
            "lenet_d2l_ts": 8,
        }[name]
    )
