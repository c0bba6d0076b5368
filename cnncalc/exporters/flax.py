"""Flax source: linen modules in compact style, a class a block, channels last."""

from collections.abc import Callable
from typing import Any

from ..formula import product
from ..layers.base import pads
from ..network import Network
from ..rows import Report, Row
from . import flax_tokens
from .code import Arg, Call, Class
from .compact import Step, Target, Writer, title
from .errors import refused
from .expressions import TABLE, even_steps, place
from .helpers_flax import HELPERS
from .names import literal
from .torch_pools import pool_border
from .volumes import real, whole


def export(network: Network, report: Report) -> str:
    """The network as a Flax (linen) module's source. Raises `ExportError`."""
    return Writer(TARGET, network, report).source()


def _block(writer: Writer, cls: Class, root: bool) -> list[str]:
    lines = [f"class {cls.name}(nn.Module):"]
    lines += [f'    """{title(writer.report)}"""', ""] if root else []
    lines += [f"    {p.name}: {'tuple' if isinstance(p.values[0], tuple) else type(p.values[0]).__name__}" for p in cls.params]  # noqa: E501  # fmt: skip
    names = ["x"]
    if root and len(writer.report.input_shapes) > 1:
        from .torch_forward import input_names

        names = list(input_names(writer.report.input_shapes).values())
    lines += [""] if cls.params else []
    lines += ["    @nn.compact", f"    def __call__(self, {', '.join(names)}, train=False):"]
    body = writer.body(cls, 8)
    if root:
        body[-1] = body[-1].replace("outputs = ", "return ", 1)
    return [*lines, *body]


def _sides(row: Row, name: str) -> tuple[int, ...]:
    return tuple(whole(row, getattr(w, name), "the window") for w in row.windows)


def _ends(row: Row) -> tuple[tuple[int, int], ...]:
    return tuple((whole(row, w.before, "the padding"), whole(row, w.after, "the padding"))
                 for w in row.windows)  # fmt: skip


def _named(name: str) -> tuple[Arg, ...]:
    return (Arg("name", literal(name)),) if name else ()


def _conv(row: Row, filters: int, groups: int, bias: bool, name: str) -> Call:
    rank = len(row.windows)
    ends = _ends(row)
    return Call("nn.Conv", (
        Arg("features", filters, False), Arg("kernel_size", _sides(row, "k"), False),
        Arg("strides", _sides(row, "s"), default=(1,) * rank),
        Arg("padding", ends if any(any(p) for p in ends) else '"VALID"'),
        Arg("kernel_dilation", _sides(row, "d"), default=(1,) * rank),
        Arg("feature_group_count", groups, default=1), Arg("use_bias", bias, default=True),
        *_named(name),
    ))  # fmt: skip


def steps(row: Row, name: str) -> list[Step]:
    """The calls and expressions of one layer. Raises `ExportError`."""
    layer: Any = row.layer
    op = row.op
    rank = len(row.input[0]) - 1
    if op == "conv" and layer.connect is None:
        return [_conv(row, whole(row, layer.filters, "filters"), whole(row, layer.groups, "groups"),
                      layer.bias, name)]  # fmt: skip
    if op in ("depthwise_conv", "separable_conv"):
        c = whole(row, row.input[0][-1], "the input's channels")
        middle = c * whole(row, layer.multiplier, "multiplier")
        if op == "depthwise_conv":
            return [_conv(row, middle, c, layer.bias, name)]
        point = Call("nn.Conv", (
            Arg("features", whole(row, layer.filters, "filters"), False),
            Arg("kernel_size", (1,) * rank, False), Arg("use_bias", layer.bias, default=True),
        ))  # fmt: skip
        return [_conv(row, middle, c, False, ""), point]
    if op == "conv_transpose" and layer.groups == 1:
        return [_transposed(row, name)]
    if op in ("maxpool", "avgpool"):
        return [_pool(row)]
    if op == "subsample":
        count = whole(row, product([w.k for w in row.windows]), "the window")
        pool = f"nn.avg_pool({{0}}, {_sides(row, 'k')!r}, {_sides(row, 's')!r}) * {count}"
        return [pool, Call("Scale", (Arg("bias", True), *_named(name)))]
    if op in ("dense", "linear"):
        units = whole(row, layer.units, "units")
        bias = Arg("use_bias", layer.bias, default=True)
        call = Call("nn.Dense", (Arg("features", units, False), bias, *_named(name)))
        return ["{0}.reshape((len({0}), -1))", call] if op == "dense" and rank else [call]
    if op in PLAIN or op == "gelu":
        return [_activation(row)]
    if op in NORMS:
        return [NORMS[op](row, name)]
    return _others(row, name, rank)


def _transposed(row: Row, name: str) -> Call:
    layer: Any = row.layer
    ends = []
    for w in row.windows:
        before = whole(row, w.extent - 1 - w.before, "the padding")
        size = whole(row, w.out - ((w.n - 1) * w.s + 1 - w.extent + 1) - before, "the size")
        ends.append((before, size))
    return Call("nn.ConvTranspose", (
        Arg("features", whole(row, layer.filters, "filters"), False),
        Arg("kernel_size", _sides(row, "k"), False), Arg("strides", _sides(row, "s")),
        Arg("padding", tuple(ends)),
        Arg("kernel_dilation", _sides(row, "d"), default=(1,) * len(ends)),
        Arg("use_bias", layer.bias, default=True), *_named(name),
    ))  # fmt: skip


