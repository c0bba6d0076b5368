"""The rules of `dialects` against things that are not ours.

Plain rules are compared with windows laid one by one; torch, lax and ONNX Runtime are run,
and what they give is compared in size and, through a reference that only knows where its
windows start, in value; Caffe's and Keras's rules are transliterated from their sources.
Configurations: n input, k kernel, s stride, d dilation, and padding.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import product
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import cnncalc
from cnncalc.dialects import (
    Dialect,
    Window,
    ceil_rule,
    clipped_rule,
    conv_window,
    dialect,
    extent,
    floor_rule,
    pool_window,
    same_rule,
    transpose_rule,
    transpose_same_rule,
    transpose_valid_rule,
    transpose_window,
)

CS231N, CAFFE, TORCH = (dialect(name) for name in ("cs231n", "caffe", "torch"))
KERAS, JAX, ONNX = (dialect(name) for name in ("keras", "jax", "onnx:17"))


class Case(NamedTuple):
    """One configuration along one axis."""

    n: int
    k: int
    s: int
    d: int
    before: int = 0
    after: int = 0

    @property
    def K(self) -> int:  # noqa: N802
        return self.d * (self.k - 1) + 1

    @property
    def fits(self) -> bool:
        return self.n + self.before + self.after >= self.K

    def conv(self, rules: Dialect, pad: Any = None) -> Window:
        pad = (self.before, self.after) if pad is None else pad
        return conv_window(rules, self.n, self.k, self.s, self.d, pad)

    def pool(self, rules: Dialect, rounding: str | None, pad: Any = None) -> Window:
        pad = (self.before, self.after) if pad is None else pad
        return pool_window(rules, self.n, self.k, self.s, self.d, pad, rounding)


def cases(most: int, pads: int, *, even: bool = False) -> Iterator[Case]:
    """All configurations up to n = most; pads up to `pads` at each end (`even`: the same)."""
    grid = product(range(1, most), range(1, 6), range(1, 5), range(1, 4), range(pads + 1))
    for n, k, s, d, before in grid:
        if k == 1 and d > 1:
            continue
        for after in (before,) if even else range(pads + 1):
            yield Case(n, k, s, d, before, after)


def sample(found: Iterator[Case], count: int) -> list[Case]:
    return random.Random(7).sample(list(found), count)


def starts(case: Case) -> Iterator[int]:
    """First positions of the windows in the padded input, without an end."""
    at = 0
    while True:
        yield at
        at += case.s


def inside(case: Case) -> int:
    """Windows that lie inside the padded input."""
    end = case.n + case.before + case.after
    for count, at in enumerate(starts(case)):
        if at + case.K > end:
            return count
    raise AssertionError


def covering(case: Case) -> int:
    """Windows until one reaches the end of the padded input."""
    end = case.n + case.before + case.after
    for count, at in enumerate(starts(case), 1):
        if at + case.K >= end:
            return count
    raise AssertionError


def starting(case: Case) -> int:
    """`covering`, without the windows that start in the padding after the input."""
    places = zip(range(covering(case)), starts(case), strict=False)
    return sum(at < case.n + case.before for _, at in places)


def tiles(case: Case) -> int:
    """Groups of s positions that hold the n inputs, the last one perhaps in part."""
    return len(range(0, case.n, case.s))


# --- the plain rules -----------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "count"),
    [(floor_rule, inside), (ceil_rule, covering), (clipped_rule, starting), (same_rule, tiles)],
)
def test_rules_by_enumeration(rule: Any, count: Any) -> None:
    compared = 0
    for case in cases(17, 2):
        if case.fits:
            given = rule(case.n, case.K, case.s, case.before, case.after)
            assert given == count(case), case
            compared += 1
    assert compared == 6_112


def test_unread_and_remainder_by_enumeration() -> None:
    for case in cases(17, 2):
        if not case.fits:
            continue
        window = case.conv(ONNX)
        read = {at + i for _, at in zip(range(window.out), starts(case), strict=False)
                for i in range(case.K)}  # fmt: skip
        padded = range(case.n + case.before + case.after)
        assert window.remainder == len(padded) - max(read) - 1, case
        real = range(case.before, case.before + case.n)
        assert window.unread == sum(i > max(read) for i in real), case


def test_transpose_rules_by_enumeration() -> None:
    """A transposed convolution writes a window of K at every s-th position."""
    for case in cases(9, 1):
        last = list(zip(range(case.n), starts(case), strict=False))[-1][1]
        end = max(range(last, last + case.K)) + 1
        sizes = case.n, case.K, case.s
        assert transpose_rule(*sizes, case.before, case.after) == end - case.before - case.after
        assert transpose_valid_rule(*sizes, 0, 0) == max(end, last + case.s)
        assert transpose_same_rule(*sizes, 0, 0) == sum(case.s for _ in range(case.n))


def test_extent() -> None:
    for case in cases(2, 0):
        assert extent(case.k, case.d) == len(range((case.k - 1) * case.d + 1))


# --- a reference that knows no rule --------------------------------------------


def taps(case: Case, before: int, out: int, fill: float = 0.0) -> np.ndarray:
    """The values under `out` windows, the first at -before; `fill` outside the input."""
    at = np.arange(out)[:, None] * case.s - before + np.arange(case.k)[None] * case.d
    real = (at >= 0) & (at < case.n)
    return np.where(real, signal(case.n)[np.clip(at, 0, case.n - 1)], fill)


@cache
def signal(n: int) -> np.ndarray:
    return np.random.default_rng(n).permutation(np.arange(1.0, n + 1)).astype(np.float32)


@cache
def kernel(k: int) -> np.ndarray:
    return (2.0 ** np.arange(k)).astype(np.float32)  # exact sums that tell all taps apart


def divisors(case: Case, window: Window, include: bool) -> np.ndarray:
    """Positions that an average is taken over; beyond the padding none counts."""
    at = np.arange(window.out)[:, None] * case.s - window.before + np.arange(case.k)[None] * case.d
    low, high = (-window.before, case.n + window.after) if include else (0, case.n)
    return ((at >= low) & (at < high)).sum(1)


def agree(case: Any, window: Window, given: np.ndarray, op: str, include: bool = False) -> None:
    """Somebody's output has our size, and the values of windows at our padding."""
    assert given.shape == (window.out,), case
    fill = -np.inf if op == "max" else 0.0
    values = taps(Case(*case[:6]), window.before, window.out, fill)
    if op == "conv":
        expected = values @ kernel(case.k)
    elif op == "max":
        expected = values.max(1)
        given = np.maximum(given, LOWEST)  # of padding alone: -inf, or the lowest number
        expected = np.maximum(expected, LOWEST)
    else:
        count = divisors(case, window, include)
        given, values, count = given[count > 0], values[count > 0], count[count > 0]
        expected = values.sum(1) / count
    assert (np.abs(given - expected) <= 1e-5 * np.abs(expected)).all(), (case, given, expected)


