"""One training step on NumPy, or jitted on JAX: forward, loss, gradients, update.

Both run the layers' `forward` on the autograd engine's tape and keep their state as
`State`; dropout's masks depend on the seed, the step and the mask's number alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ..execute import Arrays, cross_entropy, forward
from ..rows import Report
from . import optimisers
from .casting import SCALE, cast, floats, join
from .data import Batch, Task
from .optimisers import Slots
from .settings import Settings

Mask = Callable[[Sequence[int], float], Any]


class Outcome(NamedTuple):
    """A step's loss and share of right answers, before its update."""

    loss: float
    accuracy: float


class Engine(Protocol):
    """Where the arrays live and how a step is computed."""

    def step(self, batch: Batch, number: int) -> Outcome:
        """One update; steps are numbered from 1. A loss that is not finite updates nothing."""

    def accuracy(self, batch: Batch) -> float:
        """The share of right answers at inference."""

    def arrays(self) -> tuple[Arrays, Arrays, Slots]:
        """Parameters, running statistics and the optimiser's arrays, as NumPy arrays."""


class Model(NamedTuple):
    """The network as functions of arrays."""

    report: Report
    task: Task
    dropout: bool
    dtype: str = "float32"  # of weights, activations and gradients within a step
    placer: Any = None  # where outputs of divided layers are gathered

    def _placed(self, name: str, value: Any) -> Any:
        value = cast(value, self.dtype)
        splits = self.placer is not None and self.placer.splits(name)
        return join(value, self.placer) if splits else value

    def logits(
        self, params: Arrays, buffers: Arrays, inputs: Mapping[str, Any], mask: Mask | None,
        training: bool,
    ) -> tuple[Any, Arrays]:  # fmt: skip
        """What the classes are judged by, and new running statistics."""
        name = self.task.logits
        values, updates = forward(
            self.report, params, buffers, inputs, training=training, mask=mask, until=name,
            placed=self._placed if self.dtype != "float32" or self.placer is not None else None,
        )  # fmt: skip
        found = values[name] if self.dtype == "float32" else cast(values[name], "float32")
        if not self.task.positions and len(found.shape) > 2:
            found = found.reshape((found.shape[0], self.task.classes))
        return found, updates

    def gradients(
        self, params: Arrays, buffers: Arrays, batch: Batch, mask: Mask
    ) -> tuple[Any, Arrays, Any, Arrays]:
        """Loss, gradients, logits, and running statistics after the batch."""
        from .. import autograd as ag

        kept: dict[str, Any] = {}

        def loss(params: Arrays) -> Any:
            drawn = mask if self.dropout else None
            logits, updates = self.logits(params, buffers, batch.inputs, drawn, True)
            kept["logits"] = ag.stop_gradient(logits)
            kept["buffers"] = {
                owner: arrays | {n: ag.stop_gradient(a) for n, a in updates.get(owner, {}).items()}
                for owner, arrays in buffers.items()
            }
            found = cross_entropy(logits, batch.labels)
            return found if scale == 1 else found * scale

        scale = SCALE.get(self.dtype, 1.0)
        value, grads = ag.value_and_grad(loss)(params)
        return value / scale, grads, kept["logits"], kept["buffers"]


class NumpyEngine:
    """Everything on NumPy; parameters are updated in place."""

    def __init__(
        self, model: Model, settings: Settings, params: Arrays, buffers: Arrays, slots: Slots
    ) -> None:
        self.model, self.seed = model, settings.seed
        self.params, self.buffers, self.slots = params, buffers, slots
        self.update = optimisers.numpy_update(settings.optimizer, settings.lr)

    def step(self, batch: Batch, number: int) -> Outcome:
        import numpy as np

        with np.errstate(all="ignore"):  # a loss that is not finite is reported as such
            loss, grads, logits, buffers = self.model.gradients(
                self.params, self.buffers, batch, numpy_masks(self.seed, number)
            )
            found = Outcome(float(loss) + 0.0, float((logits.argmax(-1) == batch.labels).mean()))
            if np.isfinite(found.loss):
                self.buffers = buffers
                self.update(self.params, grads, self.slots, number)
        return found

    def accuracy(self, batch: Batch) -> float:
        import numpy as np

        with np.errstate(all="ignore"):
            logits, _ = self.model.logits(self.params, self.buffers, batch.inputs, None, False)
        return float((logits.argmax(-1) == batch.labels).mean())

    def arrays(self) -> tuple[Arrays, Arrays, Slots]:
        return self.params, self.buffers, self.slots


def numpy_masks(seed: int, step: int) -> Mask:
    """Masks of zeros and 1/(1 - rate), drawn from (seed, step, the mask's number)."""
    import numpy as np

    count = 0

    def mask(shape: Sequence[int], rate: float) -> Any:
        nonlocal count
        count += 1
        random = np.random.default_rng([seed, 4, step, count])
        kept = random.random(tuple(shape), "float32") >= rate
        return kept.astype("float32") * np.float32(1 / (1 - rate))

    return mask


