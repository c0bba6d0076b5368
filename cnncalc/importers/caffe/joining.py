"""Caffe's layers that join, part, reshape and resize volumes."""

from typing import Any

from ...formula import Number
from ..draft import plain, refuse
from .reading import Entry, Net, opaque, place


def concat(net: Net, entry: Entry) -> None:
    p = entry.param("concat")
    refs = [net.ref(b) for b in entry.bottoms]
    rank = len(net.draft.shapes[refs[0]])
    at = place(p.number("axis", p.number("concat_dim", 1)), rank)
    if len(refs) == 1:
        net.top(entry, refs[0])
        return
    net.add(entry, "concat", {} if at == -1 else {"axis": at}, refs)


def eltwise(net: Net, entry: Entry) -> None:
    p = entry.param("eltwise")
    kind = p.word("operation", "SUM")
    op = {"SUM": "add", "1": "add", "PROD": "multiply", "0": "multiply", "MAX": "maximum",
          "2": "maximum"}.get(kind)  # fmt: skip
    refs = [net.ref(b) for b in entry.bottoms]
    if op is None or len(refs) < 2:
        opaque(net, entry)
        return
    weighted = any(c != 1 for c in p.all("coeff"))
    net.add(entry, op, {}, refs, "weighted in the source" if weighted else "")


def slice_(net: Net, entry: Entry) -> None:
    p = entry.param("slice")
    ref = net.ref(entry.bottoms[0])
    shape = net.draft.shapes[ref]
    at = place(p.number("axis", p.number("slice_dim", 1)), len(shape))
    n, count = shape[at], len(entry.tops)
    if not isinstance(n, int) or not count:
        raise refuse(f"layer '{entry.name}' slices nothing")
    points = p.all("slice_point") or [n // count * i for i in range(1, count)]
    ends = [0, *points, n]
    if len(ends) != count + 1 or not all(isinstance(e, int) for e in ends):
        raise refuse(f"layer '{entry.name}' has {len(points)} slice points for {count} tops")
    for i in range(count):
        fields: dict[str, Any] = {"axis": at, "start": ends[i]}
        if ends[i + 1] != n:
            fields["stop"] = ends[i + 1]
        made = net.draft.add("slice", fields, [ref], f"{entry.name}_{i + 1}" if i else entry.name)
        net.top(entry, made, i)


def split(net: Net, entry: Entry) -> None:
    for i in range(len(entry.tops)):
        net.top(entry, net.ref(entry.bottoms[0]), i)


def flatten(net: Net, entry: Entry) -> None:
    ref = net.ref(entry.bottoms[0])
    if len(net.draft.shapes[ref]) == 1:
        net.top(entry, ref)
        return
    if entry.param("flatten").number("axis", 1) != 1:
        opaque(net, entry)
        return
    net.add(entry, "flatten", {}, [ref])


def reshape(net: Net, entry: Entry) -> None:
    """Dimensions of the batch first and channels second; 0 copies, -1 takes what is left."""
    p = entry.param("reshape")
    dims = p.message("shape").all("dim")
    ref = net.ref(entry.bottoms[0])
    shape = net.draft.shapes[ref]
    first = (1, shape[-1], *shape[:-1])
    if p.get("axis") or p.get("num_axes") or not all(isinstance(d, int) for d in dims):
        opaque(net, entry)
        return
    to = [first[i] if d == 0 and i < len(first) else d for i, d in enumerate(dims)][1:]
    if len(to) <= 1:
        flatten(net, entry)
        return
    note = "channels first in the source: the values come in another order"
    net.add(entry, "reshape", {"to": [*to[1:], to[0]]}, [ref], note)


def crop(net: Net, entry: Entry) -> None:
    """To the size of the second bottom, from an offset."""
    p = entry.param("crop")
    ref, like = (net.ref(b) for b in entry.bottoms[:2])
    shape, target = net.draft.shapes[ref], net.draft.shapes[like]
    axis = p.number("axis", 2)
    offsets = p.all("offset") or [0]
    if axis != 2 or len(shape) != len(target):
        opaque(net, entry)
        return
    cut: list[list[Number]] = []
    for i, (n, o) in enumerate(zip(shape[:-1], target[:-1], strict=True)):
        before = offsets[min(i, len(offsets) - 1)]
        cut.append([before, n - o - before])
    if any(isinstance(a, int) and a < 0 for pair in cut for a in pair):
        raise refuse(f"layer '{entry.name}' crops {shape[:-1]} to {target[:-1]}")
    net.add(entry, "crop", {"by": cut}, [ref])


def shuffle(net: Net, entry: Entry) -> None:
    groups = entry.param("shuffle_channel").number("group", 1)
    net.add(entry, "channel_shuffle", {"groups": groups}, [net.ref(entry.bottoms[0])])


def normalise(net: Net, entry: Entry) -> None:
    """SSD's: every position's channels to length 1, then a trained scale."""
    p = entry.param("norm")
    ref = net.ref(entry.bottoms[0])
    if p.flag("across_spatial", True) or p.flag("channel_shared", True):
        opaque(net, entry)
        return
    made = net.draft.add("normalise", {}, [ref])
    net.add(entry, "scale", {}, [made])


def interp(net: Net, entry: Entry) -> None:
    p = entry.param("interp")
    to = [p.number("height", 0), p.number("width", 0)]
    ref = net.ref(entry.bottoms[0])
    if all(to):
        fields = {"to": plain(to), "method": "bilinear", "coordinates": "align_corners"}
        net.add(entry, "resize", fields, [ref])
    elif p.number("zoom_factor", 0):
        fields = {"scale": p.number("zoom_factor", 1), "method": "bilinear"}
        net.add(entry, "upsample", fields, [ref], "align_corners in the source")
    else:
        opaque(net, entry)


def upsample(net: Net, entry: Entry) -> None:
    """SegNet's: maxima back to their places, to a size or by a factor less the odd row out."""
    p = entry.param("upsample")
    ref = net.ref(entry.bottoms[0])
    net.used.update(entry.bottoms)
    note = "to the places of the maxima in the source, here repeated" * (len(entry.bottoms) > 1)
    factor = p.number("scale", 2)
    to = [p.number("upsample_h", 0), p.number("upsample_w", 0)]
    less = [int(p.flag("pad_out_h", False)), int(p.flag("pad_out_w", False))]
    if all(to) or any(less):
        sizes = [n * factor - a for n, a in zip(net.draft.shapes[ref][:-1], less, strict=True)]
        net.add(entry, "resize", {"to": plain(to if all(to) else sizes)}, [ref], note)
    else:
        net.add(entry, "upsample", {"scale": factor}, [ref], note)
