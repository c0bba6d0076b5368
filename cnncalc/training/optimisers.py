"""Gradient descent, with momentum, and Adam: on NumPy by hand, on JAX by optax.

Both keep the same arrays under the same names, so that a saved run has one form.
"""

from collections.abc import Callable
from typing import Any

from ..execute import Arrays
from .settings import TrainingError

MOMENTUM = 0.9
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
SLOTS = {"sgd": (), "momentum": ("trace",), "adam": ("mu", "nu")}  # arrays a parameter
Slots = dict[str, Arrays]
Update = Callable[[Arrays, Arrays, Slots, int], None]


def fresh(optimizer: str, params: Arrays) -> Slots:
    """The optimiser's arrays before the first step: zeros like the parameters."""
    import numpy as np

    return {
        slot: {
            layer: {name: np.zeros_like(array) for name, array in arrays.items()}
            for layer, arrays in params.items()
        }
        for slot in SLOTS[optimizer]
    }


def numpy_update(optimizer: str, lr: float) -> Update:
    """`update(params, grads, slots, step)`: one step in place; steps count from 1.

    >>> import numpy as np
    >>> params, grads = {"a": {"w": np.ones(1)}}, {"a": {"w": np.full(1, 3.0)}}
    >>> numpy_update("sgd", 0.1)(params, grads, {}, 1)
    >>> params["a"]["w"]
    array([0.7])
    """
    one = {"sgd": _sgd, "momentum": _momentum, "adam": _adam}[optimizer]

    def update(params: Arrays, grads: Arrays, slots: Slots, step: int) -> None:
        for layer, arrays in params.items():
            for name, array in arrays.items():
                held = [slots[slot][layer][name] for slot in SLOTS[optimizer]]
                array -= one(grads[layer][name], held, lr, step)

    return update


def _sgd(g: Any, held: list[Any], lr: float, step: int) -> Any:
    return g * lr


def _momentum(g: Any, held: list[Any], lr: float, step: int) -> Any:
    """Polyak 1964, as torch and optax write it: t = 0.9 t + g, and a step of lr t."""
    (trace,) = held
    trace *= MOMENTUM
    trace += g
    return trace * lr


def _adam(g: Any, held: list[Any], lr: float, step: int) -> Any:
    """Kingma and Ba 2015: moments decayed and corrected for their start at zero."""
    import numpy as np

    mu, nu = held
    mu *= BETA1
    mu += (1 - BETA1) * g
    nu *= BETA2
    nu += (1 - BETA2) * np.square(g)
    root = np.sqrt(nu / (1 - BETA2**step))
    root += EPSILON
    return mu / root * (lr / (1 - BETA1**step))


def optax_transform(optimizer: str) -> Any:
    """optax's gradient transformation; its updates are still to be scaled by -lr."""
    try:
        import optax
    except ImportError:
        raise TrainingError(
            "--engine jax needs optax, which is not installed: pip install 'cnncalc[train]'"
        ) from None
    if optimizer == "adam":
        return optax.scale_by_adam(BETA1, BETA2, EPSILON)
    return optax.trace(MOMENTUM) if optimizer == "momentum" else optax.identity()


def to_optax(optimizer: str, slots: Slots, step: int) -> Any:
    """optax's state made of our arrays after `step` steps."""
    import numpy as np
    import optax

    if optimizer == "adam":
        return optax.ScaleByAdamState(np.asarray(step, "int32"), slots["mu"], slots["nu"])
    return optax.TraceState(slots["trace"]) if optimizer == "momentum" else optax.EmptyState()


def from_optax(optimizer: str, state: Any) -> Slots:
    """Our arrays of optax's state."""
    return {slot: getattr(state, slot) for slot in SLOTS[optimizer]}
