"""The tape and its transformations: order, memory, nesting, modes, conventions."""

import gc
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

from cnncalc import autograd as ag
from cnncalc.autograd.tape import Tape

# --- long chains and memory ---


@pytest.mark.parametrize("length", [10_000, 100_000])
def test_a_long_chain(length):
    """No recursion, going back or letting go."""

    def chain(x):
        for _ in range(length):
            x = x + 1.0
        return x * x

    assert ag.grad(chain)(2.0) == 2 * (2 + length)


def test_a_long_chain_that_is_given_up():
    tape = Tape()
    x = tape.leaf(np.float64(1))
    for _ in range(10_000):
        x = x * 1.0
    del tape, x


def test_a_long_chain_of_second_derivatives():
    def chain(x):
        for _ in range(2000):
            x = x * 1.001
        return x * x * x

    scale = 1.001**2000
    assert ag.grad(ag.grad(chain))(2.0) == pytest.approx(6 * scale**3 * 2)


def test_memory_goes_with_the_tape():
    """Without the garbage collector: nothing stored is in a reference cycle."""
    kept = []

    def f(x):
        y = ag.exp(x)
        kept.append(weakref.ref(ag.stop_gradient(y)))
        return ag.sum(y * y)

    gc.disable()
    try:
        ag.grad(f)(np.ones(1000))
        assert [r() for r in kept] == [None]
        _, pull = ag.vjp(f, np.ones(1000))
        assert kept[1]() is not None
        pull(np.float64(1))
        del pull
        assert kept[1]() is None
        kept.clear()
        ag.hessian(f)(np.ones(3))
        assert all(r() is None for r in kept)
    finally:
        gc.enable()


