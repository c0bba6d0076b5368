"""Every layer's stated sizes against its `lax` reference, run on real arrays."""

from collections.abc import Sequence
from itertools import product as grid
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax import export
from layer_cases import BATCH, DRAWN, Arrays, Case, drawn, random, refusal, volume

from cnncalc.dialects import DIALECTS, Dialect
from cnncalc.formula import Expr, Symbol, substitute
from cnncalc.layers import (
    REGISTRY,
    AvgPool,
    Conv,
    ConvTranspose,
    Dense,
    DepthwiseConv,
    Linear,
    MaxPool,
    SeparableConv,
)
from cnncalc.layers.base import Layer


def agree(layer: Layer, shapes: Sequence[tuple[int, ...]], dialect: Dialect) -> None:
    run = Arrays(dialect)
    xs = [random(str(i), (BATCH, *shape)) for i, shape in enumerate(shapes)]
    y = jax.jit(lambda *xs: layer.reference(run, *xs))(*xs)
    assert y.shape == (BATCH, *layer.output(shapes, dialect))
    assert run.params == layer.weights(shapes, dialect)
    assert run.buffers == layer.buffers(shapes, dialect)
    assert bool(jnp.isfinite(y).all())


def _examples() -> list[Any]:
    found = []
    for op, cls in REGISTRY.items():
        for i, (text, fields) in enumerate(cls.examples):
            texts = [text] if isinstance(text, str) else text
            shapes = [volume(t) for t in texts]
            found.append(pytest.param(cls(**fields), shapes, id=f"{op}-{i}"))
    return found


EXAMPLES = _examples()


@pytest.mark.parametrize("op", REGISTRY)
def test_every_layer_has_examples(op: str) -> None:
    cls = REGISTRY[op]
    assert len(cls.examples) >= 2
    assert cls.summary.endswith((".", ")")) or ":" in cls.summary
    for text, _ in cls.examples:
        count = 1 if isinstance(text, str) else len(text)
        assert cls.inputs_min <= count <= cls.inputs_max


# what an example's padding runs into in some dialects
REFUSED = {("conv", "S005"), ("avgpool", "S005"), ("maxpool", "S010"), ("avgpool", "S010")}


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES)
def test_examples(layer: Layer, shapes: list[tuple[int, ...]]) -> None:
    taken = 0
    for dialect in DIALECTS.values():
        code = refusal(layer, shapes, dialect)
        if code is None:
            agree(layer, shapes, dialect)
            taken += 1
        else:
            assert (layer.op, code) in REFUSED
    assert taken >= 3


# --- fields drawn at random -----------------------------------------------------------


@DRAWN
@given(drawn(Conv))
def test_conv(case: Case) -> None:
    agree(case[0], [case[1]], case[2])


@DRAWN
@given(drawn(DepthwiseConv))
def test_depthwise_conv(case: Case) -> None:
    agree(case[0], [case[1]], case[2])


@DRAWN
@given(drawn(SeparableConv))
def test_separable_conv(case: Case) -> None:
    agree(case[0], [case[1]], case[2])


@DRAWN
@given(drawn(ConvTranspose))
def test_conv_transpose(case: Case) -> None:
    agree(case[0], [case[1]], case[2])


@DRAWN
@given(drawn(MaxPool))
def test_maxpool(case: Case) -> None:
    layer, shape, dialect = case
    run = Arrays(dialect)
    y = jax.jit(lambda x: layer.reference(run, x))(jnp.ones((1, *shape)))
    assert y.shape == (1, *layer.output([shape], dialect))


@DRAWN
@given(drawn(AvgPool))
def test_avgpool(case: Case) -> None:
    agree(case[0], [case[1]], case[2])


# --- multiply-adds, counted -----------------------------------------------------------


def counted(layer: Layer, shape: tuple[int, ...], dialect: Dialect) -> int:
    """Multiply-adds of the run: on ones, every product adds one to the output."""
    run = Arrays(dialect, fill=1.0)
    y = jax.jit(lambda x: layer.reference(run, x))(jnp.ones((1, *shape)))
    return int(y.sum())


def unpadded(layer: Layer, shape: tuple[int, ...], dialect: Dialect) -> tuple[Layer, Any]:
    """The same convolution with its padding made part of the volume."""
    sizes = [w.padded for w in layer.windows([shape], dialect)]
    return layer.replace(pad=0), (*sizes, shape[-1])


@DRAWN
@given(drawn(Conv) | drawn(DepthwiseConv))
def test_macs_of_convolutions(case: Case) -> None:
    layer, shape, dialect = case
    layer = layer.replace(bias=False)
    macs = layer.macs([shape], layer.output([shape], dialect), dialect)
    assert macs == counted(*unpadded(layer, shape, dialect), dialect)


@DRAWN
@given(drawn(ConvTranspose))
def test_macs_of_transposed_convolutions(case: Case) -> None:
    layer, shape, dialect = case
    layer = layer.replace(bias=False)
    macs = layer.macs([shape], layer.output([shape], dialect), dialect)
    whole = layer.replace(pad=0, output_pad=0)  # cropping nothing that was computed
    assert macs == counted(whole, shape, dialect)


