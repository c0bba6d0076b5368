"""Attention and windows come back from what files hold of them, and only where they are there."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from test_export_import import same, through_onnx, through_torch

import cnncalc
from cnncalc.importers.onnx import draft
from cnncalc.layers import REGISTRY
from cnncalc.source import Source

EXAMPLES = REGISTRY["attention"].examples


MAPS = {"2x3x4x6": ("4x6x6", "[2, 2]"), "2x2x6x4": ("6x4x4", "[3, 2]")}


def spec_of_map(shape, window, fields):
    said = ", ".join(f"{k}: {str(v).lower()}" for k, v in fields.items())
    layers = f"  - window_partition: {window}\n  - attention: {{{said}}}\n"
    return f"dialect: torch\ninput: {shape}\nlayers:\n{layers}"


def spec_of(number):
    """An example of attention as a network; its windows are cut out of a map."""
    inputs, fields = EXAMPLES[number]
    if str(inputs) in MAPS:
        return spec_of_map(*MAPS[inputs], fields)
    given = [inputs] if isinstance(inputs, str) else inputs
    names = [f"x{i}" for i in range(len(given))]
    said = ", ".join(f"{k}: {str(v).lower()}" for k, v in fields.items())
    shapes = ", ".join(f"{n}: {s}" for n, s in zip(names, given, strict=True))
    head = f"inputs: {{{shapes}}}" if len(given) > 1 else f"input: {given[0]}"
    at = f"\n    from: [{', '.join(names)}]" if len(given) > 1 else ""
    return f"dialect: torch\n{head}\nlayers:\n  - attention: {{{said}}}{at}\n"


WINDOWS = """dialect: torch
input: 8x12x6
layers:
  - layernorm
  - roll: {by: [-1, -2], axes: [0, 1]}
  - window_partition: [2, 4]
  - attention: {heads: 2, window: [2, 4], relative_bias: table, shift: [1, 2]}
  - window_reverse: [2, 4]
  - roll: {by: [1, 2], axes: [0, 1]}
  - window_partition: {window: 4, grid: true}
  - attention: {heads: 3, window: 4, relative_bias: continuous, cosine: true, hidden: 7}
  - window_reverse: {window: 4, grid: true}
  - slice: {ranges: [0::2, 1:-1]}
  - gather: {indices: -1, axis: 0}
"""


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_attention_through_onnx(number, tmp_path):
    first, second = through_onnx(cnncalc.load(Source(spec_of(number))), tmp_path)
    assert [row.op for row in second.layers] == [row.op for row in first.layers]
    same(first, second)


def test_windows_through_onnx(tmp_path):
    first, second = through_onnx(cnncalc.load(Source(WINDOWS)), tmp_path)
    same(first, second)
    ops = [row.op for row in second.layers if row.op != "slice"]
    assert ops == [row.op for row in first.layers if row.op != "slice"]


@pytest.mark.parametrize("spec", [WINDOWS, spec_of(1)])
def test_attention_through_torch(spec, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    first, second = through_torch(spec, tmp_path, monkeypatch)
    same(first, second)
    assert any(row.op == "attention" for row in second.layers)


# --- what is nearly attention stays as it is -----------------------------------------------------


def tokens_6x8(change=None, mask=None, scale=0.5):
    """Two heads of width 4 by ONNX's own operators, in PyTorch's manner, with one thing changed."""
    said = {"q": 0, "k": 8, "v": 16, "axes": [0, 2, 1, 3], "back": [0, 2, 1, 3]} | (change or {})
    constants: dict = {}
    nodes: list = []

    def constant(value, kind=np.int64):
        name = f"onnx::Constant_{len(constants)}"
        constants[name] = numpy_helper.from_array(np.array(value, kind), name)
        return name

    def node(op, *inputs, **attributes):
        name = f"{op}{len(nodes)}"
        nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    constants["W"] = numpy_helper.from_array(np.zeros((8, 24), "float32"), "W")
    constants["B"] = numpy_helper.from_array(np.ones(24, "float32") / 3, "B")
    constants["P"] = numpy_helper.from_array(np.zeros((8, 8), "float32"), "P")
    qkv = node("Add", node("MatMul", "x", "W"), "B")
    parts = []
    for part in "qkv":
        ends = constant([said[part]]), constant([said[part] + 8])
        cut = node("Slice", qkv, *ends, constant([2]))
        split = node("Reshape", cut, constant([1, 6, 2, 4]))
        parts.append(node("Transpose", split, perm=said["axes"]))
    q, k, v = parts
    q = node("Mul", q, constant(scale, np.float32))
    scores = node("MatMul", q, node("Transpose", k, perm=[0, 1, 3, 2]))
    if mask is not None:
        scores = node("Add", scores, constant(mask, np.float32))
    y = node("MatMul", node("Softmax", scores, axis=-1), v)
    y = node("Reshape", node("Transpose", y, perm=said["back"]), constant([1, 6, 8]))
    node("MatMul", y, "P")
    info = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 6, 8])
            for n in ("x", nodes[-1].output[0])]  # fmt: skip
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], list(constants.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def ops_of(proto, folder):
    path = folder / "net.onnx"
    onnx.save(proto, str(path))
    return [(item.op, dict(item.fields)) for item in draft(str(path)).items.values()]


CAUSAL = np.where(np.triu(np.ones((6, 6)), 1), -1e9, 0.0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {}),
        ({"mask": CAUSAL}, {"causal": True}),
        ({"scale": 0.25}, {"scale_dim": 16}),
    ],
)
def test_attention_of_plain_operators(given, wanted, tmp_path):
    (found,) = ops_of(tokens_6x8(**given), tmp_path)
    assert found == ("attention", {"heads": 2, "output_bias": False} | wanted)


@pytest.mark.parametrize(
    "given",
    [
        {"change": {"q": 8, "k": 0}},  # keys where queries are
        {"change": {"v": 12}},  # values that start within a head
        {"change": {"back": [0, 1, 2, 3]}},  # heads put one behind another
        {"scale": -0.5},
        {"mask": CAUSAL.T},
        {"mask": 0.25 * CAUSAL / 1e9},  # a bias that hides nothing
    ],
)
def test_what_is_nearly_attention(given, tmp_path):
    with_it = ops_of(tokens_6x8(**given), tmp_path)
    assert [op for op, _ in with_it if op in ("attention", "softmax")] == ["softmax"]


SHIFTED = """dialect: torch
input: 8x8x4
layers:
  - roll: -1
  - window_partition: 4
  - attention: {heads: 2, window: 4, shift: 1}
