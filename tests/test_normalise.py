"""Batch normalisation as one primitive: values, gradients and second order beside others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
import torch

from cnncalc import autograd as ag
from cnncalc.autograd import fastnorm

EPS = 1e-3
SHAPES = ((6, 3), (4, 7, 2), (3, 5, 4, 3), (2, 3, 2, 4, 2))


@pytest.fixture(autouse=True)
def _doubles():
    with jax.enable_x64(True):
        yield


def arrays(shape):
    """x, gamma, beta and a cotangent."""
    rng = np.random.default_rng(shape)
    channels = shape[-1:]
    sizes = (shape, channels, channels, shape)
    return [rng.standard_normal(s) * 2 + i for i, s in enumerate(sizes)]


def composed(x, gamma, beta):
    """The same in jnp, without a primitive of its own."""
    over = tuple(range(x.ndim - 1))
    return (x - x.mean(over)) / jnp.sqrt(x.var(over) + EPS) * gamma + beta


def losses(c):
    def ours(x, gamma, beta):
        return ag.sum(ag.batch_norm(x, gamma, beta, EPS)[0] ** 3 * c)

    def theirs(x, gamma, beta):
        return jnp.sum(composed(x, gamma, beta) ** 3 * c)

    return ours, theirs


def close(found, expected, within=1e-10):
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= within * max(np.abs(expected).max(), 1e-3)


def on(kind, values):
    return [jnp.asarray(v) for v in values] if kind == "jax" else values


@pytest.mark.parametrize("shape", SHAPES)
def test_in_chunks_on_threads(shape, monkeypatch):
    monkeypatch.setattr(fastnorm, "CHUNK", 16)
    monkeypatch.setattr(fastnorm, "LARGE", 0)
    monkeypatch.setenv("CNNCALC_THREADS", "3")
    *args, c = arrays(shape)
    ours, theirs = losses(c)
    for i in range(3):
        found, expected = ag.grad(ours, i)(*args), jax.grad(theirs, i)(*args)
        close(found, expected)
        assert np.array_equal(found, ag.grad(ours, i)(*args))


@pytest.mark.parametrize("kind", ["numpy", "jax"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_beside_jax(shape, kind):
    *args, c = arrays(shape)
    ours, theirs = losses(c)
    value, grads = ag.value_and_grad(ours, (0, 1, 2))(*on(kind, args))
    expected, by_jax = jax.value_and_grad(theirs, (0, 1, 2))(*args)
    close(value, expected)
    for found, other in zip(grads, by_jax, strict=True):
        close(found, other)


def test_gradients_under_jit_and_vmap():
    *args, c = arrays((3, 5, 4, 3))
    ours, theirs = losses(c)
    expected = jax.grad(theirs, (0, 1, 2))(*args)
    for found, other in zip(jax.jit(ag.grad(ours, (0, 1, 2)))(*args), expected, strict=True):
        close(found, other)
    batch = jnp.stack([args[0], args[0] * 2 + 1])
    close(
        jax.vmap(lambda x: ag.grad(ours)(x, *args[1:]))(batch)[1],
        jax.grad(theirs)(batch[1], *args[1:]),
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_beside_torch(shape):
    """And the statistics: torch's running ones with momentum 1 are the batch's."""
    x, gamma, beta, c = arrays(shape)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    mean, var = torch.zeros(shape[-1]).double(), torch.ones(shape[-1]).double()
    y = torch.nn.functional.batch_norm(
        leaves[0].movedim(-1, 1), mean, var, *leaves[1:], training=True, momentum=1, eps=EPS
    ).movedim(1, -1)
    y.backward(torch.tensor(c))
    (found, *batch), pull = ag.vjp(lambda *a: ag.batch_norm(*a, EPS), x, gamma, beta)
    close(found, y.detach())
    count = x[..., 0].size
    close(batch[0], mean)
    close(batch[1] * (count / (count - 1)), var)
    zeros = np.zeros(shape[-1])
    for ours, leaf in zip(pull((c, zeros, zeros)), leaves, strict=True):
        close(ours, leaf.grad)


@pytest.mark.parametrize("argument", [0, 1, 2])
def test_finite_differences(argument):
    *args, c = arrays((3, 4, 2))
    ours, _ = losses(c)
    direction = np.random.default_rng(1).standard_normal(args[argument].shape)
    along = np.sum(ag.grad(ours, argument)(*args) * direction)

    def moved(h):
        return ours(*(a + h * direction if i == argument else a for i, a in enumerate(args)))

    h = 1e-5
    assert abs((moved(h) - moved(-h)) / (2 * h) - along) <= 1e-6 * abs(along)


@pytest.mark.parametrize("kind", ["numpy", "jax"])
def test_second_order_beside_jax(kind):
    """The gradient of the gradient along a direction, by all three arguments at once."""
    *args, c = arrays((3, 4, 2))
    ours, theirs = losses(c)
    rng = np.random.default_rng(2)
    along = [rng.standard_normal(a.shape) for a in args]

    def by_us(*a):
        return sum(ag.sum(g * v) for g, v in zip(ag.grad(ours, (0, 1, 2))(*a), along, strict=True))

    def by_jax(*a):
        return sum(
            jnp.sum(g * v) for g, v in zip(jax.grad(theirs, (0, 1, 2))(*a), along, strict=True)
        )

    found = ag.grad(by_us, (0, 1, 2))(*on(kind, args))
    for one, other in zip(found, jax.grad(by_jax, (0, 1, 2))(*args), strict=True):
        close(one, other)


def test_hessian_beside_jax():
    x, gamma, beta, c = arrays((4, 2))
    ours, theirs = losses(c)
    close(
        ag.hessian(lambda x: ours(x, gamma, beta))(x),
        jax.hessian(lambda x: theirs(x, gamma, beta))(x),
    )


def test_symbols():
    """Exact: the gradient is what SymPy's own differentiation gives."""
    x = np.array(sympy.symbols("a b c"), dtype=object).reshape(3, 1)
    gamma, beta = (np.array([sympy.Symbol(n)], dtype=object) for n in ("gamma", "beta"))
    eps = sympy.Rational(1, 100)

    def loss(x, gamma, beta):
        return ag.sum(ag.batch_norm(x, gamma, beta, eps)[0] * np.array([[1], [2], [5]]))

    at = dict(zip(x[:, 0], (1, 3, 7), strict=True)) | {gamma[0]: 2, beta[0]: 5}
    value, grads = ag.value_and_grad(loss, (0, 1, 2))(x, gamma, beta)
    formula = value.item() if hasattr(value, "item") else value
    for variables, found in zip((x, gamma, beta), grads, strict=True):
        for variable, entry in zip(variables.flat, found.flat, strict=True):
            assert sympy.simplify((entry - sympy.diff(formula, variable)).subs(at)) == 0


