"""LSTM and GRU against torch's and ONNX Runtime's, and Keras's and Flax's counts of weights."""

from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from layer_cases import Arrays, random
from onnx import TensorProto, helper, numpy_helper

from cnncalc.derive import count
from cnncalc.dialects import dialect
from cnncalc.layers import GRU, LSTM
from cnncalc.layers.base import Layer

X = random("x", (2, 7, 5))


def ours(layer: Layer, name: str) -> tuple[Any, dict[str, Any]]:
    run = Arrays(dialect(name))
    y = np.asarray(jax.jit(lambda x: layer.reference(run, x))(X))
    assert run.params == layer.weights([(7, 5)], dialect(name))
    assert y.shape[1:] == layer.output([(7, 5)], dialect(name))
    return y, {n: np.array(v) for n, v in run.values.items()}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cls", [LSTM, GRU])
def test_torch(cls: Any, both: bool, bias: bool) -> None:
    """Every state, and the number of parameters."""
    layer = cls(4, return_sequences=True, bidirectional=both, bias=bias)
    y, p = ours(layer, "torch")
    module = getattr(torch.nn, cls.__name__)(5, 4, bidirectional=both, bias=bias, batch_first=True)
    names = {"kernel": "weight_ih", "recurrent": "weight_hh"}
    names |= {"bias": "bias_ih", "recurrent_bias": "bias_hh"} if bias else {}
    for prefix, suffix in {"": "_l0", "backward_": "_l0_reverse"}.items():
        for mine, theirs in names.items() if both or not prefix else ():
            getattr(module, theirs + suffix).data = torch.from_numpy(p[prefix + mine].T.copy())
    total = sum(w.numel() for w in module.parameters())
    assert count(layer.weights([(7, 5)], dialect("torch"))) == total
    np.testing.assert_allclose(y, module(torch.from_numpy(X))[0].detach(), atol=1e-5)


@pytest.mark.parametrize("cls", [LSTM, GRU])
def test_last_states_are_torchs(cls: Any) -> None:
    """Without `return_sequences` the final state of each direction."""
    layer = cls(4, bidirectional=True)
    y, p = ours(layer, "torch")
    module = getattr(torch.nn, cls.__name__)(5, 4, bidirectional=True, batch_first=True)
    own = {"kernel": "weight_ih", "recurrent": "weight_hh"}
    own |= {"bias": "bias_ih", "recurrent_bias": "bias_hh"}
    for prefix, suffix in {"": "_l0", "backward_": "_l0_reverse"}.items():
        for mine, theirs in own.items():
            getattr(module, theirs + suffix).data = torch.from_numpy(p[prefix + mine].T.copy())
    final = module(torch.from_numpy(X))[1]
    h = (final[0] if cls is LSTM else final).detach()
    np.testing.assert_allclose(y, torch.cat([h[0], h[1]], -1), atol=1e-5)


ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}  # ONNX has i, o, f, c and z, r, h


@pytest.mark.parametrize(
    ("cls", "after", "reverse"),
    [(LSTM, None, False), (LSTM, None, True), (GRU, None, False), (GRU, True, False),
     (GRU, False, True)],
)  # fmt: skip
def test_onnx(cls: Any, after: bool | None, reverse: bool) -> None:
    """ONNX Runtime's states: the reset gate before the product unless told otherwise."""
    kind = cls.__name__
    fields = {} if after is None else {"reset_after": after}
    layer = cls(4, return_sequences=True, reverse=reverse, **fields)
    y, p = ours(layer, "onnx:17")

    def gates(a: Any) -> Any:
        parts = np.split(a, len(ORDER[kind]), axis=-1)
        return np.concatenate([parts[i] for i in ORDER[kind]], axis=-1)

    bias = np.concatenate([gates(p["bias"]), gates(p["recurrent_bias"])])
    arrays = {"W": gates(p["kernel"]).T, "R": gates(p["recurrent"]).T, "B": bias}
    extra = {"linear_before_reset": int(bool(after))} if kind == "GRU" else {}
    node = helper.make_node(
        kind, ["X", "W", "R", "B"], ["Y"], hidden_size=4,
        direction="reverse" if reverse else "forward", **extra,
    )  # fmt: skip
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, (7, 2, 5))],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, (7, 1, 2, 4))],
        [numpy_helper.from_array(a[None].astype("float32"), n) for n, a in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (theirs,) = session.run(None, {"X": X.swapaxes(0, 1)})
    np.testing.assert_allclose(y, theirs[:, 0].swapaxes(0, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "name", "total"),
    [
        (LSTM(64), "keras", 24_832),  # keras.layers.LSTM(64) on 32 features, count_params
        (GRU(64), "keras", 18_816),  # keras.layers.GRU(64), reset_after=True
        (GRU(64, reset_after=False), "keras", 18_624),
        (LSTM(64), "torch", 25_088),
        (GRU(64), "torch", 18_816),
        (GRU(64), "jax", 18_688),  # flax.linen.GRUCell: r, z, n and one for the recurrent n
        (LSTM(64), "jax", 24_832),  # flax.linen.OptimizedLSTMCell
        (LSTM(64), "cs231n", 24_832),
    ],
)
def test_parameters_by_dialect(layer: Layer, name: str, total: int) -> None:
    assert count(layer.weights([(80, 32)], dialect(name))) == total


def test_multiply_adds() -> None:
    """Half of the FLOPs of the products that a step is made of."""
    macs = LSTM(64, bidirectional=True).macs([(80, 32)], (128,), dialect("torch"))
    assert macs == 2 * 80 * (32 * 4 * 64 + 64 * 4 * 64)
    macs = GRU(64).macs([(80, 32)], (64,), dialect("torch"))
    assert macs == 80 * (32 * 3 * 64 + 64 * 3 * 64)
