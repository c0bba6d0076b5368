"""`forward` in whole networks, in training, and on symbols."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pytest
import sympy
import torch
from forward_cases import FAST, GRADIENTS, VALUES, double, gap, given, passed, value
from layer_cases import random, volume

import cnncalc
from cnncalc import autograd as ag
from cnncalc.dialects import DIALECTS
from cnncalc.execute import Arrays, cross_entropy, forward, initialise, logits_row
from cnncalc.jaxrun.layer import Bound
from cnncalc.layers import (
    REGISTRY,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    MaxPool,
    ReLU,
    SoftmaxCrossEntropy,
)
from cnncalc.network import Network
from cnncalc.rows import Report

RESIDUAL = """
dialect: torch
input: 16x16x3
blocks:
  convs:
    args: [c, s]
    layers:
      - conv: {filters: c, kernel: 3, stride: s, pad: 1, bias: false}
      - batchnorm
      - relu
      - conv: {filters: c, kernel: 3, pad: 1, bias: false}
      - batchnorm
layers:
  - conv: {filters: 8, kernel: 7, stride: 2, pad: 3, bias: false}
  - batchnorm
  - relu
  - maxpool: {kernel: 3, stride: 2, pad: 1}
  - add: [[{convs: [8, 1]}], []]
  - relu
  - add: [[{convs: [16, 2]}], [{conv: {filters: 16, kernel: 1, stride: 2, bias: false}}, batchnorm]]
  - relu
  - global_avgpool
  - dense: 10
"""


def bundled(name: str, size: str) -> str:
    """A bundled spec with a smaller input."""
    with open(cnncalc.bundled.find(name) or "", encoding="utf-8") as file:
        lines = file.read().splitlines()
    return "\n".join(f"input: {size}" if line.startswith("input:") else line for line in lines)


NETWORKS = {
    "lenet5": "lenet5",
    "residual": RESIDUAL,
    "squeezenet1_1": bundled("squeezenet1_1", "39x39x3"),
}


def by_reference(report: Report, params: Arrays, buffers: Arrays, inputs: Mapping[str, Any]) -> Any:
    """Values of every layer, by the references alone."""
    values = dict(inputs)
    for row in report.layers:
        owner = row.shared or row.name
        run = Bound(row.dialect, {**params.get(owner, {}), **buffers.get(owner, {})})
        values[row.name] = row.layer.reference(run, *(values[name] for name in row.inputs))
    return values


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name: str) -> None:
    """Every layer's values, and the loss's gradient by every parameter, beside `jax.grad`."""
    report = cnncalc.load(NETWORKS[name]).derive()
    params, buffers = initialise(report, seed=3, dtype="float64")
    for arrays in params.values():  # biases that do something
        arrays.update({n: a + 0.1 * random(n, a.shape) for n, a in arrays.items() if a.ndim == 1})
    (source,) = report.input_shapes
    x = random("x", (2, *report.input_shapes[source])).astype("float64")
    logits, labels = logits_row(report), np.array([3, 7])

    def ours(params: Arrays) -> Any:
        values, _ = forward(report, params, buffers, {source: x}, until=logits)
        return cross_entropy(values[logits], labels)

    def theirs(params: Arrays) -> Any:
        values = by_reference(report, params, buffers, {source: x})
        chosen = jax.nn.log_softmax(values[logits])[np.arange(2), labels]
        return -chosen.mean(), values

    loss, grads = ag.value_and_grad(ours)(params)
    values, updates = forward(report, params, buffers, {source: x}, keep=True)
    with double():
        both = jax.jit(jax.value_and_grad(theirs, has_aux=True), compiler_options=FAST)
        (wanted, all_values), wanted_grads = jax.device_get(both(params))
    assert not updates
    assert abs(loss - wanted) < VALUES * abs(wanted)
    for row in report.layers:
        assert gap(values[row.name], all_values[row.name]) < VALUES, row.name
    largest = max(np.abs(g).max() for arrays in wanted_grads.values() for g in arrays.values())
    for layer, arrays in wanted_grads.items():
        for key, g in arrays.items():
            assert np.abs(grads[layer][key] - g).max() < GRADIENTS * largest, (layer, key)


# --- training -----------------------------------------------------------------------------


def first(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, 1)


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("fields", [{}, {"affine": False}, {"eps": "0.01"}])
@pytest.mark.parametrize("text", ["5x6x4", "9x3", "2x3x4x2", "7"])
def test_batchnorm_in_training(text: str, fields: dict[str, Any], jitted: bool) -> None:
    """Output, gradients and running statistics beside torch's."""
    layer, dialect, shapes = BatchNorm(**fields), DIALECTS["torch"], [volume(text)]
    params, buffers, (x,) = given(layer, shapes, dialect)
    x = 2 * x + 3
    weight = random("weight", x.shape).astype("float64")

    def run(params: Any, x: Any) -> Any:
        context: Any = None

        def loss(params: Any, x: Any) -> Any:
            nonlocal context
            context = passed(dialect, params, buffers, training=True)
            return ag.sum(layer.forward(context, x) * weight)

        found = ag.value_and_grad(loss, (0, 1))(params, x)
        return found, context.updates

    with double():
        (total, (grads, slope)), updates = jax.device_get(
            (jax.jit(run) if jitted else run)(params, x)
        )
    theirs = {n: torch.tensor(a, requires_grad=True) for n, a in params.items()}
    statistics = {n: torch.tensor(a) for n, a in buffers.items()}
    image = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.batch_norm(
        first(image), statistics["mean"], statistics["var"], theirs.get("gamma"),
        theirs.get("beta"), training=True, momentum=0.1, eps=float(layer.eps),
    )  # fmt: skip
    wanted = (y.movedim(1, -1) * torch.tensor(weight)).sum()
    wanted.backward()  # type: ignore[no-untyped-call]
    assert abs(float(total) - wanted.item()) < 1e-9
    assert gap(slope, image.grad) < GRADIENTS
    assert grads.keys() == theirs.keys()
    for name, g in grads.items():
        assert gap(g, theirs[name].grad) < GRADIENTS
    assert updates.keys() == {"mean", "var"}
    for name, kept in updates.items():
        assert not isinstance(kept, ag.Traced)
        assert gap(kept, statistics[name]) < VALUES


