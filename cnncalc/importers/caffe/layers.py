"""What each type of Caffe layer is in the spec language (caffe.proto, src/caffe/layers)."""

from collections.abc import Callable
from typing import Any

from ...formula import Number
from ..draft import decimal, plain, refuse
from .prototxt import Message
from .reading import Entry, Net

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


# --- windows --------------------------------------------------------------------------------------


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


# --- values alone ---------------------------------------------------------------------------------


def _simple(op: str) -> Callable[[Net, Entry], None]:
    def handler(net: Net, entry: Entry) -> None:
        net.add(entry, op, {}, [net.ref(entry.bottoms[0])])

    return handler


def softmax(net: Net, entry: Entry) -> None:
    ref = net.ref(entry.bottoms[0])
    place = _place(entry.param("softmax").number("axis", 1), len(net.draft.shapes[ref]))
    net.add(entry, "softmax", {} if place == -1 else {"axis": place}, [ref])


def bias(net: Net, entry: Entry) -> None:
    """A trained shift alone, one a channel."""
    shape = list(net.shape(entry.bottoms[0]))
    if len(entry.bottoms) != 1 or entry.param("bias").number("axis", 1) != 1:
        opaque(net, entry)
        return
    fields = {"op": "Bias", "output": shape, "params": shape[-1]}
    net.add(entry, "opaque", fields, [net.ref(entry.bottoms[0])], "a shift for every channel")


def clip(net: Net, entry: Entry) -> None:
    p = entry.param("clip")
    low, high = p.number("min", 0), p.number("max", 0)
    ref = net.ref(entry.bottoms[0])
    if (low, high) == (0, 6):
        net.add(entry, "relu6", {}, [ref])
    else:
        net.add(entry, "clip", {"low": decimal(low), "high": decimal(high)}, [ref])


def relu(net: Net, entry: Entry) -> None:
    slope = entry.param("relu").number("negative_slope", 0)
    ref = net.ref(entry.bottoms[0])
    if slope:
        net.add(entry, "leaky_relu", {"slope": decimal(slope)}, [ref])
    else:
        net.add(entry, "relu", {}, [ref])


def prelu(net: Net, entry: Entry) -> None:
    shared = entry.param("prelu").flag("channel_shared", False)
    ref = net.ref(entry.bottoms[0])
    if shared and net.draft.shapes[ref][-1] != 1:
        fields = {"op": "PReLU", "output": list(net.draft.shapes[ref]), "params": 1}
        net.add(entry, "opaque", fields, [ref], "one slope for all channels")
    else:
        net.add(entry, "prelu", {}, [ref])


def elu(net: Net, entry: Entry) -> None:
    alpha = decimal(entry.param("elu").number("alpha", 1))
    net.add(entry, "elu", {"alpha": alpha}, [net.ref(entry.bottoms[0])])


def lrn(net: Net, entry: Entry) -> None:
    p = entry.param("lrn")
    within = p.word("norm_region") in ("WITHIN_CHANNEL", "1")
    fields = {
        "size": p.number("local_size", 5), "alpha": decimal(p.number("alpha", 1)),
        "beta": decimal(p.number("beta", 0.75)), "k": decimal(p.number("k", 1)),
    }  # fmt: skip
    note = "within a channel in the source, here across channels" if within else ""
    net.add(entry, "lrn", fields, [net.ref(entry.bottoms[0])], note)


def dropout(net: Net, entry: Entry) -> None:
    rate = entry.param("dropout").number("dropout_ratio", 0.5)
    net.add(entry, "dropout", {"rate": decimal(rate)}, [net.ref(entry.bottoms[0])])


def batchnorm(net: Net, entry: Entry) -> None:
    """Only the statistics: gamma and beta stand in a Scale layer behind it."""
    eps = decimal(entry.param("batch_norm").number("eps", 1e-5))
    net.add(entry, "batchnorm", {"eps": eps, "affine": False}, [net.ref(entry.bottoms[0])])


def bn(net: Net, entry: Entry) -> None:
    """The fused layer of forks: statistics, gamma and beta in one."""
    net.add(entry, "batchnorm", {}, [net.ref(entry.bottoms[0])])


def scale(net: Net, entry: Entry) -> None:
    refs = [net.ref(b) for b in entry.bottoms]
    if len(refs) == 1:
        net.add(entry, "scale", {"bias": entry.param("scale").flag("bias_term", False)}, refs)
        return
    shapes = [net.draft.shapes[r] for r in refs]
    if len(shapes[1]) == 1 or len(shapes[0]) == len(shapes[1]):
        net.add(entry, "multiply", {}, refs)
    else:
        opaque(net, entry)