LOWEST = np.finfo(np.float32).min


# --- torch ---------------------------------------------------------------------


@pytest.fixture
def torch() -> Iterator[Any]:
    """torch on one thread: the arrays are tiny."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def test_torch_conv(torch: Any) -> None:
    conv = torch.nn.functional.conv1d
    compared = refused = 0
    for case in cases(15, 2, even=True):
        x, w = (torch.tensor(a)[None, None] for a in (signal(case.n), kernel(case.k)))
        window = case.conv(TORCH, case.before)
        if not case.fits:
            with pytest.raises(RuntimeError, match="greater than"):
                conv(x, w, None, case.s, case.before, case.d)
            refused += 1
            continue
        given = conv(x, w, None, case.s, case.before, case.d)[0, 0].numpy()
        agree(case, window, given, "conv")
        compared += 1
    assert (compared, refused) == (1_712, 472)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_torch_same(torch: Any) -> None:
    compared = refused = 0
    for case in cases(13, 0):
        x, w = (torch.tensor(a)[None, None] for a in (signal(case.n), kernel(case.k)))
        window = case.conv(TORCH, "same")
        if case.s > 1:
            assert window.flaw is not None
            with pytest.raises(RuntimeError, match="strided"):
                torch.nn.functional.conv1d(x, w, None, case.s, "same", case.d)
            refused += 1
            continue
        given = torch.nn.functional.conv1d(x, w, None, 1, "same", case.d)[0, 0].numpy()
        assert window.flaw is None
        agree(case, window, given, "conv")
        compared += 1
    assert (compared, refused) == (156, 468)


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("op", ["max", "average"])
def test_torch_pool(torch: Any, op: str, rounding: str) -> None:
    f = torch.nn.functional
    up = rounding == "ceil"
    counts = Counter[str]()
    for case in cases(15, 2, even=True):
        if op == "average" and case.d > 1:
            continue  # avg_pool1d has no dilation
        x = torch.tensor(signal(case.n))[None, None]
        size = (case.k, case.s, case.before)

        def pool(include: bool, x: Any = x, size: Any = size, d: int = case.d) -> np.ndarray:
            if op == "max":
                return f.max_pool1d(x, *size, d, up)[0, 0].numpy()
            return f.avg_pool1d(x, *size, up, include)[0, 0].numpy()

        window = case.pool(TORCH, rounding, case.before)
        if window.flaw is not None:
            assert window.flaw[0] == "S006"
            with pytest.raises(RuntimeError, match="at most half"):
                pool(True)
            counts["refused"] += 1
        elif not case.fits and window.out < 1:
            with pytest.raises(RuntimeError, match=r"too small|Invalid computed output size"):
                pool(True)
            counts["too large"] += 1
        else:  # rounding up may give 1 where the kernel does not fit; S002 says so
            for include in (True, False):
                agree(case, window, pool(include), op, include)
            counts["agree"] += 1
    assert counts == TORCH_POOLS[op, rounding]


TORCH_POOLS = {
    ("max", "floor"): {"agree": 1272, "refused": 448, "too large": 464},
    ("max", "ceil"): {"agree": 1408, "refused": 448, "too large": 328},
    ("average", "floor"): {"agree": 564, "refused": 224, "too large": 52},
    ("average", "ceil"): {"agree": 592, "refused": 224, "too large": 24},
}


# --- lax -----------------------------------------------------------------------


def lax_shapes(case: Case, pad: Any) -> tuple[int, int]:
    """Output sizes of lax's convolution and window reduction, traced without running."""
    import jax
    from jax import lax

    x, w = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((1, case.n, 1), (case.k, 1, 1)))

    def conv(x: Any, w: Any) -> Any:
        numbers = ("NWC", "WIO", "NWC")
        return lax.conv_general_dilated(
            x, w, (case.s,), pad, rhs_dilation=(case.d,), dimension_numbers=numbers
        )

    def pool(x: Any) -> Any:
        sizes = (1, case.k, 1), (1, case.s, 1)
        ends = pad if isinstance(pad, str) else ((0, 0), *pad, (0, 0))
        return lax.reduce_window(x, -np.inf, lax.max, *sizes, ends, None, (1, case.d, 1))

    return jax.eval_shape(conv, x, w).shape[1], jax.eval_shape(pool, x).shape[1]


