"""One layer's reference: traced for its shapes, given real arrays, compiled and executed."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from ..dialects import Dialect
from ..layers.base import Layer
from .params import Ahead, Arrays, Weight, arrays


class Traced(NamedTuple):
    """What a reference does, in shapes alone (the output's with its batch axis)."""

    weights: Mapping[str, Weight]
    buffers: Mapping[str, Weight]
    output: tuple[Any, ...]


class Recorder:
    """The context of a trace: notes what the reference asks for."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.weights: dict[str, Weight] = {}
        self.buffers: dict[str, Weight] = {}

    def param(self, name: str, shape: Sequence[Any], fan_in: Any = None) -> Any:
        return self._note(self.weights, name, Weight(tuple(shape), fan_in))

    def buffer(self, name: str, shape: Sequence[Any], value: float) -> Any:
        return self._note(self.buffers, name, Weight(tuple(shape), None, value))

    @staticmethod
    def _note(found: dict[str, Weight], name: str, weight: Weight) -> Any:
        import jax.numpy as jnp

        known = found.setdefault(name, weight)
        if known.shape != weight.shape:
            raise ValueError(f"'{name}' is asked for as {known.shape} and as {weight.shape}")
        return jnp.zeros(weight.shape, jnp.float32)


class Bound:
    """The context of an execution: hands out the arrays made before."""

    def __init__(self, dialect: Dialect, arrays: Arrays) -> None:
        self.dialect, self.arrays = dialect, arrays

    def param(self, name: str, shape: Sequence[Any], fan_in: Any = None) -> Any:
        return self.arrays[name]

    def buffer(self, name: str, shape: Sequence[Any], value: float) -> Any:
        return self.arrays[name]


def abstract(shape: Sequence[Any]) -> Any:
    """A stand-in for a float32 array, without memory."""
    import jax

    struct: Any = jax.ShapeDtypeStruct
    return struct(tuple(shape), "float32")


def trace(layer: Layer, dialect: Dialect, shapes: Sequence[tuple[Any, ...]]) -> Traced:
    """The shapes of a reference's weights and output; allocates nothing."""
    import jax

    run = Recorder(dialect)
    xs = [abstract(shape) for shape in shapes]
    out = jax.eval_shape(lambda *xs: layer.reference(run, *xs), *xs)
    return Traced(run.weights, run.buffers, tuple(out.shape))


@cache
def _fast_compile(platform: str) -> dict[str, Any]:
    """Options that make compiling shorter where every program runs just once or twice."""
    import jax

    options = {"xla_backend_optimization_level": 0} if platform == "cpu" else {}
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(0)
    except Exception:  # a version of XLA that does not know them
        return {}
    return options


class Place(NamedTuple):
    """How a layer's output is left: in which type, and where on a mesh."""

    dtype: str = "float32"
    placer: Any = None
    splits: bool = False  # made divided over the mesh's `model`


def compiled(
    layer: Layer, dialect: Dialect, platform: str, place: Place | None = None
) -> Callable[..., Any]:
    """The reference as one compiled function of its arrays and inputs."""
    import jax

    to = place or Place()

    def call(arrays: Arrays, *xs: Any) -> Any:
        y = layer.reference(Bound(dialect, arrays), *xs)
        y = y if to.dtype == "float32" else y.astype(to.dtype)
        if to.placer is None or not y.ndim:
            return y
        constrain: Any = jax.lax.with_sharding_constraint
        return to.placer.joined(y) if to.splits else constrain(y, to.placer.items(y.shape))

    compiled_call: Callable[..., Any] = jax.jit(call, compiler_options=_fast_compile(platform))
    return compiled_call


def make_arrays(traced: Traced, name: str, seed: int, drawn: Ahead | None = None) -> Arrays:
    """Real values for every array of the layer called `name`: the same for the same seed."""
    return arrays({**traced.buffers, **traced.weights}, name, seed, drawn)
