"""Drawn windows in every dialect beside the frameworks themselves: sizes and refusals.

    python tests/campaigns/dialects.py [--count 100000] [--seed 0] [--only torch jax ...]

Each configuration (op, 1 to 3 axes, sizes, kernel, stride, padding, dilation, groups, rounding,
output_pad) becomes a spec of one layer, which cnncalc derives; PyTorch executes it, lax and
Keras on JAX trace it, ONNX Runtime runs it as a model, and Caffe's published formula is
written out below. The sizes must be equal and refusals must meet errors. What differs must
have one of the reasons in `EXPLAINED`, or the script exits with 1.
"""

import argparse
import collections
import itertools
import math
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

Sizes = tuple[int, ...]


class Case(NamedTuple):
    """One layer on one input; per-axis values, `pads` pairs or a word."""

    op: str  # conv, conv_transpose, maxpool, avgpool
    volume: Sizes  # spatial, channels last
    kernel: Sizes
    stride: Sizes
    pads: Any
    dilation: Sizes
    groups: int = 1
    filters: int = 1
    rounding: str | None = None
    output_pad: Sizes = ()

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def extent(self) -> Sizes:
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return [(0, 0)] * self.rank if isinstance(self.pads, str) else list(self.pads)

    def too_large(self) -> bool:
        """The kernel exceeds the padded input on some axis (S002)."""
        if self.op == "conv_transpose" or self.pads == "same":
            return False
        axes = zip(self.volume, self.extent, self.pairs, strict=False)
        return any(e > n + a + b for n, e, (a, b) in axes)

    def spec(self, dialect: str) -> str:
        pads = self.pads if isinstance(self.pads, str) else [list(p) for p in self.pads]
        fields = {"kernel": list(self.kernel), "stride": list(self.stride), "pad": pads}
        if self.op != "avgpool":
            fields["dilation"] = list(self.dilation)
        if self.op.startswith("conv"):
            fields |= {"filters": self.filters, "groups": self.groups}
        if self.output_pad:
            fields["output_pad"] = list(self.output_pad)
        if self.rounding:
            fields["round"] = self.rounding
        text = ", ".join(f"{name}: {value}" for name, value in fields.items())
        size = "x".join(map(str, self.volume))
        return f"dialect: {dialect}\ninput: {size}\nlayers:\n  - {self.op}: {{{text}}}\n"


class Refused(Exception):
    """The framework does not take the layer."""


Outcome = Sizes | str  # the output's sizes, or the reason of the refusal


def derived(case: Case, dialect: str) -> tuple[Outcome, set[str]]:
    """cnncalc's answer and the codes of its errors."""
    import cnncalc

    result = cnncalc.load(case.spec(dialect)).derive()
    errors = {d.code for d in result.diagnostics if d.severity == "error"}
    return tuple(result.layers[-1].output), errors


# --- the frameworks ------------------------------------------------------------------------


