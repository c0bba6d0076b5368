"""Equivalent conventions: other values that are right too, with the name of the convention.

What is left open by the question is never marked wrong; what a convention of this project
states (a MAC is two FLOPs, running statistics are not trained) is not open.
"""

from collections.abc import Callable, Iterator
from typing import Any

from ..formula import compare, minimum, product
from ..layers.base import Shape
from ..rows import BYTES, Row
from .quantities import Quantity, only, total
from .subjects import Subject

Other = tuple[Any, str]


def others(subject: Subject, asked: Quantity, correct: Any) -> Iterator[Other]:
    """Values that are right under another convention in use, with its name."""
    find = FINDERS.get(asked.name)
    if find is not None and correct is not None:
        yield from find(subject, correct)


def _volume(subject: Subject, correct: Shape) -> Iterator[Other]:
    if len(correct) == 1:
        for rank in (2, 3, 4):
            yield (1,) * (rank - 1) + correct, "a flat vector written as a 1x1 volume"
    spatial, depth = correct[:-1], correct[-1]
    if spatial and all(n == 1 for n in spatial):
        yield (depth,), "a 1x1 volume written as a flat vector"
    if len(spatial) > 1 and depth == 1:
        yield spatial, "a depth of 1 not written"


def _macs(subject: Subject, correct: Any) -> Iterator[Other]:
    biased = total(_biased)(subject)
    if compare(biased, 0) != 0:
        yield correct + biased, "each bias counted as one more MAC"


def _biased(row: Row) -> Any:
    return product(row.output) if "bias" in row.weights and row.macs != 0 else 0


def _flops(subject: Subject, correct: Any) -> Iterator[Other]:
    biased = total(_biased)(subject)
    outputs = total(lambda row: product(row.output) if row.macs != 0 else 0)(subject)
    if compare(biased, 0) != 0:
        yield correct + biased, "the additions of biases counted too"
        yield correct + biased - outputs, "n products summed by n - 1 additions, biases added"
    yield correct - outputs, "n products summed by n - 1 additions"


def _values(subject: Subject, correct: Any) -> Iterator[Other]:
    if subject.totals is None:
        return
    inputs = sum((product(shape) for shape in subject.inputs.values()), 0)
    everything = sum((product(row.output) for row in subject.rows), 0)
    learnt = sum((product(row.output) for row in subject.rows if row.macs != 0), 0)
    yield correct - inputs, "without the input"
    yield everything, "every layer's output, those of layers that work in place too"
    yield everything + inputs, "the input and every layer's output, in-place layers too"
    yield learnt, "the layers with weights only"
    yield learnt + inputs, "the input and the layers with weights only"


def _memory(subject: Subject, correct: Any) -> Iterator[Other]:
    params = total(lambda row: row.params)(subject)
    if compare(params, 0) != 0:
        yield BYTES * params, "the memory of the parameters"
        yield correct + BYTES * params, "parameters and activations together"
    for value, words in _values(subject, subject.totals.activations if subject.totals else 0):
        yield BYTES * value, words


def _per_neuron(subject: Subject, correct: Any) -> Iterator[Other]:
    row = only(subject)
    if row is not None and "bias" in row.weights:
        yield correct + 1, "the bias counted among the weights"


def _field(subject: Subject, correct: Any) -> Iterator[Other]:
    """What lies beyond the input's edge is padding: some count only what is inside."""
    sizes = next(iter(subject.inputs.values()), ())[:-1]
    if len(sizes) == len(correct):
        inside = tuple(minimum(r, n) for r, n in zip(correct, sizes, strict=True))
        yield inside, "cut at the edge of the input"


def _pad(subject: Subject, correct: Any) -> Iterator[Other]:
    if any(isinstance(p, tuple) for p in correct):
        pairs = [p if isinstance(p, tuple) else (p, p) for p in correct]
        yield tuple(a + b for a, b in pairs), "both ends together, the padding being uneven"


FINDERS: dict[str, Callable[[Subject, Any], Iterator[Other]]] = {
    "output": _volume, "macs": _macs, "flops": _flops, "neurons": _values,
    "activations": _values, "memory": _memory, "weights_per_neuron": _per_neuron,
    "receptive_field": _field, "pad": _pad,
}  # fmt: skip
