"""What one layer computes, in a normal form that does not depend on its format."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .formula import Number, product
from .layers.base import axes, pads
from .layers.reshape import position
from .rows import Row

SKIPPED = frozenset(("identity", "dropout", "stochastic_depth", "flatten"))
CLIPS = ("relu6", "hardtanh", "clip")


class Facts(NamedTuple):
    """What a layer computes, in words that do not depend on its format."""

    op: str
    fields: tuple[tuple[str, str], ...]


def trained(row: Row) -> str:
    """What a layer adds to a normalisation before it that trains nothing."""
    if row.op == "scale":
        return "beta, gamma" if "bias" in row.weights else "gamma"
    shape = row.weights.get("position", ()) if row.op == "positional" else ()
    return "beta" if shape and all(n == 1 for n in shape[:-1]) else ""


def rescaled(scale: Any, row: Row) -> Facts:
    """Every value times one number."""
    fields = (("scale", _real(scale)), ("offset", "0"), ("output", plain(row.output)))
    return Facts("rescale", fields)


def changes_nothing(row: Row) -> bool:
    """Is the output the input, value by value?"""
    if row.op == "roll":
        return all(by == 0 for _, by in row.layer._shifts(len(row.input[0])))  # type: ignore[attr-defined]
    if row.op == "reshape":
        return plain(row.output) == plain(row.input[0])
    if row.op in ("maxpool", "avgpool"):
        return all((w.k, w.s, w.before, w.after) == (1, 1, 0, 0) for w in row.windows)
    if row.op == "adaptive_avgpool":
        return row.output == row.input[0]
    return row.op in SKIPPED


def text(value: Any) -> str:
    """Sizes beside each other, as 3x3."""
    if isinstance(value, tuple):
        return "x".join(text(v) for v in value) or "1"
    return str(value)


def plain(shape: Sequence[Number]) -> str:
    """A volume without its axes of size 1."""
    return text(tuple(n for n in shape if n != 1))


def facts_of(row: Row) -> Facts:
    """The facts of a layer that stands for itself."""
    op = row.op
    if op in ("conv", "depthwise_conv"):
        return conv_facts(row)
    if op == "dense" or (op == "linear" and len(row.input[0]) == 1):
        return _dense_facts(row)
    if op in ("maxpool", "avgpool"):
        return pool_facts(row)
    whole = _whole(row)
    if whole:
        return Facts(whole, (("output", plain(row.output)),))
    if op == "adaptive_avgpool" and _even(row):
        return _even_facts(row)
    if op == "batchnorm":
        return Facts(op, (("eps", _real(row.layer.values().get("eps"))),
                          ("trained", ", ".join(sorted(row.weights)) or "none")))  # fmt: skip
    if op == "reshape" or _one_window(row):
        return Facts("reshape", (("output", plain(row.output)),))
    if op == "gather":
        picked = _picked(row)
        if picked is not None:
            return picked
    if op in CLIPS:
        values = row.layer.values()
        ends = (0, 6) if op == "relu6" else (values.get("low"), values.get("high"))
        found = (("low", _real(ends[0])), ("high", _real(ends[1])), ("output", plain(row.output)))
        return Facts("clip", found)
    if op in ("lstm", "gru"):
        return _recurrent_facts(row)
    if op == "subsample":
        return Facts("scale", (("bias", "true"), ("output", plain(row.output))))
    fields: dict[str, str] = {}
    for name, value in _values(row).items():
        fields[name] = text(value) if isinstance(value, tuple | str | bool) else _real(value)
    if "bias" in fields:
        fields["bias"] = str("bias" in row.weights).lower()
    if op == "lrn" and fields:
        lrn: Any = row.layer
        divided = lrn.alpha if row.dialect.lrn_divides else lrn.alpha * lrn.size
        fields["alpha"] = _real(divided)
    if op in ("concat", "slice", "gather"):
        fields["axis"] = str(position(row.layer.values().get("axis", -1), len(row.input[0])))
    return Facts(op, (*fields.items(), ("output", plain(row.output))))


def _one_window(row: Row) -> bool:
    """Is the whole map one window, row by row?"""
    if row.op == "window_partition":
        return all(n == 1 for n in row.output[:-2])
    return row.op == "window_reverse" and all(n == 1 for n in row.input[0][:-2])


def _picked(row: Row) -> Facts | None:
    """One position of an axis, which goes: a slice of one position."""
    values, shape = row.layer.values(), row.input[0]
    axis, at = position(values["axis"], len(shape)), values["indices"]
    if axis is None or not isinstance(at, int) or not isinstance(shape[axis], int):
        return None
    return _pick(axis, at % int(str(shape[axis])), row.output)


def _pick(axis: int, at: Number, output: Sequence[Number]) -> Facts:
    return Facts("pick", (("axis", str(axis)), ("at", str(at)), ("output", plain(output))))


def cuts_facts(row: Row) -> list[Facts]:
    """The facts of a slice, one for every axis that is cut."""
    layer: Any = row.layer
    shape, found = list(row.input[0]), []
    for axis, start, stop, step in layer._cuts(len(shape)):
        n = shape[axis]
        begin, end = layer._ends((axis, start, stop, step), n)
        if (begin, end, step) == (0, n, 1):
            continue
        shape[axis] = row.output[axis]
        if shape[axis] == 1:
            found.append(_pick(axis, begin, shape))
            continue
        fields = (("axis", str(axis)), ("start", str(begin)), ("step", str(step)),
                  ("output", plain(shape)))  # fmt: skip
        found.append(Facts("slice", fields))
    return found


def _values(row: Row) -> dict[str, Any]:
    """A layer's fields; what may be said in two ways is said in one."""
    layer: Any = row.layer
    values: dict[str, Any] = dict(layer.values())
    shape = row.input[0]
    if row.op == "roll":
        shifts = [(position(a, len(shape)), by) for a, by in layer._shifts(len(shape)) if by != 0]
        return {"by": str(sorted(shifts))}
    if row.op in ("window_partition", "window_reverse"):
        rank = len(shape) - (1 if row.op == "window_partition" else 2)
        values["window"] = axes(layer.window, rank)
    if row.op == "conv_transpose" and values.get("pad") == "valid":
        values["pad"] = 0
    if row.op == "attention":
        keys, widths, units = layer._widths(row.input)
        found = ("heads", "causal", "relative_bias", "cosine", "hidden")
        values = {n: values[n] for n in found} | {
            "widths": (keys, widths, units), "project": layer.project,
            "maps": _maps(row), "scale": layer.scale_dim or "one head's",
        }  # fmt: skip
        if layer.scale_dim is not None and layer.scale_dim * layer.heads == keys:
            values["scale"] = "one head's"
        if layer.window is not None:
            rank = len(layer.windows_of(shape))
            values |= {"window": layer.windows_of(shape), "shift": axes(layer.shift, rank)}
    return values


