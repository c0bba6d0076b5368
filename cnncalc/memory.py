"""Memory of a network: which volumes live when. float32, bytes for one item.

A volume is a stored activation. Layers that may work in place (ReLU, dropout, flatten)
write over their input when nobody else reads it, so they add no volume of their own.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .formula import Number, product, total
from .layers.base import Shape
from .peaks import largest
from .rows import BYTES, Row


class Volumes(NamedTuple):
    """Each volume's `size` in values and its `shape`; `home`: the one an output is in."""

    size: Mapping[str, Number]
    shape: Mapping[str, Shape]
    home: Mapping[str, str]


def volumes(rows: Sequence[Row], inputs: Mapping[str, Shape], outputs: Sequence[str]) -> Volumes:
    """Assigns every layer's output to a volume, named after the layer that first fills it."""
    readers: dict[str, int] = {}
    for row in rows:
        for name in row.inputs:
            readers[name] = readers.get(name, 0) + 1
    shapes: dict[str, Shape] = dict(inputs)
    home: dict[str, str] = {name: name for name in inputs}
    if "input" not in home:
        home["input"] = next(iter(inputs))
    for row in rows:
        source = row.inputs[0]
        alone = readers[source] == 1 and source not in outputs
        if row.layer.in_place and alone:
            home[row.name] = home[source]
        else:
            home[row.name] = row.name
            shapes[row.name] = row.output
    return Volumes({name: product(shape) for name, shape in shapes.items()}, shapes, home)


def activations(kept: Volumes) -> Number:
    """Values of every volume once, the input's included.

    For VGG-16 15,237,608: the sum of the volumes listed in the CS231n notes.
    """
    return total(kept.size.values())


def live(rows: Sequence[Row], kept: Volumes, outputs: Sequence[str]) -> list[tuple[str, ...]]:
    """Volumes live while each layer computes: its inputs, its output, what is read later."""
    last: dict[str, int] = {}
    for i, row in enumerate(rows):
        for name in row.inputs:
            last[kept.home[name]] = i
    for name in outputs:
        last[kept.home[name]] = len(rows)
    dying: dict[int, list[str]] = {}
    for volume, i in last.items():
        dying.setdefault(i, []).append(volume)
    made = {row.name for row in rows}
    alive = {volume: None for volume in kept.size if volume not in made and volume in last}
    found: list[tuple[str, ...]] = []
    for i, row in enumerate(rows):
        volume = kept.home[row.name]
        alive[volume] = None
        found.append(tuple(alive))
        for dead in [*dying.get(i, ()), *([volume] if volume not in last else [])]:
            alive.pop(dead, None)
    return found


def inference(stored: Number, rows: Sequence[Row], kept: Volumes, outputs: Sequence[str]) -> Number:
    """Peak bytes of inference: weights and buffers, and the most that is live at once."""
    sums = [[kept.shape[name] for name in alive] for alive in live(rows, kept, outputs)]
    return BYTES * (stored + largest(sums, kept.shape.values()))


def training(params: Number, buffers: Number, rows: Sequence[Row], kept: Volumes) -> Number:
    """Peak bytes of a training step: weights, their gradients, buffers, every volume kept
    for the backward pass, and the gradients of one layer's output and inputs."""
    pairs = [(row.output, *row.input) for row in rows]
    fixed = 2 * params + buffers + activations(kept)
    return BYTES * (fixed + largest(pairs, kept.shape.values()))
