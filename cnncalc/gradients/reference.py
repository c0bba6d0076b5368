"""The second witness: `jax.grad` of the layers' `lax` references, chained.

It shares the real parameters, inputs and targets with our engine, and nothing else.
"""

from typing import Any

from ..diagnostics import Problem
from ..dialects import Dialect
from ..execute import Arrays
from ..jaxrun.layer import _fast_compile as fast_compile
from ..jaxrun.memory import in_words
from .network import Data, Network, chosen, merged
from .results import SMALLER


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


def gradients(
    net: Network, data: Data, device: Any, quickly: bool = False, free: int | None = None
) -> tuple[float, Arrays]:
    """The loss and its gradients by `jax.value_and_grad`; `quickly`: hardly optimised.

    Raises `Problem` R004, before it runs, where XLA's program takes more than `free` bytes.
    """
    import jax

    def loss(some: Arrays, params: Arrays) -> Any:
        return _loss(net, data, merged(params, some))

    options = fast_compile(device.platform) if quickly else None
    step: Any = jax.jit(jax.value_and_grad(loss), compiler_options=options)
    params = jax.device_put(data.params, device)
    given = chosen(params, net.wanted), params
    program = step.lower(*given).compile()
    _require(program, free)
    value, grads = jax.device_get(program(*given))
    return float(value), grads


def _require(program: Any, free: int | None) -> None:
    """Compares what XLA planned with what is free: its temporaries depend on its fusions."""
    planned = program.memory_analysis()
    if planned is None or free is None:  # not every backend tells
        return
    needed = planned.temp_size_in_bytes + planned.output_size_in_bytes
    if needed > free:
        text = f"jax.grad of the reference needs {in_words(needed)} ({needed:,} bytes), "
        raise Problem("R004", f"{text}but {in_words(free)} are free", help=[SMALLER])


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
