"""Operators that pad, crop and resize maps, or trade positions for channels."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ...formula import Number, floor
from ..draft import LOWEST, padding, plain
from .core import Converter, Unknown, handles
from .reading import Node
from .values import Tensor, one


@handles("Pad")
def pad(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    pads = _pads(c, node, x.rank)
    if not any(pads):
        c.set(node, x)
        return
    before, after = pads[: x.rank], pads[x.rank :]
    if x.rank < 3 or before[0] or after[0]:
        raise Unknown
    mode = node.attributes.get("mode", "constant")
    value = _border(c, node) if mode == "constant" else 0.0
    note = "" if mode == "constant" else f"padded with {mode} values in the source, here zeros"
    if value != 0:
        note = f"padded with {value:g} in the source, here zeros"
    ref = c.image(x)
    added = [max(p, 0) for p in before[2:]], [max(p, 0) for p in after[2:]]
    taken = [max(-p, 0) for p in before[2:]], [max(-p, 0) for p in after[2:]]
    if any(added[0] + added[1]):
        ref = c.emit(node, "pad", {"by": padding(*added)}, [ref], note=note)
        if value < LOWEST:
            c.draft.lowest.add(ref)
    if any(taken[0] + taken[1]):
        ref = c.emit(node, "crop", {"by": padding(*taken)}, [ref])
    if before[1] or after[1]:
        ref = _more_channels(c, node, ref, before[1], after[1], note)
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


def _border(c: Converter, node: Node) -> float:
    """The number that a border is filled with; 0 where it is not known."""
    given = node.attributes.get("value")
    found = [given] if given is not None else c.numbers(node, 2) if len(node.inputs) > 2 else None
    number = found[0] if found else 0
    return float(number) if isinstance(number, int | float) else 0.0


def _pads(c: Converter, node: Node, rank: int) -> list[int]:
    """Zeros before every axis, then after every axis."""
    pads, chosen = c.numbers(node, 1, "pads"), c.numbers(node, 3)
    if pads is None or not all(isinstance(p, int) for p in pads):
        raise Unknown
    if chosen is None:
        chosen = list(range(rank))
    if len(pads) != 2 * len(chosen):
        raise Unknown
    full = [0] * 2 * rank
    for i, axis in enumerate(chosen):
        full[int(axis) % rank] = pads[i]
        full[int(axis) % rank + rank] = pads[len(chosen) + i]
    return full


def _more_channels(c: Converter, node: Node, ref: str, before: int, after: int, note: str) -> str:
    """Channels of zeros before and behind a map's own, as ResNet's shortcut A has them."""
    if min(before, after) < 0:
        raise Unknown
    sizes = c.draft.shapes[ref][:-1]
    zeros = [
        [c.draft.add("constant", {"shape": [*sizes, n]}, [ref])] if n else []
        for n in (before, after)
    ]
    return c.emit(node, "concat", {}, [*zeros[0], ref, *zeros[1]], note=note)


METHODS = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}
COORDINATES = {"align_corners": "align_corners", "asymmetric": "asymmetric"}


@handles("Resize", "Upsample")
def resize(c: Converter, node: Node) -> None:
    """By a factor `upsample` where that says all, else to a size `resize`."""
    x = c.tensor(node)
    a = node.attributes
    method = METHODS.get(a.get("mode", "nearest"))
    coordinates = a.get("coordinate_transformation_mode", "half_pixel")
    if node.op == "Upsample" or c.opset < 11:
        coordinates = "asymmetric"
    if x.rank < 3 or method is None or coordinates == "tf_crop_and_resize":
        raise Unknown
    scales, sizes = _asked(c, node, x)
    if (
        any(s != 1 for s in scales[:2])
        if scales
        else not all(one(n) or n == s for n, s in zip(sizes[:2], x.sizes, strict=False))
    ):
        raise Unknown
    factors = [int(s) if float(s).is_integer() else float(s) for s in scales[2:]]
    whole = bool(factors) and all(isinstance(s, int) for s in factors)
    floored = coordinates == "asymmetric" and a.get("nearest_mode", "floor") == "floor"
    if factors and (
        (method == "nearest" and (whole or floored))
        or (method == "bilinear" and coordinates in ("half_pixel", "pytorch_half_pixel"))
    ):
        fields: dict[str, Any] = {"scale": plain(factors), "method": method}
        ref = c.emit(node, "upsample", fields, [c.image(x)])
    else:
        to = [floor(n * Fraction(s)) for n, s in zip(x.sizes[2:], factors, strict=False)]
        fields = {"to": plain(to or sizes[2:]), "method": method}
        if method == "nearest" and not floored:
            fields["method"] = "nearest_exact"
        if method in ("bilinear", "bicubic") and coordinates in COORDINATES:
            fields["coordinates"] = COORDINATES[coordinates]
        ref = c.emit(node, "resize", fields, [c.image(x)])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


def _asked(c: Converter, node: Node, x: Tensor) -> tuple[list[Any], list[Any]]:
    """Factors or sizes, one an axis; the other list is empty."""
    later = node.op == "Resize" and c.opset >= 11
    scales = c.numbers(node, 2 if later else 1, "scales") or []
    sizes = (c.numbers(node, 3) or []) if later and not scales else []
    chosen = node.attributes.get("axes")
    if chosen is not None:
        over = [int(axis) % x.rank for axis in chosen]
        if len(over) != len(scales or sizes):
            raise Unknown
        at = dict(zip(over, scales or sizes, strict=True))
        if scales:
            scales = [at.get(i, 1) for i in range(x.rank)]
        else:
            sizes = [at.get(i, n) for i, n in enumerate(x.sizes)]
    if len(scales or sizes) != x.rank:
        raise Unknown
    policy = node.attributes.get("keep_aspect_ratio_policy", "stretch")
    if sizes and policy != "stretch":
        over = list(range(x.rank)) if chosen is None else over
        sizes = _in_proportion(x.sizes, sizes, over, max if policy == "not_smaller" else min)
    return scales, sizes


def _in_proportion(sizes: Sequence[Number], to: list[Any], over: list[int], pick: Any) -> list[Any]:
    """One factor for all axes, the largest or smallest asked for; halves round up."""
    if not all(isinstance(n, int) for n in (*sizes, *to)):
        raise Unknown
    factor = pick(Fraction(to[i], int(str(sizes[i]))) for i in over)
    return [floor(factor * n + Fraction(1, 2)) if i in over else n for i, n in enumerate(sizes)]


# --- positions for channels, channels for positions --------------------------------------------


@handles("DepthToSpace")
def depth_to_space(c: Converter, node: Node) -> None:
    """Channels (C, b, b) are PyTorch's pixel shuffle; ONNX's own order is (b, b, C)."""
    x, b = c.tensor(node), node.attributes.get("blocksize", 1)
    if x.rank != 4:
        raise Unknown
    if node.attributes.get("mode") == "CRD":
        ref = c.emit(node, "pixel_shuffle", {"scale": b}, [c.image(x)])
    else:
        h, w, n = x.sizes[2], x.sizes[3], x.sizes[1] // (b * b)
        ref = c.draft.add("reshape", {"to": [h, w, b, b, n]}, [c.image(x)])
        ref = c.draft.add("permute", {"axes": [0, 2, 1, 3, 4]}, [ref])
        ref = c.emit(node, "reshape", {"to": [h * b, w * b, n]}, [ref])
    c.set(node, c.made(ref, (2, 3, 1), x.rank))


@handles("SpaceToDepth")
def space_to_depth(c: Converter, node: Node) -> None:
    """Blocks of b x b positions become channels, their place before the old channel."""
    x, b = c.tensor(node), node.attributes.get("blocksize", 1)
    if x.rank != 4:
        raise Unknown
    h, w, n = x.sizes[2] // b, x.sizes[3] // b, x.sizes[1]
    ref = c.draft.add("reshape", {"to": [h, b, w, b, n]}, [c.image(x)])
    ref = c.draft.add("permute", {"axes": [0, 2, 1, 3, 4]}, [ref])
    ref = c.emit(node, "reshape", {"to": [h, w, n * (b * b)]}, [ref])
    c.set(node, c.made(ref, (2, 3, 1), x.rank))


@handles("Tile")
def tile(c: Converter, node: Node) -> None:
    """The same values several times along an axis."""
    x, times = c.tensor(node), c.numbers(node, 1) or []
    if len(times) != x.rank or not all(isinstance(t, int) and 1 <= t <= 64 for t in times):
        raise Unknown
    held = x
    if any(t > 1 and a not in x.order for a, t in enumerate(times)):
        held = c.flat(x, tuple(sorted({*x.order, *(a for a, t in enumerate(times) if t > 1)})))
    ref = held.ref
    for place, axis in enumerate(held.order):
        if times[axis] > 1:
            fields = {} if place == len(held.order) - 1 else {"axis": place}
            ref = c.emit(node, "concat", fields, [ref] * times[axis])
    c.set(node, c.made(ref, held.order, x.rank) if ref != held.ref else x)