class JaxEngine:
    """The whole step compiled by `jax.jit`, on one device or over a mesh.

    Parameters and the optimiser's arrays are float32 whatever the model's precision: a step
    computes on a copy, and moves the originals.
    """

    def __init__(
        self, model: Model, settings: Settings, params: Arrays, buffers: Arrays, slots: Slots,
        step: int, device: Any,
    ) -> None:  # fmt: skip
        import jax

        self.model, self.settings, self.device = model, settings, device
        self.transform = optimisers.optax_transform(settings.optimizer)
        placer = model.placer
        if placer is None:
            state = optimisers.to_optax(settings.optimizer, slots, step)
            held = jax.device_put((params, buffers, state), device)
        else:
            slots = {name: placer.weights(arrays) for name, arrays in slots.items()}
            state = optimisers.to_optax(settings.optimizer, slots, step)
            state = jax.tree.map(
                lambda x: x if isinstance(x, jax.Array) else placer.whole(x), state
            )
            held = placer.weights(params), jax.tree.map(placer.whole, buffers), state
        self.params, self.buffers, self.state = held
        self._step = jax.jit(self._compute, donate_argnums=(0, 1, 2), **self._kept(held))
        self._right = jax.jit(self._inference)
        self._program: Any = None

    def _kept(self, held: Any) -> dict[str, Any]:
        """What comes out of a step is placed as what went in."""
        import jax

        if self.model.placer is None:
            return {}
        everywhere = self.model.placer.sharding()
        places = jax.tree.map(lambda x: x.sharding, held)
        return {"out_shardings": (*places, everywhere, everywhere)}

    def _lowered(self, arrays: Arrays) -> Arrays:
        """The copies that a step computes on."""
        made: Arrays = floats(arrays, self.model.dtype)
        return made if self.model.placer is None else self.model.placer.gathered(made)

    def _inputs(self, batch: Batch) -> Batch:
        return batch._replace(inputs=floats(batch.inputs, self.model.dtype))

    def _compute(
        self, params: Arrays, buffers: Arrays, state: Any, batch: Batch, number: Any
    ) -> tuple[Any, ...]:
        import jax
        import jax.numpy as jnp

        key = jax.random.fold_in(jax.random.key(self.settings.seed), number)
        loss, grads, logits, statistics = self.model.gradients(
            self._lowered(params), buffers, self._inputs(batch), jax_masks(key)
        )
        scale = SCALE.get(self.model.dtype, 1.0)
        grads = jax.tree.map(lambda g, p: g.astype(p.dtype) / scale, grads, params)
        statistics = jax.tree.map(lambda new, old: new.astype(old.dtype), statistics, buffers)
        updates, after = self.transform.update(grads, state, params)
        lr = self.settings.lr
        moved = jax.tree.map(lambda p, u: (p - lr * u).astype(p.dtype), params, updates)
        held, kept = (params, buffers, state), (moved, statistics, after)
        fine = jnp.isfinite(loss)
        kept = jax.tree.map(lambda new, old: jnp.where(fine, new, old), kept, held)
        right = (logits.argmax(-1) == batch.labels).mean()
        return *kept, loss, right

    def _inference(self, params: Arrays, buffers: Arrays, batch: Batch) -> Any:
        inputs = self._inputs(batch).inputs
        logits, _ = self.model.logits(self._lowered(params), buffers, inputs, None, False)
        return (logits.argmax(-1) == batch.labels).mean()

    def _put(self, batch: Batch) -> Batch:
        import jax

        placer = self.model.placer
        if placer is not None:
            found: Batch = jax.tree.map(placer.batch, batch)
        else:
            found = jax.device_put(batch, self.device)
        return found

    def step(self, batch: Batch, number: int) -> Outcome:
        import numpy as np

        placed = (self.params, self.buffers, self.state, self._put(batch), np.int32(number))
        if self._program is None:
            self._program = self._step.lower(*placed).compile()
        self.params, self.buffers, self.state, loss, right = self._program(*placed)
        return Outcome(float(loss) + 0.0, float(right))  # never -0.0

    def measured(self) -> dict[str, int]:
        """Bytes of one device: what JAX placed, and XLA's analysis of the step."""
        from ..scaling.placing import allotted, bytes_placed, sent

        slots = optimisers.from_optax(self.settings.optimizer, self.state)
        return {
            "parameters": bytes_placed([self.params]),
            "buffers": bytes_placed([self.buffers]),
            "optimizer_state": bytes_placed([slots]),
            **allotted(self._program),
            **sent(self._program),
        }

    def accuracy(self, batch: Batch) -> float:
        return float(self._right(self.params, self.buffers, self._put(batch)))

    def arrays(self) -> tuple[Arrays, Arrays, Slots]:
        import jax

        slots = optimisers.from_optax(self.settings.optimizer, self.state)
        held = (self.params, self.buffers, slots)
        placer = self.model.placer
        found: tuple[Arrays, Arrays, Slots]
        found = jax.device_get(held) if placer is None else jax.tree.map(placer.host, held)
        return found


def jax_masks(key: Any) -> Mask:
    """Masks of zeros and 1/(1 - rate), drawn from the step's key and the mask's number."""
    import jax

    count = 0

    def mask(shape: Sequence[int], rate: float) -> Any:
        nonlocal count
        count += 1
        kept = jax.random.bernoulli(jax.random.fold_in(key, count), 1 - rate, tuple(shape))
        return kept.astype("float32") * (1 / (1 - rate))

    return mask
