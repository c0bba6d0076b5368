"""Everything that can be asked of a layer or a network: one entry a quantity."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from ..formula import Number, equal, product
from ..layers.base import axes
from ..rows import BYTES, Row
from ..rules.unread import count as unread
from .subjects import Subject

Kind = Literal["volume", "number", "axes", "bytes", "fit", "list"]


class Quantity(NamedTuple):
    """What is asked: the kind of its answer, in words, and how it is derived.

    `correct` gives the right answer, or None where the question means nothing.
    """

    name: str
    kind: Kind
    words: str
    correct: Callable[[Subject], Any]


def total(get: Callable[[Row], Number]) -> Callable[[Subject], Number]:
    """The sum over a subject's layers."""

    def summed(subject: Subject) -> Number:
        result: Number = 0
        for row in subject.rows:
            result = result + get(row)
        return result

    return summed


def weights(row: Row) -> Number:
    """Weights without the biases; 0 where they are another layer's."""
    arrays = [product(shape) for name, shape in row.weights.items() if name != "bias"]
    return sum(arrays, 0) if row.shared is None else 0


def biases(row: Row) -> Number:
    return product(row.weights["bias"]) if "bias" in row.weights and not row.shared else 0


def activations(subject: Subject) -> Number:
    if subject.totals is not None:
        return subject.totals.activations
    return product(subject.output)


def _axis(index: int) -> Callable[[Subject], Any]:
    def size(subject: Subject) -> Any:
        inside = subject.output[:-1]
        return inside[index] if len(inside) >= abs(index + (index >= 0)) else None

    return size


def _windows(get: Callable[[Any], Any]) -> Callable[[Subject], Any]:
    """One value a spatial axis, from the windows of a single layer."""

    def values(subject: Subject) -> Any:
        row = only(subject)
        return tuple(get(w) for w in row.windows) or None if row is not None else None

    return values


def only(subject: Subject) -> Row | None:
    """The one layer asked about, or None: fields belong to single layers."""
    if subject.name is not None or len(subject.rows) == 1:
        return subject.row
    sliding = [row for row in subject.rows if row.windows]
    return sliding[0] if len(sliding) == 1 else None


def _pad(w: Any) -> Any:
    return w.before if equal(w.before, w.after) else (w.before, w.after)


def _filters(subject: Subject) -> Any:
    row = only(subject)
    if row is None:
        return None
    values = row.layer.values()
    own = values.get("filters", values.get("units"))
    if own is None and row.op == "depthwise_conv":
        return row.output[-1]
    return own


def _discarded(subject: Subject) -> Any:
    row = only(subject)
    if row is None:
        return None
    return tuple(unread(w).total for w in row.windows) or None


def _per_neuron(subject: Subject) -> Any:
    row = only(subject)
    return row.layer.fan_in(row.input, row.dialect) if row is not None else None


def _connections(row: Row) -> Number:
    return row.layer.connections(row.input, row.output, row.dialect)


def _memory(subject: Subject) -> Number:
    return BYTES * activations(subject)


def _scaled(subject: Subject) -> Any:
    row = only(subject)
    if row is None or not row.windows:
        return None
    return tuple(axes(row.layer.values().get("dilation", 1), len(row.windows)))


_params = total(lambda r: r.params)
_weights = total(weights)
_biases = total(biases)
_ALL = (
    Quantity("output", "volume", "the output volume", lambda s: s.output),
    Quantity("height", "number", "the output's height", _axis(-2)),
    Quantity("width", "number", "the output's width", _axis(-1)),
    Quantity("depth", "number", "the output's depth", lambda s: s.output[-1]),
    Quantity("channels", "number", "the output's channels", lambda s: s.output[-1]),
    Quantity("params", "number", "trainable parameters", _params),
    Quantity("trainable", "number", "trainable parameters", _params),
    Quantity("weights", "number", "weights without biases", _weights),
    Quantity("biases", "number", "biases", _biases),
    Quantity("buffers", "number", "running statistics", total(lambda r: r.buffers)),
    Quantity("macs", "number", "multiply-adds", total(lambda r: r.macs)),
    Quantity("flops", "number", "FLOPs, 2 a multiply-add", total(lambda r: 2 * r.macs)),
    Quantity("activations", "number", "output values", activations),
    Quantity("neurons", "number", "neurons: output values", activations),
    Quantity("memory", "bytes", "memory of the activations in float32", _memory),
    Quantity("activations_memory", "bytes", "memory of the activations in float32", _memory),
    Quantity("params_memory", "bytes", "memory of the parameters in float32",
             lambda s: BYTES * _params(s)),
    Quantity("receptive_field", "axes", "input positions one output value sees",
             lambda s: s.rows[-1].receptive_field if s.rows else None),
    Quantity("jump", "axes", "input steps between neighbouring outputs",
             lambda s: s.rows[-1].jump if s.rows else None),
    Quantity("pad", "axes", "zero padding at each end", _windows(_pad)),
    Quantity("stride", "axes", "stride", _windows(lambda w: w.s)),
    Quantity("kernel", "axes", "kernel size", _windows(lambda w: w.k)),
    Quantity("dilation", "axes", "dilation", _scaled),
    Quantity("effective_kernel", "axes", "extent of the dilated kernel",
             _windows(lambda w: w.extent)),
    Quantity("filters", "number", "filters", _filters),
    Quantity("connections", "number", "connections, biases included, as LeNet-5 counts them",
             total(_connections)),
    Quantity("weights_per_neuron", "number", "weights of one neuron", _per_neuron),
    Quantity("discarded", "axes", "rows and columns that no window reads", _discarded),
    Quantity("valid", "fit", "whether it fits", lambda s: s.fits),
    Quantity("peak_memory", "bytes", "peak memory of inference in float32",
             lambda s: s.totals.peak_memory if s.totals else None),
    Quantity("training_memory", "bytes", "peak memory of a training step in float32",
             lambda s: s.totals.training_memory if s.totals else None),
    Quantity("weights_biases", "list", "weights and biases, in this order",
             lambda s: (_weights(s), _biases(s))),
)  # fmt: skip
QUANTITIES: dict[str, Quantity] = {q.name: q for q in _ALL}
ALIASES = {
    "params_symbolic": "params", "parameters": "params", "columns_never_visited": "discarded",
    "rows_never_visited": "discarded", "columns_never_read": "discarded",
    "rows_never_read": "discarded", "fits": "valid", "padding": "pad",
    "output_shape": "output", "output_size": "output", "output_volume": "output",
    "rf": "receptive_field",
}  # fmt: skip


def quantity(name: str) -> Quantity | None:
    """The quantity called `name`, or by an alias of it; None where there is none.

    >>> quantity("params").words, quantity("nonsense")
    ('trainable parameters', None)
    """
    key = "_".join(name.strip().lower().split()).replace("-", "_")
    return QUANTITIES.get(ALIASES.get(key, key))
