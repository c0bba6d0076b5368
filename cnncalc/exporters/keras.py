"""Keras source: the functional interface, a function a block, channels last."""

from typing import Any

from ..dialects import same_rule, same_total
from ..layers.base import pads
from ..network import Network
from ..rows import Report, Row
from . import keras_units
from .code import Arg, Call, Class
from .compact import Step, Target, Writer, title
from .errors import refused
from .expressions import TABLE, place
from .keras_units import dims, refuse, sides
from .torch_pools import pool_border
from .volumes import real, whole

PLAIN = {
    "sigmoid": '"sigmoid"', "tanh": '"tanh"', "silu": '"silu"', "softplus": '"softplus"',
    "hardswish": '"hard_swish"',
    "mish": '"mish"', "relu": '"relu"', "relu6": '"relu6"',
}  # fmt: skip


def export(network: Network, report: Report) -> str:
    """The network as Keras source: `build()` gives the model. Raises `ExportError`."""
    return Writer(TARGET, network, report).source()


def _block(writer: Writer, cls: Class, root: bool) -> list[str]:
    if not root:
        params = ", ".join(["x", *(p.name for p in cls.params)])
        return [f"def {cls.name}({params}):", *writer.body(cls, 4)]
    lines = ["def build():", f'    """{title(writer.report)}"""']
    names = ["x"]
    shapes = writer.report.input_shapes
    if len(shapes) > 1:
        from .torch_forward import input_names

        names = list(input_names(shapes).values())
    for name, shape in zip(names, shapes.values(), strict=True):
        sizes = ", ".join(str(n) if isinstance(n, int) else "None" for n in shape)
        lines.append(f"    {name} = keras.Input(({sizes},))")
    first = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    body = writer.body(cls, 4)
    outputs = body[-1].partition("= ")[2]
    outputs = f"[{outputs}]" if "," in outputs else outputs
    return [
        *lines,
        f"    inputs = {first}",
        *body[:-1],
        f"    return keras.Model(inputs, {outputs})",
    ]


