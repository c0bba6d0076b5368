"""The fast convolution beside the plain one, over drawn geometries."""

import threading
import tracemalloc
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnncalc.autograd import fastconv, plainconv, spaces, wideconv, winograd
from cnncalc.autograd.convolution import Geometry
from cnncalc.autograd.workspace import Workspace, workspace

EXACT = {("float32", 0): 1e-5, ("float32", 2): 1e-5, ("float32", 4): 2e-4, ("float64", 0): 1e-12,
         ("float64", 2): 1e-12, ("float64", 4): 1e-12}  # fmt: skip


@st.composite
def cases(draw):
    """(x, w, g shapes, geometry) of a convolution with at least one window."""
    rank = draw(st.integers(1, 3))
    small = st.integers(1, 3)
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    kernel = tuple(draw(st.integers(1, 5 if rank < 3 else 3)) for _ in range(rank))
    stride, dilation = (tuple(draw(small) for _ in range(rank)) for _ in range(2))
    pads = tuple((draw(st.integers(-2, 4)), draw(st.integers(-2, 4))) for _ in range(rank))
    spatial = tuple(
        max(1, d * (k - 1) + 1 - b - a, 1 - b, 1 - a, 1 - min(b, 0) - min(a, 0))
        + draw(st.integers(0, 9 if rank < 3 else 4))
        for k, d, (b, a) in zip(kernel, dilation, pads, strict=True)
    )
    c, f = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    x = (draw(st.integers(1, 3)), *spatial, c * groups)
    return x, (*kernel, c, f * groups), Geometry(stride, pads, dilation, groups)


def _drawn(dtype, *shapes):
    rng = np.random.default_rng(sum(map(prod, shapes)))
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def _agree(found, of, bound, a, b, *args):
    """`found` beside of(a, b) in float64, in units of the root of a sum's squared terms."""
    expected = of(a, b, *args)
    assert found.shape == expected.shape
    spread = np.sqrt(of(a * a, b * b, *args).max(initial=0)) + 1e-30
    assert abs(found - expected).max() <= bound * spread * 3


def _compare(x_shape, w_shape, geo, dtype, bound):
    out = geo.sizes(x_shape[1:-1], w_shape[:-2])
    x, w, g = _drawn(dtype, x_shape, w_shape, (x_shape[0], *out, w_shape[-1]))
    wide = [a.astype("float64") for a in (x, w, g)]
    y = fastconv.forward(x, w, geo)
    dx = fastconv.input_adjoint(g, w, geo, x_shape[1:-1])
    dw = fastconv.kernel_adjoint(x, g, geo, w_shape[:-2])
    assert {a.dtype for a in (y, dx, dw)} == {np.dtype(dtype)}
    _agree(y, plainconv.forward, bound, *wide[:2], geo)
    _agree(dx, plainconv.input_adjoint, bound, wide[2], wide[1], geo, x_shape[1:-1])
    _agree(dw, plainconv.kernel_adjoint, bound, wide[0], wide[2], geo, w_shape[:-2])
    pairs = [np.vdot(a, b) for a, b in ((g, y), (dx, x), (dw, w))]
    scale = np.sqrt(np.vdot(g, g) * np.vdot(y, y)) + 1e-30
    assert max(pairs) - min(pairs) <= bound * scale * 10


@given(
    cases(), st.sampled_from(["float32", "float64"]), st.sampled_from(["whole", "chunked", "wide"])
)
@settings(max_examples=300, deadline=None)
def test_drawn_geometries(case, dtype, way):
    patch = pytest.MonkeyPatch()
    if way == "wide":
        patch.setattr(wideconv, "WIDE", 0)
        patch.setattr(fastconv, "SMALL", 0)
        patch.setenv("CNNCALC_THREADS", "2")
    if way == "chunked":  # many chunks, and threads, for the smallest sizes
        patch.setattr(fastconv, "CHUNK", 60)
        patch.setattr(fastconv, "ALONE", 0)
        patch.setattr(fastconv, "SMALL", 0)
        patch.setenv("CNNCALC_THREADS", "2")
    try:
        _compare(*case, dtype, EXACT[dtype, 0])
    finally:
        patch.undo()


