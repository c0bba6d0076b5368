"""What each tool counts of a layer besides its multiply-adds (n values in, m values out).

The rules hold for a network of modules, as `cnncalc export --to torch` writes it but with
activations and pools as modules too; each is checked against what the tool prints.
"""

from collections.abc import Sequence
from typing import Any

from ..formula import Expr, Number, product
from ..layers.base import axes
from ..rows import Row
from .core import Need, Terms, values_in, values_out

BIAS = "bias adds"
NORM = "batchnorm"
OTHER = "other normalisation"
POOL = "pooling"
ACT = "activations"
JOIN = "joins and scaling"
SIZE = "resizing"
TWICE = "times two"
CROSSED = "transposed convolutions counted at output positions"
STATS = "running statistics"

CONV = ("conv", "depthwise_conv", "separable_conv")
LINEAR = ("dense", "linear")
POOLS = ("maxpool", "avgpool")
WHOLE = ("global_avgpool", "global_maxpool", "adaptive_avgpool")


def nothing(row: Row) -> Terms:
    return {}


def twice(row: Row) -> Terms:
    return {TWICE: row.macs}


def biases(row: Row) -> Number:
    """One addition an output value of a layer with a bias."""
    if row.op in (*CONV, *LINEAR, "conv_transpose") and "bias" in row.weights:
        return values_out(row)
    return 0


def affine(row: Row) -> bool:
    """Are both factor and shift trained (torch's `affine`)?"""
    return "gamma" in row.weights and "beta" in row.weights


def bordered(row: Row) -> Number:
    """Values of a pool's input, with the border that PyTorch pads in a step of its own."""
    from ..exporters.torch_pools import pool_border, pool_style

    if row.op == "subsample" or pool_style(row) is not None:
        return values_in(row)
    if not all(isinstance(n, int) for n in row.input[0]):
        raise Need(f"{row.name}: the border of the pool needs sizes as numbers; give --set")
    sizes = [n + a + b for n, (a, b) in zip(row.input[0], pool_border(row), strict=False)]
    return product((*sizes, row.input[0][-1]))


# --- parameters --------------------------------------------------------------------------


def all_arrays(row: Row) -> Terms:
    return {STATS: row.buffers}


def thop_params(row: Row) -> Terms:
    """thop leaves out the parameters of modules it has no rule for."""
    if row.op in ("groupnorm", "scale", "subsample") or (row.op == "batchnorm" and not affine(row)):
        return {"parameters of modules without a rule": -row.params}
    return {}


# --- torchinfo -----------------------------------------------------------------------------


def torchinfo(row: Row) -> Terms:
    """Every entry of `weight` and `bias`, times the positions of a convolution's output."""
    if row.op == "conv_transpose":
        crossed = product(row.output[:-1]) * product(row.weights["kernel"]) - row.macs
        return {BIAS: biases(row), CROSSED: crossed}
    if row.op == "linear":
        once = product(row.weights["kernel"]) - row.macs
        bias = product(row.weights["bias"]) if "bias" in row.weights else 0
        return {BIAS: bias, "linear layers counted at one position": once}
    if row.op in (*CONV, "dense"):
        return {BIAS: biases(row)}
    if row.op == "batchnorm":
        one = product(row.weights["beta"]) if "beta" in row.weights else 0
        return {NORM: 2 * one if affine(row) else one}
    if row.op in ("layernorm", "groupnorm"):
        return {OTHER: sum((product(s) for s in row.weights.values()), 0)}
    if row.op == "prelu":
        return {ACT: product(row.weights["slope"])}
    if row.op in ("scale", "subsample") and "bias" in row.weights:
        return {JOIN: product(row.weights["bias"])}
    return {}


# --- thop ----------------------------------------------------------------------------------


