"""Whole transformers with torchvision's own weights: our forward against torchvision's.

    python tests/campaigns/transformers.py [vit_b_16 swin_t swin_v2_t maxvit_t]

Needs torchvision. Weights are drawn at random by torchvision, copied array by array in the
order in which its modules run, and the logits of one image compared; about a minute each.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

import cnncalc
from cnncalc.execute import Arrays, forward, initialise

NAMES = ("vit_b_16", "swin_t", "swin_v2_t", "maxvit_t")
WHOLE = ("ShiftedWindowAttention", "ShiftedWindowAttentionV2", "MultiheadAttention")
MAXVIT = "RelativePositionalMultiHeadAttention"


def executed(model: nn.Module, image: torch.Tensor) -> tuple[list[nn.Module], Any]:
    """Modules with weights in the order in which they begin to run, and the logits."""
    order: list[nn.Module] = []
    inner: set[nn.Module] = set()
    for module in model.modules():
        if type(module).__name__ in (*WHOLE, MAXVIT):
            inner |= {m for m in module.modules() if m is not module}
    for module in model.modules():
        own = bool(list(module.parameters(recurse=False)))
        whole = type(module).__name__ in WHOLE
        if (own or whole) and module not in inner and module is not model:
            module.register_forward_pre_hook(lambda m, x: order.append(m))
    with torch.no_grad():
        y = model(image)
    return order, y.numpy()


def values(module: nn.Module) -> dict[str, Any]:
    """A module's arrays by our names, in our layouts."""
    found = {n: p.detach().numpy() for n, p in module.state_dict().items()}
    kind = type(module).__name__
    if kind in WHOLE or kind == MAXVIT:
        return dict(attention(found))
    if kind == "Encoder":  # ViT's, which keeps the positions
        return {"position": found["pos_embedding"][0]}
    if "running_mean" in found:
        names = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "var"}
        return {ours: found[theirs] for theirs, ours in names.items()}
    if kind.startswith("LayerNorm"):
        return {"gamma": found["weight"], "beta": found["bias"]}
    kernel = found["weight"]
    turned = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
    return {"kernel": turned} | ({"bias": found["bias"]} if "bias" in found else {})


ATTENTION = {
    "qkv.weight": "qkv", "to_qkv.weight": "qkv", "in_proj_weight": "qkv",
    "qkv.bias": "qkv_bias", "to_qkv.bias": "qkv_bias", "in_proj_bias": "qkv_bias",
    "proj.weight": "output", "merge.weight": "output", "out_proj.weight": "output",
    "proj.bias": "output_bias", "merge.bias": "output_bias", "out_proj.bias": "output_bias",
    "relative_position_bias_table": "relative", "logit_scale": "logit_scale",
    "cpb_mlp.0.weight": "relative_hidden", "cpb_mlp.0.bias": "relative_hidden_bias",
    "cpb_mlp.2.weight": "relative_output",
}  # fmt: skip


def attention(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for theirs, ours in ATTENTION.items():
        if theirs in found:
            value = found[theirs]
            yield ours, value.T if value.ndim == 2 and ours != "relative" else value


def compare(name: str) -> float:
    """The largest difference of the logits, relative to the largest logit."""
    torch.manual_seed(0)
    report = cnncalc.load(name).derive()
    (source,) = report.input_shapes
    shape = tuple(int(str(n)) for n in report.input_shapes[source])
    model = torchvision.models.get_model(name).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():  # biases and gains that do something
            if p.ndim == 1 or "token" in key or key.endswith("table"):
                p += 0.1 * torch.randn_like(p)
            elif not p.any():  # ViT's head
                p += 0.02 * torch.randn_like(p)
    x = torch.randn(1, shape[2], *shape[:2])
    order, theirs = executed(model, x)
    params, buffers = initialise(report)
    todo = iter(order)
    for row in report.layers:
        if row.op == "class_token":
            params[row.name]["token"] = model.class_token.detach().numpy()[0]
        elif row.weights:
            fill(row.name, params, buffers, values(next(todo)))
    assert next(todo, None) is None, "torchvision has more layers"
    given = x.permute(0, 2, 3, 1).numpy()
    ours = forward(report, params, buffers, {source: given})[0][report.outputs[0]]
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def fill(name: str, params: Arrays, buffers: Arrays, found: dict[str, Any]) -> None:
    for kept in (params[name], buffers.get(name, {})):
        for key, old in kept.items():
            kept[key] = found.pop(key).reshape(old.shape)
    assert not found, (name, list(found))


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        print(f"{each}: largest relative difference {compare(each):.2g}", flush=True)
