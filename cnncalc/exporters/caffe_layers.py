"""Each layer as Caffe writes it (src/caffe/proto/caffe.proto, src/caffe/layers)."""

from collections.abc import Sequence
from math import prod
from typing import Any

from ..dialects import DIALECTS, Window, conv_window, pool_window
from ..layers.base import axes
from ..layers.reshape import position
from ..rows import Row
from .caffe import Fields, Prototxt, Word, to
from .errors import ExportError, refused
from .volumes import whole

CAFFE = DIALECTS["caffe"]
FILLER = ("weight_filler", [("type", "msra")])


def lacks(row: Row, what: str) -> ExportError:
    return refused(row, f"Caffe has no {what}")


def rank(row: Row) -> int:
    return len(row.input[0]) - 1


def channels(row: Row) -> int:
    return whole(row, row.input[0][-1], "the input's channels")


def repeated(name: str, values: Sequence[int], default: int | None = None) -> list[tuple[str, Any]]:
    """One value where every axis has the same; left out where it is the default."""
    if all(v == default for v in values):
        return []
    found = values[:1] if len(set(values)) == 1 else values
    return [(name, v) for v in found]


def sides(
    name: str, values: Sequence[int], default: int | None = None, side: str = ""
) -> list[tuple[str, Any]]:
    """As `repeated`; two axes that differ are written NAME_h and NAME_w."""
    if len(values) == 2 and values[0] != values[1]:
        return [(f"{side or name}_h", values[0]), (f"{side or name}_w", values[1])]
    return repeated(name, values, default)


# --- convolutions ----------------------------------------------------------------------------


def _padding(row: Row) -> list[int]:
    """The padding of both ends with which Caffe's windows are those derived.

    What the far end has beyond the last window may be more or less: it is never read.
    """
    found = []
    for w in row.windows:
        before = whole(row, w.before, "the padding")
        if w.after != w.before and conv_window(CAFFE, w.n, w.k, w.s, w.d, before).out != w.out:
            raise lacks(row, f"padding of {w.before} before and {w.after} after a map")
        found.append(before)
    return found


def _numbers(row: Row, pad: Sequence[int]) -> list[tuple[str, Any]]:
    ws = row.windows
    return [
        *sides("kernel_size", [whole(row, w.k, "the kernel") for w in ws], side="kernel"),
        *sides("pad", pad, 0),
        *sides("stride", [whole(row, w.s, "the stride") for w in ws], 1),
        *repeated("dilation", [whole(row, w.d, "the dilation") for w in ws], 1),
    ]


def _conv(
    net: Prototxt, row: Row, bottoms: Sequence[str], filters: int, groups: int, bias: bool,
    pad: Sequence[int], kind: str = "Convolution",
) -> None:  # fmt: skip
    fields: list[tuple[str, Any]] = [("num_output", filters)]
    fields += [] if bias else [("bias_term", False)]
    fields += _numbers(row, pad)
    fields += [("group", groups)] if groups != 1 else []
    message = ("convolution_param", [*fields, FILLER])
    net.add(row, kind, bottoms, message, weights=1 + bias)


