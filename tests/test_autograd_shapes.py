"""Gradients at shapes, strides, pads and axes that Hypothesis draws.

Every draw is compared with torch's gradients and with finite differences along a random
direction; a part of them, as compiling costs, with jax's.
"""

from functools import partial

import autograd_cases as cases
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cnncalc import autograd as ag

torch = pytest.importorskip("torch")
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
MANY = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=SLOW)
FEW = settings(MANY, max_examples=5)
small = st.integers(1, 3)


def spread(shape, seed):
    """Entries in random order, far from each other and from 0."""
    size = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(size) - size // 2 + 0.5).reshape(shape) / 7


def gradients(function, args, u):
    y, pull = ag.vjp(function, *args)
    return y, pull(u)


def cotangent(function, args):
    return np.random.default_rng(5).uniform(0.5, 1.5, np.shape(function(*args)))


def gap(ours, theirs):
    assert [np.shape(o) for o in ours] == [np.shape(t) for t in theirs]
    size = max([1e-3, *(np.abs(t).max() for t in theirs if t.size)])
    return max(np.abs(o - t).max() / size for o, t in zip(ours, theirs, strict=True) if t.size)


def agrees_with_torch(ours, theirs, args):
    u = cotangent(ours, args)
    y, grads = gradients(ours, args, u)
    boxed = [torch.tensor(x, requires_grad=True) for x in args]
    value = theirs(*boxed)
    np.testing.assert_allclose(y, value.detach().numpy(), rtol=1e-10, atol=1e-10)
    found = torch.autograd.grad(value, boxed, torch.tensor(u), allow_unused=True)
    assert gap(grads, [g.numpy() for g in found]) < 1e-10


def agrees_with_differences(ours, args):
    u = cotangent(ours, args)
    _, grads = gradients(ours, args, u)
    rng = np.random.default_rng(6)
    along = [rng.uniform(0.5, 1, x.shape) for x in args]
    h = 1e-5

    def loss(step):
        return np.sum(u * ours(*(x + step * v for x, v in zip(args, along, strict=True))))

    slope = (loss(h) - loss(-h)) / (2 * h)
    expected = sum(np.sum(g * v) for g, v in zip(grads, along, strict=True))
    size = sum(np.sum(np.abs(g * v)) for g, v in zip(grads, along, strict=True))
    assert abs(slope - expected) < 1e-6 * max(size, 1e-3)


def agrees_with_jax(ours, theirs, args):
    import jax

    u = cotangent(ours, args)
    _, grads = gradients(ours, args, u)
    with jax.enable_x64(True):
        quick = {"xla_backend_optimization_level": 0}
        both = jax.jit(partial(gradients_of_jax, theirs), compiler_options=quick)
        assert gap(grads, [np.asarray(g) for g in both(u, *args)]) < 1e-10


def gradients_of_jax(function, u, *args):
    import jax

    return jax.vjp(function, *args)[1](u)


# --- windows ----------------------------------------------------------------------------------


@st.composite
def windows(draw):
    """Kernel, stride, pads, dilation and a picture into which they fit, of 1 to 3 axes."""
    rank = draw(st.integers(1, 3))
    kernel, stride = (tuple(draw(st.tuples(*[small] * rank))) for _ in range(2))
    dilation = tuple(draw(st.tuples(*[st.integers(1, 2)] * rank)))
    pads = tuple(draw(st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * rank)))
    spatial = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - sum(p)), d * (k - 1) + 4))
        for k, d, p in zip(kernel, dilation, pads, strict=True)
    )
    return spatial, kernel, {"stride": stride, "pad": pads, "dilation": dilation}


@st.composite
def convolutions(draw):
    spatial, kernel, fields = draw(windows())
    groups, c, f, n = draw(small), draw(small), draw(small), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal((n, *spatial, groups * c))
    w = rng.standard_normal((*kernel, c, groups * f))
    return x, w, {**fields, "groups": groups}


@MANY
@given(convolutions())
def test_conv(drawn):
    x, w, fields = drawn
    ours = partial(ag.conv, **fields)
    agrees_with_torch(ours, partial(cases.torch_conv, **fields), [x, w])
    agrees_with_differences(ours, [x, w])


@FEW
@given(convolutions())
def test_conv_beside_jax(drawn):
    x, w, fields = drawn
    agrees_with_jax(partial(ag.conv, **fields), partial(cases.lax_conv, **fields), [x, w])


