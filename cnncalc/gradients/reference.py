"""The second witness: `jax.grad` of the layers' `lax` references, chained.

It shares the real parameters, inputs and targets with our engine, and nothing else.
"""

from typing import Any

from ..dialects import Dialect
from ..execute import Arrays
from ..jaxrun.layer import _fast_compile as fast_compile
from .network import Data, Network, chosen, merged


class Chained:
    """The context of one reference: the given parameters, and the batch's own statistics.

    Large convolutions in float64 are summed tap by tap (`layers/_taps.py`), which XLA does
    many times faster on CPUs.
    """

    by_taps = True

    def __init__(self, dialect: Dialect, arrays: dict[str, Any], x: Any) -> None:
        self.dialect, self.arrays, self.x = dialect, arrays, x

    def param(self, name: str, shape: Any, fan_in: Any = None) -> Any:
        return self.arrays[name]

    def buffer(self, name: str, shape: Any, value: float) -> Any:
        """Batch normalisation in training: the mean and the variance of what it reads."""
        import jax.numpy as jnp

        over = tuple(range(self.x.ndim - 1))
        return jnp.mean(self.x, axis=over) if name == "mean" else jnp.var(self.x, axis=over)


def gradients(net: Network, data: Data, device: Any, quickly: bool = False) -> tuple[float, Arrays]:
    """The loss and its gradients by `jax.value_and_grad`; `quickly`: hardly optimised."""
    import jax

    def loss(some: Arrays, params: Arrays) -> Any:
        return _loss(net, data, merged(params, some))

    options = fast_compile(device.platform) if quickly else None
    step: Any = jax.jit(jax.value_and_grad(loss), compiler_options=options)
    params = jax.device_put(data.params, device)
    value, grads = jax.device_get(step(chosen(params, net.wanted), params))
    return float(value), grads


def _loss(net: Network, data: Data, params: Arrays) -> Any:
    import jax
    import jax.numpy as jnp

    values: dict[str, Any] = {name: jnp.asarray(x) for name, x in data.inputs.items()}
    for row in net.report.layers:
        xs = [values[name] for name in row.inputs]
        run = Chained(row.dialect, params.get(row.shared or row.name, {}), xs[0])
        values[row.name] = row.layer.reference(run, *xs)
    total: Any = 0
    for term, target in zip(net.terms, data.targets, strict=True):
        found = values[term.layer]
        if term.classes:
            shares = jax.nn.log_softmax(found, axis=-1)
            total -= jnp.mean(jnp.take_along_axis(shares, jnp.asarray(target)[..., None], axis=-1))
        else:
            total += jnp.mean(jnp.square(found - target))
    return total
