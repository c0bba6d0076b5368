"""Each layer as PyTorch writes it: its modules, and the expression of its forward pass.

Images are channels first in PyTorch. A layer that works on the last axis (`linear`,
`layernorm`) states so, and the axes are moved where that changes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..dialects import clipped_rule, floor_rule
from ..layers.base import axes
from ..rows import Row
from .code import Arg, Call
from .errors import ExportError

FIRST, LAST, ANY = "first", "last", "any"


class Piece(NamedTuple):
    """One layer in PyTorch.

    `mods` are modules applied one after another; `expr` is the forward expression over {0},
    {1}, ... and {m}, the module made of `own` (which is `mods` unless stated).
    """

    mods: tuple[Call, ...] = ()
    expr: str = ""
    own: tuple[Call, ...] = ()
    layout: str = FIRST
    light: bool = False  # written around the call before it
    helpers: tuple[str, ...] = ()
    out: str = ""  # the output's layout, where it is not the input's

    @property
    def attribute(self) -> tuple[Call, ...]:
        return self.own or (self.mods if not self.expr or "{m}" in self.expr else ())


Translator = Callable[[Row, str], Piece]
TABLE: dict[str, Translator] = {}


def to(*ops: str) -> Callable[[Translator], Translator]:
    def put(f: Translator) -> Translator:
        TABLE.update(dict.fromkeys(ops, f))
        return f

    return put


def piece(row: Row, layout: str) -> Piece:
    """The layer of a row; `layout` is that of its input. Raises `ExportError`."""
    if row.op not in TABLE:
        raise ExportError(f"{row.name}: the op {row.op} has no counterpart in the torch export")
    return TABLE[row.op](row, layout)


def whole(row: Row, value: Any, what: str) -> int:
    """A size that must be a number."""
    if not isinstance(value, int):
        raise ExportError(
            f"{row.name}: torch needs {what} as a number, but it is {value}; give --set"
        )
    return value


def channels(row: Row) -> int:
    return whole(row, row.input[0][-1], "the input's channels")


def rank(row: Row) -> int:
    return len(row.input[0]) - 1


def real(value: Any) -> float | int:
    number = float(value)
    return int(number) if number == int(number) and abs(number) < 1e15 else number


def squeeze(values: Sequence[Any]) -> Any:
    """One number where every axis has the same, as PyTorch's own code writes it."""
    return values[0] if all(v == values[0] for v in values) else tuple(values)


def dims(row: Row, name: str) -> str:
    """The module for the volume's number of axes, such as nn.Conv2d."""
    n = rank(row)
    if not 1 <= n <= 3:
        raise ExportError(f"{row.name}: torch has no {name} over {n} spatial axes")
    return f"nn.{name}{n}d"


# --- windows ---------------------------------------------------------------------------


def _ends(row: Row) -> list[tuple[int, int]]:
    return [(whole(row, w.before, "the padding"), whole(row, w.after, "the padding"))
            for w in row.windows]  # fmt: skip


def padding(row: Row, ends: Sequence[tuple[int, int]], fill: str = "") -> Call:
    """A module that pads by pairs; torch lists the last axis first."""
    flat = tuple(n for pair in reversed(ends) for n in pair)
    if fill:
        return Call(dims(row, "ConstantPad"), (Arg("padding", flat, False),
                                               Arg("value", fill, False)))  # fmt: skip
    return Call(dims(row, "ZeroPad"), (Arg("padding", flat, False),))


def fields(row: Row) -> dict[str, Any]:
    """Kernel, stride and dilation of the windows."""
    ws = row.windows
    return {
        "kernel": squeeze([whole(row, w.k, "the kernel") for w in ws]),
        "stride": squeeze([whole(row, w.s, "the stride") for w in ws]),
        "dilation": squeeze([whole(row, w.d, "the dilation") for w in ws]),
    }


def conv_call(row: Row, filters: int, groups: int, bias: bool, pad: Any) -> Call:
    f = fields(row)
    return Call(
        dims(row, "Conv"),
        (
            Arg("in_channels", channels(row), False),
            Arg("out_channels", filters, False),
            Arg("kernel_size", f["kernel"]),
            Arg("stride", f["stride"], default=1),
            Arg("padding", pad, default=0),
            Arg("dilation", f["dilation"], default=1),
            Arg("groups", groups, default=1),
            Arg("bias", bias, default=True),
        ),
    )