def test_lax_shapes() -> None:
    small = 0
    for case in sample(cases(17, 2), 300):
        for pad, theirs in (((case.before, case.after), [(case.before, case.after)]),
                            ("same", "SAME"), ("valid", "VALID")):  # fmt: skip
            conv, pool = case.conv(JAX, pad), case.pool(JAX, None, pad)
            if pad == "same" or conv.padded >= case.K:
                sizes = conv.out, pool.out
            else:
                sizes = 0, 0  # S002: JAX gives an empty output
                small += 1
            assert lax_shapes(case, theirs) == sizes, (case, pad)
    assert small == 161


def test_lax_same_pads() -> None:
    from jax import lax

    for case in cases(17, 0):
        for ours, theirs in (("same", "SAME"), ("same_lower", "SAME_LOWER"), ("valid", "VALID")):
            ((before, after),) = lax.padtype_to_pads((case.n,), (case.K,), (case.s,), theirs)
            for rules in (KERAS, JAX, ONNX):
                for window in (case.conv(rules, ours), case.pool(rules, None, ours)):
                    assert (window.before, window.after) == (before, after), (case, ours)


def test_lax_values() -> None:
    import jax
    from jax import lax

    for case in sample((c for c in cases(12, 2) if c.fits), 24):
        x, w = signal(case.n)[None, :, None], kernel(case.k)[:, None, None]
        for pad, ends in (("same", "SAME"), (None, [(case.before, case.after)])):
            given = lax.conv_general_dilated(
                x, w, (case.s,), ends, rhs_dilation=(case.d,),
                dimension_numbers=("NWC", "WIO", "NWC"), precision=jax.lax.Precision.HIGHEST,
            )  # fmt: skip
            agree(case, case.conv(JAX, pad), np.asarray(given)[0, :, 0], "conv")


