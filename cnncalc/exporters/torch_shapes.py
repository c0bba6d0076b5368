"""PyTorch's counterparts of the layers that join, cut and reorder."""

from typing import Any

from ..layers.base import axes, pads
from ..layers.reshape import position
from ..rows import Row
from .code import Arg, Call
from .errors import ExportError
from .torch_layers import ANY, FIRST, LAST, Piece, padding, rank, real, squeeze, to, whole


def tensor_axis(axis: Any, ndim: int, layout: str) -> int:
    """Where axis `axis` of a volume (no batch, channels last) lies in the tensor."""
    place = position(axis, ndim)
    assert place is not None
    if ndim == 1 or layout == LAST:
        return place + 1
    return 1 if place == ndim - 1 else place + 2


@to("flatten")
def _flatten(row: Row, layout: str) -> Piece:
    return Piece((Call("nn.Flatten"),), "{0}.flatten(1)", layout=ANY)


@to("reshape")
def _reshape(row: Row, layout: str) -> Piece:
    to_ = [whole(row, n, "the shape") for n in row.output]
    if rank(row) == 0 and len(to_) > 2:
        to_ = [to_[-1], *to_[:-1]]
        call = Call("nn.Unflatten", (Arg("dim", 1, False), Arg("size", tuple(to_), False)))
        return Piece((call,), f"{{0}}.unflatten(1, {tuple(to_)!r})")
    sizes = ", ".join(str(n) for n in to_)
    return Piece((), f"{{0}}.reshape(-1, {sizes})", layout=LAST)


@to("permute")
def _permute(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    order = [0, *((position(a, len(row.input[0])) or 0) + 1 for a in layer.axes)]
    return Piece((), f"{{0}}.permute({', '.join(map(str, order))})", layout=LAST)


@to("pad", "crop")
def _pad(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    sign = 1 if row.op == "pad" else -1
    ends = []
    for by in pads(layer.by, rank(row)):
        pair = by if isinstance(by, tuple) else (by, by)
        ends.append((sign * whole(row, pair[0], "by"), sign * whole(row, pair[1], "by")))
    flat = tuple(n for pair in reversed(ends) for n in pair)
    return Piece((padding(row, ends),), f"F.pad({{0}}, {flat!r})")


@to("upsample")
def _upsample(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    scale = squeeze([real(s) for s in axes(layer.scale, rank(row))])
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}
    if not 1 <= rank(row) <= 3:
        raise ExportError(f"{row.name}: torch does not resize {rank(row)} spatial axes")
    mode = "nearest" if layer.method == "nearest" else linear[rank(row)]
    args = [Arg("scale_factor", scale)]
    if mode != "nearest":
        args.append(Arg("mode", f'"{mode}"'))
    return Piece((Call("nn.Upsample", tuple(args)),),
                 f'F.interpolate({{0}}, scale_factor={scale!r}, mode="{mode}")')  # fmt: skip


@to("pixel_shuffle")
def _pixel_shuffle(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    scale = squeeze([whole(row, s, "scale") for s in axes(layer.scale, rank(row))])
    if rank(row) != 2 or isinstance(scale, tuple):
        raise ExportError(f"{row.name}: torch's PixelShuffle takes 2-D maps and one scale")
    call = Call("nn.PixelShuffle", (Arg("upscale_factor", scale, False),))
    return Piece((call,), f"F.pixel_shuffle({{0}}, {scale})")


@to("channel_shuffle")
def _channel_shuffle(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    groups = whole(row, layer.groups, "groups")
    if rank(row) == 0:
        return Piece((), f"{{0}}.unflatten(1, ({groups}, -1)).mT.flatten(1)")
    return Piece((Call("nn.ChannelShuffle", (Arg("groups", groups, False),)),))


@to("slice")
def _slice(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    key = [":"] * (len(row.input[0]) + 1)
    for axis, start, stop, step in layer._cuts(len(row.input[0])):
        first = whole(row, start, "start") if start else ""
        end = "" if stop is None else whole(row, stop, "stop")
        by = "" if step == 1 else f":{whole(row, step, 'step')}"
        key[tensor_axis(axis, len(row.input[0]), layout)] = f"{first}:{end}{by}"
    while len(key) > 1 and key[-1] == ":":
        key.pop()
    return Piece((), f"{{0}}[{', '.join(key)}]", layout=layout)


@to("mean")
def _mean(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    keep = ", keepdim=True" if layer.keepdims or len(row.output) == len(row.input[0]) else ""
    ndim = len(row.input[0])
    gone = {position(a, ndim) for a in layer.axes}
    # Channels that stay last keep their layout; else the tensor is read channels last.
    layout = layout if keep or (ndim - 1 not in gone and len(row.output) != 1) else LAST
    dims = tuple(sorted(tensor_axis(a, ndim, layout) for a in layer.axes))
    return Piece((), f"{{0}}.mean(dim={dims if len(dims) > 1 else dims[0]}{keep})", layout=layout)


@to("concat")
def _concat(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    dim = tensor_axis(layer.axis, len(row.input[0]), layout)
    inside = ", ".join(f"{{{i}}}" for i in range(len(row.inputs)))
    return Piece((), f"torch.cat([{inside}], dim={dim})", layout=layout)


@to("add")
def _add(row: Row, layout: str) -> Piece:
    return Piece((), " + ".join(f"{{{i}}}" for i in range(len(row.inputs))), layout=layout)


@to("multiply")
def _multiply(row: Row, layout: str) -> Piece:
    most = max(len(s) for s in row.input)
    parts = []
    for i, shape in enumerate(row.input):
        flat = len(shape) == 1 and most > 1
        after = "[:, :" + ", None" * (most - 1) + "]"
        before = "[:" + ", None" * (most - 1) + "]"
        parts.append(f"{{{i}}}" + ((after if layout == FIRST else before) if flat else ""))
    return Piece((), " * ".join(parts), layout=layout)


JOINS = {"subtract": "torch.sub", "divide": "torch.div", "maximum": "torch.maximum",
         "minimum": "torch.minimum"}  # fmt: skip


@to(*JOINS)
def _join(row: Row, layout: str) -> Piece:
    expr = "{0}"
    for i in range(1, len(row.inputs)):
        expr = f"{JOINS[row.op]}({expr}, {{{i}}})"
    return Piece((), expr, layout=layout)


@to("matmul")
def _matmul(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if len({len(shape) for shape in row.input}) != 1:
        raise ExportError(f"{row.name}: the torch export multiplies volumes of equal axes only")
    a = "{0}.mT" if layer.transpose_a else "{0}"
    b = "{1}.mT" if layer.transpose_b else "{1}"
    return Piece((), f"torch.matmul({a}, {b})", layout=LAST)


@to("softmax_cross_entropy")
def _loss(row: Row, layout: str) -> Piece:
    if layout == LAST:
        layout = FIRST
    return Piece((), "F.cross_entropy({0}, target).reshape(1)", layout=layout)