def thop(row: Row) -> Terms:
    """calculate_norm 2n, doubled by affine; softmax 3C-1 a position; average pools m or n + m."""
    n, m = values_in(row), values_out(row)
    layer: Any = row.layer
    if row.op == "conv_transpose":
        kernel = product(row.weights["kernel"][:-1])
        return {CROSSED: m * kernel - row.macs}
    if row.op == "batchnorm":
        return {NORM: 4 * n if affine(row) else 2 * n}
    if row.op == "layernorm":
        return {OTHER: 4 * n if layer.affine else 2 * n}
    if row.op in ("avgpool", "subsample"):
        return {POOL: m}
    if row.op in ("global_avgpool", "adaptive_avgpool"):
        return {POOL: n + m}
    if row.op == "softmax":
        return {ACT: 3 * n - product(row.input[0][:-1])}
    if row.op == "prelu":
        return {ACT: n}
    if row.op == "upsample":
        rank = len(row.input[0]) - 1
        linear = {1: 5, 2: 11}.get(rank, 0)
        return {SIZE: m if layer.method == "nearest" else linear * m}
    return {}


# --- ptflops -----------------------------------------------------------------------------------


def ptflops(row: Row) -> Terms:
    """Hooks on modules, and patches of the functions that these modules call: both count."""
    n, m = values_in(row), values_out(row)
    layer: Any = row.layer
    if row.op in ("relu", "elu", "prelu", "gelu"):
        return {ACT: 2 * n}
    if row.op in ("relu6", "leaky_relu", "silu", "softmax"):
        return {ACT: n}
    if row.op in (*POOLS, "subsample"):
        return {POOL: 2 * bordered(row)}
    if row.op in WHOLE:
        return {POOL: 2 * n}
    if row.op == "batchnorm":
        return {NORM: 2 * n if affine(row) else n}
    if row.op == "groupnorm":
        return {OTHER: 2 * n if layer.affine else n}
    if row.op == "layernorm":
        return {OTHER: n}
    if row.op == "lrn":
        return {OTHER: 3 * n + lrn_padded(row)}
    if row.op == "upsample":
        return {SIZE: 2 * m}
    return {BIAS: biases(row)}


def lrn_padded(row: Row) -> Number:
    """Values of the squares that LRN averages, padded by size - 1 channels in all."""
    layer: Any = row.layer
    return product((*row.input[0][:-1], row.input[0][-1] + layer.size - 1))


def ptflops_aten(row: Row) -> Terms:
    return {BIAS: biases(row)}


# --- fvcore --------------------------------------------------------------------------------------


def fvcore(row: Row) -> Terms:
    """jit_handles.py: norms 5n (batchnorm at inference 2n), adaptive pools n, no bias."""
    n, m = values_in(row), values_out(row)
    layer: Any = row.layer
    rank = len(row.input[0]) - 1
    if row.shared:
        return {"layers called again": -row.macs}
    if row.op == "batchnorm":
        return {NORM: 2 * n if affine(row) else n}
    if row.op in ("layernorm", "groupnorm"):
        return {OTHER: (5 if layer.affine else 4) * n}
    if row.op in ("global_avgpool", "adaptive_avgpool") and rank == 2:
        return {POOL: n}
    if row.op == "upsample" and rank == 2:
        return {SIZE: m if layer.method == "nearest" else 4 * m}
    return {}


# --- calflops ------------------------------------------------------------------------------------


def calflops(row: Row) -> Terms:
    """pytorch_ops.py: two a multiply-add, biases of convolutions but not of linear layers."""
    n = values_in(row)
    layer: Any = row.layer
    if row.op in CONV:
        return {TWICE: row.macs, BIAS: biases(row)}
    if row.op == "conv_transpose":
        return {**calflops_macs(row), **_calflops_transposed(row)}
    if row.op in LINEAR:
        return {TWICE: row.macs}
    if row.op in ("relu", "leaky_relu", "elu", "prelu", "gelu", "silu", "softmax"):
        return {ACT: n}
    if row.op == "batchnorm":
        return {NORM: 2 * n if affine(row) else n}
    if row.op in ("layernorm", "groupnorm"):
        return {OTHER: (5 if layer.affine else 4) * n}
    if row.op == "lrn":
        return {OTHER: 3 * n + lrn_padded(row)}
    if row.op in (*POOLS, "subsample"):
        return {POOL: bordered(row)}
    if row.op in WHOLE:
        return {POOL: n}
    if row.op == "upsample":
        return {SIZE: n}
    return {TWICE: row.macs}


GROUPED = "transposed convolutions divided by groups twice"


def calflops_macs(row: Row) -> Terms:
    layer: Any = row.layer
    if row.op != "conv_transpose" or layer.groups == 1:
        return {}
    share = layer.filters // layer.groups // layer.groups
    kernel = product(row.weights["kernel"][:-2])
    wrong = product(row.input[0]) * kernel * share
    return {GROUPED: wrong - row.macs}