@given(
    st.sampled_from([(2, 3), (4, 3), (2, 5)]),
    st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(*[st.integers(-1, 3)] * 4),
    st.sampled_from(["float32", "float64"]),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_winograd_at_drawn_sizes(tile, volume, channels, pads, dtype, chunked):
    (m, r), (n, h, w) = tile, volume
    (c, f), (top, bottom, left, right) = channels, pads
    h, w = max(h, r - top - bottom, 3), max(w, r - left - right, 3)
    patch = pytest.MonkeyPatch()
    patch.setattr(fastconv, "CHANNELS", 1)
    patch.setattr(fastconv, "ALONE", 0)
    patch.setattr(fastconv, "PLACES", 0)
    if chunked:
        patch.setattr(winograd, "TILES", 3)
    geo = Geometry((1, 1), ((top, bottom), (left, right)), (1, 1), 1)
    try:
        with fastconv.using(m):
            assert fastconv._winograd((r, r, c, f), geo, (n, h, w, f)) == tile
            _compare((n, h, w, c), (r, r, c, f), geo, dtype, EXACT[dtype, max(m, r - 1)])
    finally:
        patch.undo()


@pytest.mark.parametrize(
    ("tile", "side", "channels", "bound"),
    [(2, 3, 512, 4e-6), (4, 3, 512, 8e-5), (2, 5, 128, 4e-5), (0, 3, 512, 4e-6), (0, 5, 128, 4e-6)],
)
def test_exactness(tile, side, channels, bound):
    pads = ((side // 2, side // 2),) * 2
    geo = Geometry((1, 1), pads, (1, 1), 1)
    x, w = _drawn("float32", (4, 14, 14, channels), (side, side, channels, 64))
    exact = plainconv.forward(x.astype("float64"), w.astype("float64"), geo)
    for dtype, limit in (("float32", bound), ("float64", 1e-12)):
        with fastconv.using(tile):
            chosen = fastconv._winograd(w.shape, geo, (*x.shape[:-1], 64))
            assert chosen == ((tile, side) if tile else None)
            found = fastconv.forward(x.astype(dtype), w.astype(dtype), geo)
        assert abs(found - exact).max() / exact.std() < limit


def test_the_switch(monkeypatch):
    geo = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    wanted = ((3, 3, 64, 64), geo, (8, 56, 56, 64))
    monkeypatch.delenv("CNNCALC_WINOGRAD", raising=False)
    assert fastconv._winograd(*wanted) == (2, 3)
    with fastconv.using(4):
        assert fastconv._winograd(*wanted) == (4, 3)
        assert fastconv._winograd((5, 5, 64, 64), geo, (8, 56, 56, 64)) == (2, 5)
    monkeypatch.setenv("CNNCALC_WINOGRAD", "0")
    assert fastconv._winograd(*wanted) is None
    with pytest.raises(ValueError, match="2 or 4"):
        fastconv.using(3).__enter__()


def test_two_callers_at_once():
    geo = Geometry((2, 2), ((2, 2), (2, 2)), (1, 1), 1)
    same = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    x, w, v = _drawn("float32", (4, 40, 40, 32), (5, 5, 32, 48), (3, 3, 32, 32))
    alone = fastconv.forward(x, w, geo), fastconv.forward(x, v, same)
    found = {}

    def run(name):
        for _ in range(5):
            found[name] = fastconv.forward(x, w, geo), fastconv.forward(x, v, same)

    callers = [threading.Thread(target=run, args=(name,)) for name in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for first, second in found.values():
        np.testing.assert_array_equal(first, alone[0])
        np.testing.assert_array_equal(second, alone[1])


def test_a_failure_in_a_thread_is_raised():
    from cnncalc.autograd.threads import share

    def work(chunks, _):
        for chunk in chunks:
            raise KeyError(chunk)

    with pytest.raises(KeyError):
        share([1, 2, 3], [None, None], work)


WORK = [
    ((8, 27, 27, 96), (5, 5, 96, 128), Geometry((1, 1), ((2, 2), (2, 2)), (1, 1), 1)),
    ((8, 115, 115, 3), (11, 11, 3, 96), Geometry((4, 4), ((0, 0), (0, 0)), (1, 1), 1)),
    ((8, 56, 56, 32), (3, 3, 32, 64), Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    ((8, 28, 28, 64), (3, 3, 64, 64), Geometry((2, 2), ((1, 1), (1, 1)), (1, 1), 1)),
    ((8, 28, 28, 64), (3, 3, 8, 64), Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 8)),
    ((8, 7, 7, 512), (3, 3, 512, 512), Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    ((8, 14, 14, 256), (3, 3, 256, 512), Geometry((2, 2), ((1, 1), (1, 0)), (1, 1), 1)),
    ((8, 28, 28, 64), (1, 1, 64, 64), Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "geo"), WORK)
def test_memory_is_derived(x_shape, w_shape, geo, monkeypatch):
    monkeypatch.setenv("CNNCALC_THREADS", "2")
    out = geo.sizes(x_shape[1:-1], w_shape[:-2])
    x, w, g = _drawn("float32", x_shape, w_shape, (x_shape[0], *out, w_shape[-1]))
    maps = (
        lambda: fastconv.forward(x, w, geo),
        lambda: fastconv.input_adjoint(g, w, geo, x_shape[1:-1]),
        lambda: fastconv.kernel_adjoint(x, g, geo, w_shape[:-2]),
    )
    found = workspace(x_shape, w_shape, geo)
    for run, derived, name in zip(maps, found, found._fields, strict=True):
        run()
        spaces.clear()
        tracemalloc.start()
        answer = run()
        peak = tracemalloc.get_traced_memory()[1] - answer.nbytes
        tracemalloc.stop()
        assert 0.9 * derived - 50_000 <= peak <= 1.05 * derived + 50_000, name


def test_memory_does_not_grow_with_the_batch():
    for (_, *volume), w, geo in WORK:
        few = [workspace((n, *volume), w, geo) for n in range(1, 129)]
        most = Workspace(*(max(sizes) for sizes in zip(*few, strict=True)))
        for batch in (256, 999, 4096):
            found = workspace((batch, *volume), w, geo)
            assert all(a <= b for a, b in zip(found, most, strict=True))