def test_grad_frees_what_it_passes():
    """Going back through n arrays takes no more than going forward did."""

    def f(x):
        for _ in range(20):
            x = ag.tanh(x)
        return ag.sum(x)

    x = np.ones(100_000)
    tracemalloc.start()
    try:
        ag.grad(f)(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 20 * x.nbytes <= peak < 24 * x.nbytes


def test_a_pull_back_serves_many_times():
    _, pull = ag.vjp(lambda x: x * x, np.array([1.0, 2.0]))
    for scale in (1.0, 3.0, 1.0):
        np.testing.assert_array_equal(pull(np.full(2, scale))[0], [2 * scale, 4 * scale])


def test_gradients_can_be_written_to_and_are_each_their_own():
    x, y = np.ones(3), np.ones(3)
    g, h = ag.grad(lambda x, y: ag.sum(x + y), argnums=(0, 1))(x, y)
    g *= 2
    h += 5
    np.testing.assert_array_equal(g, [2, 2, 2])
    np.testing.assert_array_equal(h, [6, 6, 6])
    np.testing.assert_array_equal(x, [1, 1, 1])
    u = np.ones(3)
    (same,) = ag.vjp(lambda x: x, x)[1](u)
    same += 1
    np.testing.assert_array_equal(u, [1, 1, 1])


# --- fan-out, broadcasting ---


def test_fan_out_adds_up():
    def f(x):
        parts = [x * k for k in range(1, 5)]
        return ag.sum(ag.concatenate(*parts) ** 2) + ag.sum(parts[0] * parts[3]) + ag.sum(x)

    x = np.array([1.0, -2.0])
    np.testing.assert_allclose(ag.grad(f)(x), 2 * x * (1 + 4 + 9 + 16) + 8 * x + 1)
    np.testing.assert_array_equal(ag.grad(lambda x: ag.sum(x * x * x))(x), 3 * x * x)


def test_the_same_argument_twice():
    assert ag.grad(lambda x, y: x * y, argnums=(0, 1))(3.0, 3.0) == (3.0, 3.0)
    w = np.ones((2, 2))
    np.testing.assert_array_equal(ag.grad(lambda w: ag.sum(w @ w))(w), np.full((2, 2), 4.0))


def test_unused_and_cut_arguments_get_zeros():
    g = ag.grad(lambda p: ag.sum(p["a"]))({"a": np.ones(2), "b": np.ones((2, 3), np.float32)})
    np.testing.assert_array_equal(g["b"], np.zeros((2, 3)))
    assert g["b"].dtype == np.float32
    assert ag.grad(lambda x: 3.0)(1.0) == 0
    assert ag.grad(lambda x: ag.stop_gradient(x) * 2.0)(1.0) == 0


# --- transformations ---

PARAMETERS = {
    "layers": [{"w": np.array([[1.0, 2.0]]), "b": np.array([3.0])}, (np.array(2.0), 1.5)],
    "steps": 3,
    "order": np.array([1, 0]),
}


def nested(p, x=1.0):
    first, (scale, shift) = p["layers"]
    y = ag.sum(first["w"] * first["w"]) * scale + first["b"][0] * shift
    return y * p["steps"] * x


def test_nested_parameters_and_integers():
    value, g = ag.value_and_grad(nested)(PARAMETERS)
    assert value == (5 * 2 + 3 * 1.5) * 3
    np.testing.assert_array_equal(g["layers"][0]["w"], [[12, 24]])
    np.testing.assert_array_equal(g["layers"][0]["b"], [4.5])
    assert isinstance(g["layers"][1], tuple)
    assert (g["layers"][1][0], g["layers"][1][1]) == (15, 9)
    assert g["steps"] == 0
    np.testing.assert_array_equal(g["order"], [0, 0])


def test_argnums():
    def f(x, y, z=2.0):
        return x * y * z

    assert ag.grad(f)(3.0, 5.0) == 10
    assert ag.grad(f, argnums=1)(3.0, 5.0, z=1.0) == 3
    assert ag.grad(f, argnums=-1)(3.0, 5.0) == 6
    assert ag.grad(f, argnums=(1, 0))(3.0, 5.0) == (6, 10)
    assert ag.value_and_grad(f, argnums=[0])(3.0, 5.0) == (30, (10,))
    value, (gx, gp) = ag.value_and_grad(lambda x, p: nested(p, x), argnums=(0, 1))(2.0, PARAMETERS)
    assert value == gx * 2
    assert gp["layers"][1][1] == 18


def test_vjp_of_nested_outputs():
    def f(x, y):
        return {"sum": x + y, "parts": [x * y, (y * y, np.float64(7))]}

    out, pull = ag.vjp(f, 2.0, 3.0)
    assert out == {"sum": 5, "parts": [6, (9, 7)]}
    cotangent = {"sum": 1.0, "parts": [10.0, (100.0, 5.0)]}
    assert pull(cotangent) == (31, 1 + 20 + 600)


def test_jvp_beside_differences_and_jax():
    import jax

    def f(p):
        return {"y": [ag.tanh(p["a"] @ p["b"]), ag.sum(p["b"])]}

    def of_jax(p):
        return {"y": [jax.numpy.tanh(p["a"] @ p["b"]), jax.numpy.sum(p["b"])]}

    rng = np.random.default_rng(0)
    p, v = ({"a": rng.standard_normal((2, 3)), "b": rng.standard_normal(3)} for _ in range(2))
    value, along = ag.jvp(f, [p], [v])
    with jax.enable_x64(True):
        expected = jax.jit(lambda p, v: jax.jvp(of_jax, (p,), (v,)))(p, v)
    for found, theirs in zip((value, along), expected, strict=True):
        for a, b in zip(found["y"], theirs["y"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_hessian_of_nested_parameters():
    import jax

    def f(p, scale=1.0):
        return ((p["a"] * p["a"]).sum() * p["b"][0] ** 3 + p["b"][1] * p["a"][0]) * scale

    p = {"a": np.array([1.0, 2.0]), "b": [np.array(3.0), np.array([4.0])[0]]}
    found = ag.hessian(f)(p, 2.0)
    with jax.enable_x64(True):
        expected = jax.jit(jax.hessian(f))(p, 2.0)
    for row in ("a", "b"):
        parts = jax.tree.leaves(found[row]), jax.tree.leaves(expected[row])
        for a, b in zip(*parts, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_third_and_fourth_derivatives():
    d = ag.grad
    assert d(d(d(lambda x: x**5)))(2.0) == pytest.approx(60 * 4)
    assert d(d(d(d(ag.exp))))(0.5) == pytest.approx(np.exp(0.5))
    assert d(d(d(ag.sigmoid)))(0.0) == pytest.approx(-1 / 8)
    assert d(d(d(ag.tanh)))(0.0) == pytest.approx(-2)


def test_perturbations_are_not_confused():
    """d/dx (x d/dy (x + y)) = 1, and other nestings by different variables."""
    assert ag.grad(lambda x: x * ag.grad(lambda y: x + y)(1.0))(1.0) == 1
    assert ag.grad(lambda x: x * ag.grad(lambda y: x * y)(2.0))(3.0) == 6
    mixed = ag.grad(lambda x: ag.grad(lambda y: x**2 * y**3)(2.0))
    assert mixed(5.0) == 2 * 5 * 3 * 4
    inner = ag.grad(lambda x: ag.jvp(lambda y: x * y * y, [x], [1.0])[1])
    assert inner(3.0) == pytest.approx(12)  # d/dx 2x² at 3

    def along(x):
        return ag.grad(lambda y: ag.grad(lambda z: x * y * z)(x) * y)(x)

    assert ag.grad(along)(2.0) == pytest.approx(8)  # d/dx of d/dy (x y y) at y=x: 2x²


def test_hessian_times_vector_two_ways():
    rng = np.random.default_rng(3)
    a = rng.standard_normal((4, 4))

    def f(x):
        return ag.sum(ag.tanh(ag.matmul(a, x)) ** 2)

    x, v = rng.standard_normal(4), rng.standard_normal(4)
    expected = ag.hessian(f)(x) @ v
    np.testing.assert_allclose(ag.jvp(ag.grad(f), [x], [v])[1], expected, rtol=1e-10)
    np.testing.assert_allclose(ag.vjp(ag.grad(f), x)[1](v)[0], expected, rtol=1e-10)
    outer = ag.grad(lambda x: ag.sum(ag.grad(f)(x) * v))
    np.testing.assert_allclose(outer(x), expected, rtol=1e-10)


# --- modes ---


def test_stop_gradient_at_all_orders_and_in_nests():
    f = ag.grad(lambda x: ag.stop_gradient(x) * x * x)
    assert f(3.0) == 18
    assert ag.grad(f)(3.0) == 6
    parts = ag.grad(lambda p: p["a"] * ag.stop_gradient(p)["a"])({"a": 3.0})
    assert parts["a"] == 3


def test_no_grad_is_the_threads_own():
    inside, ready = threading.Event(), threading.Event()

    def other():
        with ag.no_grad():
            inside.set()
            ready.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    try:
        assert ag.grad(lambda x: x * x)(3.0) == 6
    finally:
        ready.set()
        thread.join()
    with ag.no_grad():
        assert ag.grad(lambda x: x * x)(3.0) == 0
        with ag.no_grad():
            pass
        assert ag.grad(lambda x: x * x)(3.0) == 0
    assert ag.grad(lambda x: x * x)(3.0) == 6


def test_tapes_in_threads_do_not_meet():
    found = {}

    def work(k):
        def f(x):
            for _ in range(200):
                x = x * 1.0
            return x * x * k

        found[k] = [float(ag.grad(ag.grad(f))(1.0)) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {k: [2.0 * k] * 5 for k in range(4)}


# --- segments ---


def test_checkpoint_runs_again_and_stores_less():
    """A chain of L·k steps stores L·k values; in L segments the L - 1 between them."""
    runs = []

    def segment(x):
        runs.append(1)
        for _ in range(6):
            x = ag.tanh(x)
        return x

    def whole(x, step):
        for _ in range(5):
            x = step(x)
        return ag.sum(x)

    x = np.linspace(-1, 1, 1000)
    kept = ag.checkpoint(segment)
    plain = ag.grad(lambda x: whole(x, segment))(x)
    assert len(runs) == 5
    saved = ag.grad(lambda x: whole(x, kept))(x)
    assert len(runs) == 5 + 10
    np.testing.assert_array_equal(plain, saved)
    assert ag.stored_bytes(lambda x: whole(x, segment), x) == 30 * x.nbytes
    assert ag.stored_bytes(lambda x: whole(x, kept), x) == 4 * x.nbytes

    def peak(step):
        tracemalloc.start()
        try:
            ag.grad(lambda x: whole(x, step))(x)
            return tracemalloc.get_traced_memory()[1] / x.nbytes
        finally:
            tracemalloc.stop()

    x = np.linspace(-1, 1, 100_000)
    assert 30 <= peak(segment) < 34
    assert 10 <= peak(kept) < 14  # 4 between segments, 6 in the one that is pulled back


def test_checkpoint_of_nested_arguments_and_second_order():
    def f(p, x):
        return ag.sum(ag.tanh(p["w"] @ x) * p["b"])

    p, x = {"w": np.arange(6.0).reshape(2, 3) / 7, "b": np.array([1.0, 2.0])}, np.ones(3)
    kept = ag.checkpoint(f)
    for a, b in zip(ag.grad(kept)(p, x).values(), ag.grad(f)(p, x).values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    ours, plain = ag.hessian(lambda x: kept(p, x))(x), ag.hessian(lambda x: f(p, x))(x)
    np.testing.assert_allclose(ours, plain, rtol=1e-12)


def test_checkpoint_refuses_what_it_would_lose():
    def f(x):
        return ag.checkpoint(lambda y: y * x)(x + 1.0)

    with pytest.raises(ag.AutogradError, match="not among its arguments"):
        ag.grad(f)(2.0)
    # a value of an older tape is followed there as usual
    g = ag.grad(lambda x: ag.grad(ag.checkpoint(lambda y: y * y * x))(3.0))
    assert g(2.0) == 6
    with pytest.raises(ag.AutogradError, match="gives one array"):
        ag.grad(ag.checkpoint(lambda x: (x, x)))(1.0)


def test_custom_vjp_computes_forward_once():
    calls = []

    @ag.custom_vjp
    def product(x, y):
        calls.append("plain")
        return x * y

    def forward(x, y):
        calls.append("forward")
        return x * y, (x, y)

    def backward(saved, g):
        x, y = saved
        return g * y, g * x * 10

    product.defvjp(forward, backward)
    assert product(2.0, 3.0) == 6
    assert calls == ["plain"]
    calls.clear()
    assert ag.grad(product, argnums=(0, 1))(2.0, 3.0) == (3, 20)
    assert calls == ["forward"]
    assert ag.grad(lambda x: product(x, 3.0))(2.0) == 3
    # the second derivative is that of `forward` and `backward`, as in jax
    assert ag.grad(lambda x: ag.grad(product, argnums=1)(x, 3.0))(2.0) == 10


def test_custom_vjp_as_jax_has_it():
    """Straight through a rounding, at first and second order."""
    import jax

    def make(library, floor):
        @library.custom_vjp
        def rounded(x):
            return floor(x + 0.5)

        rounded.defvjp(lambda x: (rounded(x), x), lambda x, g: (g * x,))
        return rounded

    ours = make(ag, ag.floor)
    theirs = make(jax, jax.numpy.floor)
    with jax.enable_x64(True):
        for d in (1, 2):
            f, g = (lambda x: ours(x) * x), (lambda x: theirs(x) * x)
            for _ in range(d):
                f, g = ag.grad(f), jax.grad(g)
            assert f(1.8) == pytest.approx(float(g(1.8)))


# --- arrays of every kind of shape ---


def test_numbers_scalars_and_arrays_without_axes():
    f = ag.grad(lambda x: x * x + ag.exp(x))
    expected = 4 + np.exp(2)
    for x in (2.0, np.float64(2), np.array(2.0)):
        assert f(x) == expected
        assert np.shape(f(x)) == ()
    single = f(np.float32(2))
    assert single.dtype == np.float32
    assert ag.grad(lambda x: x[()] * 2.0)(np.array(1.0)) == 2


def test_empty_arrays():
    x = np.zeros((0, 3))
    assert ag.grad(lambda x: ag.sum(ag.exp(x) * x))(x).shape == (0, 3)
    w = np.ones((3, 2))
    gx, gw = ag.grad(lambda x, w: ag.sum(x @ w), argnums=(0, 1))(x, w)
    assert gx.shape == (0, 3)
    np.testing.assert_array_equal(gw, np.zeros((3, 2)))
    assert ag.grad(lambda x: ag.sum(ag.concatenate(x, x)))(x).shape == (0, 3)
    picture = np.zeros((0, 4, 4, 1))
    gx, gk = ag.grad(lambda x, k: ag.sum(ag.max_pool(ag.conv(x, k), 2)), argnums=(0, 1))(
        picture, np.ones((3, 3, 1, 2))
    )
    assert gx.shape == picture.shape
    np.testing.assert_array_equal(gk, np.zeros((3, 3, 1, 2)))


def test_python_numbers_do_not_widen():
    def f(x):
        y = (2 * x + 0.5) / 3 - 1 + x**2 + x**0.5 + 2.0**x + abs(x) + 1 / x - x.mean()
        y = ag.where(y > 1, y, 0) + ag.maximum(y, 0.1) + ag.minimum(0.3, y)
        return ag.sum(y) * 1.5 + ag.logsumexp(x) + ag.softmax(x)[0]

    x = np.array([0.5, 1.5, 2.0], np.float32)
    value, g = ag.value_and_grad(f)(x)
    assert value.dtype == np.float32
    assert g.dtype == np.float32
    assert ag.hessian(f)(x).dtype == np.float32
    value, along = ag.jvp(f, [x], [x])
    assert along.dtype == np.float32


def test_a_gradient_has_its_arguments_dtype():
    """A float32 weight beside float64 data gets a float32 gradient, also twice."""
    w, x = np.ones(3, np.float32), np.arange(3.0)
    assert ag.grad(lambda w: ag.sum(w * x))(w).dtype == np.float32
    assert ag.hessian(lambda w: ag.sum(w * w * x))(w).dtype == np.float32


# --- conventions ---


def test_ties_of_max_pool_go_to_the_first():
    import jax

    x = np.ones((1, 3, 3, 1))
    found = ag.grad(lambda x: ag.sum(ag.max_pool(x, 2, stride=1)))(x)[0, :, :, 0]
    np.testing.assert_array_equal(found, [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    from autograd_cases import lax_max_pool, torch_max_pool

    theirs = jax.jit(jax.grad(lambda x: lax_max_pool(x, 2, 1).sum()))(x)
    np.testing.assert_array_equal(found, theirs[0, :, :, 0])
    torch = pytest.importorskip("torch")
    t = torch.ones((1, 3, 3, 1), requires_grad=True)
    (g,) = torch.autograd.grad(torch_max_pool(t, 2, 1).sum(), t)
    np.testing.assert_array_equal(found, g[0, :, :, 0])


def test_ties_in_padding_go_to_the_picture():
    x = np.full((1, 2, 2, 1), -np.inf)
    g = ag.grad(lambda x: ag.sum(ag.where(ag.max_pool(x, 2, 2, pad=1) < 0, 1.0, 0.0) * 1.0))(x)
    assert g.shape == x.shape
    low = np.full((1, 2, 2, 1), -5.0)
    g = ag.grad(lambda x: ag.sum(ag.max_pool(x, 3, 1, pad=1)))(low)
    np.testing.assert_array_equal(g[0, :, :, 0], [[4, 0], [0, 0]])


def test_slopes_at_kinks():
    zeros = np.zeros(2)
    np.testing.assert_array_equal(ag.grad(lambda x: ag.sum(ag.relu(x)))(zeros), [0, 0])
    np.testing.assert_array_equal(ag.grad(lambda x: ag.sum(ag.abs(x)))(zeros), [0, 0])
    for f in (ag.maximum, ag.minimum):  # lax and torch give each half
        g, h = ag.grad(lambda x, y, f=f: ag.sum(f(x, y)), argnums=(0, 1))(zeros, zeros)
        np.testing.assert_array_equal(g, [0.5, 0.5])
        np.testing.assert_array_equal(h, [0.5, 0.5])
    found = ag.grad(lambda x: ag.sum(ag.max(x, axis=1)))(np.ones((2, 3)))
    np.testing.assert_array_equal(found, [[1, 0, 0]] * 2)
    found = ag.grad(lambda x: ag.max(x, axis=(0, 1)))(np.array([[1.0, 2.0], [2.0, 0.0]]))
    np.testing.assert_array_equal(found, [[0, 1], [0, 0]])


def test_powers_at_zero():
    assert ag.grad(lambda x: x**2)(0.0) == 0
    assert ag.grad(lambda x: x**1)(0.0) == 1
    assert ag.grad(lambda x: x**0 + x)(0.0) == 1
    assert ag.grad(lambda p: np.array(0.0) ** p)(2.0) == 0


def test_logsumexp_does_not_overflow():
    x = np.array([1000.0, 0.0, -1000.0])
    np.testing.assert_allclose(ag.grad(ag.logsumexp)(x), [1, 0, 0])
    x = np.array([-np.inf, 1.0, 2.0])
    value, g = ag.value_and_grad(ag.logsumexp)(x)
    assert value == pytest.approx(np.log(np.exp(1) + np.exp(2)))
    assert g[0] == 0
    assert ag.logsumexp(np.array([-800.0, -801.0])) == pytest.approx(-799.6867383)


# --- operators and methods ---


def test_operators_with_arrays_on_either_side():
    a = np.array([1.0, 2.0, 3.0])
    x = np.array([2.0, 4.0, 5.0])
    pairs = [
        (lambda x: a * x, a), (lambda x: x * a, a), (lambda x: a + x, 1 + 0 * a),
        (lambda x: a - x, -1 + 0 * a), (lambda x: x - a, 1 + 0 * a), (lambda x: a / x, -a / x**2),
        (lambda x: x / a, 1 / a), (lambda x: a**x, a**x * np.log(a)),
        (lambda x: x**a, a * x ** (a - 1)),
        (lambda x: a @ x, a), (lambda x: x @ a, a), (lambda x: -x, -1 + 0 * a),
        (lambda x: abs(-x), 1 + 0 * a), (lambda x: x.T.reshape(3, 1)[:, 0], 1 + 0 * a),
        (lambda x: np.float64(3) * x, 3 + 0 * a), (lambda x: np.multiply(a, x), a),
        (lambda x: sum(v * v for v in x), 2 * x), (lambda x: x.transpose(0) * 2, 2 + 0 * a),
        (lambda x: x.mean() + x.sum() + x.max(), 4 / 3 + (x == 5)),
    ]  # fmt: skip
    for f, expected in pairs:
        np.testing.assert_allclose(ag.grad(lambda x, f=f: ag.sum(f(x)))(x), expected, rtol=1e-12)


def test_comparisons_are_plain_arrays():
    a = np.array([1.0, 3.0])
    seen = []

    def f(x):
        seen.extend([x > a, x >= a, x < a, x <= a, x == a, x != a, a > x, a < x, a == x, a != x])
        return ag.sum(x)

    x = np.array([1.0, 2.0])
    ag.grad(f)(x)
    expected = [x > a, x >= a, x < a, x <= a, x == a, x != a, a > x, a < x, a == x, a != x]
    for found, plain in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(found, plain)


def test_shape_functions_of_numpy_work():
    def f(x):
        assert (np.shape(x), np.ndim(x), np.size(x), x.size, x.ndim, len(x)) == (
            (2, 3), 2, 6, 6, 2, 2,
        )  # fmt: skip
        assert x.dtype == np.float64
        return ag.sum(x * np.ones_like(x))

    np.testing.assert_array_equal(ag.grad(f)(np.zeros((2, 3))), np.ones((2, 3)))


def test_in_place_operators_make_a_new_value():
    def f(x):
        y = x
        y += 1.0
        y *= y
        return ag.sum(y) + ag.sum(x)

    np.testing.assert_array_equal(ag.grad(f)(np.array([1.0, 2.0])), [5, 7])


def test_control_flow_on_values():
    def f(x):
        while x < 100.0:
            x = x * 2.0 if x > 3.0 else x * x
        return x

    assert ag.grad(f)(2.0) == 32 * 4
