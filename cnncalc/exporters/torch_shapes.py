"""PyTorch's counterparts of the layers that join, cut and reorder."""

from fractions import Fraction
from typing import Any

from ..layers.base import axes, pads
from ..layers.reshape import position
from ..rows import Row
from .code import Arg, Call
from .errors import refused
from .torch_layers import Piece, padding, to
from .volumes import ANY, FIRST, LAST, rank, real, squeeze, tensor_axis, whole


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
        raise refused(row, f"torch does not resize {rank(row)} spatial axes")
    mode = "nearest" if layer.method == "nearest" else linear[rank(row)]
    args = [Arg("scale_factor", scale)]
    if mode != "nearest":
        args.append(Arg("mode", f'"{mode}"'))
    return Piece((Call("nn.Upsample", tuple(args)),),
                 f'F.interpolate({{0}}, scale_factor={scale!r}, mode="{mode}")')  # fmt: skip


@to("pixel_shuffle")
def _pixel_shuffle(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    scales = tuple(whole(row, s, "scale") for s in axes(layer.scale, rank(row)))
    if rank(row) != 2 or len(set(scales)) != 1:
        helper = ("pixel_shuffle",)
        return Piece((), f"pixel_shuffle({{0}}, {scales!r})", helpers=helper)
    call = Call("nn.PixelShuffle", (Arg("upscale_factor", scales[0], False),))
    return Piece((call,), f"F.pixel_shuffle({{0}}, {scales[0]})")


RESIZED = {"nearest": "nearest", "nearest_exact": "nearest-exact", "area": "area"}


@to("resize")
def _resize(row: Row, layout: str) -> Piece:
    """F.interpolate where it has the method; else sums of neighbours, an axis at a time."""
    layer: Any = row.layer
    n = rank(row)
    size = tuple(whole(row, o, "the size") for o in axes(layer.to, n))
    if n > 3:
        raise refused(row, f"torch does not resize {n} spatial axes")
    if layer.method in RESIZED:
        return Piece((), f'F.interpolate({{0}}, {size!r}, mode="{RESIZED[layer.method]}")')
    aligned = layer.coordinates == "align_corners"
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[n]
    native = layer.method == "bilinear" or (n == 2 and layer.cubic == Fraction(-3, 4))
    if native and layer.coordinates != "asymmetric":
        mode = "bicubic" if layer.method == "bicubic" else mode
        corners = ", align_corners=True" if aligned else ""
        return Piece((), f'F.interpolate({{0}}, {size!r}, mode="{mode}"{corners})')
    cubic = f", cubic={real(layer.cubic)!r}" if layer.method == "bicubic" else ""
    expr = f'resize({{0}}, {size!r}, "{layer.coordinates}"{cubic})'
    return Piece((), expr, helpers=("resize",))


@to("channel_shuffle")
def _channel_shuffle(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    groups = whole(row, layer.groups, "groups")
    if rank(row) == 0:
        return Piece((), f"{{0}}.unflatten(1, ({groups}, -1)).mT.flatten(1)")
    return Piece((Call("nn.ChannelShuffle", (Arg("groups", groups, False),)),))


REDUCED = {"mean": "mean", "sum": "sum", "max": "amax"}


@to(*REDUCED)
def _reduced(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    ndim = len(row.input[0])
    gone = {position(a, ndim) for a in layer.axes}
    kept = layer.keepdims or (len(row.output) == ndim and len(gone) < ndim)
    keep = ", keepdim=True" if layer.keepdims or len(row.output) == ndim else ""
    # Channels that stay last keep their layout; else the tensor is read channels last.
    layout = layout if kept or (ndim - 1 not in gone and len(row.output) != 1) else LAST
    over = tuple(sorted({tensor_axis(a, ndim, layout) for a in layer.axes}))
    dim = over if len(over) > 1 else over[0]
    return Piece((), f"{{0}}.{REDUCED[row.op]}(dim={dim}{keep})", layout=layout)


@to("concat")
def _concat(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    dim = tensor_axis(layer.axis, len(row.input[0]), layout)
    inside = ", ".join(f"{{{i}}}" for i in range(len(row.inputs)))
    return Piece((), f"torch.cat([{inside}], dim={dim})", layout=layout)


@to("add", "average")
def _add(row: Row, layout: str) -> Piece:
    total = " + ".join(f"{{{i}}}" for i in range(len(row.inputs)))
    if row.op == "average":
        total = f"({total}) / {len(row.inputs)}"
    return Piece((), total, layout=layout)


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
    most = max(len(shape) for shape in row.input)
    sides = []
    for i, turned in enumerate((layer.transpose_a, layer.transpose_b)):
        missing = most - len(row.input[i])
        ones = f"[:{', None' * missing}]" if missing else ""
        sides.append(f"{{{i}}}{ones}" + (".mT" if turned else ""))
    return Piece((), f"torch.matmul({', '.join(sides)})", layout=LAST)


@to("softmax_cross_entropy")
def _loss(row: Row, layout: str) -> Piece:
    if layout == LAST:
        layout = FIRST
    return Piece((), "F.cross_entropy({0}, target).reshape(1)", layout=layout)
