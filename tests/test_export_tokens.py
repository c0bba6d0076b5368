"""`export --to torch` of tokens, windows and recurrence: PyTorch finds what was derived."""

import numpy as np
import onnx
import pytest
import torch
from export_cases import net
from export_values import run_onnx
from test_export_torch import built, source_of

from cnncalc.exporters import export

T = "16x8"
M = "6x6x8"
SPECS = [
    net("attention: 2", "linear: 4", input=T),
    net("attention: {heads: 2, dim: 12, fused: false, causal: true, units: 4}", input=T),
    net("attention: {heads: 2, key_dim: 2, value_dim: 5, bias: false, project: false}", input=T),
    net("class_token: {count: 2, position: last}", "positional:", "layernorm:", "gather: 0",
        input=T),
    net("positional: {kind: sinusoidal}", "layer_scale:", "stochastic_depth: 0.1",
        "gather: {indices: [3, 0], axis: 0}", "linear: 3", input=T),
    net("add: [[], [{parameter: 16x8}]]", "linear: 3", input=T),
    net("embedding: {vocab: 50, dim: 6}", "linear: 3", input="16"),
    net("embedding: {vocab: 50, dim: 6}", "conv: {filters: 4, kernel: 3}", input="16"),
    net("roll: [2, -1]", "window_partition: 3", "attention: {heads: 2, window: 3, shift: [2, 1], "
        "relative_bias: table}", "window_reverse: 3", "roll: [-2, 1]", input=M),
    net("window_partition: {window: [3, 2], grid: true}", "layernorm:",
        "window_reverse: {window: [3, 2], grid: true}", input=M),
    net("lstm: {units: 5, return_sequences: true, bidirectional: true}", "lstm: 4", input=T),
    net("lstm: {units: 5, return_sequences: true, reverse: true}",
        "gru: {units: 3, bidirectional: true, merge: sum}", input=T, head="dialect: torch\n"),
    net("gru: {units: 5, return_sequences: true}", "lstm: {units: 3, bias: false}", input=T,
        head="dialect: keras\n"),
    net('slice: {ranges: ["0::2", "1:-1"]}', "split: {parts: 2, index: 1}",
        "chunk: {parts: 2, axis: 0}", "split: {parts: [1, 3], index: 1}", input=M),
    net("selu:", "hardtanh:", "clip: {low: 0}", "power: 2", "rescale: {scale: 2}", "celu: 0.5",
        "hardshrink:", "abs:", "maximum: [[], [exp]]", "subtract: [[], [softsign]]", input=M),
]  # fmt: skip


TOKENS = ("linear", "layernorm", "attention", "matmul", "lstm", "gru")


def check(spec):
    network, source = source_of(spec)
    report = network.derive()
    ops = {row.op for row in report.layers}
    tokens = not ops.isdisjoint(TOKENS)

    def tensor(shape):
        if len(shape) == 1 or (len(shape) == 2 and tokens):
            return (2, *shape)
        return (2, shape[-1], *shape[:-1])

    # Recurrent layers are slow on the meta device: every step is taken apart.
    with torch.device("cpu" if ops & {"lstm", "gru"} else "meta"), torch.no_grad():
        model = built(source).eval()
        found = model(*(torch.zeros(tensor(s)) for s in report.input_shapes.values()))
    assert sum(p.numel() for p in model.parameters()) == report.totals.params
    assert tuple(found.shape) == tensor(report.row(report.outputs[0]).output)
    assert max(map(len, source.splitlines())) <= 100
    return source


@pytest.mark.parametrize("spec", SPECS)
def test_layers(spec):
    check(spec)


VIT = """
dialect: torch
input: 8x8x3
blocks:
  encoder:
    args: [heads, hidden]
    layers:
      - add: [[layernorm, {attention: heads}], []]
      - add: [[layernorm, {linear: hidden}, gelu, {linear: 6}], []]
layers:
  - conv: {filters: 6, kernel: 4, stride: 4}
  - reshape: [-1, 6]
  - class_token:
  - positional:
  - repeat: {times: 2, layers: [{encoder: [2, 12]}]}
  - layernorm
  - gather: 0
  - dense: 5
"""
SWIN = """
dialect: torch
input: 16x16x3
blocks:
  windows:
    args: [heads, s]
    layers:
      - roll: -s
      - window_partition: 2
      - attention: {heads: heads, window: 2, relative_bias: table, shift: s}
      - window_reverse: 2
      - roll: s
  block:
    args: [c, heads, s]
    layers:
      - add: [[layernorm, {windows: [heads, s]}, {stochastic_depth: 0.2}], []]
      - add: [[layernorm, {linear: 4*c}, gelu, {linear: c}, {stochastic_depth: 0.2}], []]
layers:
  - conv: {filters: 4, kernel: 4, stride: 4}
  - layernorm
  - repeat: {times: 2, layers: [{block: [4, 2, 0]}, {block: [4, 2, 1]}]}
  - concat:
      - [{slice: {ranges: ["0::2", "0::2"]}}]
      - [{slice: {ranges: ["1::2", "1::2"]}}]
  - linear: {units: 8, bias: false}
  - block: [8, 2, 0]
  - mean: {axes: [0, 1]}
  - dense: 5
"""


@pytest.mark.parametrize("spec", [VIT, SWIN])
def test_networks_of_tokens(spec):
    """A vision transformer, and one of shifted windows, as the bundled ones are built."""
    source = check(spec)
    assert source.count("class ") >= 3
    assert "range(2)" in source


@pytest.mark.parametrize("spec", [VIT, SWIN])
def test_networks_of_tokens_in_onnx(spec):
    network, _ = source_of(spec)
    report = network.derive()
    data = export(network, "onnx")
    (shape,) = report.input_shapes.values()
    x = np.ones((2, shape[-1], *shape[:-1]), np.float32)
    (found,) = run_onnx(data, {"input": x})
    assert found.shape == (2, 5)
    held = onnx.load_model_from_string(data).graph.initializer
    assert sum(int(np.prod(i.dims)) for i in held) == report.totals.params
