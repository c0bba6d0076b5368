"""Memory of a network: which volumes live when. float32, bytes for one item.

A volume is a stored activation. Layers that may work in place (ReLU, dropout, flatten)
write over their input when nobody else reads it, so they add no volume of their own.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from .formula import (
    Expr,
    FormulaLimit,
    Max,
    Number,
    at_least,
    evaluate,
    product,
    symbols,
)
from .layers.base import Shape
from .rows import BYTES, Row


class Volumes(NamedTuple):
    """`size` of each volume in values, and the volume that each layer's output is in."""

    size: Mapping[str, Number]
    home: Mapping[str, str]


def volumes(rows: Sequence[Row], inputs: Mapping[str, Shape], outputs: Sequence[str]) -> Volumes:
    """Assigns every layer's output to a volume, named after the layer that first fills it."""
    readers: dict[str, int] = {}
    for row in rows:
        for name in row.inputs:
            readers[name] = readers.get(name, 0) + 1
    size: dict[str, Number] = {name: product(shape) for name, shape in inputs.items()}
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
            size[row.name] = product(row.output)
    return Volumes(size, home)


def activations(kept: Volumes) -> Number:
    """Values of every volume once, the input's included.

    For VGG-16 15,237,608: the sum of the volumes listed in the CS231n notes.
    """
    total: Number = 0
    for size in kept.size.values():
        total = total + size
    return total


def live(rows: Sequence[Row], kept: Volumes, outputs: Sequence[str]) -> list[Number]:
    """Values live while each layer computes: its inputs, its output, and what is read later."""
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
    alive = {volume for volume in kept.size if volume not in made and volume in last}
    now: Number = 0
    for volume in alive:
        now = now + kept.size[volume]
    found: list[Number] = []
    for i, row in enumerate(rows):
        volume = kept.home[row.name]
        if volume not in alive:
            alive.add(volume)
            now = now + kept.size[volume]
        found.append(now)
        for dead in [*dying.get(i, ()), *([volume] if volume not in last else [])]:
            if dead in alive:
                alive.discard(dead)
                now = now - kept.size[dead]
    return found


def inference(stored: Number, rows: Sequence[Row], kept: Volumes, outputs: Sequence[str]) -> Number:
    """Peak bytes of inference: weights and buffers, and the most that is live at once."""
    return BYTES * (stored + largest(live(rows, kept, outputs)))


def training(params: Number, buffers: Number, rows: Sequence[Row], kept: Volumes) -> Number:
    """Peak bytes of a training step: weights, their gradients, buffers, every volume kept
    for the backward pass, and the gradients of one layer's output and inputs."""
    pairs: list[Number] = []
    for row in rows:
        pair = product(row.output)
        for shape in row.input:
            pair = pair + product(shape)
        pairs.append(pair)
    return BYTES * (2 * params + buffers + activations(kept) + largest(pairs))


def largest(values: Sequence[Number]) -> Number:
    """The maximum; closed forms that another one provably covers are left out.

    Which form is the larger is guessed at a few sizes and then proved, so that a long
    chain needs one proof a value and not one a pair.

    >>> largest([3, 8, 5])
    8
    """
    distinct = list(dict.fromkeys(values))
    if not any(isinstance(v, Expr) for v in distinct):
        return max(distinct) if distinct else 0  # type: ignore[type-var]
    points = _samples(distinct)
    samples = {v: tuple(evaluate(v, point) for point in points) for v in distinct}
    kept: list[Number] = []
    for value in sorted(distinct, key=lambda v: (samples[v][::-1], str(v)), reverse=True):
        above = [k for k in kept if _all_above(samples[k], samples[value])]
        if not any(at_least(k, value) for k in above[:PROOFS]):
            kept.append(value)
    if len(kept) > MOST:
        raise FormulaLimit(f"peak memory is the largest of more than {MOST} closed forms")
    return kept[0] if len(kept) == 1 else Max(*sorted(kept, key=str))


PROOFS = 2  # tried for one value
MOST = 200


def _samples(values: Sequence[Number]) -> list[dict[str, int]]:
    """Three assignments of the symbols in their domains, growing."""
    found = {symbol for value in values for symbol in symbols(value)}
    points = []
    for target in (64, 512, 4096):
        point = {}
        for s in found:
            near = max(s.min, target // s.multiple_of * s.multiple_of)
            point[s.name] = near if s.max is None else min(near, s.max)
        points.append(point)
    return points


def _all_above(a: Sequence[int | Fraction], b: Sequence[int | Fraction]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True))
