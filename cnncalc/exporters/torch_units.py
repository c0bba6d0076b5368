"""PyTorch's counterparts of dense layers, normalisations and activations."""

from typing import Any

from ..rows import Row
from .code import Arg, Call
from .errors import refused
from .torch_layers import Piece, dims, fields, to
from .volumes import ANY, LAST, channels, rank, real, whole

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
        raise refused(row, f"torch has no BatchNorm over {n} spatial axes")
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


@to("subsample")
def _subsample(row: Row, layout: str) -> Piece:
    f = fields(row)
    scale = _scale_call(row, True, True)
    if rank(row) == 1:  # nn.AvgPool1d has no divisor_override
        pooled = f"F.avg_pool1d({{0}}, {f['kernel']}, {f['stride']}) * {f['kernel']}"
        return Piece((), f"self.{{m}}({pooled})", (scale,), helpers=("Scale",))
    total = Call(dims(row, "AvgPool"), (Arg("kernel_size", f["kernel"], False),
                                         Arg("divisor_override", 1)))  # fmt: skip
    return Piece((total, scale), helpers=("Scale",))