# --- ONNX Runtime --------------------------------------------------------------

AUTO = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}


def runtime(op: str, case: Case, opset: int = 17, **attributes: Any) -> np.ndarray:
    """The output of one node in ONNX Runtime; raises where it refuses."""
    inputs, weights = ["x"], []
    if op in ("Conv", "ConvTranspose"):
        weights = [numpy_helper.from_array(kernel(case.k)[None, None], "w")]
        inputs.append("w")
    shape = {"kernel_shape": [case.k], "strides": [case.s]}
    if op != "AveragePool" or opset >= 19:
        shape["dilations"] = [case.d]
    node = helper.make_node(op, inputs, ["y"], **shape, **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, case.n])
    y = helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph([node], "one", [x], [y], weights)
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: np.ndarray = session.run(None, {"x": signal(case.n)[None, None]})[0][0, 0]
    return found


def refusal(op: str, case: Case, **attributes: Any) -> str:
    """ONNX Runtime's reason not to compute a node; empty where it computes an empty output."""
    try:
        found = runtime(op, case, **attributes)
    except Exception as error:
        return str(error)
    assert found.size == 0, case
    return ""


def crops(case: Case, window: Window) -> bool:
    """Whether `same` has nothing to pad and input to spare: (o-1)s + K < n.

    A known difference: lax and Keras start at the first position, ONNX Runtime takes the
    padding as negative and starts later. The sizes are the same.
    """
    return (window.out - 1) * case.s + case.K < case.n


def test_onnxruntime_conv() -> None:
    counts = Counter[str]()
    for case in sample(cases(15, 3), 1000):
        pads = [case.before, case.after]
        if case.fits:
            agree(case, case.conv(ONNX), runtime("Conv", case, pads=pads), "conv")
            counts["agree"] += 1
        else:
            assert "Invalid input shape" in refusal("Conv", case, pads=pads)
            counts["too large"] += 1
    assert counts == {"agree": 822, "too large": 178}


