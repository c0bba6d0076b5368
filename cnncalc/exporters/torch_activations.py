"""PyTorch's counterparts of activations and of arithmetic on single values."""

from fractions import Fraction
from typing import Any

from ..rows import Row
from .code import Arg, Call
from .torch_layers import Piece, to
from .volumes import ANY, LAST, channels, rank, real, tensor_axis, whole

PLAIN = {
    "relu": ("ReLU", "F.relu({0})"),
    "relu6": ("ReLU6", "F.relu6({0})"),
    "silu": ("SiLU", "F.silu({0})"),
    "sigmoid": ("Sigmoid", "torch.sigmoid({0})"),
    "tanh": ("Tanh", "torch.tanh({0})"),
    "hardswish": ("Hardswish", "F.hardswish({0})"),
    "softplus": ("Softplus", "F.softplus({0})"),
    "mish": ("Mish", "F.mish({0})"),
    "selu": ("SELU", "F.selu({0})"),
    "softsign": ("Softsign", "F.softsign({0})"),
    "tanhshrink": ("Tanhshrink", "F.tanhshrink({0})"),
    "log_sigmoid": ("LogSigmoid", "F.logsigmoid({0})"),
}


@to(*PLAIN)
def _plain(row: Row, layout: str) -> Piece:
    module, expr = PLAIN[row.op]
    return Piece((Call(f"nn.{module}"),), expr, layout=ANY, light=True)


@to("abs", "exp")
def _function(row: Row, layout: str) -> Piece:
    return Piece((), f"torch.{row.op}({{0}})", layout=ANY)


@to("hardtanh", "clip")
def _clip(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    low, high = (None if v is None else real(v) for v in (layer.low, layer.high))
    if row.op == "hardtanh":
        args = (Arg("min_val", low, default=-1), Arg("max_val", high, default=1))
        return Piece((Call("nn.Hardtanh", args),), f"F.hardtanh({{0}}, {low!r}, {high!r})",
                     layout=ANY, light=True)  # fmt: skip
    return Piece((), f"torch.clamp({{0}}, {low!r}, {high!r})", layout=ANY)


@to("hardsigmoid")
def _hardsigmoid(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if (layer.alpha, layer.beta) == (Fraction(1, 6), Fraction(1, 2)):
        return Piece((Call("nn.Hardsigmoid"),), "F.hardsigmoid({0})", layout=ANY, light=True)
    inside = f"{{0}} * {real(layer.alpha)!r} + {real(layer.beta)!r}"
    return Piece((), f"torch.clamp({inside}, 0, 1)", layout=ANY)


@to("glu")
def _glu(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    dim = tensor_axis(layer.axis, rank(row) + 1, layout)
    call = Call("nn.GLU", (Arg("dim", dim),))
    return Piece((call,), f"F.glu({{0}}, dim={dim})", layout=layout)


@to("normalise")
def _normalise(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    dim = tensor_axis(layer.axis, rank(row) + 1, layout)
    p, eps = whole(row, layer.p, "p"), real(layer.eps)
    more = ("" if p == 2 else f", p={p}") + ("" if dim == 1 else f", dim={dim}")
    more += "" if eps == 1e-12 else f", eps={eps!r}"
    return Piece((), f"F.normalize({{0}}{more})", layout=layout)


@to("celu", "hardshrink", "softshrink")
def _with_number(row: Row, layout: str) -> Piece:
    value = real(next(iter(row.layer.values().values())))
    module = {"celu": "CELU", "hardshrink": "Hardshrink", "softshrink": "Softshrink"}[row.op]
    call = Call(f"nn.{module}", (Arg("value", value, False),))
    return Piece((call,), f"F.{row.op}({{0}}, {value!r})", layout=ANY, light=True)


@to("power", "rescale")
def _arithmetic(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if row.op == "power":
        return Piece((), f"torch.pow({{0}}, {real(layer.exponent)!r})", layout=ANY)
    return Piece((), f"{{0}} * {real(layer.scale)!r} + {real(layer.offset)!r}", layout=ANY)


@to("gelu")
def _gelu(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if layer.approximate:
        arg = Arg("approximate", '"tanh"')
        return Piece((Call("nn.GELU", (arg,)),), 'F.gelu({0}, approximate="tanh")', layout=ANY,
                     light=True)  # fmt: skip
    return Piece((Call("nn.GELU"),), "F.gelu({0})", layout=ANY, light=True)


@to("leaky_relu")
def _leaky(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    slope = real(layer.slope)
    call = Call("nn.LeakyReLU", (Arg("negative_slope", slope, False, 0.01),))
    return Piece((call,), f"F.leaky_relu({{0}}, {slope!r})", layout=ANY, light=True)


@to("elu")
def _elu(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    alpha = real(layer.alpha)
    call = Call("nn.ELU", (Arg("alpha", alpha, False, 1),))
    return Piece((call,), f"F.elu({{0}}, {alpha!r})", layout=ANY, light=True)


@to("softmax", "log_softmax")
def _softmax(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    dim = tensor_axis(layer.axis, rank(row) + 1, layout)
    dim = -1 if layout == LAST and dim == rank(row) + 1 else dim
    layout = layout if rank(row) and dim not in (-1, 1) else ANY
    module = "nn.Softmax" if row.op == "softmax" else "nn.LogSoftmax"
    expr = f"{'torch.softmax' if row.op == 'softmax' else 'F.log_softmax'}({{0}}, dim={dim})"
    return Piece((Call(module, (Arg("dim", dim),)),), expr, layout=layout,
                 light=layout == ANY)  # fmt: skip


@to("prelu")
def _prelu(row: Row, layout: str) -> Piece:
    return Piece((Call("nn.PReLU", (Arg("num_parameters", channels(row), False),)),), light=True)
