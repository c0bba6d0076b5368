"""Our tape on JAX arrays: under jit, vmap and grad of jax's own, half precision, sharded."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnncalc import autograd as ag

ROOT = Path(__file__).parents[1]


def network(params, x):
    """Convolution, relu, pool, dense, the mean of -log softmax at class 1."""
    hidden = ag.relu(ag.conv(x, params["k"], pad=1) + params["b"])
    pooled = ag.max_pool(hidden, 2)
    logits = ag.matmul(ag.reshape(pooled, (ag.stop_gradient(x).shape[0], -1)), params["w"])
    return -ag.mean(ag.log_softmax(logits)[:, 1])


def of_jax(params, x):
    lax = jax.lax
    hidden = lax.conv_general_dilated(x, params["k"], (1, 1), [(1, 1)] * 2,
                                      dimension_numbers=("NHWC", "HWIO", "NHWC"))  # fmt: skip
    hidden = jax.nn.relu(hidden + params["b"])
    pooled = lax.reduce_window(hidden, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    logits = pooled.reshape(x.shape[0], -1) @ params["w"]
    return -jax.nn.log_softmax(logits)[:, 1].mean()


def arguments(dtype=np.float32):
    rng = np.random.default_rng(0)
    params = {
        "k": rng.standard_normal((3, 3, 2, 4)),
        "b": rng.standard_normal(4),
        "w": rng.standard_normal((36, 3)),
    }
    params = {name: p.astype(dtype) for name, p in params.items()}
    return params, rng.standard_normal((8, 6, 6, 2)).astype(dtype)


def close(found, expected, rtol):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * float(np.abs(b).max()))


def test_a_network_under_jit():
    with jax.enable_x64(True):
        given = arguments(np.float64)
        expected = jax.jit(jax.value_and_grad(of_jax))(*given)
        close(jax.jit(ag.value_and_grad(network))(*given), expected, 1e-10)
        close(ag.value_and_grad(network)(*given), expected, 1e-10)  # on NumPy


def test_precision_of_a_network():
    params, x = arguments()
    assert {g.dtype for g in ag.grad(network)(params, x).values()} == {np.dtype("float32")}
    for dtype in ("float32", "bfloat16"):
        given = jax.tree.map(lambda a, d=dtype: jnp.asarray(a, d), (params, x))
        found = jax.eval_shape(ag.value_and_grad(network), *given)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {dtype}


def test_vmap_over_our_grad():
    """The gradient of each item of the batch by itself."""
    params, x = arguments()
    each = jax.jit(jax.vmap(ag.grad(network), in_axes=(None, 0)))(params, x[:, None])
    mean = {name: np.mean(g, axis=0) for name, g in each.items()}
    close(mean, ag.grad(network)(params, x), 2e-4)


def test_our_grad_within_jaxs_and_around_it():
    def f(x):
        return ag.sum(ag.tanh(x) ** 3)

    x = jnp.array([0.3, -0.7])
    # jax differentiates through our tape, whose values are its tracers
    found = jax.jacobian(jax.jit(ag.grad(f)))(x)
    np.testing.assert_allclose(
        found, jax.jit(jax.hessian(lambda x: jnp.sum(jnp.tanh(x) ** 3)))(x), rtol=1e-5
    )
    np.testing.assert_allclose(jax.jit(ag.hessian(f))(x), found, rtol=1e-5, atol=1e-6)


def test_scan_and_checkpoint_and_custom_rules_under_jit():
    params, x = arguments()

    @ag.custom_vjp
    def halved(x):
        return x * 1.0

    halved.defvjp(lambda x: (x * 1.0, None), lambda saved, g: (g * 0.5,))
    plain = ag.grad(network)(params, x)
    kept = jax.jit(ag.grad(ag.checkpoint(network)))(params, x)
    close(kept, plain, 1e-4)
    half = jax.jit(ag.grad(lambda p, x: halved(network(p, x))))(params, x)
    close(half, {name: g / 2 for name, g in plain.items()}, 1e-4)

    def body(p, _):
        value, g = ag.value_and_grad(network)(p, x)
        return {name: p[name] - 0.1 * g[name] for name in p}, value

    _, losses = jax.lax.scan(body, jax.tree.map(jnp.asarray, params), None, length=5)
    assert losses[-1] < losses[0]


def test_numbers_and_arrays_of_two_kinds():
    """NumPy's beside JAX's give JAX's; Python's numbers stay weak."""
    x = jnp.arange(3, dtype=jnp.float32)
    g = ag.grad(lambda x: ag.sum(np.arange(3, dtype=np.float32) * x * 2.0 + 1))(x)
    assert isinstance(g, jax.Array)
    np.testing.assert_array_equal(g, [0, 2, 4])
    g = ag.grad(lambda a: ag.sum(x * a))(np.ones(3, np.float32))
    np.testing.assert_array_equal(g, x)


def test_a_value_under_jit_is_no_truth():
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.jit(ag.grad(lambda x: x if x > 0 else -x))(1.0)


SHARDED = """
import jax, numpy as np, sys
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
sys.path.insert(0, "tests")
from test_autograd_jax import arguments, network, close
from cnncalc import autograd as ag
assert len(jax.devices()) == 8
mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
def put(a, *spec):
    return jax.device_put(a, NamedSharding(mesh, P(*spec)))
params, x = arguments()
placed = {"k": put(params["k"], None, None, None, "model"), "b": put(params["b"], "model"),
          "w": put(params["w"])}
inputs = put(x, "data")
plain = ag.value_and_grad(network)(params, x)
step = jax.jit(ag.value_and_grad(network))
found = step(placed, inputs)
close(found, plain, 1e-4)
text = step.lower(placed, inputs).compile().as_text()
assert "all-reduce" in text, "the batch's gradients are summed over devices"
assert not found[1]["k"].sharding.is_fully_replicated, found[1]["k"].sharding
eager = ag.value_and_grad(network)(placed, inputs)
close(eager, plain, 1e-4)
print("devices", len(found[1]["k"].sharding.device_set))
"""


def test_sharded_over_eight_devices():
    flags = "--xla_force_host_platform_device_count=8"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["devices", "8"]
