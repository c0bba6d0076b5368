"""What the tests of `forward` share: passes, both sides' values and gradients, closeness."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from layer_cases import BATCH, random

from cnncalc import autograd as ag
from cnncalc.dialects import Dialect
from cnncalc.execute import Pass
from cnncalc.jaxrun.layer import Bound
from cnncalc.layers.base import Layer
from cnncalc.rows import Row

VALUES, GRADIENTS = 1e-10, 1e-8  # relative to the largest value
NOTHING = 1e-13  # of the largest gradient: rounding
FAST = {"xla_backend_optimization_level": 0}
Shapes = Sequence[tuple[int, ...]]
Arrays = dict[str, Any]


def double() -> Any:
    """A context in which JAX computes in float64, for this thread alone."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64  # before JAX 0.8

    return enable_x64()


class _Row(NamedTuple):
    dialect: Dialect


def passed(dialect: Dialect, params: Mapping[str, Any], buffers: Any = None, **mode: Any) -> Pass:
    """The context of a `forward` outside a network."""
    return Pass(cast(Row, _Row(dialect)), params, buffers or {}, **mode)


def given(
    layer: Layer, shapes: Shapes, dialect: Dialect, dtype: str = "float64"
) -> tuple[Arrays, Arrays, list[Any]]:
    """Parameters, buffers and inputs drawn by name."""

    def drawn(name: str, shape: tuple[int, ...]) -> Any:
        return random(name, shape).astype(dtype)

    params = {n: drawn(n, cast(Any, s)) for n, s in layer.weights(shapes, dialect).items()}
    buffers = layer.buffers(shapes, dialect)
    kept = {n: np.abs(drawn(n, cast(Any, s))) + 0.5 for n, s in buffers.items()}
    return params, kept, [drawn(f"input {i}", (BATCH, *s)) for i, s in enumerate(shapes)]


def gap(ours: Any, theirs: Any) -> float:
    """The largest difference, relative to the largest value; infinities must agree."""
    a, b = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    assert a.shape == b.shape
    inside = np.isfinite(b)
    assert (inside == np.isfinite(a)).all()
    assert (a[~inside] == b[~inside]).all()
    if not inside.any():
        return 0.0
    return float(np.abs(a[inside] - b[inside]).max() / max(np.abs(b[inside]).max(), 1e-300))


def value(layer: Layer, dialect: Dialect) -> Callable[..., Any]:
    """(params, buffers, inputs) -> output, by the engine."""
    return lambda params, buffers, xs: layer.forward(passed(dialect, params, buffers), *xs)


def reference(layer: Layer, dialect: Dialect) -> Callable[..., Any]:
    """The same by the `lax` reference."""
    return lambda params, buffers, xs: layer.reference(Bound(dialect, {**params, **buffers}), *xs)


def our_pull(layer: Layer, dialect: Dialect) -> Callable[..., Any]:
    """(params, buffers, inputs, cotangent) -> output, gradients, by the engine's tape."""
    call = value(layer, dialect)

    def run(params: Arrays, buffers: Arrays, xs: list[Any], cotangent: Any) -> Any:
        y, pull = ag.vjp(lambda params, xs: call(params, buffers, xs), params, xs)
        return y, pull(cotangent)

    return run


def their_pull(layer: Layer, dialect: Dialect) -> Callable[..., Any]:
    """The same by `jax.vjp` of the reference."""
    call = reference(layer, dialect)

    def run(params: Arrays, buffers: Arrays, xs: list[Any], cotangent: Any) -> Any:
        y, pull = jax.vjp(lambda params, xs: call(params, buffers, xs), params, xs)
        return y, pull(jnp.asarray(cotangent))

    return run


def compared(layer: Layer, shapes: Shapes, dialect: Dialect, jitted: bool = True) -> None:
    """Values and gradients, on NumPy and on JAX under jit, against the reference."""
    arrays = given(layer, shapes, dialect)
    cotangent = random("cotangent", (BATCH, *layer.output(shapes, dialect))).astype("float64")
    run = our_pull(layer, dialect)
    found = [run(*arrays, cotangent)]
    with double():
        if jitted:
            compiled = jax.jit(run, compiler_options=FAST)(*arrays, cotangent)
            found.append(jax.device_get(compiled))
        try:
            theirs = jax.jit(their_pull(layer, dialect), compiler_options=FAST)
            expected = jax.device_get(theirs(*arrays, cotangent))
        except NotImplementedError:  # JAX has no gradient of dilated maxima
            for ours in found:
                along_a_line(layer, dialect, arrays, cotangent, ours)
            return
    for ours in found:
        agree(ours, expected)


def along_a_line(layer: Layer, dialect: Dialect, arrays: Any, cotangent: Any, ours: Any) -> None:
    """Of a piecewise linear layer: the slope between two near points of the reference."""
    params, buffers, (x,) = arrays
    call = reference(layer, dialect)
    step = 1e-6 * random("direction", x.shape)
    low, middle, high = (
        np.asarray(call(params, buffers, [jnp.asarray(x + s)])) for s in (-step, 0 * step, step)
    )
    assert gap(ours[0], middle) < VALUES
    with np.errstate(invalid="ignore"):
        moved = float(np.nansum((high - low) / 2 * cotangent))  # -inf less -inf: no slope
    assert abs(moved - float((ours[1][1][0] * step).sum())) < 1e-14 * x.size


def agree(ours: Any, theirs: Any) -> None:
    """Outputs to VALUES, gradients by every parameter and input to GRADIENTS."""
    assert ours[0].dtype == np.float64
    assert gap(ours[0], theirs[0]) < VALUES
    (params, xs), (wanted, inputs) = ours[1], theirs[1]
    assert params.keys() == wanted.keys()
    largest = max((float(np.abs(g).max()) for g in wanted.values()), default=0.0)
    for name, gradient in params.items():
        if np.abs(gradient).max() > NOTHING * largest:  # a bias may have no effect at all
            assert gap(gradient, wanted[name]) < GRADIENTS, name
        else:
            assert np.abs(wanted[name]).max() <= NOTHING * largest, name
    for i, (x, y) in enumerate(zip(xs, inputs, strict=True)):
        assert gap(x, y) < GRADIENTS, f"input {i}"
