"""Attention against torch and torchvision, with the same weights: sizes, counts and values."""

from typing import Any

import jax
import numpy as np
import pytest
import torch
from layer_cases import Arrays, random
from torch import Tensor, nn

from cnncalc.derive import count
from cnncalc.dialects import DIALECTS
from cnncalc.layers import Attention, WindowPartition
from cnncalc.layers.base import Layer

TORCH = DIALECTS["torch"]


def ours(layer: Layer, *xs: Any) -> tuple[Any, dict[str, Tensor]]:
    """Our reference's values, and the parameters that it used."""
    run = Arrays(TORCH)
    y = np.asarray(jax.jit(lambda *xs: layer.reference(run, *xs))(*xs))
    shapes = [x.shape[1:] for x in xs]
    assert run.params == layer.weights(shapes, TORCH)
    assert y.shape[1:] == layer.output(shapes, TORCH)
    return y, {n: torch.from_numpy(np.array(v)) for n, v in run.values.items()}


def near(a: Any, b: Any) -> None:
    b = b.detach().numpy() if isinstance(b, Tensor) else b
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def load(module: nn.Module, values: dict[str, Tensor]) -> None:
    """Every parameter of the module, none left over."""
    own = dict(module.named_parameters())
    assert own.keys() == values.keys()
    for name, value in values.items():
        assert own[name].numel() == value.numel(), name
        own[name].data = value.reshape(own[name].shape).contiguous()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_multihead_attention(bias: bool, causal: bool) -> None:
    layer, x = Attention(4, bias=bias, causal=causal), random("x", (2, 7, 12))
    y, p = ours(layer, x)
    module = nn.MultiheadAttention(12, 4, bias=bias, batch_first=True)
    values = {"in_proj_weight": p["qkv"].T, "out_proj.weight": p["output"].T}
    if bias:
        values |= {"in_proj_bias": p["qkv_bias"], "out_proj.bias": p["output_bias"]}
    load(module, values)
    assert count(layer.weights([(7, 12)], TORCH)) == sum(v.numel() for v in values.values())
    hidden = nn.Transformer.generate_square_subsequent_mask(7) if causal else None
    given = torch.from_numpy(x)
    near(y, module(given, given, given, attn_mask=hidden)[0])


def test_cross_attention() -> None:
    """Queries, keys and values of three inputs, each with channels of its own."""
    layer = Attention(3)
    q, k, v = (random(n, (2, *s)) for n, s in {"q": (5, 6), "k": (7, 4), "v": (7, 8)}.items())
    y, p = ours(layer, q, k, v)
    module = nn.MultiheadAttention(6, 3, kdim=4, vdim=8, batch_first=True)
    bias = torch.cat([p["query_bias"], p["key_bias"], p["value_bias"]])
    values = {f"{n[0]}_proj_weight": p[n].T for n in ("query", "key", "value")}
    values |= {"in_proj_bias": bias, "out_proj.weight": p["output"].T}
    load(module, values | {"out_proj.bias": p["output_bias"]})
    near(y, module(*map(torch.from_numpy, (q, k, v)))[0])


def test_widths_of_one_head() -> None:
    """Key and value widths of their own, without a projection: torch's plain function."""
    layer, x = Attention(3, key_dim=4, value_dim=5, project=False), random("x", (2, 7, 6))
    y, p = ours(layer, x)
    q, k, v = (torch.from_numpy(x) @ p["qkv"] + p["qkv_bias"]).split([12, 12, 15], -1)
    q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in (q, k, v))
    heads = nn.functional.scaled_dot_product_attention(q, k, v)
    near(y, heads.transpose(1, 2).flatten(2))


# --- windows: torchvision's own code, where it is installed ------------------------------


def swin_values(p: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {"qkv.weight": p["qkv"].T, "qkv.bias": p["qkv_bias"]}
    return found | {"proj.weight": p["output"].T, "proj.bias": p["output_bias"]}


def windowed(layer: Attention, x: Any, window: int, shift: int) -> tuple[Any, dict[str, Tensor]]:
    """Roll, partition, attention, reverse, roll back, by our references."""
    from cnncalc.layers import Roll, WindowReverse

    run = Arrays(TORCH)
    xs: Any = jax.numpy.asarray(x)
    for step in (Roll(-shift), WindowPartition(window), layer, WindowReverse(window), Roll(shift)):
        xs = step.reference(run, xs)
    return np.asarray(xs), {n: torch.from_numpy(np.array(v)) for n, v in run.values.items()}


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_shifted_windows(shift: int) -> None:
    swin = pytest.importorskip("torchvision.models.swin_transformer")
    layer = Attention(3, window=4, relative_bias="table", shift=shift)
    x = random("x", (2, 8, 12, 6))
    y, p = windowed(layer, x, 4, shift)
    module = swin.ShiftedWindowAttention(6, [4, 4], [shift, shift], 3)
    load(module, swin_values(p) | {"relative_position_bias_table": p["relative"]})
    near(y, module(torch.from_numpy(x)))


@pytest.mark.parametrize("shift", [0, 2])
def test_shifted_windows_v2(shift: int) -> None:
    swin = pytest.importorskip("torchvision.models.swin_transformer")
    layer = Attention(3, window=4, relative_bias="continuous", shift=shift, cosine=True)
    x = random("x", (2, 8, 12, 6))
    y, p = windowed(layer, x, 4, shift)
    module = swin.ShiftedWindowAttentionV2(6, [4, 4], [shift, shift], 3)
    load(
        module,
        swin_values(p)
        | {
            "logit_scale": p["logit_scale"],
            "cpb_mlp.0.weight": p["relative_hidden"].T,
            "cpb_mlp.0.bias": p["relative_hidden_bias"],
            "cpb_mlp.2.weight": p["relative_output"].T,
        },
    )
    near(y, module(torch.from_numpy(x)))


@pytest.mark.parametrize("grid", [False, True])
def test_block_and_grid_of_maxvit(grid: bool) -> None:
    maxvit = pytest.importorskip("torchvision.models.maxvit")
    layer = Attention(2, window=3, relative_bias="table", scale_dim=8)
    part = WindowPartition(3, grid=grid)
    x = random("x", (2, 6, 6, 8))
    tokens = np.asarray(part.reference(Arrays(TORCH), jax.numpy.asarray(x)))
    y, p = ours(layer, tokens)
    module = maxvit.RelativePositionalMultiHeadAttention(8, 4, 9)
    values = {"to_qkv.weight": p["qkv"].T, "to_qkv.bias": p["qkv_bias"]}
    values |= {"merge.weight": p["output"].T, "merge.bias": p["output_bias"]}
    load(module, values | {"relative_position_bias_table": p["relative"]})
    given = torch.from_numpy(x).movedim(-1, 1)
    cut = maxvit.WindowPartition()(given, 2 if grid else 3)
    cut = maxvit.SwapAxes(-2, -3)(cut) if grid else cut
    near(tokens.reshape(2, 4, 9, 8), cut)
    near(y.reshape(2, 4, 9, 8), module(cut))