@st.composite
def transposed(draw):
    x, w, fields = draw(convolutions())
    del fields["pad"]
    assume(x.ndim < 5)
    fields["pad"] = min(min(w.shape[:-2]) - 1, draw(st.integers(0, 1)))
    fields["stride"], fields["dilation"] = draw(small), draw(st.integers(1, 2))
    fields["output_pad"] = draw(st.integers(0, max(fields["stride"], fields["dilation"]) - 1))
    return x, w, fields


@MANY
@given(transposed())
def test_conv_transpose(drawn):
    x, w, fields = drawn
    ours = partial(ag.conv_transpose, **fields)
    assume(all(n > 0 for n in np.shape(ours(x, w))))
    agrees_with_torch(ours, partial(cases.torch_conv_transpose, **fields), [x, w])
    agrees_with_differences(ours, [x, w])


@FEW
@given(transposed())
def test_conv_transpose_beside_jax(drawn):
    x, w, fields = drawn
    theirs = partial(cases.lax_conv_transpose, **fields)
    agrees_with_jax(partial(ag.conv_transpose, **fields), theirs, [x, w])


@MANY
@given(windows(), st.integers(0, 99))
def test_max_pool(drawn, seed):
    spatial, kernel, fields = drawn
    x = spread((2, *spatial, 2), seed)
    ours = partial(ag.max_pool, kernel=kernel, **fields)
    assume(np.isfinite(ours(x)).all())  # no window within the padding
    agrees_with_torch(ours, partial(cases.torch_max_pool, kernel=kernel, **fields), [x])
    agrees_with_differences(ours, [x])


@MANY
@given(windows(), st.integers(0, 99))
def test_avg_pool(drawn, seed):
    """torch as the mean of a depthwise convolution, which has uneven pads and dilation."""
    spatial, kernel, fields = drawn
    x = spread((2, *spatial, 2), seed)
    ours = partial(ag.avg_pool, kernel=kernel, **fields)
    size = int(np.prod(kernel))

    def theirs(x):
        w = torch.full((*kernel, 1, 2), 1 / size, dtype=x.dtype)
        return cases.torch_conv(x, w, **fields, groups=2)

    agrees_with_torch(ours, theirs, [x])
    agrees_with_differences(ours, [x])


@FEW
@given(windows(), st.integers(0, 99))
def test_pools_beside_jax(drawn, seed):
    spatial, kernel, fields = drawn
    fields["dilation"] = 1
    x = spread((1, *spatial, 2), seed)
    assume(all(n + sum(p) >= k for n, k, p in zip(spatial, kernel, fields["pad"], strict=True)))
    for op in ("max_pool", "avg_pool"):
        ours = partial(getattr(ag, op), kernel=kernel, **fields)
        assume(np.isfinite(ours(x)).all())
        agrees_with_jax(ours, partial(getattr(cases, f"lax_{op}"), kernel=kernel, **fields), [x])


