"""Caffe's counterparts of the layers that join, cut and reorder, and of softmax, by its axes."""

from typing import Any

from ..layers.base import pads
from ..layers.reshape import position
from ..rows import Row
from .caffe import Prototxt, Word, to
from .caffe_layers import lacks, repeated
from .volumes import rank, whole


def place(row: Row, axis: Any) -> int:
    """Caffe's axis (batch first, channels second) of an axis of the volume."""
    at = position(axis, rank(row) + 1) or 0
    return 1 if at == rank(row) else at + 2


@to("softmax")
def _softmax(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    axis = place(row, layer.axis)
    net.add(row, "Softmax", bottoms, ("softmax_param", [] if axis == 1 else [("axis", axis)]))


@to("concat")
def _concat(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    axis = place(row, layer.axis)
    net.add(row, "Concat", bottoms, ("concat_param", [] if axis == 1 else [("axis", axis)]))


@to("add", "multiply", "maximum", "subtract", "average")
def _eltwise(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    if any(shape != row.output for shape in row.input):
        _gated(net, row, bottoms)
        return
    word = {"multiply": "PROD", "maximum": "MAX"}.get(row.op)
    fields: list[tuple[str, Any]] = [("operation", Word(word))] if word else []
    if row.op == "subtract":
        fields = [("coeff", 1), ("coeff", -1)]
    elif row.op == "average":
        fields = [("coeff", 1 / len(bottoms))] * len(bottoms)
    net.add(row, "Eltwise", bottoms, ("eltwise_param", fields))


def _gated(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    """One factor for every channel (squeeze and excitation): a Scale with two bottoms."""
    pairs = list(zip(row.input, bottoms, strict=True))
    volumes = [b for shape, b in pairs if shape == row.output]
    gates = [(shape, b) for shape, b in pairs if shape != row.output]
    c = row.output[-1]
    flat = all(shape in ((c,), (*(1,) * rank_of(row), c)) for shape, _ in gates)
    if row.op != "multiply" or len(volumes) != 1 or len(gates) != 1 or not flat:
        raise lacks(row, f"'{row.op}' that repeats an axis of one of its inputs")
    (shape, gate), = gates  # fmt: skip
    if len(shape) > 1:
        flattened = net.label(row, "/flat")
        net.layer("Flatten", flattened, [gate], [flattened])
        gate = flattened
    net.add(row, "Scale", [*volumes, gate], ("scale_param", [("axis", 0)]))


def rank_of(row: Row) -> int:
    return len(row.output) - 1


@to("flatten")
def _flatten(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    net.add(row, "Flatten", bottoms)


@to("reshape")
def _reshape(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    """Channels come first: values keep places where one side is flat, or the channels stay."""
    sizes = [whole(row, n, "the shape") for n in row.output]
    if len(sizes) == 1:
        net.add(row, "Flatten", bottoms)
        return
    if rank(row) and row.input[0][-1] != sizes[-1]:
        raise lacks(row, "reshape of a volume channels last: it would regroup other values")
    dims = [("dim", n) for n in (0, sizes[-1], *sizes[:-1])]
    net.add(row, "Reshape", bottoms, ("reshape_param", [("shape", dims)]))


@to("slice", "split", "chunk")
def _slice(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    """One part of an axis; what lies before and behind it is silenced."""
    cuts, shape = _cuts(row), row.input[0]
    if len(cuts) != 1 or cuts[0][3] != 1:
        raise lacks(row, "slice of several axes at once, or with a step")
    axis, start, stop, _ = cuts[0]
    n = whole(row, shape[axis], "the size")
    points = [p for p in (start, stop) if 0 < p < n]
    name = net.label(row)
    tops = [net.label(row, "/before")] if start > 0 else []
    tops.append(name)
    tops += [net.label(row, "/after")] if stop < n else []
    fields = [("axis", place(row, axis)), *(("slice_point", p) for p in points)]
    net.layer("Slice", name, bottoms, tops, ("slice_param", fields))
    rest = [t for t in tops if t != name]
    if rest:
        net.layer("Silence", net.label(row, "/unused"), rest, [])
    net.blobs[row.name] = name


def _cuts(row: Row) -> list[tuple[int, int, int, int]]:
    """Axis, first position, one past the last, and step, of what is cut."""
    layer: Any = row.layer
    shape = row.input[0]
    if row.op != "slice":
        axis = position(layer.axis, len(shape)) or 0
        start, stop = layer._bounds(shape[axis])
        return [(axis, whole(row, start, "the start"), whole(row, stop, "the stop"), 1)]
    found = []
    for axis, start, stop, step in layer._cuts(len(shape)):
        n = whole(row, shape[axis], "the size")
        first, end, by = slice(start, stop, step).indices(n)
        if (first, end, by) != (0, n, 1):
            found.append((axis, first, end, by))
    return found


@to("pad")
def _pad(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    raise lacks(row, "padding by itself: give the convolution its padding")


@to("crop")
def _crop(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    """Caffe crops to the size of a second blob: the nearest one above that has it."""
    layer: Any = row.layer
    ends = [by if isinstance(by, tuple) else (by, by) for by in pads(layer.by, rank(row))]
    for other in reversed(net.report.layers[: net.report.layers.index(row)]):
        known = other.name in net.blobs and other.name not in net.outputs
        if known and other.output[:-1] == row.output[:-1]:
            offsets = repeated("offset", [whole(row, before, "by") for before, _ in ends], 0)
            bottoms = [*bottoms, net.blobs[other.name]]
            net.add(row, "Crop", bottoms, ("crop_param", offsets))
            return
    raise lacks(row, "crop by numbers: it crops to the size of another blob, and none above fits")