@to("conv")
def _convolution(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    if layer.connect is not None:
        raise lacks(row, "convolution with a table of connections")
    filters, groups = whole(row, layer.filters, "filters"), whole(row, layer.groups, "groups")
    _conv(net, row, bottoms, filters, groups, layer.bias, _padding(row))


@to("depthwise_conv")
def _depthwise(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    c = channels(row)
    filters = c * whole(row, layer.multiplier, "multiplier")
    _conv(net, row, bottoms, filters, c, layer.bias, _padding(row))


@to("separable_conv")
def _separable(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    c = channels(row)
    middle = c * whole(row, layer.multiplier, "multiplier")
    inner = net.label(row, "/depthwise")
    fields = [("num_output", middle), ("bias_term", False), *_numbers(row, _padding(row)),
              ("group", c), FILLER]  # fmt: skip
    net.layer("Convolution", inner, bottoms, [inner], ("convolution_param", fields),
              names=net.sharing(row, 1, "/depthwise"))  # fmt: skip
    _pointwise(net, row, [inner], whole(row, layer.filters, "filters"), layer.bias)


def _pointwise(net: Prototxt, row: Row, bottoms: Sequence[str], filters: int, bias: bool) -> None:
    fields: list[tuple[str, Any]] = [("num_output", filters)]
    fields += [] if bias else [("bias_term", False)]
    message = ("convolution_param", [*fields, ("kernel_size", 1), FILLER])
    net.add(row, "Convolution", bottoms, message, weights=1 + bias)


@to("conv_transpose")
def _deconvolution(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    pad = []
    for w in row.windows:
        total = (whole(row, w.n, "the size") - 1) * w.s + w.extent
        before = whole(row, w.before, "the padding")
        if total - 2 * before != w.out:
            raise lacks(row, f"deconvolution of {w.n} positions to {w.out}: it gives "
                             f"{total - 2 * before}")  # fmt: skip
        pad.append(before)
    filters, groups = whole(row, layer.filters, "filters"), whole(row, layer.groups, "groups")
    _conv(net, row, bottoms, filters, groups, layer.bias, pad, "Deconvolution")


# --- pools -----------------------------------------------------------------------------------


def _maps(row: Row, what: str) -> None:
    if rank(row) != 2:
        raise lacks(row, f"{what} of volumes with {rank(row)} spatial axes, only of maps")


def _sized(w: Window, pad: int, rounding: str | None) -> bool:
    return pool_window(CAFFE, w.n, w.k, w.s, 1, pad, rounding).out == w.out


def _rounding(row: Row, pad: Sequence[int]) -> str | None:
    """Caffe's `round_mode` that gives every axis its number of windows: None is the default."""
    pairs = list(zip(row.windows, pad, strict=True))
    for rounding in (None, "floor"):
        if all(_sized(w, p, rounding) for w, p in pairs):
            return rounding
    for w, p in pairs:
        up, down = (pool_window(CAFFE, w.n, w.k, w.s, 1, p, r).out for r in (None, "floor"))
        if w.out not in (up, down):
            raise lacks(
                row,
                f"pool that takes {w.out} windows of {w.k} with stride {w.s} and padding {p} on "
                f"{w.n} positions: rounded up it takes {up}, down {down}",
            )
    raise lacks(row, "pool that rounds up along one axis and down along the other")


def _pool_fields(row: Row, kind: str, pad: Sequence[int]) -> Fields:
    ws = row.windows
    fields: list[tuple[str, Any]] = [("pool", Word(kind))]
    fields += sides("kernel_size", [whole(row, w.k, "the kernel") for w in ws], side="kernel")
    fields += sides("pad", pad, 0)
    fields += sides("stride", [whole(row, w.s, "the stride") for w in ws], 1)
    fields += [("round_mode", Word("FLOOR"))] if _rounding(row, pad) == "floor" else []
    return fields


def _ends(row: Row) -> list[int]:
    for w in row.windows:
        whole(row, w.n, "the size")
        if w.d != 1:
            raise lacks(row, "pool with dilation")
        if whole(row, w.before, "the padding") >= whole(row, w.k, "the kernel"):
            raise lacks(row, f"pool padded by {w.before}, only by less than its kernel {w.k}")
    return [whole(row, w.before, "the padding") for w in row.windows]


@to("maxpool")
def _maxpool(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    _maps(row, "pool")
    net.add(row, "Pooling", bottoms, ("pooling_param", _pool_fields(row, "MAX", _ends(row))))


@to("avgpool")
def _avgpool(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    """Caffe's mean counts the padding, and not what a window overhangs beyond it."""
    layer: Any = row.layer
    _maps(row, "pool")
    include = row.dialect.include_pad if layer.count_include_pad is None else layer.count_include_pad  # noqa: E501  # fmt: skip
    pad = _ends(row)
    if any(w.before != w.after for w in row.windows):
        raise lacks(row, "average pool with padding that differs at both ends")
    if any(pad) and not include:
        raise lacks(row, "average pool that does not count its padding")
    net.add(row, "Pooling", bottoms, ("pooling_param", _pool_fields(row, "AVE", pad)))


def _global_pool(net: Prototxt, row: Row, bottoms: list[str], kind: str, keep: bool) -> None:
    _maps(row, "global pool")
    fields = [("pool", Word(kind)), ("global_pooling", True)]
    net.add(row, "Pooling", bottoms, ("pooling_param", fields))
    if not keep:
        flat = net.label(row, "/flat")
        net.layer("Flatten", flat, [net.blobs[row.name]], [flat])
        net.blobs[row.name] = flat


@to("global_avgpool", "global_maxpool")
def _global(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    kind = "AVE" if row.op == "global_avgpool" else "MAX"
    _global_pool(net, row, bottoms, kind, layer.keepdims)


@to("adaptive_avgpool")
def _adaptive(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    sizes = [whole(row, n, "the input's size") for n in row.input[0][:-1]]
    wanted = [whole(row, n, "the output size") for n in axes(layer.size, rank(row))]
    if all(o == 1 for o in wanted):
        _global_pool(net, row, bottoms, "AVE", keep=True)
        return
    _maps(row, "pool")
    if any(n % o for n, o in zip(sizes, wanted, strict=True)):
        raise lacks(row, f"adaptive pool, and {wanted} windows do not divide {sizes} positions")
    steps = [n // o for n, o in zip(sizes, wanted, strict=True)]
    fields = [("pool", Word("AVE")), *sides("kernel_size", steps, side="kernel"),
              *sides("stride", steps, 1)]  # fmt: skip
    net.add(row, "Pooling", bottoms, ("pooling_param", fields))


@to("mean")
def _mean(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    gone = {position(axis, rank(row) + 1) for axis in layer.axes}
    if gone != set(range(rank(row))):
        raise lacks(row, f"mean over the axes {list(layer.axes)}, only over the whole map")
    _global_pool(net, row, bottoms, "AVE", layer.keepdims)


@to("subsample")
def _subsample(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    """The window's sum is k·k times its mean."""
    _maps(row, "pool")
    pool, total = net.label(row, "/mean"), net.label(row, "/sum")
    net.layer("Pooling", pool, bottoms, [pool], ("pooling_param", _pool_fields(row, "AVE", [0, 0])))
    count = prod(whole(row, w.k, "the kernel") for w in row.windows)
    net.layer("Power", total, [pool], [pool], ("power_param", [("scale", count)]))
    net.add(row, "Scale", [pool], ("scale_param", [("bias_term", True)]), weights=2)


# --- dense and normalisation -------------------------------------------------------------------


@to("dense")
def _dense(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    units = whole(row, row.output[-1], "units")
    bias = "bias" in row.weights
    fields: list[tuple[str, Any]] = [("num_output", units)]
    fields += [] if bias else [("bias_term", False)]
    net.add(row, "InnerProduct", bottoms, ("inner_product_param", [*fields, FILLER]),
            weights=1 + bias)  # fmt: skip


@to("linear")
def _linear(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    """On the channels of every position: a 1x1 convolution."""
    if rank(row) == 0:
        _dense(net, row, bottoms)
        return
    _pointwise(net, row, bottoms, whole(row, row.output[-1], "units"), "bias" in row.weights)


@to("batchnorm")
def _batchnorm(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    """Statistics, then gamma and beta in a Scale, or beta alone in a Bias."""
    layer: Any = row.layer
    eps = [] if float(layer.eps) == 1e-5 else [("eps", float(layer.eps))]
    net.inplace(row, "BatchNorm", ("batch_norm_param", eps), weights=3)
    top = net.blobs[row.name]
    if "gamma" in row.weights:
        bias = [("bias_term", True)] if "beta" in row.weights else []
        names = net.sharing(row, 1 + len(bias), "/scale")
        net.layer("Scale", net.label(row, "/scale"), [top], [top], ("scale_param", bias),
                  names=names)  # fmt: skip
    elif "beta" in row.weights:
        names = net.sharing(row, 1, "/bias")
        net.layer("Bias", net.label(row, "/bias"), [top], [top], names=names)


@to("scale", "layer_scale")
def _scale(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    bias = [("bias_term", True)] if "bias" in row.weights else []
    net.inplace(row, "Scale", ("scale_param", bias), weights=1 + len(bias))


@to("lrn")
def _lrn(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    size = whole(row, layer.size, "size")
    if size % 2 == 0:
        raise lacks(row, f"response normalisation over {size} maps, only over odd numbers of them")
    _maps(row, "response normalisation")
    alpha = float(layer.alpha) * (1 if row.dialect.lrn_divides else size)
    fields: list[tuple[str, Any]] = [("local_size", size), ("alpha", alpha),
                                     ("beta", float(layer.beta))]  # fmt: skip
    fields += [] if layer.k == 1 else [("k", float(layer.k))]
    net.add(row, "LRN", bottoms, ("lrn_param", fields))


# --- values alone --------------------------------------------------------------------------------

PLAIN = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "TanH", "abs": "AbsVal",
         "softplus": "BNLL", "silu": "Swish"}  # fmt: skip


@to("identity", *PLAIN)
def _simple(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    net.inplace(row, PLAIN[row.op])


@to("leaky_relu")
def _leaky(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    net.inplace(row, "ReLU", ("relu_param", [("negative_slope", float(layer.slope))]))


@to("elu")
def _elu(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    alpha = [] if layer.alpha == 1 else [("alpha", float(layer.alpha))]
    net.inplace(row, "ELU", ("elu_param", alpha))


@to("prelu")
def _prelu(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    net.inplace(row, "PReLU", weights=1)


@to("dropout")
def _dropout(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    net.inplace(row, "Dropout", ("dropout_param", [("dropout_ratio", float(layer.rate))]))


@to("relu6", "hardtanh", "clip")
def _clip(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    low, high = (0, 6) if row.op == "relu6" else (layer.low, layer.high)
    if low is None or high is None:
        raise lacks(row, "clip with one bound: it takes both")
    net.inplace(row, "Clip", ("clip_param", [("min", float(low)), ("max", float(high))]))


@to("power")
def _power(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    net.inplace(row, "Power", ("power_param", [("power", float(layer.exponent))]))


@to("rescale")
def _rescale(net: Prototxt, row: Row, bottoms: list[str]) -> None:
    layer: Any = row.layer
    numbers = []
    for value in (layer.scale, layer.offset):
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            raise lacks(row, "rescaling by a number for every channel") from None
    fields = [("scale", numbers[0]), ("shift", numbers[1])]
    net.inplace(row, "Power", ("power_param", fields))
