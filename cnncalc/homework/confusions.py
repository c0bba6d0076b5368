"""One quantity given for another: neurons for parameters, MACs for FLOPs, MB for MiB."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from ..formula import Number, maximum, product
from ..layers.base import Shape
from ..rows import Row
from .quantities import QUANTITIES, Quantity, only, total
from .subjects import Subject

Confusion = tuple[str, str, Any]
Get = Callable[[Subject], Any]


def confusions(subject: Subject, asked: Quantity) -> Iterator[Confusion]:
    """What other quantities would be given as the answer: id, words, value; likeliest first."""
    for id_, words, get in LISTS.get(asked.name, ()):
        value = attempt(get, subject)
        if value is not None and not ("-for-" in id_ and value == 0):
            yield id_, words, value
    if asked.kind in ("number", "bytes") and len(subject.rows) > 1:
        yield from _parts(subject, asked)


def attempt(get: Get, subject: Subject) -> Any:
    try:
        return get(subject)
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _of(name: str) -> Get:
    return QUANTITIES[name].correct


def _times(name: str, factor: Any) -> Get:
    def scaled(subject: Subject) -> Any:
        return QUANTITIES[name].correct(subject) * factor

    return scaled


def _area(name: str) -> Get:
    return lambda s: product(QUANTITIES[name].correct(s))


def _each(name: str, change: Callable[[Any], Any]) -> Get:
    def changed(subject: Subject) -> Any:
        values = QUANTITIES[name].correct(subject)
        return tuple(change(v) for v in values)

    return changed


def _input(subject: Subject) -> Any:
    row = subject.rows[0] if subject.rows else None
    return row.input[0] if row is not None else None


def _input_values(subject: Subject) -> Any:
    shape = _input(subject)
    return None if shape is None else product(shape)


def _map(subject: Subject) -> Any:
    return product(subject.output[:-1]) if len(subject.output) > 1 else None


def _one_filter(subject: Subject) -> Any:
    row = only(subject)
    inside = _of("weights_per_neuron")(subject)
    return inside + ("bias" in row.weights) if row is not None and inside is not None else None


def _no_depth(subject: Subject) -> Any:
    return subject.output[:-1] if len(subject.output) > 1 else None


def _field_before(subject: Subject) -> Any:
    row = only(subject)
    if row is None:
        return None
    return next((r.receptive_field for r in subject.network if r.name == row.inputs[0]), None)


def _statistics(row: Row) -> Number:
    return row.params + row.buffers


def _windows(change: Callable[[Any], Any]) -> Get:
    def values(subject: Subject) -> Any:
        row = only(subject)
        return tuple(change(w) for w in row.windows) if row is not None and row.windows else None

    return values


def _one_layer(subject: Subject) -> Any:
    """One convolution with the receptive field of the whole stack."""
    rows = [row for row in subject.rows if row.op == "conv"]
    if len(rows) < 2:
        return None
    first, last = rows[0], rows[-1]
    field = last.receptive_field
    channels = first.input[0][-1]
    filters = last.output[-1]
    bias = filters if "bias" in last.weights else 0
    return product((*field, channels, filters)) + bias


RARE = frozenset({
    "biases-only", "macs-for-parameters", "flops-for-parameters", "bytes-for-parameters",
    "inputs-for-parameters", "one-filter", "connections-for-parameters", "layer-left-out",
    "one-layer-only", "layer-counted-twice", "weights-for-neurons", "filters-for-neurons",
    "one-axis", "macs-for-neurons", "neurons-for-macs", "neurons-for-flops", "doubled-twice",
    "connections-for-macs", "area-for-side", "shrinking-for-stride", "params-for-filters",
    "neurons-for-filters", "shrinking-for-discarded", "stride-not-read", "kernel-lost",
    "flops-for-connections", "strides-added", "jump-for-receptive-field", "one-short",
    "receptive-field-for-jump", "stride-for-kernel", "stride-for-dilation", "half-counted",
    "remainder-to-fit",
})  # fmt: skip


def _axes(index: int) -> Get:
    def size(subject: Subject) -> Any:
        shape: Shape = subject.output
        return shape[index]

    return size


def _side(index: int) -> Get:
    return lambda s: _input(s)[index]


def _without_last(subject: Subject) -> Any:
    return product((subject.output[0], subject.output[-1]))


def _half(p: Any) -> Any:
    return p // 2


def _added(subject: Subject) -> Any:
    """Strides along the chain, added up."""
    windows = [row.windows for row in subject.network if row.windows]
    mine = [w for row, w in zip(subject.network, windows, strict=False) if row]
    return tuple(sum(w.s for w in axis) for axis in zip(*mine, strict=False))


def _sized(subject: Subject) -> Iterator[tuple[Any, Any]]:
    row = only(subject)
    return iter([(w.n, w) for w in row.windows] if row is not None else ())


def _total(name: str, subject: Subject) -> Any:
    return sum(QUANTITIES[name].correct(subject))


NEURONS = (
    ("parameters-for-neurons", "parameters for neurons", _of("params")),
    ("depth-left-out", "depth left out: height times width only", _map),
    ("input-for-output", "the input's values instead of the output's", _input_values),
    ("macs-for-neurons", "MACs for neurons", _of("macs")),
    ("weights-for-neurons", "weights for neurons", _of("weights")),
    ("one-axis", "one axis left out: height times depth", _without_last),
    ("filters-for-neurons", "the number of filters for the number of neurons", _axes(-1)),
)
MEMORY = (
    (
        "values-for-bytes",
        "values for bytes: 4 bytes each in float32",
        _times("memory", Fraction(1, 4)),
    ),
)  # fmt: skip
LISTS: dict[str, tuple[tuple[str, str, Get], ...]] = {
    "params": (
        ("neurons-for-parameters", "neurons for parameters", _of("neurons")),
        ("running-statistics-counted", "4C for 2C: running statistics counted as parameters",
         total(_statistics)),
        ("macs-for-parameters", "MACs for parameters", _of("macs")),
        ("biases-only", "the biases only", _of("biases")),
        ("one-filter", "one filter only, with its bias", _one_filter),
        ("connections-for-parameters", "connections for parameters: shared weights counted again",
         _of("connections")),
        ("flops-for-parameters", "FLOPs for parameters", _of("flops")),
        ("bytes-for-parameters", "bytes for parameters", _of("params_memory")),
        ("single-layer", "a single layer with the same receptive field", _one_layer),
        ("inputs-for-parameters", "the input's values for parameters", _input_values),
    ),
    "weights": (
        ("biases-counted", "biases counted among the weights", _of("params")),
        ("neurons-for-parameters", "neurons for weights", _of("neurons")),
        ("biases-only", "the biases, not the weights", _of("biases")),
        ("one-filter", "the weights of one filter only", _of("weights_per_neuron")),
        ("macs-for-parameters", "MACs for weights", _of("macs")),
        ("single-layer", "a single layer with the same receptive field", _one_layer),
    ),
    "biases": (
        ("biases-left-out", "biases left out", lambda s: 0),
        ("one-bias", "one bias per layer instead of one per filter", lambda s: 1),
        ("bias-per-neuron", "one bias for every neuron", _of("neurons")),
        ("bias-per-channel", "one bias for each input channel", _side(-1)),
        ("weights-for-biases", "the weights, not the biases", _of("weights")),
        ("params-for-biases", "all parameters, not the biases only", _of("params")),
    ),
    "buffers": (
        ("batchnorm-4c", "4C: the trained parameters counted too", total(_statistics)),
        ("half-counted", "only one of mean and variance", lambda s: _of("buffers")(s) // 2),
        ("none-kept", "running statistics left out", lambda s: 0),
    ),
    "macs": (
        ("flops-for-macs", "FLOPs for MACs: 1 MAC = 2 FLOPs", _of("flops")),
        ("parameters-for-macs", "parameters for MACs", _of("params")),
        ("weights-for-macs", "weights for MACs: not times the positions", _of("weights")),
        ("neurons-for-macs", "neurons for MACs", _of("neurons")),
        ("connections-for-macs", "connections for MACs: the biases counted", _of("connections")),
    ),
    "flops": (
        ("macs-for-flops", "MACs for FLOPs: 1 MAC = 2 FLOPs", _of("macs")),
        ("doubled-twice", "doubled twice: 4 FLOPs a MAC", _times("macs", 4)),
        ("parameters-for-flops", "parameters for FLOPs", _of("params")),
        ("parameters-for-flops", "twice the parameters: not times the positions",
         _times("params", 2)),
        ("neurons-for-flops", "neurons for FLOPs", _of("neurons")),
    ),
    "neurons": NEURONS,
    "activations": NEURONS,
    "memory": MEMORY,
    "depth": (("output-depth-is-input-depth", "output depth = input depth", _side(-1)),),
    "height": (
        ("height-width-exchanged", "H and W exchanged", _axes(1)),
        ("unchanged-size", "height taken as unchanged", _side(0)),
        ("channels-first", "the depth for the height: channels first against last", _axes(-1)),
    ),
    "width": (
        ("height-width-exchanged", "H and W exchanged", _axes(0)),
        ("unchanged-size", "width taken as unchanged", _side(1)),
        ("channels-first", "the depth for the width: channels first against last", _axes(-1)),
    ),
    "output": (("depth-left-out", "the depth left out of the volume", _no_depth),),
    "receptive_field": (
        ("own-layer-left-out", "this layer itself left out: the field of the one before",
         _field_before),
        ("own-kernel-only", "this layer's kernel only, the layers before left out",
         _windows(lambda w: w.extent)),
        ("own-kernel-only", "this layer's kernel only, dilation ignored", _windows(lambda w: w.k)),
        ("jump-for-receptive-field", "the jump for the receptive field", _of("jump")),
        ("one-short", "1 short: the position itself left out",
         _each("receptive_field", lambda r: r - 1)),
        ("area-for-side", "the area of the receptive field, not its side",
         _area("receptive_field")),
    ),
    "jump": (
        ("own-stride-only", "this layer's stride only, those before left out",
         _windows(lambda w: w.s)),
        ("strides-ignored", "strides ignored", _each("jump", lambda j: 1)),
        ("strides-added", "strides added instead of multiplied", lambda s: _added(s)),
        ("receptive-field-for-jump", "the receptive field for the jump", _of("receptive_field")),
    ),
    "pad": (
        ("padding-ignored", "padding ignored", _each("pad", lambda p: 0)),
        ("padding-is-kernel", "padding taken equal to the kernel", _of("kernel")),
        ("padding-both-ends", "the padding of both ends together, not of each",
         _windows(lambda w: w.before + w.after)),
        ("padding-once", "halved once more: padding counted once", _each("pad", _half)),
        ("padding-not-halved", "F - 1, not halved", _windows(lambda w: w.extent - 1)),
        ("padding-rounded-up", "half of the kernel rounded up",
         _windows(lambda w: (w.extent + 1) // 2)),
        ("dilation-ignored", "dilation ignored", _windows(lambda w: (w.k - 1) // 2)),
        ("padding-of-kernel", "half of the kernel, not of F - 1",
         _windows(lambda w: w.extent // 2)),
    ),
    "stride": (
        ("stride-ignored", "stride ignored", _each("stride", lambda s: 1)),
        ("stride-is-kernel", "stride taken equal to the kernel", _of("kernel")),
        ("shrinking-for-stride", "the ratio of input to output for the stride",
         lambda s: tuple(n // w.out for n, w in _sized(s))),
    ),
    "kernel": (
        ("area-for-side", "the kernel's area, not its side", _area("kernel")),
        ("dilated-for-kernel", "the dilated extent, not the kernel", _of("effective_kernel")),
        ("lost-for-kernel", "`+1` forgotten: the positions lost", _each("kernel", lambda k: k - 1)),
        ("stride-for-kernel", "the stride for the kernel", _of("stride")),
    ),
    "effective_kernel": (
        ("own-kernel", "dilation ignored", _of("kernel")),
        ("area-for-side", "the area, not the side", _area("effective_kernel")),
        ("stride-for-dilation", "the stride taken for a dilation",
         _windows(lambda w: w.s * (w.k - 1) + 1)),
    ),
    "filters": (
        ("output-depth-is-input-depth", "filters = input depth", _side(-1)),
        ("params-for-filters", "parameters for filters", _of("params")),
        ("neurons-for-filters", "neurons for filters", _of("neurons")),
    ),
    "weights_per_neuron": (
        ("all-filters", "the weights of all filters", _of("weights")),
        ("depth-left-out", "depth (input channels) left out", _area("kernel")),
        ("all-filters", "the parameters of all filters", _of("params")),
        ("fully-connected", "every input value: taken as fully connected", _input_values),
    ),
    "connections": (
        ("parameters-for-connections", "parameters for connections: shared weights counted once",
         _of("params")),
        ("biases-left-out", "biases left out", _of("macs")),
        ("neurons-for-connections", "neurons for connections", _of("neurons")),
        ("flops-for-connections", "FLOPs for connections", _of("flops")),
        ("fully-connected", "taken as fully connected",
         lambda s: _input_values(s) * product(s.output)),
    ),
    "discarded": (
        ("full-coverage", "full coverage assumed: nothing discarded",
         _each("discarded", lambda n: 0)),
        ("padding-counted", "padding counted among the rows and columns",
         _windows(lambda w: w.remainder)),
        ("kernel-lost", "the positions lost to the kernel, F - 1",
         _windows(lambda w: w.extent - 1)),
        ("shrinking-for-discarded", "input size less output size",
         lambda s: tuple(n - w.out for n, w in _sized(s))),
        ("both-axes", "rows and columns added up", lambda s: _total("discarded", s)),
        ("stride-not-read", "what the stride steps over in one step",
         _windows(lambda w: maximum(w.s - 1, 0))),
        ("remainder-to-fit", "what is missing for one more window",
         _windows(lambda w: (-w.remainder) % w.s)),
    ),
    "weights_biases": (
        ("biases-left-out", "biases left out", lambda s: (_of("weights")(s), 0)),
        ("one-bias", "one bias per layer instead of one per filter",
         lambda s: (_of("weights")(s), 1)),
        ("biases-exchanged", "weights and biases exchanged",
         lambda s: (_of("biases")(s), _of("weights")(s))),
        ("biases-counted", "biases counted among the weights",
         lambda s: (_of("params")(s), _of("biases")(s))),
    ),
}  # fmt: skip
LISTS["trainable"] = LISTS["params"]
LISTS["channels"] = LISTS["depth"]


def _parts(subject: Subject, asked: Quantity) -> Iterator[Confusion]:
    """Sums that lose a layer, or are one layer's only."""
    if asked.name in ("height", "width", "depth", "channels"):
        return
    whole = asked.correct(subject)
    counted: list[tuple[str, Any]] = []
    for row in subject.rows:
        one = subject._replace(name=row.name, rows=(row,), output=row.output, totals=None, memo={})
        value = attempt(asked.correct, one)
        if value:
            counted.append((row.name, value))
    if len(counted) < 2:
        return
    for name, value in counted:
        yield "layer-left-out", f"{name} left out", whole - value
    for name, value in counted:
        yield "one-layer-only", f"{name} only", value
    for name, value in counted:
        yield "layer-counted-twice", f"{name} counted twice", whole + value
