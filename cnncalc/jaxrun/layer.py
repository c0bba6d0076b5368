"""One layer's reference: traced for its shapes, given real arrays, compiled and executed."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod, sqrt
from typing import Any, NamedTuple
from zlib import crc32

from ..dialects import Dialect
from ..layers.base import Layer

Arrays = dict[str, Any]
ALIGNMENT = 64  # bytes: JAX on the CPU takes such arrays over without a copy


class Weight(NamedTuple):
    """An array a reference asked for: trainable, or a buffer filled with `value`."""

    shape: tuple[Any, ...]
    fan_in: Any = None
    value: float | None = None


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


def make_arrays(traced: Traced, name: str, seed: int) -> Arrays:
    """Real values for every array of the layer called `name`: the same for the same seed."""
    import numpy as np

    made: Arrays = {}
    for key, weight in traced.buffers.items():
        made[key] = np.full(weight.shape, weight.value, np.float32)
    for key, weight in traced.weights.items():
        bits = np.random.SFC64([seed, crc32(f"{name}/{key}".encode())])
        made[key] = initial(key, weight, np.random.Generator(bits))
    return made


def initial(key: str, weight: Weight, random: Any) -> Any:
    """Initial values that neither blow up nor vanish: LeCun's uniform law for matrices and
    kernels, ones for gains, and small numbers for biases."""
    import numpy as np

    shape = tuple(int(n) for n in weight.shape)
    values = _empty(shape)
    random.random(out=values.reshape(-1), dtype=np.float32)
    if weight.fan_in is None and len(shape) < 2:
        center, bound = (1.0, 0.0) if key in GAINS else (0.0, 0.01)
        center, bound = (0.25, 0.0) if key == "alpha" else (center, bound)
    else:
        fan_in = weight.fan_in or prod(shape[:-1])
        center, bound = 0.0, sqrt(3 / max(1, int(fan_in)))
    values *= 2 * bound
    values += center - bound
    return values


GAINS = frozenset({"gamma", "scale", "gain", "weight"})


def _empty(shape: tuple[int, ...]) -> Any:
    """An uninitialised array that starts on a 64-byte boundary."""
    import numpy as np

    size = prod(shape)
    raw = np.empty(size + ALIGNMENT // 4, np.float32)
    skip = -raw.ctypes.data % ALIGNMENT // 4
    return raw[skip : skip + size].reshape(shape)
