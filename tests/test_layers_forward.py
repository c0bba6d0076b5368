"""Every layer's `forward` on the engine against its `lax` reference: values and gradients."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from forward_cases import (
    VALUES,
    compared,
    double,
    gap,
    given,
    our_pull,
    passed,
    reference,
    their_pull,
    value,
)
from hypothesis import given as drawing
from hypothesis import settings
from layer_cases import BATCH, Case, drawn, random, refusal, volume

from cnncalc import autograd as ag
from cnncalc.dialects import DIALECTS
from cnncalc.layers import (
    REGISTRY,
    AvgPool,
    Conv,
    ConvTranspose,
    DepthwiseConv,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    MaxPool,
    ReLU,
    ReLU6,
    SeparableConv,
    Softplus,
)
from cnncalc.layers.base import Layer


def _examples() -> list[Any]:
    found = []
    for op, cls in REGISTRY.items():
        for i, (text, fields) in enumerate(cls.examples):
            shapes = [volume(t) for t in ([text] if isinstance(text, str) else text)]
            found.append(pytest.param(cls(**fields), shapes, id=f"{op}-{i}"))
    return found


EXAMPLES = _examples()
DRAWN = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize("op", REGISTRY)
def test_every_layer_has_a_forward(op: str) -> None:
    assert REGISTRY[op].forward is not Layer.forward


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES)
def test_examples(layer: Layer, shapes: Sequence[tuple[int, ...]]) -> None:
    """Values under every dialect; gradients and jit once for every distinct program."""
    programs = set()
    for dialect in DIALECTS.values():
        if refusal(layer, shapes, dialect) is not None:
            continue
        params, buffers, xs = given(layer, shapes, dialect)
        ours, theirs = value(layer, dialect), reference(layer, dialect)
        y = ours(params, buffers, xs)
        with double():
            assert y.dtype == np.float64
            assert gap(y, theirs(params, buffers, [jnp.asarray(x) for x in xs])) < VALUES
            made = [jax.make_jaxpr(f)(params, buffers, xs) for f in (ours, theirs)]
            text = "\n".join(map(str, made))
        if text not in programs:
            compared(layer, shapes, dialect)
        programs.add(text)
    assert programs


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES)
def test_float32_stays(layer: Layer, shapes: Sequence[tuple[int, ...]]) -> None:
    """Single precision in, single precision out and back, near the double result."""
    dialect = DIALECTS["jax"]
    params, buffers, xs = given(layer, shapes, dialect, "float32")
    cotangent = random("cotangent", (BATCH, *layer.output(shapes, dialect)))
    y, (weights, inputs) = our_pull(layer, dialect)(params, buffers, xs, cotangent)
    exact = layer.forward(passed(dialect, *given(layer, shapes, dialect)[:2]), *map(np.float64, xs))
    assert {a.dtype for a in (y, *weights.values(), *inputs)} == {np.dtype("float32")}
    assert gap(y, exact) < 1e-4


# --- fields drawn at random -----------------------------------------------------------


@DRAWN
@drawing(drawn(Conv))
def test_conv(case: Case) -> None:
    compared(case[0], [case[1]], case[2], jitted=False)


@DRAWN
@drawing(drawn(DepthwiseConv))
def test_depthwise_conv(case: Case) -> None:
    compared(case[0], [case[1]], case[2], jitted=False)


@DRAWN
@drawing(drawn(SeparableConv))
def test_separable_conv(case: Case) -> None:
    compared(case[0], [case[1]], case[2], jitted=False)


@DRAWN
@drawing(drawn(ConvTranspose))
def test_conv_transpose(case: Case) -> None:
    compared(case[0], [case[1]], case[2], jitted=False)


@DRAWN
@drawing(drawn(MaxPool))
def test_maxpool(case: Case) -> None:
    compared(case[0], [case[1]], case[2], jitted=False)


@DRAWN
@drawing(drawn(AvgPool))
def test_avgpool(case: Case) -> None:
    compared(case[0], [case[1]], case[2], jitted=False)


# --- where a function has a kink, or its formula could overflow ------------------------

KINKS = np.array([-1e4, -800.0, -40.0, -3.0, -0.0, 0.0, 3.0, 6.0, 40.0, 800.0, 1e4])


@pytest.mark.parametrize(
    "op",
    [
        op
        for op, cls in REGISTRY.items()
        if cls.__module__.endswith(("activation", "piecewise")) and cls.in_place
    ],
)
def test_kinks_and_far_away(op: str) -> None:
    """At kinks and far out the values and slopes are the reference's."""
    layer, dialect = REGISTRY[op](), DIALECTS["jax"]
    params = {n: np.full(s, 0.25) for n, s in layer.weights([(1,)], dialect).items()}
    x = KINKS.reshape(-1, 1)
    with double(), np.errstate(all="raise", under="ignore"):
        y, (_, (g,)) = our_pull(layer, dialect)(params, {}, [x], np.ones_like(x))
    with double():
        z, (_, (h,)) = their_pull(layer, dialect)(params, {}, [x], np.ones_like(x))
    np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(g, h, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "at", "slope"),
    [
        (ReLU(), 0.0, 0.0),
        (ReLU6(), 0.0, 0.0),
        (ReLU6(), 6.0, 0.0),
        (LeakyReLU(), 0.0, 1.0),
        (Hardsigmoid(), -3.0, 0.0),
        (Hardsigmoid(), 3.0, 0.0),
        (Hardswish(), 3.0, 1.0),
        (Softplus(), 0.0, 0.5),
    ],
)
def test_slopes_at_kinks(layer: Layer, at: float, slope: float) -> None:
    run = passed(DIALECTS["torch"], {})
    found = ag.grad(lambda x: ag.sum(layer.forward(run, x)))(np.array([[at]]))
    assert float(found[0, 0]) == slope


def test_ties_go_to_the_first() -> None:
    """Max pools, sliding and global: of equal values the first takes the gradient."""
    ones, run = np.ones((1, 2, 2, 1)), passed(DIALECTS["torch"], {})
    first = np.array([[1.0, 0.0], [0.0, 0.0]]).reshape(1, 2, 2, 1)
    for layer in (MaxPool(kernel=2), REGISTRY["global_maxpool"]()):
        found = ag.grad(lambda x, layer=layer: ag.sum(layer.forward(run, x)))(ones)
        assert (found == first).all()
