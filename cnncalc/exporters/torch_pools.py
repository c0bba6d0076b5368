"""PyTorch's counterparts of pools."""

from typing import Any

from ..dialects import clipped_rule, floor_rule
from ..layers.base import axes
from ..rows import Row
from .code import Arg, Call
from .errors import refused
from .torch_layers import Piece, dims, fields, padding, to
from .volumes import rank, squeeze, whole


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
        raise refused(row, "torch has no average pool with dilation")
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
        raise refused(row, "torch has no average pool with this border")
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