def _pool(row: Row) -> str:
    if any(w.d != 1 for w in row.windows):
        raise refused(row, "Flax has no pool with dilation")
    symbolic = not all(isinstance(n, int) for n in row.input[0])
    ends = _ends(row) if symbolic else tuple(pool_border(row))
    border = f", padding={ends!r}" if any(any(p) for p in ends) else ""
    fields = f"{_sides(row, 'k')!r}, strides={_sides(row, 's')!r}{border}"
    if row.op == "maxpool":
        return f"nn.max_pool({{0}}, {fields})"
    layer: Any = row.layer
    include = row.dialect.include_pad if layer.count_include_pad is None else layer.count_include_pad  # noqa: E501  # fmt: skip
    if include and any(b > e for (_, b), (_, e) in zip(ends, _ends(row), strict=True)):
        raise refused(row, "Flax has no average pool with this border")
    return f"nn.avg_pool({{0}}, {fields}{'' if include or not border else ', count_include_pad=False'})"  # noqa: E501  # fmt: skip


PLAIN = {
    "relu": "nn.relu", "relu6": "nn.relu6", "silu": "nn.silu", "sigmoid": "nn.sigmoid",
    "tanh": "jnp.tanh", "hardswish": "nn.hard_swish", "softplus": "nn.softplus",
    "mish": "jax.nn.mish",
}  # fmt: skip


def _activation(row: Row) -> str:
    layer: Any = row.layer
    if row.op == "gelu":
        return f"nn.gelu({{0}}, approximate={bool(layer.approximate)})"
    return f"{PLAIN[row.op]}({{0}})"


def _batchnorm(row: Row, name: str) -> Call:
    layer: Any = row.layer
    return Call("nn.BatchNorm", (
        Arg("use_running_average", "not train"), Arg("epsilon", real(layer.eps), default=1e-05),
        Arg("use_scale", "gamma" in row.weights, default=True),
        Arg("use_bias", "beta" in row.weights, default=True), *_named(name),
    ))  # fmt: skip


def _norm(row: Row, name: str) -> Call:
    layer: Any = row.layer
    groups = (Arg("num_groups", layer.groups),) if row.op == "groupnorm" else ()
    return Call("nn.GroupNorm" if groups else "nn.LayerNorm", (
        *groups, Arg("epsilon", real(layer.eps), default=1e-06),
        Arg("use_scale", layer.affine, default=True), Arg("use_bias", layer.affine, default=True),
        *_named(name),
    ))  # fmt: skip


def _lrn(row: Row, name: str) -> Call:
    layer: Any = row.layer
    alpha = layer.alpha if row.dialect.lrn_divides else layer.alpha * layer.size
    return Call("LRN", (Arg("size", layer.size), Arg("alpha", real(alpha)),
                        Arg("beta", real(layer.beta)), Arg("k", real(layer.k))))  # fmt: skip


NORMS: dict[str, Callable[[Row, str], Step]] = {
    "batchnorm": _batchnorm, "layernorm": _norm, "groupnorm": _norm, "lrn": _lrn,
    "scale": lambda row, name: Call("Scale", (Arg("bias", "bias" in row.weights, default=False),
                                              *_named(name))),
    "layer_scale": lambda row, name: Call("Scale", _named(name)),
    "prelu": lambda row, name: Call("PReLU", _named(name)),
    "dropout": lambda row, name: Call("nn.Dropout", (
        Arg("rate", real(row.layer.values()["rate"]), False), Arg("deterministic", "not train"))),
}  # fmt: skip


def _others(row: Row, name: str, rank: int) -> list[Step]:
    layer: Any = row.layer
    op = row.op
    every = tuple(range(1, rank + 1))
    if op == "identity":
        return []
    if op == "flatten":
        return ["{0}.reshape((len({0}), -1))"]
    if op in ("global_avgpool", "global_maxpool"):
        keep = ", keepdims=True" if layer.keepdims else ""
        return [f"{{0}}.{'mean' if 'avg' in op else 'max'}({every!r}{keep})"]
    if op == "adaptive_avgpool":
        steps_ = even_steps(row)
        if not steps_:
            return []
        return [f"nn.avg_pool({{0}}, {steps_!r}, strides={steps_!r})"]
    if op == "concat":
        inside = ", ".join(f"{{{i}}}" for i in range(len(row.inputs)))
        axis = place(row, layer.axis)
        return [f"jnp.concatenate([{inside}], axis={axis if axis <= rank else -1})"]
    if op in ("pad", "crop"):
        pairs = [by if isinstance(by, tuple) else (by, by) for by in pads(layer.by, rank)]
        if op == "pad":
            return [f"jnp.pad({{0}}, {((0, 0), *pairs, (0, 0))!r})"]
        cuts = ", ".join(f"{a}:{-b if b else ''}" for a, b in pairs)
        return [f"{{0}}[:, {cuts}]"]
    if op == "upsample" and layer.method != "nearest":
        sizes_ = ", ".join(str(whole(row, n, "the size")) for n in row.output)
        return [f'jax.image.resize({{0}}, (len({{0}}), {sizes_}), "bilinear")']
    if op in TABLE:
        return list(TABLE[op](row, "jnp"))
    if op in flax_tokens.TABLE:
        return flax_tokens.TABLE[op](row, _named(name))
    raise refused(row, f"the op {op} has no counterpart in the flax export")


TARGET = Target(
    "flax",
    ("import jax", "import jax.numpy as jnp", "from flax import linen as nn"),
    steps, HELPERS, _block, prefix="self.", trains=True,
)  # fmt: skip