def test_dropout_in_training() -> None:
    """The given mask beside torch, which draws the same one for ones and for x."""
    layer, x = Dropout(rate="0.3"), random("x", (4, 5, 6)).astype("float64")

    def dropped(values: Any) -> Any:
        torch.manual_seed(1)
        return torch.nn.functional.dropout(torch.tensor(values), 0.3).numpy()

    def mask(shape: Any, rate: float) -> Any:
        assert rate == 0.3
        return dropped(np.ones(shape))

    run = passed(DIALECTS["torch"], {}, training=True, mask=mask)
    y, pull = ag.vjp(lambda x: layer.forward(run, x), x)
    assert 0 < (y == 0).mean() < 1
    assert gap(y, dropped(x)) < VALUES
    assert gap(pull(np.ones(x.shape))[0], mask(x.shape, 0.3)) < VALUES
    for quiet in ({"training": False, "mask": mask}, {"training": True, "mask": None}):
        assert (layer.forward(passed(DIALECTS["torch"], {}, **quiet), x) == x).all()


@pytest.mark.parametrize("shape", [(4, 7), (4, 3, 7), (2, 3, 4, 5)])
def test_cross_entropy_of_given_labels(shape: tuple[int, ...]) -> None:
    """One loss an item, beside torch; the labels may be traced."""
    x, classes = random("x", shape).astype("float64"), shape[-1]
    labels = np.random.default_rng(1).integers(0, classes, shape[:-1])
    losses = torch.nn.functional.cross_entropy(
        first(torch.tensor(x)), torch.tensor(labels), reduction="none"
    )
    wanted = losses.reshape(shape[0], -1).mean(1, keepdim=True)

    def run(x: Any, labels: Any) -> Any:
        return SoftmaxCrossEntropy().forward(passed(DIALECTS["torch"], {}, labels=labels), x)

    assert gap(run(x, labels), wanted) < VALUES
    with double():
        assert gap(jax.jit(run)(x, labels), wanted) < VALUES