def _maps(row: Row) -> str:
    """The arrays of an attention; one map of queries, keys and values is three."""
    three = "query", "key", "value"
    apart = {"qkv": three, "qkv_bias": tuple(f"{n}_bias" for n in three)}
    found = [n for name in row.weights for n in apart.get(name, (name,))]
    return ", ".join(sorted(found))


def _recurrent_facts(row: Row) -> Facts:
    layer: Any = row.layer
    both = bool(layer.bidirectional)
    after = row.op == "gru" and layer.resets_after(row.dialect)
    return Facts(row.op, (
        ("units", str(layer.units)), ("sequences", str(layer.return_sequences).lower()),
        ("directions", "2" if both else "reverse" if layer.reverse else "1"),
        ("merge", layer.merge if both else "-"), ("reset_after", str(after).lower()),
        ("biases", str(len([n for n in row.weights if "bias" in n]))),
    ))  # fmt: skip


def _real(value: Any) -> str:
    """Numbers to five digits: formats keep them in float32."""
    try:
        return f"{float(value):.5g}" if value is not None else "-"
    except (TypeError, ValueError):
        return str(value)


def conv_facts(row: Row, more: Sequence[tuple[Number, Number]] = ()) -> Facts:
    """A convolution, of which one over the whole map is a dense layer.

    `more` are the zeros that a `pad` before it has put at both ends of every axis.
    """
    ws = row.windows
    values = row.layer.values()
    channels = row.input[0][-1]
    groups = channels if row.op == "depthwise_conv" else values.get("groups", 1)
    whole = all(w.out == 1 and w.before == 0 and w.after == 0 and w.k == w.n for w in ws)
    if whole and not more and groups == 1 and values.get("connect") is None:
        return _dense_facts(row)
    return Facts("conv", (
        ("kernel", text(tuple(w.k for w in ws))), ("stride", text(tuple(w.s for w in ws))),
        ("pad", _ends(row, more)), ("dilation", text(tuple(w.d for w in ws))),
        ("groups", str(groups)),
        ("bias", str("bias" in row.weights).lower()), ("output", text(row.output)),
        *((("connect", str(values["connect"])),) if values.get("connect") is not None else ()),
    ))  # fmt: skip


