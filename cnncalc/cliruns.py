"""Command lines of `train`, `grad` and `sweep`."""

from typing import Annotated

import typer

from . import commands, learning
from .arguments import (
    Coordinator,
    DeviceMemory,
    Dtype,
    MeshText,
    Process,
    Processes,
    Sets,
    choice,
    one_of,
)
from .console import scale
from .options import DEVICES


def train(
    spec: Annotated[str, typer.Argument(help="a spec", metavar="SPEC")],
    data: Annotated[
        str | None,
        typer.Option(
            help="an .npz with x and y (and x_test, y_test); left out: one random batch",
            metavar="FILE",
        ),
    ] = None,
    engine: Annotated[str | None, choice("numpy", "jax")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, gpu or tpu, with jax", callback=one_of(*DEVICES))
    ] = None,
    optimizer: Annotated[
        str | None,
        choice("sgd", "momentum", "adam"),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="items per step", min=1)] = None,
    epochs: Annotated[int | None, typer.Option(help="rounds through the data", min=1)] = None,
    steps: Annotated[int | None, typer.Option(help="stop after so many steps", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="the learning rate")] = None,
    seed: Annotated[int | None, typer.Option(help="of weights, order and dropout", min=0)] = None,
    save: Annotated[
        str | None, typer.Option(help="keep the run in a safetensors file", metavar="FILE")
    ] = None,
    save_every: Annotated[int | None, typer.Option(help="steps between saves", min=1)] = None,
    resume: Annotated[
        str | None, typer.Option(help="go on with a saved run, and keep it there", metavar="FILE")
    ] = None,
    set: Sets = [],  # noqa: B006
    dialect: Annotated[str | None, typer.Option(help="whose conventions")] = None,
    format: Annotated[str, choice("text", "json")] = "text",
    dtype: Dtype = "float32",
    mesh: MeshText = None,
    device_memory: DeviceMemory = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process: Process = None,
) -> None:
    """Does this network learn? One random batch by heart, or an .npz of data."""
    from .training.settings import TrainOptions

    options = TrainOptions(
        spec, data, engine, device, optimizer, batch, epochs, steps, lr, seed, save, save_every,
        resume, tuple(set), dialect, format,
        scale(mesh, coordinator, processes, process, device_memory, dtype),
    )  # fmt: skip
    raise typer.Exit(learning.train(options))


def grad(
    spec: Annotated[str, typer.Argument(help="a spec file, a bundled name, or -", metavar="SPEC")],
    engine: Annotated[
        str,
        choice("numpy", "jax", "symbolic"),
    ] = "numpy",
    at: Annotated[
        str | None, typer.Option(help="only this layer or block", metavar="LAYER")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="items, 4 as a rule", min=1)] = None,
    seed: Annotated[int, typer.Option(help="seed of weights, inputs and targets", min=0)] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="finite differences of large networks too")
    ] = False,
    set: Sets = [],  # noqa: B006
    dialect: Annotated[str | None, typer.Option(help="whose conventions")] = None,
    format: Annotated[
        str,
        typer.Option(
            help="table | json | latex (of formulas)", callback=one_of("table", "json", "latex")
        ),
    ] = "table",
) -> None:
    """Gradients of every parameter: checked against JAX and differences, or as formulas."""
    from .gradients.results import BATCH, Options

    options = Options(engine, at, batch or BATCH, seed, full, fit=batch is None)
    raise typer.Exit(learning.grad(spec, options, set, dialect, format))


def sweep(
    spec: Annotated[str, typer.Argument(help="a spec file, a bundled name, or -", metavar="SPEC")],
    set: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="values of a name: k=16..256:16, k=16..1024*2, k=8,16,32; H, W, C name "
            "the axes of an input written in numbers",
            metavar="K=VALUES",
        ),
    ] = [],  # noqa: B006
    where: Annotated[
        str | None,
        typer.Option(help="keep designs only where this holds: 'params < 5M and macs < 600M'"),
    ] = None,
    sort: Annotated[
        list[str], typer.Option(help="order by these, -name downwards", metavar="NAMES")
    ] = [],  # noqa: B006
    pareto: Annotated[
        list[str],
        typer.Option(help="only designs that none beats in all of these", metavar="NAMES"),
    ] = [],  # noqa: B006
    sample: Annotated[int | None, typer.Option(help="so many points at random", min=1)] = None,
    seed: Annotated[int, typer.Option(help="of --sample", min=0)] = 0,
    columns: Annotated[
        list[str],
        typer.Option(
            help="params, trainable, buffers, macs, flops, activations, peak_memory, "
            "training_memory, height, width, channels",
            metavar="NAMES",
        ),
    ] = [],  # noqa: B006
    limit: Annotated[int | None, typer.Option(help="at most so many rows", min=1)] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="table | csv | json | parquet; by default -o's",
            callback=one_of("table", "csv", "json", "parquet"),
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="write to a file", metavar="FILE")
    ] = None,
    plot: Annotated[
        str | None, typer.Option(help="draw the Pareto front: .png or .svg", metavar="FILE")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="numpy | jax (all devices)", callback=one_of("numpy", "jax"))
    ] = "numpy",
    form: Annotated[
        str,
        typer.Option(help="polynomials: horner | expanded", callback=one_of("horner", "expanded")),
    ] = "horner",
    dialect: Annotated[str | None, typer.Option(help="whose conventions")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="do not take up an interrupted sweep of this file")
    ] = False,
) -> None:
    """A family of designs from one derivation: cnncalc sweep resnet50 --set k=16..128:16"""
    from .sweeping.settings import SweepOptions

    options = SweepOptions(
        spec, tuple(set), where, tuple(sort), tuple(pareto), sample, seed, tuple(columns), limit,
        format, output, plot, engine, form, dialect, restart,
    )  # fmt: skip
    raise typer.Exit(commands.sweep(options))