# --- symbols --------------------------------------------------------------------------------


def symbols(name: str, shape: tuple[int, ...]) -> Any:
    found = [sympy.Symbol(f"{name}{i}", real=True) for i in range(int(np.prod(shape)))]
    return np.array(found, dtype=object).reshape(shape)


def test_a_small_network_in_symbols() -> None:
    """conv, relu, pool, dense: exact formulas, whose slopes are those of SymPy's `diff`."""
    report = Network("3x3x1", (Conv(1, 2), ReLU(), MaxPool(2), Dense(1))).derive()
    x = symbols("x", (1, 3, 3, 1))
    shapes = {row.name: row.weights for row in report.layers if row.weights}
    params: Arrays = {
        layer: {n: symbols(f"{layer}_{n}", s) for n, s in weights.items()}  # type: ignore[arg-type]
        for layer, weights in shapes.items()
    }

    def loss(params: Arrays) -> Any:
        values, _ = forward(report, params, {}, {"input": x})
        return ag.sum(values[report.outputs[0]])

    total, grads = ag.value_and_grad(loss)(params)
    formula, (w, bias) = total.item(), (params["conv1"]["kernel"], params["conv1"]["bias"])
    first_place = sum(w[i, j, 0, 0] * x[0, i, j, 0] for i in (0, 1) for j in (0, 1))
    assert formula.has(sympy.Max(0, first_place + bias[0]))
    by_weight = grads["dense1"]["kernel"].item()
    assert formula == params["dense1"]["bias"][0] + params["dense1"]["kernel"][0, 0] * by_weight
    pairs = [(s, g) for layer, arrays in params.items() for n, a in arrays.items()
             for s, g in zip(a.flat, grads[layer][n].flat, strict=True)]  # fmt: skip
    ours = [g for _, g in pairs]
    assert not any(sympy.sympify(g).atoms(sympy.Float) for g in ours)
    names = sorted(formula.free_symbols, key=str)
    theirs = [sympy.diff(formula, s) for s, _ in pairs]
    both = sympy.lambdify(names, [ours, theirs], modules="numpy", cse=True)
    generator = np.random.default_rng(0)
    for _ in range(50):
        found, wanted = np.array(both(*generator.standard_normal(len(names))), "float64")
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