def _convolution(row: Row, filters: int, groups: int, bias: bool) -> tuple[Call, ...]:
    ends = _ends(row)
    if all(a == b for a, b in ends):
        pad = squeeze([a for a, _ in ends])
        return (conv_call(row, filters, groups, bias, pad),)
    return padding(row, ends), conv_call(row, filters, groups, bias, 0)


@to("conv")
def _conv(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if layer.connect is not None:
        return _connected(row)
    filters = whole(row, layer.filters, "filters")
    groups = whole(row, layer.groups, "groups")
    return Piece(_convolution(row, filters, groups, layer.bias))


def _connected(row: Row) -> Piece:
    layer: Any = row.layer
    ends, f = _ends(row), fields(row)
    if rank(row) != 2:
        raise ExportError(f"{row.name}: the table of connections is exported for 2-D maps only")
    args = (
        Arg("connections", "[" + ", ".join(str(list(r)) for r in layer.connect) + "]", False),
        Arg("kernel_size", f["kernel"]),
        Arg("stride", f["stride"], default=1),
        Arg("padding", 0 if any(a != b for a, b in ends) else squeeze([a for a, _ in ends]),
            default=0),
        Arg("dilation", f["dilation"], default=1),
        Arg("bias", layer.bias, default=True),
    )  # fmt: skip
    border = (padding(row, ends),) if any(a != b for a, b in ends) else ()
    return Piece((*border, Call("ConnectedConv2d", args)), helpers=("ConnectedConv2d",))


@to("depthwise_conv")
def _depthwise(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    c = channels(row)
    return Piece(_convolution(row, c * whole(row, layer.multiplier, "multiplier"), c, layer.bias))


@to("separable_conv")
def _separable(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    c = channels(row)
    middle = c * whole(row, layer.multiplier, "multiplier")
    pointwise = Call(
        dims(row, "Conv"),
        (
            Arg("in_channels", middle, False),
            Arg("out_channels", whole(row, layer.filters, "filters"), False),
            Arg("kernel_size", 1),
            Arg("bias", layer.bias, default=True),
        ),
    )
    return Piece((*_convolution(row, middle, c, False), pointwise))


@to("conv_transpose")
def _transpose(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    f = fields(row)
    pads, extras, cut = [], [], False
    for w in row.windows:
        total = (w.n - 1) * w.s + w.extent
        if w.before == w.after and isinstance(w.before, int):
            pads.append(w.before)
        else:
            pads.append(0)
            cut = True
        extra = w.out - (total - 2 * pads[-1])
        extras.append(extra if isinstance(extra, int) else 0)
        most = max(whole(row, w.s, "the stride"), whole(row, w.d, "the dilation"))
        cut = cut or not 0 <= extras[-1] < max(most, 1)
    if cut:
        return _transpose_cut(row)
    call = Call(
        dims(row, "ConvTranspose"),
        (
            Arg("in_channels", channels(row), False),
            Arg("out_channels", whole(row, layer.filters, "filters"), False),
            Arg("kernel_size", f["kernel"]),
            Arg("stride", f["stride"], default=1),
            Arg("padding", squeeze(pads), default=0),
            Arg("output_padding", squeeze(extras), default=0),
            Arg("groups", whole(row, layer.groups, "groups"), default=1),
            Arg("bias", layer.bias, default=True),
            Arg("dilation", f["dilation"], default=1),
        ),
    )
    return Piece((call,))


def _transpose_cut(row: Row) -> Piece:
    """Without padding, then cut (or filled) to the size of the asymmetric border."""
    layer: Any = row.layer
    f = fields(row)
    ends = []
    for w in row.windows:
        total = (w.n - 1) * w.s + w.extent
        after = total - w.before - w.out
        ends.append((-whole(row, w.before, "the padding"), -whole(row, after, "the size")))
    call = Call(
        dims(row, "ConvTranspose"),
        (
            Arg("in_channels", channels(row), False),
            Arg("out_channels", whole(row, layer.filters, "filters"), False),
            Arg("kernel_size", f["kernel"]),
            Arg("stride", f["stride"], default=1),
            Arg("groups", whole(row, layer.groups, "groups"), default=1),
            Arg("bias", layer.bias, default=True),
            Arg("dilation", f["dilation"], default=1),
        ),
    )
    return Piece((call, padding(row, ends)))


def pool_style(row: Row) -> tuple[Any, bool] | None:
    """Padding and ceil mode with which torch makes these windows; None where it cannot."""
    pads, modes = [], set()
    for w in row.windows:
        if w.before != w.after or (
            isinstance(w.k, int) and isinstance(w.before, int) and 2 * w.before > w.k
        ):
            return None
        floor = floor_rule(w.n, w.extent, w.s, w.before, w.after)
        ceil = clipped_rule(w.n, w.extent, w.s, w.before, w.after)
        pads.append(w.before)
        modes.add({(True, True): "any", (True, False): "floor", (False, True): "ceil"}.get(
            (floor == w.out, ceil == w.out), "none"))  # fmt: skip
    modes.discard("any")
    if len(modes) > 1 or "none" in modes:
        return None
    return squeeze(pads), modes == {"ceil"}


def pool_border(row: Row) -> list[tuple[int, int]]:
    """An explicit border with which plain windows give the output: what the last one needs."""
    ends = []
    for w in row.windows:
        need = (w.out - 1) * w.s + w.extent - w.n - w.before
        before, last = whole(row, w.before, "the padding"), whole(row, need, "the size")
        after = max(whole(row, w.after, "the padding"), last)
        ends.append((before, min(after, last + whole(row, w.s, "the stride") - 1)))
    return ends


def _pool_args(f: dict[str, Any], pad: Any, ceil: bool) -> tuple[Arg, ...]:
    return (
        Arg("kernel_size", f["kernel"], False),
        Arg("stride", f["stride"], default=f["kernel"] if f["stride"] == f["kernel"] else -1),
        Arg("padding", pad, default=0),
        Arg("dilation", f["dilation"], default=1),
        Arg("ceil_mode", ceil, default=False),
    )


@to("maxpool")
def _maxpool(row: Row, layout: str) -> Piece:
    f, style = fields(row), pool_style(row)
    if style is not None:
        return Piece((Call(dims(row, "MaxPool"), _pool_args(f, *style)),))
    border = padding(row, pool_border(row), 'float("-inf")')
    return Piece((border, Call(dims(row, "MaxPool"), _pool_args(f, 0, False))))


@to("avgpool")
def _avgpool(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    f, style = fields(row), pool_style(row)
    if any(w.d != 1 for w in row.windows):
        raise ExportError(f"{row.name}: torch has no average pool with dilation")
    include = row.dialect.include_pad if layer.count_include_pad is None else layer.count_include_pad  # noqa: E501  # fmt: skip
    padded = any(w.before != 0 or w.after != 0 for w in row.windows)
    if style is not None:
        args = [a for a in _pool_args(f, *style) if a.name != "dilation"]
        if padded:
            args.append(Arg("count_include_pad", bool(include), default=True))
        return Piece((Call(dims(row, "AvgPool"), tuple(args)),))
    args = [a for a in _pool_args(f, 0, False) if a.name in ("kernel_size", "stride")]
    if not include and rank(row) == 2:
        flat = tuple(n for pair in reversed(pool_border(row)) for n in pair)
        own = Call("PaddedAvgPool2d", (*args, Arg("padding", flat)))
        return Piece((own,), helpers=("PaddedAvgPool2d",))
    border = pool_border(row)
    if not include or any(b > w.after for (_, b), w in zip(border, row.windows, strict=True)):  # type: ignore[operator]
        raise ExportError(f"{row.name}: torch has no average pool with this border")
    return Piece((padding(row, border), Call(dims(row, "AvgPool"), tuple(args))))


@to("global_avgpool", "global_maxpool")
def _global(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    kind = "avg" if row.op == "global_avgpool" else "max"
    n = rank(row)
    module = Call(dims(row, f"Adaptive{kind.title()}Pool"), (Arg("output_size", 1, False),))
    pooled = f"F.adaptive_{kind}_pool{n}d({{0}}, 1)"
    if layer.keepdims:
        return Piece((module,), pooled)
    return Piece((module, Call("nn.Flatten")), f"{pooled}.flatten(1)")


@to("adaptive_avgpool")
def _adaptive(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    size = squeeze([whole(row, n, "the output size") for n in axes(layer.size, rank(row))])
    return Piece((Call(dims(row, "AdaptiveAvgPool"), (Arg("output_size", size, False),)),))
