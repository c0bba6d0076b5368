"""What the command line says about devices: the mesh, the processes, memory, precision."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..source import shorten
from ..units import read

AXES = ("data", "model")
MOST = 1 << 20  # devices along an axis
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}  # bytes of a value
DTYPES = tuple(WIDTHS)
LARGEST = {"float32": 3.4028235e38, "bfloat16": 3.3895314e38, "float16": 65504.0}


class ScaleError(ValueError):
    """What is wrong with an option: one message."""


class Mesh(NamedTuple):
    """Devices in a rectangle: the batch is divided over `data`, large weights over `model`."""

    data: int = 1
    model: int = 1

    @property
    def devices(self) -> int:
        return self.data * self.model

    def __str__(self) -> str:
        return f"data={self.data},model={self.model}"


class Cluster(NamedTuple):
    """The processes of one run, and which of them this is."""

    coordinator: str
    processes: int
    process: int


class Scale(NamedTuple):
    """Everything about devices that a run was asked for."""

    mesh: Mesh | None = None
    cluster: Cluster | None = None
    device_memory: int | None = None  # bytes
    dtype: str = "float32"


def read_mesh(text: str) -> Mesh:
    """The mesh that `data=4,model=2` describes; an axis left out has one device.

    >>> read_mesh("model=2")
    Mesh(data=1, model=2)
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = (word.strip() for word in part.partition("="))
        if not equals or not re.fullmatch("[0-9]{1,7}", number):
            raise ScaleError(
                f"--mesh takes sizes of its axes, such as data=4,model=2, not '{shorten(text)}'"
            )
        if name not in AXES:
            raise ScaleError(f"a mesh has the axes data and model, not '{shorten(name)}'")
        if name in found:
            raise ScaleError(f"--mesh names the axis {name} twice")
        if not 1 <= int(number) <= MOST:
            raise ScaleError(f"the axis {name} of --mesh must have 1 to {MOST:,} devices")
        found[name] = int(number)
    return Mesh(**found)


def read_memory(text: str) -> int:
    """Bytes such as 16GiB.

    >>> read_memory("16GiB")
    17179869184
    """
    figure = read(text)
    if figure is None or figure.value < 1:
        raise ScaleError(f"--device-memory takes bytes such as 16GiB, not '{shorten(text)}'")
    return int(figure.value)


def read_cluster(
    coordinator: str | None, processes: int | None, process: int | None
) -> Cluster | None:
    """The cluster that the three options describe together; None where none is given."""
    if coordinator is None and processes is None and process is None:
        return None
    if coordinator is None or processes is None or process is None:
        raise ScaleError("--coordinator HOST:PORT, --processes N and --process I go together")
    host, colon, port = coordinator.rpartition(":")
    plain = port.isascii() and port.isdigit() and len(port) < 6
    if not colon or not host or not plain or not 0 < int(port) < 65536:
        raise ScaleError(
            f"--coordinator takes HOST:PORT, such as 10.0.0.1:1234, not '{shorten(coordinator)}'"
        )
    if processes < 1 or not 0 <= process < processes:
        raise ScaleError(
            f"--process is {process}, but {processes} processes are numbered 0 to {processes - 1}"
        )
    return Cluster(coordinator, processes, process)


def read_scale(
    mesh: str | None = None,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    device_memory: str | None = None,
    dtype: str | None = None,
) -> Scale:
    """The options of a command line; raises `ScaleError`."""
    cluster = read_cluster(coordinator, processes, process)
    if cluster is not None and mesh is None:
        raise ScaleError("--coordinator needs --mesh: which part of the run goes where")
    if dtype is not None and dtype not in WIDTHS:
        raise ScaleError(f"--dtype is {', '.join(DTYPES)}, not '{shorten(dtype)}'")
    return Scale(
        None if mesh is None else read_mesh(mesh), cluster,
        None if device_memory is None else read_memory(device_memory), dtype or "float32",
    )  # fmt: skip


def rectangles(devices: int) -> Iterator[Mesh]:
    """Every mesh of so many devices, the data axis longest first.

    >>> [str(m) for m in rectangles(4)]
    ['data=4,model=1', 'data=2,model=2', 'data=1,model=4']
    """
    for model in range(1, devices + 1):
        if devices % model == 0:
            yield Mesh(devices // model, model)