@pytest.mark.parametrize("auto", AUTO)
def test_onnxruntime_conv_auto_pad(auto: str) -> None:
    counts = Counter[str]()
    for case in sample(cases(17, 0), 300):
        window = case.conv(ONNX, AUTO[auto])
        if auto != "VALID" and case.d > 1:
            # A known difference: the standard defines it, the runtime does not have it.
            assert "Dilation not supported" in refusal("Conv", case, auto_pad=auto)
            counts["refused"] += 1
        elif auto == "VALID" and not case.fits:
            assert "Invalid input shape" in refusal("Conv", case, auto_pad=auto)
            counts["too large"] += 1
        elif auto != "VALID" and crops(case, window):
            assert len(runtime("Conv", case, auto_pad=auto)) == window.out
            counts["cropped"] += 1
        else:
            agree(case, window, runtime("Conv", case, auto_pad=auto), "conv")
            counts["agree"] += 1
    if auto == "VALID":
        assert counts == {"agree": 210, "too large": 90}
    else:
        assert counts == {"agree": 101, "cropped": 11, "refused": 188}


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("op", ["max", "average"])
def test_onnxruntime_pool(op: str, rounding: str) -> None:
    counts = Counter[str]()
    name = {"max": "MaxPool", "average": "AveragePool"}[op]
    for case in sample(cases(13, 2), 500):
        window = case.pool(ONNX, rounding)
        attributes: dict[str, Any] = {"pads": [case.before, case.after], "opset": 19}
        attributes["ceil_mode"] = int(rounding == "ceil")
        if window.flaw is not None:
            assert window.flaw[0] == "S006"
            assert "Pad should be smaller than kernel" in refusal(name, case, **attributes)
            counts["refused"] += 1
        elif not case.fits:  # division toward zero, as S002 says; below zero it refuses
            size = 1 - (case.K - window.padded) // case.s
            if size == 1:
                assert len(runtime(name, case, **attributes)) == 1
            else:
                assert ("negative" in refusal(name, case, **attributes)) == (size < 0)
            counts["too large"] += 1
        else:
            for include in (False, True):
                if op == "average":
                    attributes["count_include_pad"] = int(include)
                agree(case, window, runtime(name, case, **attributes), op, include)
            counts["agree"] += 1
    assert counts == {"agree": 266, "refused": 108, "too large": 126}


@pytest.mark.parametrize("auto", AUTO)
@pytest.mark.parametrize("op", ["max", "average"])
def test_onnxruntime_pool_auto_pad(op: str, auto: str) -> None:
    counts = Counter[str]()
    name = {"max": "MaxPool", "average": "AveragePool"}[op]
    for case in sample(cases(17, 0), 300):
        for rounding in ("floor", "ceil"):
            window = case.pool(ONNX, rounding, AUTO[auto])
            attributes = {"auto_pad": auto, "ceil_mode": int(rounding == "ceil"), "opset": 19}
            if auto == "VALID" and not case.fits:
                continue  # as with pads of 0 in test_onnxruntime_pool
            if auto != "VALID" and case.d > 1:
                # A known difference: the standard pads for the dilated kernel and has
                # ceil(n/s) windows; the runtime pads for the plain one and has fewer.
                counts["dilated"] += 1
            elif auto != "VALID" and crops(case, window):
                if op == "max":
                    assert "must be non-negative" in refusal(name, case, **attributes)
                else:
                    assert len(runtime(name, case, **attributes)) == window.out
                counts["cropped"] += 1
            else:
                agree(case, window, runtime(name, case, **attributes), op)
                counts["agree"] += 1
    valid = {"agree": 420}
    assert counts == (valid if auto == "VALID" else {"agree": 202, "cropped": 22, "dilated": 376})


# --- Caffe and Keras, transliterated ----------------------------------------------


def truncated(a: int, b: int) -> int:
    """C's division of integers."""
    return int(a / b)


def caffe_conv(c: Case) -> int:
    """ConvolutionLayer::compute_output_shape, src/caffe/layers/conv_layer.cpp."""
    kernel_extent = c.d * (c.k - 1) + 1
    return truncated(c.n + 2 * c.before - kernel_extent, c.s) + 1


def caffe_pool(c: Case) -> int:
    """PoolingLayer::Reshape, src/caffe/layers/pooling_layer.cpp."""
    pooled = ceil(np.float32(c.n + 2 * c.before - c.k) / np.float32(c.s)) + 1
    if c.before and (pooled - 1) * c.s >= c.n + c.before:
        pooled -= 1
        assert (pooled - 1) * c.s < c.n + c.before
    return pooled


