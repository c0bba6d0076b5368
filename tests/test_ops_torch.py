"""Ops of tokens, windows and single axes against torch itself: sizes and values.

Volumes here are channels last on both sides, so that torch's functions act on the same axes.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction as R
from typing import Any

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from layer_cases import Arrays, random
from torch import Tensor

from cnncalc import layers as L  # noqa: N812
from cnncalc.dialects import DIALECTS
from cnncalc.layers.base import Layer

TORCH = DIALECTS["torch"]
Shapes = Sequence[tuple[int, ...]]
Made = Callable[..., Tensor]  # of the parameters by name, and the inputs


def agree(layer: Layer, shapes: Shapes, made: Made, tolerance: float = 2e-5) -> None:
    """The stated size, our reference's values and torch's are the same."""
    xs = [random(f"x{i}", (2, *shape)) for i, shape in enumerate(shapes)]
    run = Arrays(TORCH)
    ours = np.asarray(jax.jit(lambda *xs: layer.reference(run, *xs))(*xs))
    params = {n: torch.from_numpy(np.asarray(v)) for n, v in run.values.items()}
    with torch.no_grad():
        theirs = made(params, *map(torch.from_numpy, xs)).numpy()
    assert theirs.shape[1:] == layer.output(shapes, TORCH)
    assert run.params == layer.weights(shapes, TORCH)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


CASES: dict[str, tuple[Layer, Shapes, Made]] = {
    "slice": (L.Slice(ranges=["0::2", "1:-1"]), [(9, 8, 4)], lambda p, x: x[:, 0::2, 1:-1]),
    "split": (L.Split(3, index=2), [(7, 12)], lambda p, x: x.split(4, -1)[2]),
    "sizes": (L.Split([2, 5], index=1, axis=0), [(7, 3)], lambda p, x: x.split([2, 5], 1)[1]),
    "chunk": (L.Chunk(4, index=3), [(7, 13)], lambda p, x: x.chunk(4, -1)[3]),
    "chunk of few": (L.Chunk(5, index=3), [(7,)], lambda p, x: x.chunk(5, -1)[3]),
    "gather": (L.Gather([3, 0, 3]), [(5, 4)], lambda p, x: x[:, [3, 0, 3]]),
    "gather one": (L.Gather(-1, axis=1), [(5, 4, 2)], lambda p, x: x[:, :, -1]),
    "expand": (L.Expand([3, -1, 4]), [(5, 1)], lambda p, x: x[:, None].expand(2, 3, 5, 4)),
    "squeeze": (L.Squeeze(1), [(5, 1, 4)], lambda p, x: x.squeeze(2)),
    "unsqueeze": (L.Unsqueeze([0, -1]), [(5, 4)], lambda p, x: x[:, None, :, :, None]),
    "roll": (L.Roll([-3, 2]), [(7, 8, 3)], lambda p, x: x.roll((-3, 2), (1, 2))),
    "permute": (
        L.Permute([2, 0, 3, 1, 4]),
        [(4, 5, 3, 2, 6)],
        lambda p, x: x.permute(0, 3, 1, 4, 2, 5),
    ),
    "reshape": (L.Reshape([4, 5, 3, 2, 6]), [(4, 5, 36)], lambda p, x: x.reshape(2, 4, 5, 3, 2, 6)),
    "matmul": (
        L.Matmul(transpose_b=True),
        [(3, 2, 5, 6), (2, 7, 6)],
        lambda p, a, b: a @ b[:, None].mT,
    ),
    "subtract": (L.Subtract(), [(5, 4), (5, 1)], lambda p, a, b: a - b),
    "divide": (L.Divide(), [(5, 4), (5, 4)], lambda p, a, b: a / b),
    "maximum": (L.Maximum(), [(5, 4), (5, 4)], lambda p, a, b: torch.maximum(a, b)),
    "minimum": (L.Minimum(), [(5, 4), (5, 4)], lambda p, a, b: torch.minimum(a, b)),
    "average": (L.Average(), [(5, 4), (5, 4)], lambda p, a, b: (a + b) / 2),
    "parameter": (L.Parameter([3, 4]), [(5,)], lambda p, x: p["value"].expand(2, 3, 4)),
    "token": (
        L.ClassToken(),
        [(5, 4)],
        lambda p, x: torch.cat([p["token"][None].expand(2, -1, -1), x], dim=1),
    ),
    "positional": (L.Positional(), [(5, 4)], lambda p, x: x + p["position"]),
    "clip": (L.Clip(R(-1, 2), 1), [(5, 4)], lambda p, x: x.clamp(-0.5, 1)),
    "power": (L.Power(3), [(5, 4)], lambda p, x: x**3),
    "sum": (L.Sum([0, 2]), [(5, 4, 3)], lambda p, x: x.sum((1, 3))),
    "max": (L.Max([0, 2], keepdims=True), [(5, 4, 3)], lambda p, x: x.amax((1, 3), keepdim=True)),
    "softmax": (L.Softmax(0), [(5, 4)], lambda p, x: x.softmax(1)),
    "log_softmax": (L.LogSoftmax(1), [(5, 4, 3)], lambda p, x: x.log_softmax(2)),
    "normalise": (L.Normalise(), [(5, 4)], lambda p, x: F.normalize(x, dim=-1)),
    "normalise 1": (L.Normalise(1, axis=0), [(5, 4)], lambda p, x: F.normalize(x, p=1, dim=1)),
    "normalise 3": (
        L.Normalise(3, eps=2),
        [(5, 4)],
        lambda p, x: F.normalize(x, p=3, dim=-1, eps=2.0),
    ),
    "layer scale": (L.LayerScale(), [(5, 4)], lambda p, x: x * p["scale"]),
    "hardsigmoid": (
        L.Hardsigmoid(alpha=R(1, 5)),
        [(5, 4)],
        lambda p, x: (0.2 * x + 0.5).clamp(0, 1),
    ),
    "hardtanh": (L.Hardtanh(0, R(1, 2)), [(5, 4)], lambda p, x: F.hardtanh(x, 0.0, 0.5)),
    "selu": (L.SELU(), [(5, 4)], lambda p, x: F.selu(x)),
    "celu": (L.CELU(R(1, 2)), [(5, 4)], lambda p, x: F.celu(x, 0.5)),
    "softsign": (L.Softsign(), [(5, 4)], lambda p, x: F.softsign(x)),
    "hardshrink": (L.Hardshrink(), [(5, 4)], lambda p, x: F.hardshrink(x)),
    "softshrink": (L.Softshrink(R(1, 4)), [(5, 4)], lambda p, x: F.softshrink(x, 0.25)),
    "tanhshrink": (L.Tanhshrink(), [(5, 4)], lambda p, x: F.tanhshrink(x)),
    "log_sigmoid": (L.LogSigmoid(), [(5, 4)], lambda p, x: F.logsigmoid(x)),
    "glu": (L.GLU(0), [(6, 4)], lambda p, x: F.glu(x, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_torch(name: str) -> None:
    agree(*CASES[name])


def test_embedding() -> None:
    """Rows of the table by whole numbers."""
    layer, run = L.Embedding(11, 4), Arrays(TORCH)
    words = np.random.default_rng(0).integers(0, 11, (2, 7))
    ours = layer.reference(run, jax.numpy.asarray(words, "float32"))
    theirs = F.embedding(torch.from_numpy(words), torch.from_numpy(run.values["table"]))
    assert (np.asarray(ours) == theirs.numpy()).all()


RESIZED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"method": "nearest"}, {"mode": "nearest"}),
    ({"method": "nearest_exact"}, {"mode": "nearest-exact"}),
    ({"method": "bilinear"}, {"mode": "bilinear"}),
    ({"method": "bicubic"}, {"mode": "bicubic"}),
    ({"method": "area"}, {"mode": "area"}),
    (
        {"method": "bilinear", "coordinates": "align_corners"},
        {"mode": "bilinear", "align_corners": True},
    ),
    (
        {"method": "bicubic", "coordinates": "align_corners"},
        {"mode": "bicubic", "align_corners": True},
    ),
]


@pytest.mark.parametrize("to", [(5, 7), (3, 4), (13, 9), (1, 20), (6, 8)])
@pytest.mark.parametrize(("fields", "mode"), RESIZED)
def test_resize(fields: dict[str, Any], mode: dict[str, Any], to: tuple[int, int]) -> None:
    agree(
        L.Resize(list(to), **fields),
        [(6, 8, 3)],
        lambda p, x: F.interpolate(x.movedim(-1, 1), to, **mode).movedim(1, -1),
    )


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "area"])
def test_resize_of_other_ranks(method: str, axes: int) -> None:
    sizes, to = (6, 8, 5)[:axes], (4, 11, 7)[:axes]
    mode = {1: "linear", 3: "trilinear"}[axes] if method == "bilinear" else method
    agree(
        L.Resize(list(to), method=method),
        [(*sizes, 2)],
        lambda p, x: F.interpolate(x.movedim(-1, 1), to, mode=mode).movedim(1, -1),
    )


def partitioned(x: Tensor, w: int, grid: bool) -> Tensor:
    """Windows folded into the batch, as Swin and MaxViT do it: (N·windows, w·w, C)."""
    n, h, width, c = x.shape
    if grid:
        cut = x.reshape(n, w, h // w, w, width // w, c).permute(0, 2, 4, 1, 3, 5)
    else:
        cut = x.reshape(n, h // w, w, width // w, w, c).permute(0, 1, 3, 2, 4, 5)
    return cut.reshape(-1, w * w, c)


@pytest.mark.parametrize("grid", [False, True])
def test_windows(grid: bool) -> None:
    """The leading axes of windows are those that are folded into the batch."""
    agree(
        L.WindowPartition(3, grid=grid),
        [(6, 9, 4)],
        lambda p, x: partitioned(x, 3, grid).reshape(2, 2, 3, 9, 4),
    )


@pytest.mark.parametrize("text", ["6x9x4", "12x2", "6x3x9x2"])
@pytest.mark.parametrize("grid", [False, True])
def test_windows_come_back(text: str, grid: bool) -> None:
    shape = tuple(map(int, text.split("x")))
    part, back = L.WindowPartition(3, grid=grid), L.WindowReverse(3, grid=grid)
    x, run = random("x", (2, *shape)), Arrays(TORCH)
    if len(shape) == 2:
        part, back = part.replace(window=4), back.replace(window=4)  # type: ignore[assignment]
    middle = jax.jit(lambda x: part.reference(run, x))(x)
    assert middle.shape[1:] == part.output([shape], TORCH)
    assert back.output([middle.shape[1:]], TORCH) == shape
    assert (np.asarray(jax.jit(lambda x: back.reference(run, x))(middle)) == x).all()


def test_stochastic_depth_in_training() -> None:
    """A whole item is dropped, or grows by 1/(1 - rate): the definition, mask by mask."""
    from forward_cases import passed

    layer, x = L.StochasticDepth(R(1, 4)), random("x", (6, 5, 4))
    drawn = np.array([0, 1, 1, 0, 1, 1]).reshape(6, 1, 1) / 0.75

    def mask(shape: Any, rate: float) -> Any:
        assert (shape, rate) == ((6, 1, 1), 0.25)
        return drawn

    y = layer.forward(passed(TORCH, {}, training=True, mask=mask), x)
    for item, source, kept in zip(y, x, drawn.ravel(), strict=True):
        np.testing.assert_allclose(item, source * kept, rtol=1e-6)
    assert layer.forward(passed(TORCH, {}, mask=mask), x) is x
