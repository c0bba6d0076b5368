"""Why, in words: what a layer does, and what its numbers mean."""

from collections.abc import Iterator

from .dialects import Window, ceil_rule, clipped_rule, same_rule
from .rows import Row
from .rules.base import AXES, counted, listed

FILTERED = ("conv", "depthwise_conv", "separable_conv", "conv_transpose")
POOLED = ("maxpool", "avgpool", "global_avgpool", "global_maxpool", "adaptive_avgpool")
MEANINGS = {
    "L": "input length", "H": "input height", "W": "input width", "Z": "input slices",
    "F": "filter size", "S": "stride", "P": "zero padding at each end", "D": "dilation",
    "O": "output padding", "C": "input channels", "K": "filters", "G": "groups",
    "M": "filters a channel", "N": "input values", "R": "scale", "A": "heads", "V": "vocabulary",
    "E": "dimension", "r": "receptive field before this layer",
    "j": "input steps between neighbours before this layer",
}  # fmt: skip


def general(row: Row) -> Iterator[str]:
    """What the kind of layer does: said once in a derivation."""
    yield sentence(type(row.layer).summary)
    if row.op in FILTERED:
        yield from _filters(row)
    elif row.op in POOLED:
        yield (
            f"Every channel is pooled on its own, so that the depth stays {row.output[-1]}: the "
            "representation gets smaller and more manageable, and there is nothing to learn."
        )
    elif row.op == "dense":
        yield _dense(row)
    elif row.output == row.input[0] and not row.weights and len(row.input) == 1:
        yield "The volume keeps its size, and there is nothing to learn."
    elif not row.weights and not row.shared:
        yield "There is nothing to learn."
    if row.buffer_shapes:
        yield "Running statistics are kept, but not trained."


def special(row: Row) -> Iterator[str]:
    """What is particular to this layer: shared weights, groups, dilation, rounding."""
    if row.shared:
        yield f"It shares the weights of {row.shared}, which are counted there."
    yield from _fields(row)
    if row.windows:
        yield from _rounding(row)
    if row.assumed:
        yield "Its input follows from a size that does not fit."


def meaning(name: str, row: Row) -> str:
    """What a symbol of the derivation stands for.

    >>> import cnncalc
    >>> row = cnncalc.load("alexnet").derive().row("POOL1")
    >>> meaning("F", row), meaning("P1", row)
    ('window size', 'zero padding before')
    """
    base, rest = name[0], name[1:]
    if base == "F" and row.op in POOLED:
        return "window size"
    if base == "K" and row.op in ("dense", "linear"):
        return "units"
    if base == "P" and rest[-1:] in ("1", "2"):
        return f"zero padding {'before' if rest[-1] == '1' else 'after'}"
    if rest == "2" and len(row.input) == 1:
        return MEANINGS.get(base, "size").replace("input", "output")
    if rest.isdigit():
        return f"{MEANINGS.get(base, 'size')} {rest}".replace("input channels", "channels of input")
    along = {"H": " along the height", "W": " along the width", "Z": " along the slices"}
    return MEANINGS.get(base, "size") + along.get(rest, "")


def sentence(text: str) -> str:
    """A text with a capital at its start and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _filters(row: Row) -> Iterator[str]:
    one = "one weight for every kernel position and input channel that it reads"
    bias = " and one bias" if "bias" in row.weights else " and no bias"
    yield (
        f"Each filter gives one activation map; stacked up, they make the depth of the output, "
        f"{row.output[-1]}."
    )
    if row.op == "separable_conv":
        yield "One kernel slides over each channel; the 1x1 filters then mix the channels."
    else:
        yield f"A filter has {one},{bias}."
    where = "input" if row.op == "conv_transpose" else "output"
    yield f"At every {where} position each weight takes one multiply-add: the MACs."


def _dense(row: Row) -> str:
    bias = ", and one bias" if "bias" in row.weights else ", and no bias"
    stretch = "The volume is stretched to a vector first. " if len(row.input[0]) > 1 else ""
    return f"{stretch}Each unit has one weight for every input value{bias}."


def _fields(row: Row) -> Iterator[str]:
    values = row.layer.values()
    channels = row.input[0][-1]
    if values.get("connect") is not None:
        number = sum(len(maps) for maps in values["connect"])
        yield f"Each filter reads only some of the {channels} maps: {number} connections in all."
    elif row.op in ("conv", "conv_transpose") and values.get("groups", 1) != 1:
        groups = values["groups"]
        reads = row.weights["kernel"][-2]
        yield f"In {groups} groups, each filter reads only {reads} of the {channels} channels."
    wide = [w for w in row.windows if w.d != 1]
    if wide:
        w = wide[0]
        yield (
            f"Dilation {w.d} spreads the {w.k} positions of the kernel over {w.extent}: "
            "D*(F - 1) + 1 takes the place of F."
        )


def padding(row: Row) -> Iterator[str]:
    """What the zero padding is for: said once in a derivation."""
    windows = row.windows
    if not windows:
        return
    if all(w.rule is same_rule for w in windows):
        yield (
            "Padding `same` divides the size by the stride and rounds up, whatever the filter; as "
            "many zeros are added as the last window lacks."
        )
    elif all(_keeps(w) for w in windows) and row.op != "conv_transpose":
        yield (
            "Zero padding of P = (F - 1)/2 with stride 1 keeps the size."
            if all(w.d == 1 for w in windows)
            else "Zero padding makes up for the extent of the kernel, so that the size is kept."
        )


def _keeps(w: Window) -> bool:
    return w.s == 1 and w.k != 1 and w.out == w.n and w.before == w.after


def _rounding(row: Row) -> Iterator[str]:
    rules = {w.rule for w in row.windows}
    if not rules & {ceil_rule, clipped_rule}:
        return
    names = AXES.get(len(row.windows)) or ("position",) * len(row.windows)
    over = [
        counted(n, name)
        for w, name in zip(row.windows, names, strict=True)
        for n in [(w.out - 1) * w.s + w.extent - w.padded]
        if isinstance(n, int) and n > 0
    ]
    who = "`round: ceil`" if getattr(row.layer, "round", None) == "ceil" else row.dialect.label
    if over:
        yield (
            f"The stride does not fit, and {who} rounds up: the last window hangs over the edge "
            f"by {listed(over)}, so that no pixel goes unread."
        )
    if clipped_rule in rules:
        yield "A last window must start inside the input or the padding before it."