def test_caffe() -> None:
    counts = Counter[str]()
    for case in cases(25, 4, even=True):
        conv, pool = case.conv(CAFFE, case.before), case.pool(CAFFE, None, case.before)
        if case.fits:
            assert conv.out == caffe_conv(case), case
            counts["conv"] += 1
        if case.d > 1:
            continue  # Caffe's pools have no dilation
        if case.before >= case.k:  # CHECK_LT(pad_h_, kernel_h_)
            assert pool.flaw is not None
            assert pool.flaw[0] == "S006"
            counts["refused"] += 1
        elif case.fits:
            assert pool.out == caffe_pool(case), case
            assert case.pool(CAFFE, "ceil", case.before).out == pool.out
            assert case.pool(CAFFE, "floor", case.before).out == inside(case)
            counts["pool"] += 1
    assert counts == {"conv": 5_704, "pool": 1_388, "refused": 960}


@pytest.mark.parametrize(
    ("name", "op"), [("caffe", "conv"), ("caffe", "maxpool"), ("onnx", "maxpool")]
)
def test_large_kernels_are_truncated_as_s002_says(name: str, op: str) -> None:
    """ONNX Runtime's pools were run above; the words are compared with Caffe's C."""
    large = (c for c in cases(9, 1, even=True) if c.d == 1 and c.before < c.k and not c.fits)
    texts = 0
    for case in large:
        fields = f"kernel: {case.k}, stride: {case.s}, pad: {case.before}"
        layer = f"{op}: {{{'filters: 1, ' if op == 'conv' else ''}{fields}}}"
        spec = f"dialect: {name}\ninput: {case.n}x9x1\nlayers: [{{{layer}}}]\n"
        (found,) = [d for d in cnncalc.load(spec).derive().diagnostics if d.code == "S002"]
        size = int(re.search(r"truncates .* to (-?[0-9]+)", found.message)[1])
        assert size == caffe_conv(case), case
        assert size == caffe_pool(case._replace(before=0, n=case.n + 2 * case.before)), case
        assert ("computes it" in found.message) == (size == 1)
        texts += 1
    assert texts == 52


@pytest.mark.parametrize(
    ("name", "layer", "words"),
    [
        ("torch", "conv: {filters: 1, kernel: 4, stride: 2}", "PyTorch refuses"),
        ("torch", "maxpool: {kernel: 4, stride: 2}", "PyTorch refuses"),
        ("torch", "maxpool: {kernel: 4, stride: 2, round: ceil}", "to size 1 and computes it"),
        ("torch", "maxpool: {kernel: 4, stride: 1, round: ceil}", "PyTorch refuses"),
        ("onnx", "conv: {filters: 1, kernel: 4, stride: 2}", "ONNX Runtime refuses"),
        ("jax", "conv: {filters: 1, kernel: 4, stride: 2}", "an empty output"),
    ],
)
def test_what_s002_says_of_large_kernels(name: str, layer: str, words: str) -> None:
    """As test_torch_pool, test_onnxruntime_conv and test_lax_shapes saw them run."""
    spec = f"dialect: {name}\ninput: 3x9x1\nlayers: [{{{layer}}}]\n"
    (found,) = [d for d in cnncalc.load(spec).derive().diagnostics if d.code == "S002"]
    assert words in found.message


def keras(n: int, k: int, s: int, padding: str, d: int = 1) -> int:
    """compute_conv_output_shape, keras/src/ops/operation_utils.py (pools use it too)."""
    if padding == "valid":
        return floor((n - d * (k - 1) - 1) / s) + 1
    return floor((n - 1) / s) + 1


