"""Where every array goes on a mesh, the bytes a device holds, and what a step sends.

The batch is divided over the axis `data`. A large weight is divided over `model` along its
last axis, the filters or units; its layer's output, divided alike, is gathered before the
next layer reads it. Where a layer uses its weight otherwise (recurrent, attention, grouped),
the weight is kept divided and gathered for use. All else is copied to every device.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, Literal, NamedTuple

from ..execute import whole
from ..jaxrun.memory import last_uses
from ..jaxrun.sizes import Net
from ..rows import BYTES, Report, Row
from .mesh import WIDTHS, Mesh, Scale, ScaleError, rectangles

LARGE = 4096  # values of a weight from which dividing it is worth a gather
SLOTS = {"sgd": 0, "momentum": 1, "adam": 2}  # optimiser values a parameter
How = Literal["copied", "filters", "gathered"]
DIVISIBLE = ("conv", "dense", "linear")  # ops whose outputs' channels are their weight's last axis


class Placed(NamedTuple):
    """One trainable array: whole on every device, or its last axis divided over `model`."""

    layer: str
    name: str
    shape: tuple[int, ...]
    how: How

    def values(self, mesh: Mesh) -> int:
        """How many of its values a device holds."""
        size = prod(self.shape)
        return size if self.how == "copied" else size // mesh.model


class Sent(NamedTuple):
    """Bytes that a device sends in a step, by the ring algorithms' bound."""

    gradients: int = 0  # all-reduce over `data`
    outputs: int = 0  # all-gather over `model`, forward
    inputs: int = 0  # all-reduce over `model` of gradients, backward
    weights: int = 0  # all-gather over `model` of weights used whole
    statistics: int = 0  # all-reduce over `data` of batch norm's means

    @property
    def total(self) -> int:
        return sum(self)


class Use(NamedTuple):
    """What one device holds and sends; bytes."""

    parameters: int
    buffers: int
    inputs: int
    activations: int  # the forward run: the most live at once; training: all kept for backward
    optimizer_state: int = 0
    gradients: int = 0
    sent: Sent = Sent()

    @property
    def total(self) -> int:
        return (
            self.parameters + self.buffers + self.inputs + self.activations
            + self.optimizer_state + self.gradients
        )  # fmt: skip


class Choice(NamedTuple):
    """Another mesh of as many devices."""

    mesh: Mesh
    forward: Use
    training: Use | None


class Plan(NamedTuple):
    """The derived placement of one network."""

    mesh: Mesh
    batch: int
    dtype: str
    optimizer: str | None  # None: only the forward run was derived
    weights: tuple[Placed, ...]
    forward: Use
    training: Use | None
    choices: tuple[Choice, ...]
    device_memory: int | None = None
    measured: Mapping[str, int] = {}  # what JAX placed and XLA allots, once it has

    def use(self, of: "Plan | Choice | None" = None) -> Use:
        """What the run needs here or on another mesh: a training step, or the forward run."""
        there = of or self
        trained = there.training if self.optimizer is not None else None
        return trained or there.forward

    @property
    def needed(self) -> int:
        """Bytes of one device."""
        return self.use().total

    @property
    def fits(self) -> bool | None:
        return None if self.device_memory is None else self.needed <= self.device_memory

    def fitting(self, training: bool | None = None) -> list[Mesh]:
        """The meshes of as many devices that fit the given memory, as `use` or as said."""
        found = []
        for choice in self.choices:
            use = self.use(choice) if training is None else choice.forward
            use = choice.training if training and choice.training else use
            if self.device_memory is not None and use.total <= self.device_memory:
                found.append(choice.mesh)
        return found


def divided(row: Row) -> bool:
    """Whether dividing the layer's kernel divides its output's channels alike."""
    fields = row.layer.values()
    plain = fields.get("groups", 1) == 1 and fields.get("connect") is None
    return row.op in DIVISIBLE and plain


def place(rows: Sequence[Row], mesh: Mesh) -> tuple[Placed, ...]:
    """The placement of every trainable array, shared ones once."""
    found = []
    # An array used by several layers is gathered, whatever they are.
    several = {row.shared for row in rows if row.shared}
    for row in rows:
        for name, shape in row.weights.items() if row.shared is None else ():
            found.append(Placed(row.name, name, whole(shape), _how(row, whole(shape), mesh)))
            if row.name in several and found[-1].how == "filters":
                found[-1] = found[-1]._replace(how="gathered")
    return tuple(found)


def _how(row: Row, shape: tuple[int, ...], mesh: Mesh) -> How:
    large = len(shape) > 1 and prod(shape) >= LARGE
    if mesh.model == 1 or not large or shape[-1] % mesh.model:
        return "copied"
    return "filters" if divided(row) else "gathered"