SMALL = {  # where 2x2x2 and no fields do not serve
    "conv": ("3x3x1", {"filters": 1, "kernel": 2}),
    "depthwise_conv": ("2x2x2", {"kernel": 2}),
    "separable_conv": ("2x2x2", {"filters": 1, "kernel": 2}),
    "conv_transpose": ("2x2x1", {"filters": 1, "kernel": 2, "stride": 2, "output_pad": 1}),
    "dense": ("3", {"units": 2}),
    "linear": ("2x3", {"units": 1}),
    "groupnorm": ("2x4", {"groups": 2}),
    "lrn": ("1x4", {"beta": "0.5"}),
    "dropout": ("3", {}),
    "maxpool": ("3x2x1", {"kernel": 2, "stride": 1, "pad": 1}),
    "avgpool": ("3x2x1", {"kernel": 2, "stride": 1, "pad": 1, "count_include_pad": False}),
    "global_maxpool": ("3x1", {}),
    "adaptive_avgpool": ("3x1", {"output": 2}),
    "subsample": ("2x2x2", {"kernel": 2}),
    "reshape": ("2x2x2", {"to": [4, 2]}),
    "permute": ("2x3", {"axes": [1, 0]}),
    "channel_shuffle": ("1x4", {"groups": 2}),
    "slice": ("3x2", {"axis": 0, "start": 1}),
    "mean": ("3x2", {"axes": 0}),
    "pad": ("2x1", {"by": 1}),
    "crop": ("4x1", {"by": 1}),
    "upsample": ("3x1", {"scale": "1.5", "method": "bilinear"}),
    "pixel_shuffle": ("1x1x4", {"scale": 2}),
    "split": ("2x3", {"parts": [1, 2], "index": 1}),
    "chunk": ("3x2", {"parts": 2, "index": 1, "axis": 0}),
    "gather": ("3x2", {"indices": [2, 0]}),
    "expand": ("1x2", {"to": [3, -1]}),
    "squeeze": ("1x3", {"axes": 0}),
    "unsqueeze": ("3", {"axes": 0}),
    "parameter": ("2", {"shape": 3}),
    "constant": ("2", {"shape": 3, "value": "0.5"}),
    "class_token": ("2x2", {}),
    "embedding": ("2", {"vocab": 3, "dim": 2}),
    "roll": ("3x2", {"by": 1}),
    "window_partition": ("4x1", {"window": 2, "grid": True}),
    "window_reverse": ("2x2x1", {"window": 2, "grid": True}),
    "resize": ("3x1", {"to": 4, "method": "bicubic"}),
    "power": ("3", {"exponent": 2}),
    "sum": ("3x2", {"axes": 0}),
    "max": ("2x1", {"axes": 0}),
    "normalise": ("2", {}),
    "glu": ("4", {}),
    "lstm": ("1x1", {"units": 1}),
    "gru": ("2x1", {"units": 1}),
    "attention": ("2x1", {"heads": 1, "bias": False}),
    "opaque": ("2x2x2", {"output": "2x1x2", "params": 3}),
}


@pytest.mark.parametrize("op", REGISTRY)
def test_formulas_give_the_numbers(op: str) -> None:
    """Values and gradients as formulas, exact, with numbers put in at the end."""
    cls, dialect = REGISTRY[op], DIALECTS["torch"]
    text, fields = SMALL.get(op, ("2x2x2", {}))
    layer, shapes = cls(**fields), [volume(text)] * cls.inputs_min
    numbers = given(layer, shapes, dialect)
    call = value(layer, dialect)
    params, buffers = (
        {n: symbols(n, a.shape) for n, a in arrays.items()} for arrays in numbers[:2]
    )
    xs = [symbols(f"x{i}_", x.shape) for i, x in enumerate(numbers[2])]
    kept = [*params.items(), *buffers.items(), *((f"x{i}_", x) for i, x in enumerate(xs))]
    plain = [*numbers[0].values(), *numbers[1].values(), *numbers[2]]
    pairs = [(s, v) for (_, a), b in zip(kept, plain, strict=True)
             for s, v in zip(a.flat, b.flat, strict=True)]  # fmt: skip
    at = {s: float(v) for s, v in pairs}
    weight = random("weight", (2, *layer.output(shapes, dialect))).astype("float64")
    exact = np.vectorize(sympy.Rational, otypes=[object])((weight * 8).round().astype(int))
    total, (by_params, by_xs) = ag.value_and_grad(
        lambda p, xs: ag.sum(call(p, buffers, xs) * exact), (0, 1)
    )(params, xs)
    expected = ag.value_and_grad(
        lambda p, xs: ag.sum(call(p, numbers[1], xs) * (weight * 8).round()), (0, 1)
    )(numbers[0], numbers[2])
    found = [total, *by_params.values(), *by_xs]
    wanted = [expected[0], *expected[1][0].values(), *expected[1][1]]
    flat = [sympy.sympify(e) for a in found for e in np.asarray(a, object).flat]
    assert not any(e.atoms(sympy.Float) for e in flat)
    call_all = sympy.lambdify(list(at), flat, modules=["scipy", "numpy"], cse=True)
    numeric = np.array(call_all(*at.values()), "float64")
    assert gap(numeric, np.concatenate([np.ravel(w) for w in wanted])) < GRADIENTS
