"""Each layer as PyTorch writes it: its modules, and the expression of its forward pass.

Images are channels first in PyTorch. A layer that works on the last axis (`linear`,
`layernorm`) states so, and the axes are moved where that changes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..rows import Row
from .code import Arg, Call
from .errors import refused
from .volumes import FIRST, channels, rank, squeeze, whole


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
        raise refused(row, f"the op {row.op} has no counterpart in the torch export")
    return TABLE[row.op](row, layout)


def dims(row: Row, name: str) -> str:
    """The module for the volume's number of axes, such as nn.Conv2d."""
    n = rank(row)
    if not 1 <= n <= 3:
        raise refused(row, f"torch has no {name} over {n} spatial axes")
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
        raise refused(row, "the table of connections is exported for 2-D maps only")
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