def keras_transpose(n: int, k: int, s: int, padding: str, output_padding: int | None = None) -> int:
    """compute_conv_transpose_output_shape, keras/src/backend/common/backend_utils.py."""
    if output_padding is None:
        return n * s if padding == "same" else n * s + max(k - s, 0)
    if padding == "same":
        return (n - 1) * s + k - 2 * (k // 2) + output_padding
    return (n - 1) * s + k + output_padding


def test_keras() -> None:
    compared = 0
    for case in cases(25, 0):
        for padding in ("same", "valid"):
            if padding == "valid" and not case.fits:
                continue
            size = keras(case.n, case.k, case.s, padding, case.d)
            assert case.conv(KERAS, padding).out == size, case
            assert case.pool(KERAS, None, padding).out == size, case
            compared += 1
    assert compared == 2_256


# --- transposed convolutions -----------------------------------------------------


def transposed(rules: Dialect, case: Case, pad: Any, extra: int = 0) -> Window:
    return transpose_window(rules, case.n, case.k, case.s, case.d, pad, extra)


def test_keras_transpose() -> None:
    for case in cases(9, 0):
        if case.d > 1:
            continue
        for padding in ("same", "valid"):
            sizes = case.n, case.k, case.s, padding
            assert transposed(KERAS, case, padding).out == keras_transpose(*sizes), case
            for extra in range(1, case.s):
                given = transposed(KERAS, case, padding, extra)
                assert given.out == keras_transpose(*sizes, extra), (case, extra)


def test_torch_transpose(torch: Any) -> None:
    counts = Counter[str]()
    for case in cases(8, 2, even=True):
        x, w = (torch.ones(1, 1, n) for n in (case.n, case.k))
        for extra in range(3):
            window = transposed(TORCH, case, case.before, extra)
            args = (x, w, None, case.s, case.before, extra, 1, case.d)
            if window.flaw is not None:
                assert window.flaw[0] == "S011"
                with pytest.raises(RuntimeError, match="must be smaller than"):
                    torch.nn.functional.conv_transpose1d(*args)
                counts["refused"] += 1
            elif window.out < 1:
                with pytest.raises(RuntimeError, match="too small"):
                    torch.nn.functional.conv_transpose1d(*args)
                counts["too small"] += 1
            else:
                given = torch.nn.functional.conv_transpose1d(*args)
                assert given.shape[2] == window.out, (case, extra)
                counts["agree"] += 1
    assert counts == {"agree": 2_729, "refused": 483, "too small": 64}


def test_lax_transpose() -> None:
    import jax
    from jax import lax

    for case in sample(cases(12, 0), 200):
        x, w = (jax.ShapeDtypeStruct(s, np.float32) for s in ((1, case.n, 1), (case.k, 1, 1)))
        for padding in ("SAME", "VALID"):

            def conv(x: Any, w: Any, s: int = case.s, d: int = case.d, p: str = padding) -> Any:
                numbers = ("NWC", "WIO", "NWC")
                return lax.conv_transpose(x, w, (s,), p, (d,), numbers)

            size = jax.eval_shape(conv, x, w).shape[1]
            assert transposed(JAX, case, padding.lower()).out == size, (case, padding)


def test_onnxruntime_transpose() -> None:
    counts = Counter[str]()
    for case in sample(cases(10, 2), 300):
        for extra in (0, 1):
            window = transposed(ONNX, case, (case.before, case.after), extra)
            pads = {"pads": [case.before, case.after], "output_padding": [extra]}
            if window.flaw is not None:
                assert window.flaw[0] == "S011"
                assert "output_padding" in refusal("ConvTranspose", case, **pads)
                counts["refused"] += 1
            elif window.out < 1:
                assert refusal("ConvTranspose", case, **pads)
                counts["too small"] += 1
            else:
                assert len(runtime("ConvTranspose", case, **pads)) == window.out, (case, extra)
                counts["pads"] += 1
        for auto, word in AUTO.items():
            window = transposed(ONNX, case, word)
            given = len(runtime("ConvTranspose", case, auto_pad=auto))
            if auto != "VALID" and case.s > case.K:
                # A known difference: the standard says n·s; the runtime would have to pad
                # by a negative number, and leaves it at (n - 1)s + K.
                assert (window.out, given) == (case.n * case.s, (case.n - 1) * case.s + case.K)
                counts["short"] += 1
            else:
                assert given == window.out, (case, auto)
                counts[auto] += 1
    auto_pads = {"SAME_UPPER": 249, "SAME_LOWER": 249, "short": 102, "VALID": 300}
    assert counts == {"pads": 510, "refused": 75, "too small": 15, **auto_pads}
