"""Products on threads against NumPy's own in float64, for every way they are cut."""

import numpy as np
import pytest

from cnncalc.autograd import gemm

RNG = np.random.default_rng(0)
SHAPES = {  # (m, k, n), how the second factor lies in memory
    "few rows, summed over blocks": ((8, 4096, 512), "C", "_summed"),
    "few rows, the answer too wide to sum": ((9, 16, 131072), "C", "_by_columns"),
    "few rows, transposed matrix": ((8, 512, 4096), "F", "_by_columns"),
    "few terms: a tall outer product": ((4096, 8, 1024), "C", "_by_rows"),
    "tall": ((2000, 64, 150), "C", "_by_rows"),
    "wide": ((150, 64, 2001), "C", "_by_columns"),
    "one thread": ((100, 100, 100), "C", "_alone"),
    "small": ((3, 4, 5), "C", None),
}


def drawn(shape, order="C", dtype=np.float32):
    return np.asarray(RNG.standard_normal(shape), dtype, order=order)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SHAPES)
def test_product_is_matmul(name, dtype, monkeypatch):
    (m, k, n), order, way = SHAPES[name]
    monkeypatch.setenv("CNNCALC_THREADS", "3")
    x, y = drawn((m, k), "C", dtype), drawn((k, n), order, dtype)
    taken = []
    for each in ("_summed", "_by_columns", "_by_rows", "_alone"):
        inner = getattr(gemm, each)
        monkeypatch.setattr(
            gemm, each, lambda *a, each=each, inner=inner: taken.append(each) or inner(*a)
        )
    found = gemm.product(x, y)
    assert taken == ([way] if way else [])
    assert found.dtype == dtype
    exact = np.matmul(x.astype(float), y.astype(float))
    scale = np.matmul(abs(x).astype(float), abs(y).astype(float))
    assert np.all(abs(found - exact) <= 8 * np.finfo(dtype).eps * np.sqrt(k) * scale)


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_at_every_run(name, monkeypatch):
    (m, k, n), order, _ = SHAPES[name]
    monkeypatch.setenv("CNNCALC_THREADS", "2")
    x, y = drawn((m, k)), drawn((k, n), order)
    first = gemm.product(x, y)
    assert all(np.array_equal(first, gemm.product(x, y)) for _ in range(3))


def test_other_kinds_and_ranks_are_numpys():
    stack = RNG.integers(0, 9, (2, 3, 4))
    assert np.array_equal(gemm.product(stack, stack.swapaxes(1, 2)), stack @ stack.swapaxes(1, 2))
    with pytest.raises(ValueError, match="mismatch"):
        gemm.product(np.ones((2, 3)), np.ones((2, 3)))