def _same(row: Row) -> bool:
    """Is the padding that of Keras's `same`?"""
    for w in row.windows:
        if not all(isinstance(v, int) for v in (w.n, w.before, w.after)):
            return row.layer.values().get("pad") == "same" and row.dialect.tf_same
        total = same_total(w.n, w.extent, w.s)
        if (w.before, w.after) != (total // 2, total - total // 2):
            return False
        if w.out != same_rule(w.n, w.extent, w.s, 0, 0):
            return False
    return True


def _border(row: Row) -> tuple[list[Step], Arg]:
    """A padding layer, and the convolution's own padding."""
    if all(w.before == 0 and w.after == 0 for w in row.windows):
        return [], Arg("padding", '"valid"', default='"valid"')
    if _same(row):
        return [], Arg("padding", '"same"')
    ends = tuple((whole(row, w.before, "the padding"), whole(row, w.after, "the padding"))
                 for w in row.windows)  # fmt: skip
    value: Any = ends[0] if len(ends) == 1 else ends
    call = Call(dims(row, "ZeroPadding"), (Arg("padding", value, False),))
    return [call], Arg("padding", '"valid"', default='"valid"')


def _conv(row: Row) -> list[Step]:
    layer: Any = row.layer
    if row.op == "conv" and layer.connect is not None:
        raise refused(row, "Keras has no convolution with a table of connections")
    if any(w.s != 1 for w in row.windows) and any(w.d != 1 for w in row.windows):
        raise refused(row, "Keras has no convolution with both a stride and dilation")
    before, padding = _border(row)
    shared = (
        Arg("kernel_size", sides(row, "k"), False), Arg("strides", sides(row, "s"), default=1),
        padding, Arg("dilation_rate", sides(row, "d"), default=1),
        Arg("use_bias", layer.bias, default=True),
    )  # fmt: skip
    if row.op == "conv":
        filters = Arg("filters", whole(row, layer.filters, "filters"), False)
        groups = Arg("groups", whole(row, layer.groups, "groups"), default=1)
        return [*before, Call(dims(row, "Conv"), (filters, *shared, groups))]
    if len(row.windows) > 2:
        raise refuse(row)
    depth = Arg("depth_multiplier", whole(row, layer.multiplier, "multiplier"), default=1)
    if row.op == "depthwise_conv":
        return [*before, Call(dims(row, "DepthwiseConv"), (*shared, depth))]
    filters = Arg("filters", whole(row, layer.filters, "filters"), False)
    return [*before, Call(dims(row, "SeparableConv"), (filters, *shared, depth))]


def _pool(row: Row) -> list[Step]:
    layer: Any = row.layer
    if any(w.d != 1 for w in row.windows):
        raise refused(row, "Keras has no pool with dilation")
    kind = "MaxPooling" if row.op == "maxpool" else "AveragePooling"
    size = (Arg("pool_size", sides(row, "k"), False), Arg("strides", sides(row, "s")))
    if all(isinstance(n, int) for n in row.input[0]):
        ends = pool_border(row)
    else:
        ends = [(whole(row, w.before, "the padding"), 0) for w in row.windows]
    if all(a == 0 and b <= 0 for a, b in ends):
        return [Call(dims(row, kind), size)]
    include = row.op == "avgpool" and (
        row.dialect.include_pad if layer.count_include_pad is None else layer.count_include_pad
    )
    if _same(row) and not include:
        return [Call(dims(row, kind), (*size, Arg("padding", '"same"')))]
    fill = ', constant_values=float("-inf")' if row.op == "maxpool" else ""
    beyond = any(b > w.after for (_, b), w in zip(ends, row.windows, strict=True))  # type: ignore[operator]
    if row.op == "avgpool" and (not include or beyond):
        raise refused(row, "Keras has no average pool with this border")
    around = ((0, 0), *((a, max(b, 0)) for a, b in ends), (0, 0))
    return [f"ops.pad({{0}}, {around!r}{fill})", Call(dims(row, kind), size)]


def steps(row: Row, name: str) -> list[Step]:
    """The calls and expressions of one layer. Raises `ExportError`."""
    layer: Any = row.layer
    op, rank = row.op, len(row.input[0]) - 1
    if op in ("conv", "depthwise_conv", "separable_conv"):
        return _conv(row)
    if op in ("maxpool", "avgpool"):
        return _pool(row)
    if op in ("global_avgpool", "global_maxpool"):
        kind = "GlobalAveragePooling" if op == "global_avgpool" else "GlobalMaxPooling"
        return [Call(dims(row, kind), (Arg("keepdims", layer.keepdims, default=False),))]
    if op in ("dense", "linear"):
        units = Arg("units", whole(row, layer.units, "units"), False)
        call = Call("layers.Dense", (units, Arg("use_bias", layer.bias, default=True)))
        return [Call("layers.Flatten"), call] if op == "dense" and rank else [call]
    if op == "batchnorm":
        return [Call("layers.BatchNormalization", (
            Arg("epsilon", real(layer.eps), default=0.001),
            Arg("scale", "gamma" in row.weights, default=True),
            Arg("center", "beta" in row.weights, default=True),
        ))]  # fmt: skip
    if op == "layernorm":
        both = (Arg("scale", layer.affine, default=True), Arg("center", layer.affine, default=True))
        return [Call("layers.LayerNormalization", (Arg("epsilon", real(layer.eps)), *both))]
    if op in PLAIN:
        return [Call("layers.Activation", (Arg("activation", PLAIN[op], False),))]
    return _others(row, rank)


def _others(row: Row, rank: int) -> list[Step]:
    layer: Any = row.layer
    op = row.op
    if op == "identity":
        return []
    if op == "gelu":
        return [f"keras.activations.gelu({{0}}, approximate={bool(layer.approximate)})"]
    if op == "dropout":
        return [Call("layers.Dropout", (Arg("rate", real(layer.rate), False),))]
    if op == "prelu":
        shared = "[" + ", ".join(str(i + 1) for i in range(rank)) + "]"
        return [Call("layers.PReLU", (Arg("shared_axes", shared),))]
    if op == "flatten":
        return [Call("layers.Flatten")]
    if op == "concat":
        axis = place(row, layer.axis)
        return [
            Call("layers.Concatenate", (Arg("axis", axis if axis <= rank else -1, default=-1),))
        ]
    if op in JOINS and len({len(s) for s in row.input}) == 1:
        return [Call(f"layers.{op.title()}")]
    if op in ("pad", "crop"):
        pairs = tuple(by if isinstance(by, tuple) else (by, by) for by in pads(layer.by, rank))
        kind = "ZeroPadding" if op == "pad" else "Cropping"
        value: Any = pairs[0] if rank == 1 else pairs
        return [Call(dims(row, kind), (Arg("padding" if op == "pad" else "cropping", value),))]
    if op in keras_units.TABLE:
        return keras_units.TABLE[op](row)
    if op in TABLE:
        return list(TABLE[op](row, "ops"))
    raise refuse(row)


JOINS = ("add", "multiply", "subtract", "maximum", "minimum", "average")
TARGET = Target(
    "keras", ("import keras", "from keras import layers, ops"), steps, keras_units.HELPERS, _block
)
