"""Caffe's inputs and losses, and its layers with weights and windows."""

from typing import Any

from ..draft import plain, refuse
from .prototxt import Message
from .reading import Entry, Net, opaque

DATA = ("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "AnnotatedData")


def data(net: Net, entry: Entry) -> None:
    """Inputs: `Input` states shapes, data layers a crop at most."""
    for key in ("input", "dummy_data"):
        shapes = [m for m in entry.param(key).all("shape") if isinstance(m, Message)]
        if shapes:
            for i, top in enumerate(entry.tops):
                net.declare(top, shapes[min(i, len(shapes) - 1)].all("dim"))
            return
    memory = entry.message.message("memory_data_param")
    if memory.fields:
        sides = [memory.number(k, 1) for k in ("channels", "height", "width")]
        net.declare(entry.tops[0], [1, *sides])
        return
    transform = entry.message.message("transform_param")
    crop = transform.number("crop_size", 0) or entry.param("data").number("crop_size", 0)
    grey = transform.flag("force_gray", False)
    for i, top in enumerate(entry.tops):
        net.declare(top, [1, 1 if grey else 3, crop, crop] if crop and i == 0 else [])


def loss(net: Net, entry: Entry) -> None:
    """A loss is no layer of the network: what it judges is an output."""
    judged = net.ref(entry.bottoms[0]) if entry.bottoms else ""
    net.used.update(entry.bottoms)
    if judged in net.draft.items:
        for top in entry.tops or ("loss",):
            net.blobs[top] = judged
            net.made[top] = None


def _axes(param: Message, name: str, default: int, rank: int, side: str = "") -> Any:
    """One value, one an axis, or NAME_h and NAME_w."""
    side = side or name
    found = param.all(name)
    if not found and param.all(side + "_h", side + "_w"):
        found = [param.number(side + "_h", default), param.number(side + "_w", default)]
    if not found:
        return default
    if not all(isinstance(v, int) for v in found):
        raise refuse(f"line {param.line}: {name} must be whole numbers")
    if len(found) > 1 and len(found) != rank:
        raise refuse(f"line {param.line}: {name} is given {len(found)} times")
    return plain(found)


def convolution(net: Net, entry: Entry) -> None:
    p = entry.param("convolution")
    ref = net.ref(entry.bottoms[0])
    rank = len(net.draft.shapes[ref]) - 1
    old = "kernelsize" if p.all("kernelsize") else "kernel_size"
    filters = p.number("num_output", 0)
    if not filters and entry.kind not in DEPTHWISE:
        raise refuse(f"line {p.line}: layer '{entry.name}' has no num_output")
    fields: dict[str, Any] = {
        "kernel": _axes(p, old, 0, rank, "kernel"), "stride": _axes(p, "stride", 1, rank),
        "pad": _axes(p, "pad", 0, rank), "dilation": _axes(p, "dilation", 1, rank),
        "bias": p.flag("biasterm" if p.all("biasterm") else "bias_term", True),
    }  # fmt: skip
    groups = p.number("group", 1)
    channels = net.draft.shapes[ref][-1]
    transposed = entry.kind == "Deconvolution"
    depthwise = entry.kind in DEPTHWISE or (groups > 1 and groups == channels)
    if depthwise and not transposed and isinstance(channels, int):
        filters = filters or channels
        if filters % channels == 0:
            fields["multiplier"] = filters // channels
            net.add(entry, "depthwise_conv", fields, [ref])
            return
    op = "conv_transpose" if transposed else "conv"
    net.add(entry, op, {"filters": filters, "groups": groups, **fields}, [ref])


DEPTHWISE = ("DepthwiseConvolution", "ConvolutionDepthwise")


def pooling(net: Net, entry: Entry) -> None:
    p = entry.param("pooling")
    ref = net.ref(entry.bottoms[0])
    rank = len(net.draft.shapes[ref]) - 1
    kind = p.word("pool", "MAX")
    op = {"MAX": "maxpool", "0": "maxpool", "AVE": "avgpool", "1": "avgpool"}.get(kind)
    if op is None:
        opaque(net, entry)
        return
    if p.flag("global_pooling", False):
        net.add(entry, "global_" + op, {"keepdims": True}, [ref])
        return
    old = "kernelsize" if p.all("kernelsize") else "kernel_size"
    fields = {
        "kernel": _axes(p, old, 0, rank, "kernel"), "stride": _axes(p, "stride", 1, rank),
        "pad": _axes(p, "pad", 0, rank),
    }  # fmt: skip
    if p.word("round_mode") in ("FLOOR", "1") or p.get("ceil_mode") is False:
        fields["round"] = "floor"
    net.add(entry, op, fields, [ref])


def inner_product(net: Net, entry: Entry) -> None:
    p = entry.param("inner_product")
    bias = p.flag("biasterm" if p.all("biasterm") else "bias_term", True)
    axis = p.number("axis", 1)
    ref = net.ref(entry.bottoms[0])
    op = "dense" if axis == 1 else "linear"
    note = "" if axis == 1 else f"axis {axis} in the source"
    net.add(entry, op, {"units": p.number("num_output", 0), "bias": bias}, [ref], note)
