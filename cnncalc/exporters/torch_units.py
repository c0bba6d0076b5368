"""PyTorch's counterparts of dense layers, normalisations and activations."""

from typing import Any

from ..rows import Row
from .code import Arg, Call
from .errors import ExportError
from .torch_layers import ANY, LAST, Piece, channels, dims, fields, rank, real, to, whole
from .torch_shapes import tensor_axis

# --- dense, normalisation ------------------------------------------------------------------


def _linear_call(row: Row, values: int) -> Call:
    layer: Any = row.layer
    return Call(
        "nn.Linear",
        (
            Arg("in_features", values, False),
            Arg("out_features", whole(row, layer.units, "units"), False),
            Arg("bias", layer.bias, default=True),
        ),
    )


@to("dense")
def _dense(row: Row, layout: str) -> Piece:
    values = 1
    for n in row.input[0]:
        values *= whole(row, n, "the input's size")
    call = _linear_call(row, values)
    if rank(row) == 0:
        return Piece((call,))
    return Piece((Call("nn.Flatten"), call), "self.{m}({0}.flatten(1))", (call,))


@to("linear")
def _linear(row: Row, layout: str) -> Piece:
    return Piece((_linear_call(row, channels(row)),), layout=LAST)


@to("batchnorm")
def _batchnorm(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    n = max(rank(row), 1)
    if n > 3:
        raise ExportError(f"{row.name}: torch has no BatchNorm over {n} spatial axes")
    scale, shift = layer.affine and layer.scale, layer.affine and layer.shift
    c = channels(row)
    args = (
        Arg("num_features", c, False),
        Arg("eps", real(layer.eps), default=1e-05),
        Arg("affine", scale and shift, default=True),
    )
    norm = Call(f"nn.BatchNorm{n}d", args)
    if scale == shift:
        return Piece((norm,), light=True)
    return Piece((norm, _scale_call(row, scale, shift)), light=True, helpers=("Scale",))


@to("layernorm")
def _layernorm(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    args = (
        Arg("normalized_shape", channels(row), False),
        Arg("eps", real(layer.eps), default=1e-05),
        Arg("elementwise_affine", layer.affine, default=True),
    )
    return Piece((Call("nn.LayerNorm", args),), layout=LAST)


@to("groupnorm")
def _groupnorm(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    args = (
        Arg("num_groups", whole(row, layer.groups, "groups"), False),
        Arg("num_channels", channels(row), False),
        Arg("eps", real(layer.eps), default=1e-05),
        Arg("affine", layer.affine, default=True),
    )
    return Piece((Call("nn.GroupNorm", args),), light=True)


@to("lrn")
def _lrn(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    alpha = layer.alpha if row.dialect.lrn_divides else layer.alpha * layer.size
    args = (
        Arg("size", whole(row, layer.size, "size"), False),
        Arg("alpha", real(alpha), default=0.0001),
        Arg("beta", real(layer.beta), default=0.75),
        Arg("k", real(layer.k), default=1),
    )
    return Piece((Call("nn.LocalResponseNorm", args),), light=True)


def _scale_call(row: Row, scale: bool, bias: bool) -> Call:
    return Call(
        "Scale",
        (
            Arg("channels", channels(row), False),
            Arg("scale", scale, default=True),
            Arg("bias", bias, default=False),
        ),
    )


@to("scale", "layer_scale")
def _scale(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    call = _scale_call(row, True, layer.bias)
    if layout == LAST:
        call = call._replace(args=(*call.args, Arg("axis", -1, default=1)))
    return Piece((call,), layout=layout, helpers=("Scale",))


@to("dropout")
def _dropout(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    args = (Arg("p", real(layer.rate), False, 0.5),)
    return Piece((Call("nn.Dropout", args),), layout=ANY, light=True)


@to("identity")
def _identity(row: Row, layout: str) -> Piece:
    return Piece((Call("nn.Identity"),), "{0}", layout=ANY, light=True)


# --- activations --------------------------------------------------------------------------------

PLAIN = {
    "relu": ("ReLU", "F.relu({0})"),
    "relu6": ("ReLU6", "F.relu6({0})"),
    "silu": ("SiLU", "F.silu({0})"),
    "sigmoid": ("Sigmoid", "torch.sigmoid({0})"),
    "tanh": ("Tanh", "torch.tanh({0})"),
    "hardswish": ("Hardswish", "F.hardswish({0})"),
    "hardsigmoid": ("Hardsigmoid", "F.hardsigmoid({0})"),
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


@to("subsample")
def _subsample(row: Row, layout: str) -> Piece:
    if rank(row) not in (2, 3):
        raise ExportError(f"{row.name}: torch sums windows over 2 or 3 axes, not {rank(row)}")
    f = fields(row)
    total = Call(dims(row, "AvgPool"), (Arg("kernel_size", f["kernel"], False),
                                         Arg("divisor_override", 1)))  # fmt: skip
    return Piece((total, _scale_call(row, True, True)), helpers=("Scale",))
