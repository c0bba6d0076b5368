"""Evaluates a part on JAX, its points sharded over all devices present."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ..formula.vector import SAFE
from .evaluate import Chunk, Evaluator
from .grid import Grid, most

EACH = 1 << 18  # points a device at a time


def wide() -> Any:
    """64-bit integers for as long as the context lasts."""
    import jax

    x64 = getattr(jax, "enable_x64", None)
    if x64 is None:  # older versions have it among the experiments
        x64 = import_module("jax.experimental").enable_x64
    return x64(True)


class Sharded:
    """One part compiled by XLA for a grid; its numbers must stay within 64 bits."""

    def __init__(self, evaluator: Evaluator, grid: Grid) -> None:
        import jax
        import jax.numpy as jnp
        import numpy as np

        sharding: Any = import_module("jax.sharding")

        self.evaluator, self.grid = evaluator, grid
        devices = np.array(jax.devices())
        self.batch = EACH * len(devices)
        split = sharding.NamedSharding(
            sharding.Mesh(devices, ("points",)), sharding.PartitionSpec("points")
        )
        with wide():
            self.offsets = jax.device_put(np.arange(self.batch, dtype=np.int64), split)
        tables = grid.arrays
        rest: dict[str, Any] = {}

        def compute(start: Any, offsets: Any) -> dict[str, Any]:
            index = jnp.minimum(start + offsets, grid.total - 1)
            values, at = {}, index
            for i in range(len(grid.axes) - 1, -1, -1):
                values[grid.names[i]] = jnp.asarray(tables[i])[at % grid.shape[i]]
                at = at // grid.shape[i]
            found = evaluator.program(values, jnp)
            chunk = evaluator.chunk(values, index, (self.batch,), jnp, found)
            rest.update(reasons=chunk.reasons, rank=chunk.rank)
            fields = ("index", "names", "values", "reason", "known", "kept", "apart")
            return {name: getattr(chunk, name) for name in fields}

        self._rest = rest
        self._compute = jax.jit(compute)

    @staticmethod
    def suits(evaluator: Evaluator, grid: Grid) -> bool:
        """Whether no number met on the way can exceed 64 bits anywhere in the grid."""
        top = most(dict(zip(grid.names, grid.arrays, strict=True)))
        return not evaluator.alone and bool(grid.names) and evaluator.program.bound(top) <= SAFE

    def chunks(self, first: int) -> Iterator[Chunk]:
        """The points from the one numbered `first` on, in order."""
        import jax
        import numpy as np

        for start in range(first, self.grid.total, self.batch):
            count = min(self.batch, self.grid.total - start)
            with wide():
                found = self._compute(np.int64(start), self.offsets)
            arrays = jax.tree.map(lambda x: np.asarray(x)[:count], found)  # noqa: B023
            yield Chunk(**arrays, **self._rest)