def of_torch(case: Case) -> Outcome:
    import torch

    f = torch.nn.functional
    x = torch.zeros(1, case.volume[-1], *case.volume[:-1])
    rank = case.rank
    pad: Any = case.pads if isinstance(case.pads, str) else [a for a, _ in case.pads]
    try:
        if case.op == "conv":
            w = torch.zeros(case.filters, case.volume[-1] // case.groups, *case.kernel)
            y = getattr(f, f"conv{rank}d")(x, w, None, case.stride, pad, case.dilation, case.groups)
        elif case.op == "conv_transpose":
            w = torch.zeros(case.volume[-1], case.filters // case.groups, *case.kernel)
            y = getattr(f, f"conv_transpose{rank}d")(
                x, w, None, case.stride, pad, case.output_pad or 0, case.groups, case.dilation
            )
        elif case.op == "maxpool":
            y = getattr(f, f"max_pool{rank}d")(
                x, case.kernel, case.stride, pad, case.dilation, case.rounding == "ceil"
            )
        else:
            y = getattr(f, f"avg_pool{rank}d")(
                x, case.kernel, case.stride, pad, case.rounding == "ceil"
            )
    except RuntimeError as error:
        raise Refused(str(error)) from None
    return (*y.shape[2:], y.shape[1])


def of_jax(case: Case) -> Outcome:
    import jax
    from jax import lax

    spatial = "DHW"[-case.rank :]
    names = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    pads = case.pads.upper() if isinstance(case.pads, str) else case.pads
    x = jax.ShapeDtypeStruct((1, *case.volume), np.float32)
    w = jax.ShapeDtypeStruct(
        (*case.kernel, case.volume[-1] // case.groups, case.filters), np.float32
    )

    def conv(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(
            x, w, case.stride, pads, rhs_dilation=case.dilation,
            dimension_numbers=names, feature_group_count=case.groups,
        )  # fmt: skip

    def pool(x: Any) -> Any:
        window, strides = (1, *case.kernel, 1), (1, *case.stride, 1)
        around = pads if isinstance(pads, str) else [(0, 0), *pads, (0, 0)]
        return lax.reduce_window(
            x, 0.0, lax.add, window, strides, around, window_dilation=(1, *case.dilation, 1)
        )

    try:
        y = jax.eval_shape(conv, x, w) if case.op == "conv" else jax.eval_shape(pool, x)
    except (TypeError, ValueError) as error:
        raise Refused(str(error)) from None
    return tuple(y.shape[1:])


def of_keras(case: Case) -> Outcome:
    import keras

    kinds = {"conv": "Conv", "conv_transpose": "Conv", "maxpool": "MaxPooling",
             "avgpool": "AveragePooling"}  # fmt: skip
    name = f"{kinds[case.op]}{case.rank}D" + ("Transpose" if "transpose" in case.op else "")
    given: dict[str, Any] = {"strides": case.stride, "padding": case.pads}
    if case.op.startswith("conv"):
        given |= {"filters": case.filters, "kernel_size": case.kernel,
                  "dilation_rate": case.dilation}  # fmt: skip
        if case.op == "conv":
            given["groups"] = case.groups
        elif case.output_pad:
            given["output_padding"] = case.output_pad
    else:
        given["pool_size"] = case.kernel
    try:
        layer = getattr(keras.layers, name)(**given)
        y = layer(keras.KerasTensor((1, *case.volume), "float32"))
    except (TypeError, ValueError) as error:
        raise Refused(str(error)) from None
    return tuple(y.shape[1:])


def onnx_model(case: Case) -> Any:
    """One node, opset 19."""
    from onnx import TensorProto, helper, numpy_helper

    ops = {"conv": "Conv", "conv_transpose": "ConvTranspose", "maxpool": "MaxPool",
           "avgpool": "AveragePool"}  # fmt: skip
    given: dict[str, Any] = {"kernel_shape": case.kernel, "strides": case.stride}
    given["dilations"] = case.dilation
    if isinstance(case.pads, str):
        words = {"same": "SAME_UPPER", "same_lower": "SAME_LOWER", "valid": "VALID"}
        given["auto_pad"] = words[case.pads]
    else:
        given["pads"] = [a for a, _ in case.pads] + [b for _, b in case.pads]
    inputs, weights, c = ["x"], [], case.volume[-1]
    if case.op.startswith("conv"):
        given["group"] = case.groups
        shape = (case.filters, c // case.groups) if case.op == "conv" else (
            c, case.filters // case.groups)  # fmt: skip
        weights = [numpy_helper.from_array(np.zeros((*shape, *case.kernel), np.float32), "w")]
        inputs.append("w")
        if case.output_pad:
            given["output_padding"] = case.output_pad
    else:
        given["ceil_mode"] = int(case.rounding == "ceil")
    size = [1, c, *case.volume[:-1]]
    graph = helper.make_graph(
        [helper.make_node(ops[case.op], inputs, ["y"], **given)], "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_empty_tensor_value_info("y")], weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def of_onnx(case: Case) -> Outcome:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            onnx_model(case).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        x = np.zeros((1, case.volume[-1], *case.volume[:-1]), np.float32)
        y = session.run(None, {"x": x})[0]
    except Exception as error:  # its errors share no class of their own
        raise Refused(str(error)) from None
    return (*y.shape[2:], y.shape[1])


def of_caffe(case: Case) -> Outcome:
    """conv_layer.cpp and pooling_layer.cpp, in C's integers."""
    out = []
    axes = zip(case.volume, case.kernel, case.extent, case.stride, case.pairs, strict=False)
    for n, k, extent, s, (p, _) in axes:
        if case.op == "conv":
            out.append(int((n + 2 * p - extent) / s) + 1)
            continue
        o = math.ceil((n + 2 * p - k) / s) + 1
        if p and (o - 1) * s >= n + p:
            o -= 1
        if p >= k:
            raise Refused("pad must be less than the kernel")  # CHECK_LT in LayerSetUp
        out.append(o)
    return (*out, case.filters if case.op == "conv" else case.volume[-1])


# --- drawing --------------------------------------------------------------------------------


def draw(rng: random.Random, dialect: str) -> Case:
    """A configuration that the dialect can write."""
    ops = {"jax": ["conv", "maxpool"], "caffe": ["conv", "maxpool"]}
    op = rng.choice(ops.get(dialect, ["conv", "maxpool", "avgpool", "conv_transpose"]))
    rank = rng.choice([2] if dialect == "caffe" else [1, 2, 2, 3])
    most = {1: 40, 2: 24, 3: 9}[rank]
    axes = range(rank)
    kernel = tuple(rng.randint(1, 7 if rank < 3 else 4) for _ in axes)
    stride = tuple(rng.randint(1, 5) for _ in axes)
    dilated = rng.random() < 0.4 and not (op == "avgpool" or (dialect == "caffe" and op != "conv"))
    if dialect == "keras":
        dilated = dilated and op == "conv"
    dilation = tuple(rng.randint(1, 3) if dilated else 1 for _ in axes)
    if dialect == "keras" and dilated:
        stride = (1,) * rank  # Keras takes one or the other
    if dialect in ("caffe", "keras") and rng.random() < 0.3:
        kernel, stride = (kernel[0],) * rank, (stride[0],) * rank
    groups = rng.choice([1, 1, 2, 3]) if op.startswith("conv") else 1
    if dialect == "keras" and op == "conv_transpose":
        groups = 1
    channels, filters = groups * rng.randint(1, 2), groups * rng.randint(1, 2)
    rounding = rng.choice([None, "ceil"]) if "pool" in op and dialect in ("torch", "onnx") else None
    output_pad: Sizes = ()
    if op == "conv_transpose" and rng.random() < 0.5:
        output_pad = tuple(rng.randint(0, max(0, s - 1)) for s in stride)
        if dialect == "keras" and not any(output_pad):
            output_pad = ()  # Keras's None, which the spec language writes as 0
    volume = (*(rng.randint(1, most) for _ in axes), channels)
    pads = draw_pads(rng, dialect, op, kernel)
    if pads in ("same", "same_lower") and op == "conv_transpose":
        output_pad = ()
    return Case(op, volume, kernel, stride, pads, dilation, groups,
                filters if op.startswith("conv") else 1, rounding, output_pad)  # fmt: skip


def draw_pads(rng: random.Random, dialect: str, op: str, kernel: Sizes) -> Any:
    words = {
        "keras": ["same", "valid"],
        "jax": ["same", "valid", None, None],
        "onnx": ["same", "same_lower", "valid", None, None, None],
        "torch": ["same", "valid", None, None, None] if op == "conv" else [None],
        "caffe": [None],
    }
    if dialect == "onnx" and op == "conv_transpose":
        words["onnx"] = [None]
    word = rng.choice(words[dialect])
    if word:
        return word
    before = [rng.randint(0, max(1, k // 2 + (rng.random() < 0.2))) for k in kernel]
    if dialect in ("jax", "onnx") and rng.random() < 0.5:
        return tuple(
            (b, rng.randint(0, max(1, k // 2))) for b, k in zip(before, kernel, strict=True)
        )
    return tuple((b, b) for b in before)


# --- what is known to differ -------------------------------------------------------------------

Reason = Callable[[str, Case, Outcome, set[str], Outcome], bool]


def truncated(name: str, case: Case, ours: Outcome, errors: set[str], theirs: Outcome) -> bool:
    """The kernel exceeds the padded input: S002, where lax gives 0, C's division 1 or less."""
    if errors != {"S002"} or isinstance(theirs, str):
        return False
    axes = zip(case.volume, case.extent, case.pairs, ours, theirs, strict=False)
    return ours[-1] == theirs[-1] and all(
        b <= 1 if extent > n + sum(pair) else a == b for n, extent, pair, a, b in axes
    )


def empty(name: str, case: Case, ours: Outcome, errors: set[str], theirs: Outcome) -> bool:
    """A transposed convolution whose padding takes everything: S009, an empty output there."""
    return errors == {"S009"} and not isinstance(theirs, str) and min(theirs) == 0


def same_dilated(name: str, case: Case, ours: Outcome, errors: set[str], theirs: Outcome) -> bool:
    """ONNX Runtime has no dilated SAME convolution, and pads dilated SAME pools for k, not K."""
    if name != "onnx" or case.pads not in ("same", "same_lower") or max(case.dilation) == 1:
        return False
    if isinstance(theirs, str):
        reasons = "Dilation not supported", "must be non-negative", "dimension is negative"
        return any(reason in theirs for reason in reasons)
    return case.op == "maxpool" and all(b <= a for a, b in zip(ours, theirs, strict=True))


def same_cropped(name: str, case: Case, ours: Outcome, errors: set[str], theirs: Outcome) -> bool:
    """SAME with input to spare: ONNX Runtime computes a negative padding and refuses it."""
    return (
        name == "onnx" and case.pads in ("same", "same_lower")
        and isinstance(theirs, str) and "must be non-negative" in theirs
        and any((o - 1) * s + e < n for n, e, s, o in zip(
            case.volume, case.extent, case.stride, ours, strict=False))
    )  # fmt: skip


EXPLAINED: dict[str, Reason] = {
    "S002: kernel larger than the padded input, computed as 1 or less": truncated,
    "S009: an empty output": empty,
    "ONNX Runtime: SAME with dilation": same_dilated,
    "ONNX Runtime: SAME with input to spare refused": same_cropped,
}

FRAMEWORKS: dict[str, tuple[str, Callable[[Case], Outcome]]] = {
    "torch": ("torch", of_torch),
    "jax": ("jax", of_jax),
    "onnx": ("onnx:19", of_onnx),
    "keras": ("keras", of_keras),
    "caffe": ("caffe", of_caffe),
}
SHARES = {"keras": 1}  # of 25: building a layer takes Keras 30 times as long


def compare(name: str, case: Case) -> tuple[str, Outcome, set[str], Outcome]:
    """('equal' | 'both refuse' | a reason | 'UNEXPLAINED', ours, codes, theirs)."""
    dialect, run = FRAMEWORKS[name]
    ours, errors = derived(case, dialect)
    try:
        theirs = run(case)
    except Refused as refusal:
        theirs = f"refused: {refusal}"
    if errors and isinstance(theirs, str):
        return "both refuse", ours, errors, theirs
    if not errors and ours == theirs:
        return "equal", ours, errors, theirs
    for reason, holds in EXPLAINED.items():
        if holds(name, case, ours, errors, theirs):
            return reason, ours, errors, theirs
    return "UNEXPLAINED", ours, errors, theirs


def main() -> int:
    parser = argparse.ArgumentParser(description="Every dialect beside its framework.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(FRAMEWORKS))
    parser.add_argument("--show", type=int, default=5, help="unexplained differences to print")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = random.Random(given.seed)
    found: dict[str, collections.Counter[str]] = {n: collections.Counter() for n in given.only}
    shown = 0
    spent: collections.Counter[str] = collections.Counter()
    names = [name for name in given.only for _ in range(SHARES.get(name, 6))]
    for number, name in enumerate(itertools.islice(itertools.cycle(names), given.count)):
        case = draw(rng, name)
        start = time.perf_counter()
        verdict, ours, errors, theirs = compare(name, case)
        spent[name] += time.perf_counter() - start
        found[name][verdict] += 1
        if verdict == "UNEXPLAINED" and shown < given.show:
            shown += 1
            print(f"{name}: {case}\n  ours {ours} {sorted(errors)}\n  theirs {theirs}")
        if sys.stderr.isatty() and number % 200 == 0:
            print(f"\r{number:,} of {given.count:,}", end="", file=sys.stderr)
    for name, counts in found.items():
        print(f"{name}: {sum(counts.values()):,} configurations, {spent[name]:.0f} s")
        for verdict, count in counts.most_common():
            print(f"  {count:8,}  {verdict}")
    return int(any(counts["UNEXPLAINED"] for counts in found.values()))


if __name__ == "__main__":
    sys.exit(main())
