"""Design rules: warnings about the whole network that its sizes alone do not show."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..diagnostics import Diagnostic
from ..layers.base import Shape, product
from ..rows import Row
from .base import AXES, counted, listed, rule, volume, whole
from .net import KEEPING, TRANSPARENT, Net, activation, say
from .shrink import empty_taps, fast_runs, lone_pixels, long_steps

Rule = Callable[[Net], Iterator[Diagnostic]]
MANY = 100_000  # parameters of a dense layer worth a word
SOFTMAX = ("softmax", "log_softmax")


def design(rows: Sequence[Row], outputs: Sequence[str]) -> list[Diagnostic]:
    """Everything the design rules say of a network, once for each place in the spec."""
    net = Net(rows, outputs)
    return _merged([d for check in RULES for d in check(net)])


def _merged(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """One diagnostic a rule and place: unrolled blocks repeat their lines."""
    groups: dict[Any, list[Diagnostic]] = {}
    for d in found:
        groups.setdefault((d.code, d.span or d.layer), []).append(d)
    merged = []
    for first, *others in groups.values():
        more = f" (and {counted(len(others), 'more layer')} of this line)" if others else ""
        merged.append(first._replace(message=first.message + more))
    return merged


@rule("W001", "volumes shrink too fast", "warning")
def shrinking(net: Net) -> Iterator[Diagnostic]:
    """The maps get small faster than the layers can use what they hold.

    The lecture's caution: a 32x32 input convolved repeatedly with 5x5 filters shrinks
    spatially, 32 -> 28 -> 24, and shrinking too fast is not good, because the maps lose
    information. The rule speaks in three cases:

    - three or more unpadded convolutions with stride 1 follow each other and take half of
      the rows or columns, or more;
    - one convolution or pool in the middle of the network, followed by another one, has a
      stride above 4;
    - a kernel larger than 1 slides over an axis that has only one position left, so that
      all its other weights meet nothing but padding.

        input: 28x28x1
        layers:
          - repeat: {times: 4, layers: [{conv: {filters: 8, kernel: 5}}, relu]}

    Pad the convolutions, (F - 1)/2 zeros for a filter of F; pool less often, or later; or
    start from a larger input.
    """
    for row, count, first, last in fast_runs(net):
        text = f"{count} convolutions in a row without padding shrink {volume(first)} to "
        pads = listed(sorted({f"(F - 1)/2 = {(_int(w.extent) - 1) // 2}" for w in row.windows}))
        yield say("W001", row, text + volume(last), f"pad: {pads} keeps the size")
    for row, axis, n, out in long_steps(net):
        axes = AXES.get(len(row.windows), ())
        what = f"{axes[axis]}s" if axes else f"positions of axis {axis}"
        text = f"{row.name} alone takes {n} {what} to {out}"
        yield say("W001", row, text, "shrink in several steps, with layers between them")
    for row in lone_pixels(net):
        sizes = volume(row.input[0][:-1])
        kernel = volume(w.k for w in row.windows)
        text = f"a {kernel} kernel slides over a {sizes} map: most of its weights meet only padding"
        yield say("W001", row, text, "shrink less in the layers before, or use a smaller kernel")


@rule("W002", "a bias before a batch normalisation", "warning")
def bias_normalised(net: Net) -> Iterator[Diagnostic]:
    """The bias has no effect: the normalisation subtracts the mean, and the bias with it.

    The parameters are counted, stored and trained (their gradient is zero up to rounding)
    for nothing; the normalisation adds a shift of its own (Ioffe and Szegedy 2015,
    section 3.2).

        input: 8x8x3
        layers:
          - conv: {filters: 8, kernel: 3}
          - batchnorm
          - relu

    Write `bias: false`.
    """
    for row in net.rows:
        readers = net.readers.get(row.name, [])
        if not (row.layer.linear and "bias" in row.weights and readers):
            continue
        if row.name not in net.outputs and all(r.op == "batchnorm" for r in readers):
            bias = row.weights["bias"][0]
            text = f"the bias of {row.name} ({bias} parameters) is cancelled by {readers[0].name}"
            yield say("W002", row, text, "bias: false gives the same network")


@rule("W003", "no activation between two linear layers", "warning")
def linear_pairs(net: Net) -> Iterator[Diagnostic]:
    """Two linear layers follow each other with nothing nonlinear between them.

    A linear map of a linear map is one linear map: the first layer adds parameters, but
    nothing the second could not express alone. Normalisation, average pooling, dropout and
    flattening change nothing about that. Deliberate factorisations are not reported: a
    first layer with fewer channels than both its input and the second's output (a
    bottleneck, as in MobileNetV2), depthwise and pointwise pairs, 1xK and Kx1 pairs, an
    upsampling transposed convolution, and layers that a join reads as well.

        input: 8x8x3
        layers:
          - conv: {filters: 8, kernel: 3}
          - conv: {filters: 8, kernel: 3}

    Put an activation such as `relu` between them.
    """
    for row in net.rows:
        first = net.before(row, TRANSPARENT) if row.layer.linear else None
        if first is None or not first.layer.linear or not net.private(row, first):
            continue
        if not _factorised(first, row):
            text = f"no activation between {first.name} and {row.name}: together they are linear"
            yield say("W003", row, text, f"put an activation such as relu before {row.name}")


def _factorised(first: Row, second: Row) -> bool:
    """Is the pair a known way to write one linear map with fewer weights?"""
    if "depthwise_conv" in (first.op, second.op):
        return True
    if second.op == "conv_transpose" and any(w.s != 1 for w in second.windows):
        return True
    reads = product(first.input[0]) if first.op == "dense" else first.input[0][-1]
    widths = whole((reads, first.output[-1], second.output[-1]))
    if widths is None or widths[1] < min(widths[0], widths[2]):
        return True
    return _crossed(first, second)


def _crossed(first: Row, second: Row) -> bool:
    """1xK followed by Kx1: no axis is filtered twice, and both do filter."""
    pairs = list(zip(first.windows, second.windows, strict=False))
    apart = all(a.k == 1 or b.k == 1 for a, b in pairs)
    return apart and any(a.k != 1 for a, _ in pairs) and any(b.k != 1 for _, b in pairs)


@rule("W004", "one dense layer holds most of the parameters", "warning")
def heavy_dense(net: Net) -> Iterator[Diagnostic]:
    """A dense layer on a flattened volume outweighs all the rest of a convolutional network.

    Its weights are as many as the volume has values, times its units. AlexNet and VGG are
    built that way; later networks average every map first (Lin 2013, Network in Network).
    Layers of fewer than a hundred thousand parameters are not worth a warning.

        input: 64x64x3
        layers:
          - conv: {filters: 32, kernel: 3, pad: 1}
          - relu
          - dense: 1024
          - relu
          - dense: 10

    Pool or stride further before it, or use `global_avgpool`.
    """
    weighted = [row for row in net.rows if row.params != 0]
    counts = whole(row.params for row in weighted)
    if counts is None or not any(row.windows for row in weighted):
        return
    total = sum(counts)
    for row, count in zip(weighted, counts, strict=True):
        shape = _stretched(net, row)
        if row.op != "dense" or shape is None or count < MANY or 2 * count <= total:
            continue
        less = (_int(shape[-1]) + int("bias" in row.weights)) * _int(row.output[-1])
        text = f"{row.name} holds {count:,} of the {total:,} parameters ({100 * count // total} %)"
        text += f": it reads a {volume(shape)} volume stretched flat"
        remedy = f"with global_avgpool before it, it would hold {less:,}"
        yield say("W004", row, text, remedy)


def _stretched(net: Net, row: Row) -> Shape | None:
    """The volume that a dense layer flattens; None where it reads a plain vector."""
    found: Row | None = row
    while found is not None:
        shape = found.input[0] if found.input else ()
        if len(shape) > 1:
            sizes = whole(shape)
            return shape if sizes and max(sizes[:-1]) > 1 else None
        found = net.source(found)
        if found is not None and found.op not in KEEPING | {"flatten", "reshape"}:
            return None
    return None


@rule("W006", "a layer that nothing uses", "warning")
def unused(net: Net) -> Iterator[Diagnostic]:
    """The output of the layer reaches no output of the network.

    Its parameters and its work are counted, but they do not matter to the result, and a
    training step gives them no gradient. Mostly a `from` that names the wrong layer, or an
    output that `outputs` leaves out.

        input: 8x8x3
        layers:
          - conv: {filters: 8, kernel: 3}
            name: a
          - conv: {filters: 8, kernel: 3}
            from: input

    List the layer under `outputs`, read it with `from`, or remove it.
    """
    lost = [row for row in net.rows if row.name not in net.used]
    ends = [row for row in lost if row.name not in net.readers]
    for row in ends:
        names = [*sorted(net.outputs), row.name]
        more = (
            f", nor {counted(len(lost) - 1, 'layer')} before it"
            if len(ends) == 1 < len(lost)
            else ""
        )
        text = f"no output of the network uses {row.name}{more}"
        yield say("W006", row, text, f"outputs: [{', '.join(names)}] keeps it; or remove it")


@rule("W007", "softmax twice", "warning")
def softmax_twice(net: Net) -> Iterator[Diagnostic]:
    """A softmax is applied to the result of a softmax.

    `softmax_cross_entropy` takes scores and applies the softmax itself, as PyTorch's
    CrossEntropyLoss does. A second softmax squeezes the probabilities towards each other
    and makes the gradients small: training still runs, only badly.

        input: 32
        layers:
          - dense: 10
          - softmax
          - softmax_cross_entropy

    Leave the first softmax out.
    """
    for row in net.rows:
        if row.op not in (*SOFTMAX, "softmax_cross_entropy"):
            continue
        earlier = net.before(row, KEEPING | {"flatten"})
        if earlier is not None and earlier.op in SOFTMAX:
            text = f"{row.name} applies a softmax to the result of {earlier.name}"
            yield say("W007", row, text, f"leave {earlier.name} out")


@rule("W008", "an activation straight after another", "warning")
def activation_twice(net: Net) -> Iterator[Diagnostic]:
    """Two activations follow each other with no layer between them.

    The second one adds nothing (a ReLU of a ReLU is the same ReLU) or only squeezes its
    input further. Before a softmax, a ReLU makes all negative scores equal.

        input: 8x8x3
        layers:
          - conv: {filters: 8, kernel: 3}
          - relu
          - relu

    Keep one of them.
    """
    for row in net.rows:
        earlier = net.before(row, KEEPING)
        if earlier is None or not activation(earlier):
            continue
        if activation(row):
            text = f"{row.name} follows {earlier.name} with no layer between them"
            yield say("W008", row, text, f"leave {row.name} out")
        elif row.op in (*SOFTMAX, "softmax_cross_entropy") and earlier.op in ("relu", "relu6"):
            text = f"{row.name} reads {earlier.name}: all negative scores have become equal"
            yield say("W008", row, text, f"leave {earlier.name} out")


@rule("W009", "work on padding alone", "warning")
def padding_only(net: Net) -> Iterator[Diagnostic]:
    """Part of the layer meets nothing but zero padding, or the layer does nothing.

    A padded kernel of one position frames the map with constants, which depend on no pixel
    (SqueezeNet 1.0 does it in its last convolution). A dilated kernel that is wider than
    its map twice over has taps that never meet a pixel; their weights learn nothing. A pool
    of one position at stride 1 returns its input.

        input: 8x8x3
        layers:
          - conv: {filters: 8, kernel: 1, pad: 1}

    Leave the padding out, dilate less, or remove the pool.
    """
    for row in net.rows:
        slides = [w for w in row.windows if w.kind != "transpose"]
        if not slides or row.assumed:
            continue
        if all(w.k == 1 for w in slides) and any(w.before != 0 or w.after != 0 for w in slides):
            text = f"{row.name} pads the input of a kernel of one position: a frame of constants"
            yield say("W009", row, text, "pad: 0")
        elif row.op in ("maxpool", "avgpool") and all(w.k == 1 and w.s == 1 for w in slides):
            yield say("W009", row, f"{row.name} returns its input: kernel 1, stride 1", "remove it")
        elif row.layer.linear and any(w.d != 1 for w in slides):
            dead, taps = empty_taps(row)
            if dead:
                text = f"{dead} of the {taps} taps of {row.name} only ever meet padding"
                yield say("W009", row, text, "a smaller dilation, or a larger map")


@rule("W010", "an operator that is not covered", "warning")
def opaque(net: Net) -> Iterator[Diagnostic]:
    """The inside of a layer is not known: its size and parameters are taken as they are given.

    Importers keep an operator that they do not cover as an `opaque` layer. What follows is
    derived from the size given; its cost is counted only as far as `macs` says, and the run
    puts the mean of the input in its place.

        input: 8x8x3
        layers:
          - opaque: {op: GridSample, output: 4x4x3}

    Where layers of the spec language do the same, write those.
    """
    for row in net.rows:
        if row.op == "opaque":
            kind = row.layer.values()["op"]
            text = f"{row.name}: {kind} is not covered; its size is taken as given"
            yield say("W010", row, text)


RULES: tuple[Rule, ...] = (
    shrinking, bias_normalised, linear_pairs, heavy_dense, unused, softmax_twice,
    activation_twice, padding_only, opaque,
)  # fmt: skip


def _int(x: object) -> int:
    return x if isinstance(x, int) else 0
