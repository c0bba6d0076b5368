"""A layer whose inside is not known: an operator that an importer met and does not cover."""

from typing import TYPE_CHECKING, Any

from .base import Count, Dialect, Layer, Number, Run, Shape, Shapes, Text, Volume

if TYPE_CHECKING:
    from ..execute import Pass


def _called(name: str, field: Any) -> Any:
    """A field whose name in a spec is that of a fact of every layer."""
    field.alias = name
    return field


class Opaque(Layer, op="opaque"):
    """An operator known by its output volume and its number of parameters alone.

    `kind` names the operator. weights (params,). The sizes after it are as right as `output`
    is; a run gives every output value the mean of all inputs plus the mean of the weights,
    so that the rest of the network runs and trains.
    """

    kind: Any = _called("op", Text(default="unknown"))
    size: Any = _called("output", Volume())
    params: Any = Count(default=0, minimum=0)
    cost: Any = _called("macs", Count(default=0, minimum=0))

    inputs_max = 1000
    nonlinear = True
    examples = (
        ("6x5x4", {"op": "GridSample", "output": "3x3x4"}),
        (["6x5x4", "7"], {"op": "Einsum", "output": [5, 7], "params": 12, "macs": 30}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape: Shape = self.size
        return shape

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {} if self.params == 0 else {"weights": (self.params,)}

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        cost: Number = self.cost
        return cost

    def forward(self, run: "Pass", *xs: Any) -> Any:
        from .. import autograd as ag

        total = sum(ag.mean(x, axis=tuple(range(1, x.ndim))) for x in xs)
        if self.params != 0:
            total = total + ag.mean(run.param("weights", (self.params,)))
        batch = xs[0].shape[0]
        value = ag.reshape(total, (batch, *(1 for _ in self.size)))
        return ag.broadcast_to(value, (batch, *self.size))

    def reference(self, run: Run, *xs: Any) -> Any:
        import jax.numpy as jnp

        total: Any = sum(jnp.mean(x.reshape((x.shape[0], -1)), axis=1) for x in xs)
        if self.params != 0:
            total = total + jnp.mean(run.param("weights", (self.params,)))
        value = total.reshape((-1, *(1 for _ in self.size)))
        return jnp.broadcast_to(value, (xs[0].shape[0], *self.size))