@MANY
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(3, 8), st.booleans())
def test_pools_in_ceil_mode(kernel, stride, pad, n, counted):
    """Torch rounds up and drops a last window that would start in the padding after."""
    assume(2 * pad <= kernel and n + 2 * pad >= kernel)
    out = -(-(n + 2 * pad - kernel) // stride) + 1
    if (out - 1) * stride >= n + pad:
        out -= 1
    after = max(pad, (out - 1) * stride + kernel - n - pad)
    x = spread((1, n, n, 2), n)
    fields = {"kernel": kernel, "stride": stride, "pad": ((pad, after),) * 2}
    agrees_with_torch(
        partial(ag.max_pool, **fields), lambda x: cases.torch_ceil_max(x, kernel, stride, pad), [x]
    )
    mean = partial(
        ag.avg_pool, **fields, counted=((pad, pad),) * 2, count_include_pad=counted
    )  # fmt: skip
    agrees_with_torch(
        mean, lambda x: cases.torch_ceil_avg(x, kernel, stride, pad, counted), [x]
    )  # fmt: skip


# --- products, broadcasting, reductions, slices ---------------------------------------------------


@st.composite
def broadcastable(draw, count):
    """Shapes that broadcast together: axes of a common shape made 1 or left out."""
    common = draw(st.lists(small, max_size=4))
    shapes = []
    for _ in range(count):
        cut = draw(st.integers(0, len(common)))
        shapes.append(tuple(1 if draw(st.booleans()) else n for n in common[cut:]))
    return shapes


@MANY
@given(broadcastable(3), st.integers(0, 99))
def test_broadcasting_and_fan_out(shapes, seed):
    rng = np.random.default_rng(seed)
    args = [rng.uniform(0.5, 2, s) for s in shapes]

    def function(x, y, z):
        return (x * y + z / x) ** 2 - x * z

    agrees_with_torch(function, function, args)
    agrees_with_differences(function, args)


@MANY
@given(st.sampled_from(["sum", "mean", "max"]), st.lists(small, min_size=1, max_size=4), st.data())
def test_reductions(name, shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    signs = [a - len(shape) if data.draw(st.booleans()) else a for a in sorted(axes)]
    keep = data.draw(st.booleans())
    theirs = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[name]
    x = spread(tuple(shape), 1)
    agrees_with_torch(
        lambda x: getattr(ag, name)(x, axis=tuple(signs), keepdims=keep),
        lambda x: theirs(x, signs, keepdim=keep),
        [x],
    )


@MANY
@given(broadcastable(2), small, small, small, st.integers(0, 99))
def test_matmul(batches, n, k, m, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((*batches[0], n, k)), rng.standard_normal((*batches[1], k, m))
    agrees_with_torch(lambda x, y: ag.matmul(x, y), lambda x, y: x @ y, [x, y])
    agrees_with_torch(lambda x, y: x @ y, lambda x, y: x @ y, [x[..., 0, :].reshape(-1)[:k], y])
    agrees_with_torch(lambda x, y: x @ y, lambda x, y: x @ y, [x, y.reshape(-1)[:k]])


@MANY
@given(st.data())
def test_einsum(data):
    sizes = {c: data.draw(small) for c in "abcd"}
    terms = data.draw(
        st.lists(st.permutations("abcd").map(lambda p: p[:2]), min_size=1, max_size=3)
    )
    terms = ["".join(t) for t in terms]
    letters = sorted(set("".join(terms)))
    out = "".join(data.draw(st.permutations(letters)))[: data.draw(st.integers(0, len(letters)))]
    spec = ",".join(terms) + "->" + out
    rng = np.random.default_rng(0)
    args = [rng.standard_normal([sizes[c] for c in t]) for t in terms]
    agrees_with_torch(
        lambda *xs: ag.einsum(spec, *xs), lambda *xs: torch.einsum(spec, *xs), args
    )  # fmt: skip
    agrees_with_differences(lambda *xs: ag.einsum(spec, *xs), args)


@MANY
@given(st.data())
def test_slices(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    key = tuple(
        data.draw(
            st.one_of(st.integers(-n, n - 1), st.slices(n).filter(lambda s: (s.step or 1) > 0))
        )
        for n in shape
    )
    x = spread(shape, 2)
    assume(np.size(x[key]))
    agrees_with_torch(lambda x: x[key] * x[key], lambda x: x[key] * x[key], [x])
    rows = data.draw(st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=5))
    agrees_with_torch(
        lambda x: ag.take(x, np.array(rows)), lambda x: x[torch.tensor(rows)], [x]
    )  # fmt: skip


@MANY
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_pad(shape, data):
    widths = [
        (data.draw(st.integers(-(n // 2), 2)), data.draw(st.integers(-((n - 1) // 2), 2)))
        for n in shape
    ]
    x = spread(tuple(shape), 3)
    agrees_with_torch(
        lambda x: ag.pad(x, widths) * 2, lambda x: cases.torch_padded(x, widths) * 2, [x]
    )  # fmt: skip
    agrees_with_differences(lambda x: ag.pad(x, widths), [x])


@MANY
@given(st.integers(1, 4), st.integers(0, 2), st.data())
def test_concatenate(count, axis, data):
    shapes = []
    for _ in range(count):
        shape = [2, 1, 3]
        shape[axis] = data.draw(st.integers(0, 3))
        shapes.append(tuple(shape))
    assume(any(s[axis] for s in shapes))
    args = [spread(s, i) for i, s in enumerate(shapes)]
    agrees_with_torch(
        lambda *xs: ag.concatenate(*xs, axis=axis), lambda *xs: torch.cat(xs, axis), args
    )  # fmt: skip


def test_a_turned_sign_is_seen(monkeypatch):
    """Each of the three comparisons fails where a pull-back has the wrong sign."""
    x, w = spread((1, 4, 4, 1), 0), spread((2, 2, 1, 1), 1)
    pulls = ag.convolution.conv_forward.makers
    wrong = (pulls[0], lambda *args, **kw: lambda g: -pulls[1](*args, **kw)(g))
    monkeypatch.setattr(ag.convolution.conv_forward, "makers", wrong)
    for compare in (
        partial(agrees_with_torch, ag.conv, cases.torch_conv),
        partial(agrees_with_jax, ag.conv, cases.lax_conv),
        partial(agrees_with_differences, ag.conv),
    ):
        with pytest.raises(AssertionError):
            compare([x, w])