@pytest.mark.parametrize("given", ["gamma", "beta", ""])
def test_without_gamma_or_beta(given):
    x, gamma, beta, c = arrays((5, 3))
    ours, theirs = losses(c)
    mine = [a if name == given else None for name, a in (("gamma", gamma), ("beta", beta))]
    full = [gamma if given == "gamma" else np.ones(3), beta if given == "beta" else np.zeros(3)]
    close(ag.grad(lambda x: ours(x, *mine))(x), jax.grad(theirs)(x, *full))


@pytest.mark.parametrize("kind", ["numpy", "jax"])
@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_variance_far_from_zero_in_float32(kind, mean):
    """Means far above the deviation, and a first item unlike the others, lose no digits."""
    x = np.random.default_rng(3).standard_normal((8, 16, 16, 4)) + mean
    x[0] += 50
    x = x.astype("float32")
    _, found, var = ag.batch_norm(jnp.asarray(x) if kind == "jax" else x)
    assert var.dtype == np.float32
    exact = x.astype(float)
    close(found, exact.mean((0, 1, 2)), 1e-6)
    close(var, exact.var((0, 1, 2)), 3e-5)


def test_statistics_are_constants():
    x, gamma, beta, _ = arrays((5, 3))
    assert not np.any(ag.grad(lambda x: ag.sum(ag.batch_norm(x, gamma, beta)[1] * x * 0))(x))


def test_shapes_that_do_not_agree():
    with pytest.raises(ag.AutogradError, match=r"batch_norm: shapes \(4, 3\), \(2,\)"):
        ag.batch_norm(np.ones((4, 3)), np.ones(2))
