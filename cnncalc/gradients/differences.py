"""The third witness: central finite differences along random directions, in float64.

Only the forward pass is used. Where the difference is off, the step may have crossed the
kink of a rectifier: shorter steps and other directions are tried, for a wrong gradient is
wrong along all of them. With all arrays moved at once, half of each direction follows the
gradient, so that the change stands out among the kinks of millions of units.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ..execute import Arrays
from .network import Key, chosen, merged

DIRECTIONS = 2  # for one array
JOINT = 3  # where all arrays are moved at once
TRIES = 3
STEPS = (1e-6, 1e-7)  # relative to the array's own entries
TOLERANCE, JOINT_TOLERANCE = 1e-4, 1e-3  # kinks of millions of units are met at any step
SMALL = 0.1  # entries' size of an array of zeros
Loss = Callable[[Arrays], float]


def of_arrays(
    loss: Loss, params: Arrays, grads: Arrays, keys: Sequence[Key], seed: int,
    tick: Callable[[str], None],
) -> dict[Key, float | None]:  # fmt: skip
    """Relative errors array by array; None where the difference is lost in rounding."""
    import numpy as np

    found: dict[Key, float | None] = {}
    for i, key in enumerate(keys):
        random = np.random.default_rng([seed, 4, i])
        errors = []
        for _ in range(DIRECTIONS):
            tick(key[0])
            errors.append(_error(loss, params, grads, [key], random, False))
        known = [e for e in errors if e is not None]
        found[key] = max(known) if known else None
    return found


def of_all(
    loss: Loss, params: Arrays, grads: Arrays, keys: Sequence[Key], seed: int,
    tick: Callable[[str], None],
) -> float | None:  # fmt: skip
    """The largest relative error over directions in which every array moves."""
    import numpy as np

    errors = []
    for i in range(JOINT):
        tick(f"direction {i + 1}")
        random = np.random.default_rng([seed, 5, i])
        errors.append(_error(loss, params, grads, keys, random, True))
    known = [e for e in errors if e is not None]
    return max(known) if known else None


def _error(
    loss: Loss, params: Arrays, grads: Arrays, keys: Sequence[Key], random: Any, lean: bool
) -> float | None:
    """|difference - derivative| over their size: the best of some directions and steps."""
    best = None
    good = (JOINT_TOLERANCE if lean else TOLERANCE) / 10
    for _ in range(TRIES):
        direction, derivative, size = _direction(params, grads, keys, random, lean)
        for step in STEPS:
            ends = [loss(_moved(params, direction, sign * step)) for sign in (1, -1)]
            difference = (ends[0] - ends[1]) / (2 * step)
            largest = max(abs(difference), abs(derivative), size)
            if 1e-15 * abs(ends[0]) / step > good * largest:
                return best if largest else 0.0  # nothing can be told from zero
            error = abs(difference - derivative) / largest
            best = error if best is None else min(best, error)
            if error < good:
                return best
    return best


def _direction(
    params: Arrays, grads: Arrays, keys: Sequence[Key], random: Any, lean: bool
) -> tuple[Arrays, float, float]:
    """Changes as large as the arrays' entries; the loss's derivative, and its usual size."""
    import numpy as np

    direction: Arrays = {}
    derivative = size = 0.0
    for layer, name in keys:
        values, slope = params[layer][name], grads[layer][name]
        scale = float(np.sqrt(np.mean(values * values))) or SMALL
        made = random.standard_normal(values.shape) * scale
        norm = float(np.linalg.norm(slope))
        if lean and norm:
            made += slope * (scale * slope.size**0.5 / norm)
        direction.setdefault(layer, {})[name] = made
        derivative += float(np.vdot(made, slope))
        size += (norm * scale) ** 2
    return direction, derivative, size**0.5


def _moved(params: Arrays, direction: Arrays, step: float) -> Arrays:
    keys = [(layer, name) for layer, arrays in direction.items() for name in arrays]
    moved = {
        layer: {name: x + step * direction[layer][name] for name, x in arrays.items()}
        for layer, arrays in chosen(params, keys).items()
    }
    return merged(params, moved)
