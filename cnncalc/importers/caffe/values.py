"""Caffe's layers that act on every value alone, and its normalisations."""

from collections.abc import Callable

from ..draft import decimal
from .reading import Entry, Net, opaque, place


def simple(op: str) -> Callable[[Net, Entry], None]:
    def handler(net: Net, entry: Entry) -> None:
        net.add(entry, op, {}, [net.ref(entry.bottoms[0])])

    return handler


def softmax(net: Net, entry: Entry) -> None:
    ref = net.ref(entry.bottoms[0])
    at = place(entry.param("softmax").number("axis", 1), len(net.draft.shapes[ref]))
    net.add(entry, "softmax", {} if at == -1 else {"axis": at}, [ref])


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