@pytest.mark.parametrize("shape", [(3, 4, 5), (7, 2), (6,), (2, 2, 2, 3)])
@pytest.mark.parametrize("cls", [Dense, Linear])
def test_macs_of_dense(cls: type[Layer], shape: tuple[int, ...]) -> None:
    layer, dialect = cls(units=7, bias=False), DIALECTS["cs231n"]
    macs = layer.macs([shape], layer.output([shape], dialect), dialect)
    assert macs == counted(layer, shape, dialect)


@pytest.mark.parametrize(
    ("n", "k", "s", "p", "d"),
    [(7, 3, 1, 0, 1), (7, 3, 2, 1, 1), (9, 2, 3, 0, 2), (5, 5, 1, 2, 1), (8, 3, 2, 2, 2)],
)
def test_macs_of_conv_one_by_one(n: int, k: int, s: int, p: int, d: int) -> None:
    """Every window, filter, tap and channel in plain loops."""
    starts = range(0, n + 2 * p - d * (k - 1), s)
    total = sum(1 for _ in grid(starts, starts, range(4), range(k), range(k), range(3)))
    layer, torch = Conv(4, k, stride=s, pad=p, dilation=d), DIALECTS["torch"]
    assert layer.macs([(n, n, 3)], layer.output([(n, n, 3)], torch), torch) == total


def test_macs_of_connected_maps() -> None:
    """LeNet-5's C3: 60 connections of 5x5 taps at 10x10 places."""
    connect = [[(i + j) % 6 for j in range(3)] for i in range(6)]
    connect += [[(i + j) % 6 for j in range(4)] for i in range(6)]
    connect += [[i, i + 1, (i + 3) % 6, (i + 4) % 6] for i in range(3)] + [list(range(6))]
    layer, dialect = Conv(16, 5, connect=connect, bias=False), DIALECTS["cs231n"]
    macs = layer.macs([(14, 14, 6)], (10, 10, 16), dialect)
    assert macs == 60 * 25 * 100 == counted(layer, (14, 14, 6), dialect)


# --- closed forms ---------------------------------------------------------------------

NAMES = "dhwuv"


def symbols(shapes: list[tuple[int, ...]]) -> tuple[list[Any], list[str], int]:
    """Spatial sizes as symbols: ours, and the text for jax.export; 1 stays 1."""
    low = max(max(s[:-1], default=1) for s in shapes)
    ours, texts = [], []
    for shape in shapes:
        names = [n if n == 1 else NAMES[i] for i, n in enumerate(shape[:-1])]
        ours.append((*(Symbol(n) if isinstance(n, str) else n for n in names), shape[-1]))
        texts.append(", ".join([str(BATCH), *map(str, names), str(shape[-1])]))
    return ours, texts, low


def value(dim: Any, at: dict[str, int]) -> int:
    if isinstance(dim, Expr):
        found = substitute(dim, at)
        assert isinstance(found, int)
        return found
    if isinstance(dim, int):
        return dim
    names = {"floordiv": lambda a, b: a // b, "mod": lambda a, b: a % b, "min": min, "max": max}
    return int(eval(str(dim), names, at))


# of these a symbolic size would have to divide, or fit a fixed number
FIXED = {"reshape", "concat", "matmul", "window_partition", "window_reverse", "squeeze"}
FIXED |= {"positional", "glu", "split", "expand", "embedding"}


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        case
        for case in EXAMPLES
        if case.values[0].op not in FIXED and getattr(case.values[0], "window", None) is None
    ],
)
def test_closed_forms(layer: Layer, shapes: list[tuple[int, ...]]) -> None:
    """The reference traced with symbolic sizes has the shape of our closed form."""
    names = DIALECTS if layer.windows(shapes, DIALECTS["torch"]) else ["torch"]
    for dialect in (DIALECTS[name] for name in names):
        if refusal(layer, shapes, dialect) is None:
            closed_forms_agree(layer, shapes, dialect)


def closed_forms_agree(layer: Layer, shapes: list[tuple[int, ...]], dialect: Dialect) -> None:
    ours, texts, low = symbols(shapes)
    given = export.symbolic_args_specs(
        tuple(jax.ShapeDtypeStruct((BATCH, *s), np.float32) for s in shapes),
        tuple(texts),
        constraints=[f"{name} >= {low}" for name in NAMES[: max(map(len, shapes)) - 1]],
    )
    run = Arrays(dialect, fill=1.0)
    theirs = jax.eval_shape(lambda *xs: layer.reference(run, *xs), *given).shape[1:]
    output, weights = layer.output(ours, dialect), layer.weights(ours, dialect)
    assert run.params.keys() == weights.keys()
    assert len(theirs) == len(output)
    for i in range(20):
        at = {name: low + (i * (7 + 4 * j)) % 23 for j, name in enumerate(NAMES)}
        assert [value(d, at) for d in theirs] == [value(d, at) for d in output]
        for name, shape in weights.items():
            assert [value(d, at) for d in run.params[name]] == [value(d, at) for d in shape]