def even(mesh: Mesh, batch: int) -> None:
    """Raises `ScaleError` where a batch does not divide over the mesh."""
    if batch % mesh.data:
        counts = (batch // mesh.data, -(-batch // mesh.data))
        near = " or ".join(str(n * mesh.data) for n in counts if n)
        raise ScaleError(f"a batch of {batch} does not divide over data={mesh.data}: take {near}")


def derive(
    report: Report, scale: Scale, batch: int, optimizer: str | None = None, training: bool = True
) -> Plan:
    """The plan of a report without symbols; `optimizer` is the one to train with."""
    assert scale.mesh is not None
    net = Net(report.layers, report.input_shapes)

    def choice(mesh: Mesh) -> Choice:
        trained = _training(report, mesh, batch, scale.dtype, optimizer or "adam")
        return Choice(mesh, _forward(net, mesh, batch, scale.dtype), trained if training else None)

    chosen = choice(scale.mesh)
    others = [choice(m) for m in rectangles(scale.mesh.devices) if batch % m.data == 0]
    return Plan(
        scale.mesh, batch, scale.dtype, optimizer, place(report.layers, scale.mesh),
        chosen.forward, chosen.training, tuple(others), scale.device_memory,
    )  # fmt: skip


def _items(batch: int, mesh: Mesh) -> int:
    return -(-batch // mesh.data)


def _inputs(shapes: Mapping[str, Sequence[Any]], items: int) -> int:
    return items * sum(prod(whole(shape)) for shape in shapes.values())


def _forward(net: Net, mesh: Mesh, batch: int, dtype: str) -> Use:
    """Inference: weights, buffers, and the most volumes live at once."""
    width, items = WIDTHS[dtype], _items(batch, mesh)
    placed = place(net.rows, mesh)
    outputs = sum(n for row, n in _gathered_outputs(net.rows, placed, items))
    inputs = _inputs(net.inputs, items)
    peak = max(0, items * _peak(net) - inputs)
    return Use(
        parameters=width * sum(p.values(mesh) for p in placed),
        buffers=width * sum(whole([row.buffers for row in net.rows])),
        inputs=width * inputs,
        activations=width * peak,
        sent=Sent(
            outputs=gather(width * outputs, mesh.model),
            weights=gather(width * _used_whole(placed), mesh.model),
        ),
    )


def _peak(net: Net) -> int:
    """The most values of an item live at once, the inputs kept throughout."""
    ends = last_uses(net)
    live = {name: prod(whole(shape)) for name, shape in net.inputs.items()}
    peak = total = sum(live.values())
    for i, row in enumerate(net.rows):
        live[row.name] = prod(whole(row.output))
        total += live[row.name]
        peak = max(peak, total)
        for name in {row.name, *row.inputs} - net.inputs.keys():
            if ends.get(name, -1) <= i:
                total -= live.pop(name, 0)
    return peak


def _training(report: Report, mesh: Mesh, batch: int, dtype: str, optimizer: str) -> Use:
    """One step: parameters and the optimiser's values stay float32, the rest is `dtype`."""
    assert report.totals is not None
    width, items = WIDTHS[dtype], _items(batch, mesh)
    rows = report.layers
    placed = place(rows, mesh)
    held = sum(p.values(mesh) for p in placed)
    totals = report.totals
    params, buffers, one = whole((totals.trainable, totals.buffers, totals.training_memory))
    volumes = items * (one // BYTES - 2 * params - buffers)
    inputs = _inputs(report.input_shapes, items)
    # Beside the float32 parameters stands their copy in a narrower type.
    copies = 0 if dtype == "float32" else width * held
    return Use(
        parameters=BYTES * held,
        buffers=BYTES * buffers,
        inputs=BYTES * inputs,
        activations=width * max(0, volumes - inputs) + copies,
        optimizer_state=BYTES * held * SLOTS[optimizer],
        gradients=width * held,
        sent=_sent(rows, report, placed, mesh, items, width),
    )


def _sent(
    rows: Sequence[Row], report: Report, placed: Sequence[Placed], mesh: Mesh, items: int,
    width: int,
) -> Sent:  # fmt: skip
    outputs = sum(n for _, n in _gathered_outputs(rows, placed, items))
    inputs = sum(
        items * prod(whole(row.input[0]))
        for row, _ in _gathered_outputs(rows, placed, items)
        if row.inputs[0] not in report.input_shapes
    )
    # A normalised channel has two statistics, and sends five sums: its mean and variance
    # forward, and those that both pass back.
    kept = sum(prod(whole(s)) for row in rows for s in row.buffer_shapes.values())
    means = 5 * kept // 2
    return Sent(
        gradients=reduce(width * sum(p.values(mesh) for p in placed), mesh.data),
        outputs=gather(width * outputs, mesh.model),
        inputs=reduce(width * inputs, mesh.model),
        weights=gather(width * _used_whole(placed), mesh.model),
        statistics=reduce(width * means, mesh.data),
    )


def _gathered_outputs(
    rows: Sequence[Row], placed: Sequence[Placed], items: int
) -> Iterator[tuple[Row, int]]:
    """Layers whose outputs are made divided over `model`, with their values for a device."""
    split = {p.layer for p in placed if p.how == "filters"}
    for row in rows:
        if row.name in split:
            yield row, items * prod(whole(row.output))


def _used_whole(placed: Sequence[Placed]) -> int:
    return sum(prod(p.shape) for p in placed if p.how == "gathered")


def gather(size: int, devices: int) -> int:
    """Bytes a device sends in an all-gather of `size` bytes in all: each part goes round.

    >>> gather(800, 4)
    600
    """
    return size * (devices - 1) // devices


def reduce(size: int, devices: int) -> int:
    """Bytes a device sends in an all-reduce: a reduce-scatter, then an all-gather.

    >>> reduce(800, 4)
    1200
    """
    return 2 * size * (devices - 1) // devices