def power(net: Net, entry: Entry) -> None:
    p = entry.param("power")
    ref = net.ref(entry.bottoms[0])
    factor, offset, exponent = p.number("scale", 1), p.number("shift", 0), p.number("power", 1)
    if exponent != 1:
        made = ref
        if factor != 1 or offset:
            fields = {"scale": decimal(factor), "offset": decimal(offset)}
            made = net.draft.add("rescale", fields, [ref])
        net.add(entry, "power", {"exponent": decimal(exponent)}, [made])
        return
    net.add(entry, "rescale", {"scale": decimal(factor), "offset": decimal(offset)}, [ref])


# --- joins, parts, shapes -------------------------------------------------------------------------


def _place(axis: int, rank: int) -> int:
    """Caffe's axis (batch first, channels second) in a volume: channels last."""
    axis = axis + rank + 1 if axis < 0 else axis
    if axis == 0 or axis > rank:
        raise refuse(f"axis {axis} is the batch's, or not there")
    return -1 if axis == 1 else axis - 2


def concat(net: Net, entry: Entry) -> None:
    p = entry.param("concat")
    refs = [net.ref(b) for b in entry.bottoms]
    rank = len(net.draft.shapes[refs[0]])
    place = _place(p.number("axis", p.number("concat_dim", 1)), rank)
    if len(refs) == 1:
        net.top(entry, refs[0])
        return
    net.add(entry, "concat", {} if place == -1 else {"axis": place}, refs)


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
    place = _place(p.number("axis", p.number("slice_dim", 1)), len(shape))
    n, count = shape[place], len(entry.tops)
    if not isinstance(n, int) or not count:
        raise refuse(f"layer '{entry.name}' slices nothing")
    points = p.all("slice_point") or [n // count * i for i in range(1, count)]
    ends = [0, *points, n]
    if len(ends) != count + 1 or not all(isinstance(e, int) for e in ends):
        raise refuse(f"layer '{entry.name}' has {len(points)} slice points for {count} tops")
    for i in range(count):
        fields: dict[str, Any] = {"axis": place, "start": ends[i]}
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
    factor = entry.param("upsample").number("scale", 2)
    net.add(entry, "upsample", {"scale": factor}, [net.ref(entry.bottoms[0])])


def opaque(net: Net, entry: Entry) -> None:
    """A type that is not covered: its size is taken to be that of what it reads first."""
    refs = [net.ref(b) for b in entry.bottoms if b in net.blobs or net.declared.get(b)]
    net.used.update(entry.bottoms)
    if not refs:
        raise refuse(f"layer '{entry.name}' of type {entry.kind} has no input and no known size")
    fields = {"op": entry.kind, "output": list(net.draft.shapes[refs[0]])}
    note = f"{entry.kind} is not covered: its size is taken to be its input's"
    net.add(entry, "opaque", fields, refs, note)
    for i in range(1, len(entry.tops)):
        net.top(entry, net.blobs[entry.tops[0]], i)


TABLE: dict[str, Callable[[Net, Entry], None]] = {
    "Convolution": convolution, "Deconvolution": convolution,
    "DepthwiseConvolution": convolution, "ConvolutionDepthwise": convolution,
    "Pooling": pooling, "InnerProduct": inner_product, "ReLU": relu, "PReLU": prelu, "ELU": elu,
    "Sigmoid": _simple("sigmoid"), "TanH": _simple("tanh"), "Softmax": softmax,
    "Bias": bias, "Clip": clip,
    "ReLU6": _simple("relu6"), "Swish": _simple("silu"), "AbsVal": _simple("abs"),
    "BNLL": _simple("softplus"), "HSigmoid": _simple("hardsigmoid"), "Mish": _simple("mish"),
    "LRN": lrn, "Dropout": dropout, "BatchNorm": batchnorm, "BN": bn, "Scale": scale,
    "Power": power, "Concat": concat, "Eltwise": eltwise, "Slice": slice_, "Split": split,
    "Flatten": flatten, "Reshape": reshape, "Crop": crop, "ShuffleChannel": shuffle,
    "Normalize": normalise, "Interp": interp, "Upsample": upsample,
}  # fmt: skip