def _ends(row: Row, more: Sequence[tuple[Number, Number]] = ()) -> str:
    pairs = [(w.before, w.after) for w in row.windows]
    if more:
        pairs = [(a + b, c + d) for (a, c), (b, d) in zip(pairs, more, strict=True)]
    return ", ".join(str(a) if a == b else f"{a}+{b}" for a, b in pairs)


def ends_of(row: Row) -> list[tuple[Number, Number]]:
    """The positions that a `pad` adds at both ends of every axis."""
    layer: Any = row.layer
    given = pads(layer.by, len(row.input[0]) - 1)
    return [by if isinstance(by, tuple) else (by, by) for by in given]


def _dense_facts(row: Row) -> Facts:
    return Facts("dense", (("inputs", str(product(row.input[0]))), ("units", str(row.output[-1])),
                           ("bias", str("bias" in row.weights).lower())))  # fmt: skip


def depthwise_facts(row: Row) -> Facts:
    """The first half of a separable convolution."""
    ws = row.windows
    middle = (*row.output[:-1], row.input[0][-1] * row.layer.values().get("multiplier", 1))
    return Facts("conv", (
        ("kernel", text(tuple(w.k for w in ws))), ("stride", text(tuple(w.s for w in ws))),
        ("pad", _ends(row)), ("dilation", text(tuple(w.d for w in ws))),
        ("groups", str(row.input[0][-1])), ("bias", "false"), ("output", text(middle)),
    ))  # fmt: skip


def pointwise_facts(row: Row) -> Facts:
    """The second half of a separable convolution."""
    ones = text((1,) * len(row.windows))
    zeros = ", ".join("0" for _ in row.windows)
    return Facts("conv", (
        ("kernel", ones), ("stride", ones), ("pad", zeros), ("dilation", ones), ("groups", "1"),
        ("bias", str("bias" in row.weights).lower()), ("output", text(row.output)),
    ))  # fmt: skip


def pool_facts(row: Row, op: str = "") -> Facts:
    """A pool; `op` where it is not the row's."""
    op = op or row.op
    ws = row.windows
    if all(w.out == 1 and w.before == 0 and w.k == w.n for w in ws):
        kind = "mean of the map" if op == "avgpool" else "largest of the map"
        return Facts(kind, (("output", plain(row.output)),))
    fields = [
        ("kernel", text(tuple(w.k for w in ws))), ("stride", text(tuple(w.s for w in ws))),
        ("pad", ", ".join(str(w.before) for w in ws)), ("output", text(row.output)),
    ]  # fmt: skip
    if op == "avgpool" and any(w.before != 0 or w.after != 0 for w in ws):
        include = row.layer.values().get("count_include_pad")
        include = row.dialect.include_pad if include is None else include
        fields.append(("count_include_pad", str(include).lower()))
    return Facts(op, tuple(fields))


def _even(row: Row) -> bool:
    """Does the adaptive pool have windows of one size?"""
    pairs = zip(row.input[0][:-1], row.output[:-1], strict=True)
    return all(isinstance(n, int) and isinstance(o, int) and n % o == 0 for n, o in pairs)


def _even_facts(row: Row) -> Facts:
    pairs = zip(row.input[0][:-1], row.output[:-1], strict=True)
    kernel = text(tuple(int(str(n)) // int(str(o)) for n, o in pairs))
    zeros = ", ".join("0" for _ in row.output[:-1])
    return Facts("avgpool", (("kernel", kernel), ("stride", kernel), ("pad", zeros),
                             ("output", text(row.output))))  # fmt: skip


def _whole(row: Row) -> str:
    """Is this a mean (or maximum) over the whole map?"""
    rank = len(row.input[0]) - 1
    if row.op in ("global_avgpool", "global_maxpool"):
        return "mean of the map" if row.op == "global_avgpool" else "largest of the map"
    if row.op == "adaptive_avgpool" and all(n == 1 for n in row.output[:-1]):
        return "mean of the map"
    if row.op == "mean" and rank:
        axes = {position(a, rank + 1) for a in row.layer.values().get("axes", ())}
        return "mean of the map" if axes == set(range(rank)) else ""
    return ""