def _calflops_transposed(row: Row) -> Terms:
    """The bias at the size a convolution would give, and of one group's channels."""
    layer: Any = row.layer
    doubled = row.macs + calflops_macs(row).get(GROUPED, 0)
    if "bias" not in row.weights:
        return {TWICE: doubled}
    sizes: list[Number] = []
    for w in row.windows:
        even = w.before if w.before == w.after else 0
        sizes.append((w.n + 2 * even - w.extent) // w.s + 1)
    return {TWICE: doubled, "bias adds at a convolution's size": product(sizes) * (
        layer.filters // layer.groups)}  # fmt: skip


# --- onnx-tool ----------------------------------------------------------------------

# node.py: instructions, such as 32 for exp, 4 for a division, 24 for a square root.
ONNX_EACH = {
    "relu": 1, "relu6": 2, "leaky_relu": 2, "elu": 35, "sigmoid": 32, "tanh": 76, "softmax": 36,
    "log_softmax": 80, "softplus": 76, "hardswish": 5, "hardsigmoid": 4, "prelu": 2, "silu": 33,
    "mish": 153,
}  # fmt: skip


def onnx_tool(row: Row) -> Terms:
    """The model as `cnncalc export --to onnx` writes it."""
    n, m = values_in(row), values_out(row)
    layer: Any = row.layer
    if row.op in ONNX_EACH:
        return {ACT: ONNX_EACH[row.op] * n}
    if row.op == "gelu":
        return {ACT: (84 if layer.approximate else 4) * n}
    if row.op == "conv_transpose":
        kernel = (*row.weights["kernel"][:-2], layer.filters // layer.groups)
        return {BIAS: biases(row), CROSSED: m * product(kernel) - row.macs}
    if row.op == "batchnorm":
        return {NORM: 31 * n}
    if row.op == "layernorm":
        return {OTHER: 7 * n + 29 * product(row.input[0][:-1])}
    if row.op == "groupnorm":
        return {OTHER: 7 * n + (2 * n if layer.affine else 0)}
    if row.op == "lrn":
        return {OTHER: (37 + layer.size) * n}
    if row.op in (*POOLS, "subsample"):
        window = _onnx_window([w.k for w in row.windows])
        return {POOL: m * window, **({JOIN: 3 * m} if row.op == "subsample" else {})}
    if row.op == "global_avgpool":
        return {POOL: n + 4 * row.output[-1]}
    if row.op == "adaptive_avgpool":
        return {POOL: _onnx_adaptive(row)}
    if row.op == "mean":
        return {POOL: n}
    if row.op in ("add", "multiply"):
        return {JOIN: (len(row.inputs) - 1) * m}
    if row.op == "scale":
        return {JOIN: (2 if layer.bias else 1) * n}
    if row.op == "upsample":
        return {SIZE: 0 if layer.method == "nearest" else 4 * m}
    return {BIAS: biases(row)}


def _onnx_window(kernel: Sequence[Number]) -> Number:
    """Two sides of a window of two axes, else only the first."""
    return product(kernel) if len(kernel) == 2 else kernel[0]


def _onnx_adaptive(row: Row) -> Number:
    """One average pool where the windows are equal, else the means of rows, then of columns."""
    layer: Any = row.layer
    sizes = list(row.input[0][:-1])
    wanted = list(axes(layer.size, len(sizes)))
    if any(isinstance(v, Expr) for v in (*sizes, *wanted)):
        raise Need(f"{row.name}: the windows need sizes as numbers; give --set")
    pairs = [(int(str(n)), int(str(o))) for n, o in zip(sizes, wanted, strict=True)]
    if all(n % o == 0 for n, o in pairs):
        steps = [n // o for n, o in pairs]
        return 0 if all(s == 1 for s in steps) else values_out(row) * _onnx_window(steps)
    total: Number = 0
    for axis, (n, o) in enumerate(pairs):
        read = sum(-(-(i + 1) * n // o) - i * n // o for i in range(o))
        others = product([*wanted[:axis], *sizes[axis + 1 :], row.input[0][-1]])
        total = total + read * others
    return total
