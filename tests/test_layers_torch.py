"""The torch dialect against torch itself: the same sizes, the same values, the same refusals."""

import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layer_cases import Arrays, Case, one_or_each, placed, random, refusal

from cnncalc import layers as L  # noqa: N812
from cnncalc.dialects import DIALECTS
from cnncalc.layers.base import Layer

TORCH = DIALECTS["torch"]
DRAWN = settings(max_examples=120, deadline=None)
FEWER = settings(max_examples=50, deadline=None)
Params = Mapping[str, torch.Tensor]
Twin = Callable[[Any, torch.Tensor, Params], torch.Tensor]


def each(value: Any, rank: int) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,) * rank


def pads(value: Any, rank: int) -> Any:
    return value if isinstance(value, str) else each(value, rank)


def rank(x: torch.Tensor) -> int:
    return x.dim() - 2


def weight(kernel: torch.Tensor) -> torch.Tensor:
    """(*kernel, C/groups, filters) as torch's (filters, C/groups, *kernel)."""
    n = kernel.dim()
    return kernel.permute(n - 1, n - 2, *range(n - 2))


def conv(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    n = rank(x)
    groups = x.shape[1] if layer.op == "depthwise_conv" else layer.groups
    apply = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
    fields = (each(layer.stride, n), pads(layer.pad, n), each(layer.dilation, n))
    return apply(x, weight(p["kernel"]), p.get("bias"), *fields, groups)


def separable(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    n = rank(x)
    apply = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
    fields = (each(layer.stride, n), pads(layer.pad, n), each(layer.dilation, n))
    x = apply(x, weight(p["depthwise"]), None, *fields, x.shape[1])
    return apply(x, weight(p["pointwise"]), p.get("bias"))


def conv_transpose(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    n, g = rank(x), layer.groups
    blocks = p["kernel"].chunk(g, dim=-1)
    w = torch.cat(blocks, dim=-2).permute(n, n + 1, *range(n))
    apply = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
    ends = [each(f, n) for f in (layer.stride, pads(layer.pad, n), layer.output_pad)]
    return apply(x, w, p.get("bias"), *ends, g, each(layer.dilation, n))


def max_pool(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    n = rank(x)
    stride = layer.kernel if layer.stride is None else layer.stride
    fields = [each(f, n) for f in (layer.kernel, stride, pads(layer.pad, n), layer.dilation)]
    apply = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    return apply(x, *fields, ceil_mode=layer.round == "ceil")


def avg_pool(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    n = rank(x)
    stride = layer.kernel if layer.stride is None else layer.stride
    fields = [each(f, n) for f in (layer.kernel, stride, pads(layer.pad, n))]
    apply = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
    include = (
        {} if layer.count_include_pad is None else {"count_include_pad": layer.count_include_pad}
    )
    return apply(x, *fields, ceil_mode=layer.round == "ceil", **include)


def adaptive(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    pools = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
    return pools[rank(x) - 1](x, each(layer.size, rank(x)))


def overall(name: str) -> Twin:
    def apply(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
        y = getattr(F, f"adaptive_{name}_pool{rank(x)}d")(x, 1)
        return y if layer.keepdims else y.flatten(1)

    return apply


def subsample(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    kernel = each(layer.kernel, rank(x))
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank(x) - 1](x, kernel)
    return per_channel(mean * float(np.prod(kernel)), p["coefficient"], p["bias"])


def per_channel(x: torch.Tensor, scale: torch.Tensor, shift: Any = None) -> torch.Tensor:
    shape = (1, -1) + (1,) * rank(x)
    y = x * scale.reshape(shape)
    return y if shift is None else y + shift.reshape(shape)


def batch_norm(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    affine = (p.get("gamma"), p.get("beta"))
    return F.batch_norm(x, p["mean"], p["var"], *affine, eps=float(layer.eps))


def layer_norm(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    x = x.movedim(1, -1)
    y = F.layer_norm(x, x.shape[-1:], p.get("gamma"), p.get("beta"), float(layer.eps))
    return y.movedim(-1, 1)


def group_norm(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    return F.group_norm(x, layer.groups, p.get("gamma"), p.get("beta"), float(layer.eps))


def lrn(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    numbers = (float(v) for v in (layer.alpha, layer.beta, layer.k))
    return F.local_response_norm(x, layer.size, *numbers)


def upsample(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    scale = [float(s) for s in each(layer.scale, rank(x))]
    if layer.method == "nearest":
        return F.interpolate(x, scale_factor=scale, mode="nearest")
    mode = ("linear", "bilinear", "trilinear")[rank(x) - 1]
    return F.interpolate(x, scale_factor=scale, mode=mode, align_corners=False)


def dense(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    return F.linear(x.movedim(1, -1).flatten(1), p["kernel"].T, p.get("bias"))


def linear(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    return F.linear(x.movedim(1, -1), p["kernel"].T, p.get("bias")).movedim(-1, 1)


def loss(layer: Any, x: torch.Tensor, p: Params) -> torch.Tensor:
    """Each item's mean over its positions, in our order of positions."""
    rows = x.movedim(1, -1).flatten(1, -2) if rank(x) else x[:, None]
    items, positions, classes = rows.shape
    labels = (torch.arange(positions) + torch.arange(items)[:, None]) % classes
    found = F.cross_entropy(rows.movedim(-1, 1), labels, reduction="none")
    return found.mean(1, keepdim=True)


def plain(function: Callable[..., torch.Tensor], **extra: Any) -> Twin:
    return lambda layer, x, p: function(x, **extra)


TWINS: dict[str, Twin] = {
    "conv": conv,
    "depthwise_conv": conv,
    "separable_conv": separable,
    "conv_transpose": conv_transpose,
    "maxpool": max_pool,
    "avgpool": avg_pool,
    "adaptive_avgpool": adaptive,
    "global_avgpool": overall("avg"),
    "global_maxpool": overall("max"),
    "subsample": subsample,
    "dense": dense,
    "linear": linear,
    "softmax_cross_entropy": loss,
    "batchnorm": batch_norm,
    "layernorm": layer_norm,
    "groupnorm": group_norm,
    "lrn": lrn,
    "scale": lambda layer, x, p: per_channel(x, p["scale"], p.get("bias")),
    "dropout": lambda layer, x, p: F.dropout(x, float(layer.rate), training=False),
    "upsample": upsample,
    "pixel_shuffle": lambda layer, x, p: F.pixel_shuffle(x, layer.scale),
    "channel_shuffle": lambda layer, x, p: torch.nn.ChannelShuffle(layer.groups)(x),
    "relu": plain(F.relu),
    "relu6": plain(F.relu6),
    "leaky_relu": lambda layer, x, p: F.leaky_relu(x, float(layer.slope)),
    "elu": lambda layer, x, p: F.elu(x, float(layer.alpha)),
    "gelu": lambda layer, x, p: F.gelu(x, approximate="tanh" if layer.approximate else "none"),
    "silu": plain(F.silu),
    "sigmoid": plain(torch.sigmoid),
    "tanh": plain(torch.tanh),
    "softmax": plain(F.softmax, dim=1),
    "log_softmax": plain(F.log_softmax, dim=1),
    "hardswish": plain(F.hardswish),
    "hardsigmoid": plain(F.hardsigmoid),
    "prelu": lambda layer, x, p: F.prelu(x, p["slope"]),
    "softplus": plain(F.softplus),
    "mish": plain(F.mish),
}


def tensor(x: Any) -> torch.Tensor:
    """A copy in row-major memory.

    torch 2.13's conv3d on oneDNN reads past a one-channel input that is merely viewed
    with the channels moved.
    """
    return torch.from_numpy(np.array(x, order="C", copy=True))


def twin(layer: Layer, x: Any, values: Mapping[str, Any]) -> Any:
    """The layer as torch computes it, channels last again."""
    params = {name: tensor(v) for name, v in values.items()}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = TWINS[layer.op](layer, tensor(np.moveaxis(x, -1, 1)), params)
    return y.movedim(1, -1).numpy()


def agree(layer: Layer, shape: tuple[int, ...]) -> None:
    """The stated size, our reference's values and torch's are the same."""
    x = random("x", (2, *shape)) * 3
    run = Arrays(TORCH)
    ours = np.asarray(jax.jit(lambda x: layer.reference(run, x))(x))
    theirs = twin(layer, x, run.values)
    assert theirs.shape[1:] == layer.output([shape], TORCH)
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


R = Fraction
TABLE: list[tuple[Layer, tuple[int, ...]]] = [
    (L.Conv(96, 11, stride=4), (227, 227, 3)),
    (L.Conv(6, 3, pad="same", dilation=2), (9, 10, 4)),
    (L.Conv(4, 4, pad="same"), (9, 10, 4)),
    (L.Conv(6, [2, 3], stride=[2, 1], pad=[1, 2], dilation=[2, 1], groups=2), (11, 9, 4)),
    (L.DepthwiseConv(3, stride=2, pad=1, multiplier=3), (9, 8, 4)),
    (L.SeparableConv(5, 3, pad=1, multiplier=2), (9, 8, 3)),
    (L.ConvTranspose(6, 3, stride=2, pad=1, output_pad=1, groups=2), (5, 6, 4)),
    (L.ConvTranspose(4, [2, 3], stride=[3, 2], dilation=[2, 1]), (4, 3, 2)),
    (L.ConvTranspose(2, 3, dilation=3, output_pad=2), (5, 2)),
    (L.MaxPool(3, stride=2, round="ceil"), (112, 112, 4)),
    (L.MaxPool(2, stride=2, pad=1, dilation=3, round="ceil"), (9, 8, 2)),
    (L.MaxPool(2, stride=1, pad=1, dilation=2), (1, 1)),  # nothing but padding: -infinity
    (L.MaxPool(1, stride=3, round="ceil"), (5, 6, 2)),
    (L.MaxPool(2, stride=3, pad=1, round="ceil"), (5, 7, 2)),
    (L.AvgPool(2, stride=3, pad=1, round="ceil"), (5, 7, 2)),
    (L.AvgPool(3, stride=2, pad=1, round="ceil", count_include_pad=True), (8, 9, 2)),
    (L.AvgPool(3, stride=2, pad=1, round="ceil", count_include_pad=False), (8, 9, 2)),
    (L.BatchNorm(eps=R(1, 10), scale=False), (5, 4, 3)),
    (L.GroupNorm(3, eps=R(1, 10)), (5, 4, 6)),
    (L.LRN(5, alpha=1, beta=R(3, 4), k=2), (5, 4, 12)),
    (L.LRN(4, alpha=R(1, 2)), (5, 4, 7)),
    (L.Upsample([R(3, 2), R(5, 2)], method="bilinear"), (5, 4, 2)),
    (L.Upsample(R(1, 2), method="bilinear"), (5, 4, 2)),
    (L.PixelShuffle(3), (4, 5, 18)),
    (L.Subsample(2), (28, 28, 6)),
]


@pytest.mark.parametrize(("layer", "shape"), TABLE, ids=lambda v: str(v))
def test_table(layer: Layer, shape: tuple[int, ...]) -> None:
    agree(layer, shape)


VOLUMES = [(12,), (9, 12), (5, 7, 12), (3, 4, 5, 12)]
FLAT = {"batchnorm", "layernorm", "groupnorm", "prelu", "dense", "linear", "softmax"}
SIZED: dict[str, list[dict[str, Any]]] = {
    "dense": [{"units": 5}, {"units": 3, "bias": False}],
    "linear": [{"units": 5}, {"units": 3, "bias": False}],
    "groupnorm": [{"groups": 4}, {"groups": 1, "affine": False}, {"groups": 12}],
    "channel_shuffle": [{"groups": 3}, {"groups": 4}],
    "global_avgpool": [{}, {"keepdims": True}],
    "global_maxpool": [{}, {"keepdims": True}],
    "scale": [{}, {"bias": True}],
    "batchnorm": [{}, {"affine": False}, {"shift": False}],
    "layernorm": [{}, {"affine": False}],
    "gelu": [{}, {"approximate": True}],
    "leaky_relu": [{}, {"slope": R(1, 5)}],
    "elu": [{}, {"alpha": R(1, 2)}],
    "lrn": [{}, {"size": 3, "alpha": 1, "beta": R(1, 2), "k": 2}],
}
DRAWN_APART = {"conv", "depthwise_conv", "separable_conv", "conv_transpose", "maxpool", "avgpool"}
DRAWN_APART |= {"adaptive_avgpool", "subsample", "upsample", "pixel_shuffle"}
NEEDS_SPACE = {"global_avgpool", "global_maxpool", "lrn", "channel_shuffle"}


def _everywhere() -> list[Any]:
    found = []
    for op in TWINS.keys() - DRAWN_APART:
        for fields in SIZED.get(op, [{}]):
            shapes = VOLUMES[1:] if op in NEEDS_SPACE else VOLUMES
            found += [(op, L.REGISTRY[op](**fields), shape) for shape in shapes]
    return sorted(found, key=str)


@pytest.mark.parametrize(("op", "layer", "shape"), _everywhere())
def test_every_rank(op: str, layer: Layer, shape: tuple[int, ...]) -> None:
    agree(layer, shape)


# --- windows drawn at random: torch refuses exactly what the dialect refuses -----------


def refuses_alike(case: Case) -> None:
    layer, shape, dialect = case
    code = refusal(layer, [shape], dialect)
    if code is None:
        agree(layer, shape)
        return
    params = {k: random(k, s) for k, s in layer.weights([shape], dialect).items()}
    try:
        y = twin(layer, random("x", (2, *shape)), params)
    except (RuntimeError, TypeError, ValueError):
        return
    if y.size == 0:  # a transposed convolution of several items may come out empty
        assert code == "S009"
        return
    # a window that overhangs a rounded-up end: torch computes what we call too large
    assert (code, getattr(layer, "round", None)) == ("S002", "ceil")
    assert y.shape[1:] == layer.output([shape], dialect)


def uneven(pad: Any) -> bool:
    """Padding that torch's functions have no way to say."""
    return isinstance(pad, tuple) and any(isinstance(p, tuple) for p in pad)


def torch_windows(cls: type[Layer]) -> st.SearchStrategy[Case]:
    words = () if cls in (L.Conv, L.DepthwiseConv, L.SeparableConv) else ("valid",)
    return placed(cls, ("torch",)).filter(
        lambda case: not uneven(case[0].pad) and case[0].pad not in words
    )


@DRAWN
@given(torch_windows(L.Conv))
def test_conv(case: Case) -> None:
    refuses_alike(case)


@DRAWN
@given(torch_windows(L.DepthwiseConv))
def test_depthwise_conv(case: Case) -> None:
    refuses_alike(case)


@DRAWN
@given(torch_windows(L.SeparableConv))
def test_separable_conv(case: Case) -> None:
    refuses_alike(case)


@DRAWN
@given(torch_windows(L.ConvTranspose))
def test_conv_transpose(case: Case) -> None:
    refuses_alike(case)


@DRAWN
@given(torch_windows(L.MaxPool))
def test_maxpool(case: Case) -> None:
    refuses_alike(case)


@DRAWN
@given(torch_windows(L.AvgPool))
def test_avgpool(case: Case) -> None:
    layer, shape, dialect = case
    refuses_alike((layer.replace(dilation=1), shape, dialect))


@st.composite
def volumes(draw: Any, channels: int = 2, low: int = 1) -> tuple[int, ...]:
    sizes = draw(st.lists(st.integers(low, 12), min_size=1, max_size=3))
    return (*sizes, channels)


@FEWER
@given(volumes(), st.data())
def test_adaptive_avgpool(shape: tuple[int, ...], data: st.DataObject) -> None:
    output = data.draw(one_or_each(len(shape) - 1, 1, 12))
    agree(L.AdaptiveAvgPool(output=output), shape)


@FEWER
@given(volumes(low=4), st.data())
def test_subsample(shape: tuple[int, ...], data: st.DataObject) -> None:
    agree(L.Subsample(data.draw(one_or_each(len(shape) - 1, 1, 4))), shape)


@FEWER
@given(volumes(low=2), st.data())
def test_upsample(shape: tuple[int, ...], data: st.DataObject) -> None:
    factor = st.sampled_from([R(1, 2), R(3, 2), R(5, 2), R(5, 4), 1, 2, 3, 4])
    n = len(shape) - 1
    scale = data.draw(factor | st.lists(factor, min_size=n, max_size=n))
    scales = each(tuple(scale) if isinstance(scale, list) else scale, n)
    # torch copies an axis whose size stays the same, whatever the scale
    assume(all(int(size * s) != size or s == 1 for size, s in zip(shape[:-1], scales, strict=True)))
    method = data.draw(st.sampled_from(["nearest", "bilinear"]))
    agree(L.Upsample(scale, method=method), shape)
