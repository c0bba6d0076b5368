"""The derived placement made real: `jax.sharding.Mesh`, `NamedSharding`, and what came of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

from ..diagnostics import Problem
from ..jaxrun.devices import Device, open_device
from .mesh import Mesh
from .plan import Placed, gather, reduce

BATCHES = "data"  # the mesh axis over which the batch is divided


class Placer:
    """Puts arrays on the devices of a mesh, in one process or in several.

    Every process holds every array whole on its host and keeps the parts of its own devices:
    nothing is sent.
    """

    def __init__(self, mesh: Mesh, device: Device, weights: Sequence[Placed]) -> None:
        import jax
        import numpy as np

        self.shape, self.platform = mesh, device.platform
        found = jax.devices(device.platform)
        require(mesh, found, device.platform)
        if jax.process_count() > 1 and mesh.devices != len(found):
            raise Problem(
                "R005",
                f"--mesh {mesh} takes {mesh.devices} devices, the {jax.process_count()} "
                f"processes have {len(found)}: with several processes it takes all of them",
            )
        grid = np.array(found[: mesh.devices]).reshape(mesh.data, mesh.model)
        self.mesh = jax.sharding.Mesh(grid, ("data", "model"))
        self.local = sum(d.process_index == jax.process_index() for d in grid.flat)
        self.how = {(p.layer, p.name): p.how for p in weights}

    def sharding(self, *axes: str | None) -> Any:
        from jax.sharding import NamedSharding, PartitionSpec

        spec: Any = PartitionSpec
        return NamedSharding(self.mesh, spec(*axes))

    def put(self, value: Any, sharding: Any) -> Any:
        """A host array on the devices; every process gives the same values."""
        import jax
        import numpy as np

        value = np.asarray(value)
        return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])

    def whole(self, value: Any) -> Any:
        """A copy on every device."""
        return self.put(value, self.sharding())

    def items(self, shape: Sequence[int]) -> Any:
        """The sharding of a batch: divided where it divides evenly."""
        even = len(shape) > 0 and shape[0] % self.shape.data == 0
        return self.sharding(BATCHES) if even else self.sharding()

    def batch(self, value: Any) -> Any:
        return self.put(value, self.items(value.shape))

    def weight_sharding(self, layer: str, name: str, rank: int) -> Any:
        if self.how.get((layer, name), "copied") == "copied":
            return self.sharding()
        return self.sharding(*(None,) * (rank - 1), "model")

    def weight(self, layer: str, name: str, value: Any) -> Any:
        return self.put(value, self.weight_sharding(layer, name, value.ndim))

    def weights(self, arrays: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Parameters, or an optimiser's arrays, by layer and name."""
        return {
            layer: {name: self.weight(layer, name, value) for name, value in named.items()}
            for layer, named in arrays.items()
        }

    def splits(self, layer: str) -> bool:
        """Whether the layer's output is made divided over `model`."""
        return any(how == "filters" for (name, _), how in self.how.items() if name == layer)

    # --- inside a compiled function ---------------------------------------------------

    def joined(self, y: Any) -> Any:
        """A divided layer's output, gathered for the next layer."""
        import jax

        constrain: Any = jax.lax.with_sharding_constraint
        first = BATCHES if y.shape[0] % self.shape.data == 0 else None
        last = "model" if y.shape[-1] % self.shape.model == 0 else None
        split = self.sharding(first, *(None,) * (y.ndim - 2), last)
        return constrain(constrain(y, split), self.sharding(first))

    def parted(self, g: Any) -> Any:
        """The same for its gradient, the other way about."""
        import jax

        constrain: Any = jax.lax.with_sharding_constraint
        first = BATCHES if g.shape[0] % self.shape.data == 0 else None
        split = self.sharding(first, *(None,) * (g.ndim - 2), "model")
        return constrain(constrain(g, self.sharding(first)), split)

    def gathered(self, arrays: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Weights that are used whole, gathered."""
        import jax

        constrain: Any = jax.lax.with_sharding_constraint
        everywhere = self.sharding()
        return {
            layer: {
                name: constrain(value, everywhere)
                if self.how.get((layer, name)) == "gathered"
                else value
                for name, value in named.items()
            }
            for layer, named in arrays.items()
        }

    # --- back on the host ---------------------------------------------------------------

    def host(self, value: Any) -> Any:
        """The whole array as NumPy's; every process must ask for it."""
        import jax
        import numpy as np

        if not value.is_fully_addressable and not value.is_fully_replicated:
            value = jax.jit(lambda x: x, out_shardings=self.sharding())(value)
        return np.asarray(value)


def require(mesh: Mesh, found: Sequence[Any], platform: str) -> None:
    """Raises `Problem` R005 where the devices are too few."""
    if len(found) >= mesh.devices:
        return
    many = f"{len(found)} {platform} device{'s' * (len(found) != 1)}"
    help_ = [f"a mesh of {len(found)} devices, such as --mesh data={len(found)}"]
    if platform == "cpu":
        help_.append(
            f"XLA_FLAGS=--xla_force_host_platform_device_count={mesh.devices} "
            "gives as many virtual devices on one machine"
        )
    text = f"--mesh {mesh} takes {mesh.devices} devices, JAX finds {many}"
    raise Problem("R005", text, help=help_)


def open_placer(mesh: Mesh, name: str | None, weights: Sequence[Placed]) -> Placer:
    return Placer(mesh, open_device(name), weights)


def bytes_placed(arrays: Iterable[Any]) -> int:
    """The most bytes that one of this process's devices holds of these arrays."""
    import jax

    held: dict[Any, int] = {}
    for array in jax.tree.leaves(list(arrays)):
        for shard in array.addressable_shards:
            held[shard.device] = held.get(shard.device, 0) + shard.data.nbytes
    return max(held.values(), default=0)


def allotted(program: Any) -> dict[str, int]:
    """XLA's memory analysis of a compiled program, bytes of one device; {} where it has none."""
    try:
        found = program.memory_analysis()
        return {
            "arguments": int(found.argument_size_in_bytes),
            "temporaries": int(found.temp_size_in_bytes),
        }
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return {}


COLLECTIVE = re.compile(
    r"= (\(.*?\)|\S+) "
    r"(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
ARRAY = re.compile(r"\b([a-z]+)(\d+)[a-z0-9]*\[([0-9,]*)\]")


def sent(program: Any) -> dict[str, int]:
    """Bytes a device sends in the collectives of a compiled program, by the ring bound."""
    try:
        text = program.as_text() or ""
    except (AttributeError, NotImplementedError, RuntimeError):
        return {}
    total = 0
    for line in text.splitlines():
        match = COLLECTIVE.search(line)
        if match is None:
            continue
        size = sum(
            int(bits) // 8 * prod(int(n) for n in dims.split(",") if n)
            for _, bits, dims in ARRAY.findall(match[1])
        )
        devices = _group(line)
        total += {
            "all-reduce": reduce(size, devices),
            "all-gather": gather(size, devices),
            "reduce-scatter": size * (devices - 1),
        }.get(match[2], size)
    return {"communication": total}


def _group(line: str) -> int:
    """Devices that exchange: `[2,4]<=[8]` are two groups of 4, `{{0,1},...}` of 2, and
    `mesh['a'=4,'b'=2] {'b'}` are all along an axis."""
    _, _, text = line.partition("replica_groups=")
    if text.startswith("mesh["):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", text.partition("]")[0]))
        named = re.search(r"\{('[^}]*)\}", text)
        axes = re.findall(r"'(\w+)'", named[1]) if named else list(sizes)
        return prod(int(sizes.get(axis, 1)) for axis in axes)
    if text.startswith("["):
        return int(text[1:].partition("]")[0].split(",")[-1])
    if text.startswith("{{"):
        return text[2:].partition("}")[0].count(",") + 1
    return 1
