"""A convolution summed tap by tap is lax's own, in value and gradient."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from cnncalc.layers._lax import _dimension_numbers
from cnncalc.layers._taps import convolve, faster


@st.composite
def convolutions(draw):
    rank, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 4]))
    each = lambda low, high: [draw(st.integers(low, high)) for _ in range(rank)]  # noqa: E731
    transposed = draw(st.booleans())
    strides, stretch = ([1] * rank, each(1, 3)) if transposed else (each(1, 3), [1] * rank)
    ends = list(zip(each(-1, 3), each(-1, 3), strict=True))
    rng = np.random.default_rng(0)
    inside, filters = draw(st.integers(1, 2)), draw(st.integers(1, 3)) * groups
    x = rng.standard_normal((2, *each(6, 8), groups * inside))
    w = rng.standard_normal((*each(1, 3), inside, filters))
    return x, w, strides, ends, stretch, each(1, 2), groups


@settings(max_examples=6, deadline=None)
@given(convolutions())
def test_taps_are_the_convolution_of_lax(case):
    x, w, strides, ends, stretch, dilations, groups = case

    def whole(x, w):
        return lax.conv_general_dilated(
            x, w, strides, ends, lhs_dilation=stretch, rhs_dilation=dilations,
            dimension_numbers=_dimension_numbers(x.ndim - 2), feature_group_count=groups,
        )  # fmt: skip

    with jax.enable_x64(True):
        wanted, back = jax.vjp(whole, x, w)
        found, ours = jax.vjp(
            lambda x, w: convolve(x, w, strides, ends, stretch, dilations, groups), x, w
        )
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
        for a, b in zip(ours(wanted), back(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_only_large_ones_in_float64_are_summed():
    x, w = np.zeros((1, 64, 64, 64)), np.zeros((3, 3, 64, 64))
    assert faster(x, w, (1, 1))
    assert not faster(x.astype("float32"), w, (1, 1))
    assert not faster(x, np.zeros((11, 11, 64, 64)), (1, 1))
    assert not faster(x[:, :8, :8], w, (1, 1))
