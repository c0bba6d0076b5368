"""Runs a described network on the autograd engine: parameters, and the forward pass.

The same walk serves NumPy, JAX and symbolic arrays: the layers' `forward` is composed of
the engine's primitives, and parameters are plain nested dicts {layer: {name: array}}.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from typing import Any
from zlib import crc32

from .dialects import Dialect
from .rows import Report, Row

Arrays = dict[str, dict[str, Any]]
ONES = frozenset({"gamma", "scale", "coefficient"})  # arrays that start at 1
ENDS = ("softmax", "log_softmax", "softmax_cross_entropy")


class Pass:
    """The context of one layer's `forward`: its arrays, its mode, what it wants kept.

    `training` turns on dropout and batch statistics; `mask(shape, rate)` draws dropout's
    mask; `updates` collects new running statistics; `labels` are the batch's classes.
    """

    def __init__(
        self,
        row: Row,
        params: Mapping[str, Any],
        buffers: Mapping[str, Any],
        training: bool = False,
        mask: Callable[[Sequence[int], float], Any] | None = None,
        labels: Any = None,
    ) -> None:
        self.dialect: Dialect = row.dialect
        self.training = training
        self.mask = mask
        self.labels = labels
        self.updates: dict[str, Any] = {}
        self._params, self._buffers = params, buffers

    def param(self, name: str, shape: Sequence[Any], fan_in: Any = None) -> Any:
        """The trainable array `name`."""
        return self._params[name]

    def buffer(self, name: str, shape: Sequence[Any], value: float) -> Any:
        """The running statistic `name`."""
        return self._buffers[name]

    def update(self, name: str, value: Any) -> None:
        """Keeps a new value of a running statistic."""
        self.updates[name] = value


def initialise(report: Report, seed: int = 0, dtype: str = "float32") -> tuple[Arrays, Arrays]:
    """Real parameters and buffers of a concrete network, as NumPy arrays.

    Weights are uniform within sqrt(6/fan_in) (He 2015), biases 0, scales 1; each array has
    a generator of its own, so that the same seed gives the same numbers in any order.
    """
    import numpy as np

    params: Arrays = {}
    buffers: Arrays = {}
    for row in report.layers:
        if row.shared is not None:
            continue
        if row.weights:
            params[row.name] = {
                name: initial(f"{row.name}/{name}", name, shape, seed, dtype)
                for name, shape in row.weights.items()
            }
        if row.buffer_shapes:
            buffers[row.name] = {
                name: np.full(whole(shape), 1.0 if name == "var" else 0.0, dtype)
                for name, shape in row.buffer_shapes.items()
            }
    return params, buffers


def initial(path: str, name: str, shape: Sequence[Any], seed: int, dtype: str) -> Any:
    """One array's starting values."""
    import numpy as np

    sizes = whole(shape)
    if name in ONES:
        return np.ones(sizes, dtype)
    if len(sizes) < 2:
        return np.full(sizes, 0.25 if name == "slope" else 0.0, dtype)
    generator = np.random.default_rng([seed, crc32(path.encode())])
    real: Any = np.float64 if dtype == "float64" else np.float32
    made = generator.random(sizes, real)
    bound = sqrt(6 / prod(sizes[:-1]))
    made *= 2 * bound
    made -= bound
    return made.astype(dtype, copy=False)


def whole(shape: Sequence[Any]) -> tuple[int, ...]:
    """A concrete shape; raises ValueError where a symbol is left."""
    if not all(isinstance(n, int) for n in shape):
        raise ValueError(f"the size {'x'.join(map(str, shape))} has symbols: give them values")
    return tuple(shape)


def forward(
    report: Report,
    params: Arrays,
    buffers: Arrays,
    inputs: Mapping[str, Any],
    *,
    training: bool = False,
    mask: Callable[[Sequence[int], float], Any] | None = None,
    labels: Any = None,
    until: str | None = None,
    keep: bool = False,
    placed: Callable[[str, Any], Any] | None = None,
) -> tuple[dict[str, Any], Arrays]:
    """Values of the network by layer name, and new running statistics.

    `inputs` have the batch axis first. Values are dropped after their last reader unless
    `keep`; `until` stops after that layer. `placed(name, value)` may place or cast each output.
    """
    values = dict(inputs)
    readers = _last_readers(report)
    updates: Arrays = {}
    for i, row in enumerate(report.layers):
        owner = row.shared or row.name
        run = Pass(row, params.get(owner, {}), buffers.get(owner, {}), training, mask, labels)
        value = row.layer.forward(run, *(values[name] for name in row.inputs))
        values[row.name] = value if placed is None else placed(row.name, value)
        if run.updates:
            updates[owner] = run.updates
        if row.name == until:
            break
        for name in () if keep else readers.get(i, ()):
            values.pop(name, None)
    return values, updates


def _last_readers(report: Report) -> dict[int, list[str]]:
    """Names whose last reader is the i-th row; the network's outputs are never dropped."""
    last: dict[str, int] = {}
    for i, row in enumerate(report.layers):
        for name in row.inputs:
            last[name] = i
    found: dict[int, list[str]] = {}
    for name, i in last.items():
        if name not in report.outputs:
            found.setdefault(i, []).append(name)
    return found


def logits_row(report: Report, output: str | None = None) -> str:
    """The layer whose values are the logits: the output, or what its softmax reads."""
    name = output or report.outputs[0]
    rows = {row.name: row for row in report.layers}
    while name in rows and rows[name].op in ENDS:
        name = rows[name].inputs[0]
    return name


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean over the batch of -log softmax(logits)[label]; further axes are positions."""
    import numpy as np

    from . import autograd as ag

    # Compared rather than looked up: labels may be traced by JAX.
    chosen = labels[..., None] == np.arange(logits.shape[-1])
    kind = "int64" if logits.dtype == object else str(logits.dtype)
    picked = ag.sum(ag.log_softmax(logits) * chosen.astype(kind))
    return picked * (-1.0 / prod(labels.shape))
