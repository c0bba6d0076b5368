"""What the engine keeps for the backward pass, derived, against what NumPy asked for."""

import tracemalloc
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pytest
from forward_cases import passed
from layer_cases import random, refusal, volume

import cnncalc
from cnncalc import autograd as ag
from cnncalc.autograd import spaces
from cnncalc.dialects import DIALECTS
from cnncalc.gradients import engine, network
from cnncalc.gradients.results import Options
from cnncalc.layers import REGISTRY
from cnncalc.layers.base import Layer
from cnncalc.stepmemory import step_bytes

FEW = 40_000  # bytes of Python's own objects
VALUES = 200_000  # of a batch, so that those do not count


def _examples() -> list[Any]:
    found = []
    for op, cls in REGISTRY.items():
        for i, (text, fields) in enumerate(cls.examples):
            shapes = [volume(t) for t in ([text] if isinstance(text, str) else text)]
            found.append(pytest.param(cls(**fields), shapes, id=f"{op}-{i}"))
    return found


def _kept(layer: Layer, shapes: Sequence[tuple[int, ...]], dialect: Any, batch: int) -> int:
    """Bytes that stay after `forward` under the tape."""
    drawn = np.random.default_rng(0)
    params = {n: random(n, s).astype("float64") for n, s in layer.weights(shapes, dialect).items()}
    buffers = {n: np.ones(s) for n, s in layer.buffers(shapes, dialect).items()}
    xs = [drawn.random((batch, *shape)) for shape in shapes]
    found: list[int] = []

    def loss(given: Any) -> Any:
        params, xs = given
        before = tracemalloc.get_traced_memory()[0]
        run = passed(dialect, params, buffers, training=True, mask=lambda s, rate: np.ones(s))
        y = layer.forward(run, *xs)
        spaces.clear()
        found.append(tracemalloc.get_traced_memory()[0] - before)
        return ag.sum(y)

    spaces.clear()
    tracemalloc.start()
    try:
        ag.value_and_grad(loss)((params, xs))
    finally:
        tracemalloc.stop()
    return found[0]


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """What the first product imports is not counted."""
    _kept(cnncalc.layers.Conv(1, 3), [(7, 7, 1)], DIALECTS["torch"], 2702)


@pytest.mark.parametrize(("layer", "shapes"), _examples())
def test_layers_know_what_they_keep(layer: Layer, shapes: list[tuple[int, ...]]) -> None:
    dialect = next(d for d in DIALECTS.values() if refusal(layer, shapes, d) is None)
    output: Any = layer.output(shapes, dialect)
    batch = max(2, VALUES // (prod(output) + sum(map(prod, shapes))))
    derived = 8 * batch * layer.held(shapes, output)
    kept = _kept(layer, shapes, dialect, batch)
    assert kept <= 1.02 * derived + FEW
    if layer.op not in ("opaque", "roll", "window_partition", "window_reverse"):
        assert kept >= derived / 2 - FEW


@pytest.mark.parametrize("name", ["lenet-caffe", "squeezenet1_1", "gru-speech"])
def test_a_step_takes_what_is_derived(name: str) -> None:
    options = Options(batch=2)
    net = network.concrete(cnncalc.load(name).derive(), options)
    data = network.draw(net, options)
    params = sum(a.nbytes for arrays in data.params.values() for a in arrays.values())
    spaces.clear()
    tracemalloc.start()
    engine.by_numpy(net, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    derived = step_bytes(net.report.layers, net.report.input_shapes, 2, 8)
    assert 0.4 * derived <= peak <= derived + 2 * params + 1_000_000