"""


def test_the_mask_of_another_shift(tmp_path):
    """The shift is read from the mask itself, not from the roll before it."""
    other = SHIFTED.replace("shift: 1", "shift: 2")
    for spec in (SHIFTED, other):
        first, second = through_onnx(cnncalc.load(Source(spec)), tmp_path)
        same(first, second)
        (row,) = [r for r in second.layers if r.op == "attention"]
        assert row.layer.shift == (1 if spec is SHIFTED else 2)
    a, b = (through_onnx(cnncalc.load(Source(s)), tmp_path)[1] for s in (SHIFTED, other))
    with pytest.raises(AssertionError):
        same(a, b)


def test_domains_through_onnx(tmp_path):
    spec = """dialect: torch
input: HxWx3
assume: {H: {min: 32, multiple_of: 32}, W: {min: 8, max: 64}}
layers:
  - conv: {filters: 4, kernel: 3, pad: 1}
  - maxpool: 2
"""
    first, second = through_onnx(cnncalc.load(Source(spec)), tmp_path)
    same(first, second)
    assert [s.domain for s in second.symbols.values()] == [(32, None, 32), (8, 64, 1)]


@pytest.mark.parametrize(
    "text",
    ['{"H": {"min": 0}}', '{"H": {"min": true}}', '{"H": {"size": 3}}', '{"H": 3}', "[1]", "{",
     '{"H": {"min": 9, "max": 3}}', "[" * 2000, '{"H": {"min": 3}}' + " " * 9000],
)  # fmt: skip
def test_domains_that_are_none(text, tmp_path):
    spec = "dialect: torch\ninput: HxWx3\nlayers:\n  - relu\n"
    _, plain = through_onnx(cnncalc.load(Source(spec)), tmp_path)
    path = tmp_path / "net.onnx"
    proto = onnx.load(str(path))
    helper.set_model_props(proto, {"cnncalc.assume": text})
    onnx.save(proto, str(path))
    found = cnncalc.load(str(path)).derive()
    assert found.symbols == plain.symbols


def test_only_views_and_attributes_of_no_type(tmp_path):
    """Two findings of the fuzzer: nothing is left of the network; an attribute without a type."""
    info = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 3, 4])
            for n in "xy"]  # fmt: skip
    shape = numpy_helper.from_array(np.array([1, 3, 4]), "shape")
    zero = numpy_helper.from_array(np.array(0), "zero")
    view = helper.make_node("Reshape", ["x", "shape"], ["v"])
    again = helper.make_node("Reshape", ["v", "shape"], ["y"])
    picked = helper.make_node("Gather", ["x", "zero"], ["y"], axis=1)
    picked.attribute[0].type = 0
    for nodes in ([view, again], [picked]):
        graph = helper.make_graph(nodes, "g", info[:1], info[1:], [shape, zero])
        found = ops_of(helper.make_model(graph, ir_version=8), tmp_path)
        assert found
        assert cnncalc.load(str(tmp_path / "net.onnx")).derive().layers
