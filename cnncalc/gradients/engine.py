"""Our engine's loss and gradients, on NumPy arrays or on JAX arrays under jit."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..execute import Arrays
from .network import RECTIFIERS, Data, Network, chosen, losses, merged, values_of


class Outcome(NamedTuple):
    """What one pass forward and back gave, as NumPy values."""

    losses: tuple[float, ...]
    grads: Arrays
    alive: Mapping[str, Any]  # for every rectifier: which channels are not zero somewhere
    broken: str | None = None  # the first layer whose values are not finite


def by_numpy(net: Network, data: Data) -> Outcome:
    """One step on NumPy arrays."""
    import numpy as np

    with np.errstate(all="ignore"):  # what is not finite is reported below
        return _outcome(net, *_step(net, data, data.params))


def by_jax(net: Network, data: Data, device: Any) -> Outcome:
    """The same step on JAX arrays, traced and compiled as one program."""
    import jax

    params = jax.device_put(data.params, device)
    compiled: Any = jax.jit(lambda p: _step(net, data, p))
    return _outcome(net, *jax.device_get(compiled(params)))


def _step(net: Network, data: Data, params: Arrays) -> tuple[Any, Arrays, Any, Any]:
    from .. import autograd as ag

    seen: dict[str, Any] = {}

    def loss(some: Arrays) -> Any:
        values = values_of(net, data, merged(params, some), keep=True)
        parts = losses(net, data, values)
        for row in net.report.layers:
            raw = ag.stop_gradient(values[row.name])
            seen[f"finite {row.name}"] = abs(raw).max()
            if row.op in RECTIFIERS:
                seen[row.name] = (raw != 0).any(axis=tuple(range(raw.ndim - 1)))
        seen["losses"] = [ag.stop_gradient(part) for part in parts]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    _, grads = ag.value_and_grad(loss)(chosen(params, net.wanted))
    parts = seen.pop("losses")
    largest = {k.removeprefix("finite "): seen.pop(k) for k in list(seen) if k[:7] == "finite "}
    return parts, grads, seen, largest


def _outcome(net: Network, parts: Any, grads: Arrays, alive: Any, largest: Any) -> Outcome:
    import numpy as np

    numbers = tuple(float(part) for part in parts)
    bad = (name for name, value in largest.items() if not np.isfinite(value))
    broken = next(bad, None)
    return Outcome(numbers, grads, alive, broken)


def total_loss(net: Network, data: Data, params: Arrays) -> float:
    """The loss alone, without a tape: what finite differences call."""
    return float(sum(losses(net, data, values_of(net, data, params))))
