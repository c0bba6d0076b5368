"""The command line: typer reads it, `commands` does it."""

from typing import Annotated

import typer

from . import commands
from .arguments import (
    Coordinator,
    DeviceMemory,
    Dialects,
    Dtype,
    MeshText,
    Process,
    Processes,
    Sets,
    Specs,
    choice,
    folder,
    one_of,
)
from .cliruns import grad, sweep, train
from .console import Usage
from .options import DEVICES, FORMATS, CheckOptions

app = typer.Typer(
    name="cnncalc",
    help="Sizes, parameters and costs of convolutional networks, derived and checked.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MATRIX_FORMATS = ("text", "csv", "json")
SHEETS = ("markdown", "latex", "text", "json")
GRADES = ("table", "json", "csv", "markdown", "gradescope")


@app.command()
def check(
    specs: Specs,
    run: Annotated[bool, typer.Option("--run/--no-run", help="run the network on JAX")] = True,
    run_only_shapes: Annotated[
        bool, typer.Option("--run-only-shapes", help="trace shapes without allocating")
    ] = False,
    set: Sets = [],  # noqa: B006
    dialect: Dialects = [],  # noqa: B006
    device: Annotated[
        str | None, typer.Option(help="cpu, gpu or tpu", callback=one_of(*DEVICES))
    ] = None,
    batch: Annotated[int, typer.Option(help="items per run", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="seed of the parameters and inputs", min=0)] = 0,
    format: Annotated[str, choice(*FORMATS)] = "table",
    output: Annotated[str | None, typer.Option(help="write to a file", metavar="FILE")] = None,
    select: Annotated[list[str], typer.Option(help="only these codes", metavar="CODES")] = [],  # noqa: B006
    ignore: Annotated[list[str], typer.Option(help="not these codes", metavar="CODES")] = [],  # noqa: B006
    strict: Annotated[bool, typer.Option("--strict", help="warnings fail too")] = False,
    grad: Annotated[
        bool, typer.Option("--grad", help="compare the gradients too, as `cnncalc grad` does")
    ] = False,
    convention: Annotated[
        str | None,
        typer.Option(help="count operations as this tool does: thop, fvcore, ...", metavar="NAME"),
    ] = None,
    dtype: Dtype = "float32",
    mesh: MeshText = None,
    device_memory: DeviceMemory = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process: Process = None,
) -> None:
    """Derive, lint, compare with `expect` and `budget`, run on JAX, report."""
    options = CheckOptions(
        tuple(specs), run, run_only_shapes, tuple(set), tuple(dialect), device, batch, seed,
        format, output, tuple(select), tuple(ignore), strict, grad, convention, dtype, mesh,
        device_memory, coordinator, processes, process,
    )  # fmt: skip
    raise typer.Exit(commands.check(options))


@app.command()
def layer(
    volume: Annotated[str, typer.Argument(help="the input, such as 32x32x3")],
    op: Annotated[str, typer.Argument(help="the op, such as conv")],
    fields: Annotated[list[str] | None, typer.Argument(help="field=value ...")] = None,
    dialect: Annotated[str, typer.Option(help="whose conventions")] = "cs231n",
    run: Annotated[bool, typer.Option("--run/--no-run", help="run it on JAX")] = False,
    format: Annotated[str, choice("text", *FORMATS)] = "text",
) -> None:
    """One layer without a file: cnncalc layer 7x7x1 conv filters=1 kernel=3 stride=3"""
    raise typer.Exit(commands.layer(volume, op, fields or [], dialect, run, format))


@app.command()
def explain(
    target: Annotated[
        str, typer.Argument(help="a spec, or a code such as S001", metavar="SPEC|CODE")
    ],
    layer: Annotated[str | None, typer.Option(help="only this layer", metavar="NAME")] = None,
    format: Annotated[
        str,
        choice("text", "markdown", "latex"),
    ] = "text",
    set: Sets = [],  # noqa: B006
    dialect: Annotated[str | None, typer.Option(help="whose conventions")] = None,
    question: Annotated[
        bool, typer.Option("--question", help="a question sheet with blanks, and its key")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="with --question: a folder for both", metavar="FOLDER"),
    ] = None,
) -> None:
    """The worked derivation, step by step; or what a diagnostic's code means."""
    if question:
        from .homework import command

        raise typer.Exit(command.question(target, layer, format, set, dialect, output))
    if output is not None:
        raise Usage("--output goes with --question")
    raise typer.Exit(commands.explain(target, layer, format, set, dialect))


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="a spec")],
    b: Annotated[str, typer.Argument(help="another spec")],
    set: Sets = [],  # noqa: B006
    format: Annotated[str, choice("table", "json")] = "table",
) -> None:
    """What changed between two specs, in sizes, parameters and MACs."""
    raise typer.Exit(commands.diff(a, b, format, set))


@app.command()
def solve(
    words: Annotated[
        list[str],
        typer.Argument(
            help="a volume, an op and field=value, ? for what is unknown; or a spec with --fits",
            metavar="VOLUME OP [field=value...] | SPEC",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(help="the output wanted: 55x55x96, 55, or same", metavar="VOLUME"),
    ] = None,
    params: Annotated[
        str | None, typer.Option(help="the parameters wanted: 34944, 35K", metavar="N")
    ] = None,
    macs: Annotated[str | None, typer.Option(help="the MACs wanted", metavar="N")] = None,
    fits: Annotated[
        bool, typer.Option("--fits", help="which input sizes fit, as residue classes")
    ] = False,
    set: Sets = [],  # noqa: B006
    dialect: Annotated[str | None, typer.Option(help="whose conventions")] = None,
    format: Annotated[
        str, typer.Option(help="text | json", callback=one_of("text", "table", "json"))
    ] = "text",
) -> None:
    """The inverse questions: cnncalc solve 32x32x3 conv filters=10 kernel=5 pad=? --output same"""
    from .homework import inverse

    raise typer.Exit(inverse.command(words, output, params, macs, fits, dialect, set, format))


@app.command()
def grade(
    key: Annotated[str, typer.Argument(help="the key: a spec", metavar="KEY")],
    answers: Annotated[
        list[str],
        typer.Argument(help="sheets (.yaml, .json, .csv) or folders of them", metavar="ANSWERS..."),
    ],
    format: Annotated[str, choice(*GRADES)] = "table",
    output: Annotated[
        str | None,
        folder("a folder for a page per student; or one file, by its ending", "FOLDER|FILE"),
    ] = None,
    one: Annotated[
        bool,
        typer.Option("--one", help="all of ANSWERS is one student's: a result even if unreadable"),
    ] = False,
    init_gradescope: Annotated[
        bool,
        typer.Option("--init-gradescope", help="KEY DIR: write a Gradescope autograder into DIR"),
    ] = False,
    set: Sets = [],  # noqa: B006
    dialect: Annotated[str | None, typer.Option(help="whose conventions")] = None,
) -> None:  # fmt: skip
    """Mark answer sheets against a key, with the reason for every wrong answer."""
    from .homework import command

    if init_gradescope:
        raise typer.Exit(command.init_gradescope(key, answers, set, dialect))
    raise typer.Exit(command.grade(key, answers, format, output, one, set, dialect))


@app.command()
def quiz(
    seed: Annotated[int, typer.Option(help="the same seed, the same quiz", min=0)] = 0,
    level: Annotated[str, typer.Option(help="1 to 5, or a range", metavar="1..5")] = "1..5",
    count: Annotated[int, typer.Option("-n", "--count", help="exercises", min=1, max=500)] = 10,
    format: Annotated[str, choice(*SHEETS)] = "markdown",
    output: Annotated[
        str | None, folder("a folder for the quiz, its key, and a spec per exercise", "FOLDER")
    ] = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="check the key on JAX")] = True,
) -> None:  # fmt: skip
    """Fresh exercises like the lecture's, each with its key; some do not fit on purpose."""
    from .homework import command

    raise typer.Exit(command.quiz(seed, level, count, format, output, run))


for command in (train, grad, sweep):
    app.command()(command)


@app.command("filter")
def filter_(
    image: Annotated[
        str | None,
        typer.Argument(help="a picture, a matrix, or - for standard input", metavar="IMAGE|MATRIX"),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            help="mean, gaussian, sobel, sharpen, edge, or a file of numbers; list shows them",
            metavar="NAME|FILE",
        ),
    ] = None,
    gray: Annotated[
        bool, typer.Option("--gray", help="grayscale first: 0.299 R + 0.587 G + 0.114 B (BT.601)")
    ] = False,
    pad: Annotated[
        str, typer.Option(help="zeros around the image: valid (none) | same | N on each side")
    ] = "valid",
    flip: Annotated[
        bool,
        typer.Option("--flip", help="true convolution: the kernel turned by 180 degrees first"),
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option(help="work this output cell; counted from 1", metavar="ROW,COL"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="write to a file; pictures need it", metavar="FILE"),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="text | csv | json; by default -o's", callback=one_of(*MATRIX_FORMATS)),
    ] = None,
) -> None:
    """The lecture's image kernels: cnncalc filter photo.png --kernel edge --gray -o edges.png"""
    if kernel == "list":
        raise typer.Exit(commands.kernels())
    if image is None:
        raise Usage("filter needs a picture or a matrix: --kernel list shows the kernels")
    raise typer.Exit(commands.filter_image(image, kernel, gray, pad, flip, explain, output, format))


@app.command("import")
def import_(
    file: Annotated[
        str,
        typer.Argument(
            help=".onnx, .prototxt, a Keras model.json or .keras, or package.module:factory",
            metavar="FILE|MODULE:FACTORY",
        ),
    ],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="write to a file", metavar="SPEC")
    ] = None,
    input: Annotated[
        list[str],
        typer.Option("--input", help="of a factory's model, such as 224x224x3", metavar="VOLUME"),
    ] = [],  # noqa: B006
) -> None:
    """A model of another format as a spec; a PyTorch factory's code is run."""
    from .importers import command

    raise typer.Exit(command.run(file, input, output))


@app.command()
def reconcile(
    spec: Annotated[str, typer.Argument(help="a spec file, a bundled name, or -", metavar="SPEC")],
    convention: Annotated[
        list[str], typer.Option(help="only this tool's; may repeat", metavar="NAME")
    ] = [],  # noqa: B006
    functional: Annotated[
        bool,
        typer.Option("--functional", help="as if convolutions were calls of functions (F.conv2d)"),
    ] = False,
    set: Sets = [],  # noqa: B006
    dialect: Annotated[str | None, typer.Option(help="whose conventions")] = None,
    format: Annotated[
        str,
        choice("table", "json", "markdown"),
    ] = "table",
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="write to a file", metavar="FILE")
    ] = None,
) -> None:
    """The totals as every counting tool prints them, and what each counts differently."""
    raise typer.Exit(commands.reconcile(spec, convention, format, functional, set, dialect, output))


TARGETS = ("torch", "flax", "keras", "onnx", "caffe")


@app.command()
def export(
    spec: Annotated[str, typer.Argument(help="a spec file, a bundled name, or -", metavar="SPEC")],
    to: Annotated[str, choice(*TARGETS)],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="write to a file; onnx needs it", metavar="FILE"),
    ] = None,
    set: Sets = [],  # noqa: B006
    dialect: Annotated[str | None, typer.Option(help="whose conventions")] = None,
) -> None:
    """The network as readable source, or as a model file: cnncalc export resnet50 --to torch"""
    raise typer.Exit(commands.export(spec, to, output, set, dialect))


@app.command()
def specs(
    name: Annotated[str | None, typer.Argument(help="print this spec's text")] = None,
    format: Annotated[str, choice("table", "json")] = "table",
) -> None:
    """The bundled specs, usable by name: cnncalc check alexnet"""
    raise typer.Exit(commands.specs(name, format))


@app.command()
def schema() -> None:
    """The JSON Schema of the spec language."""
    raise typer.Exit(commands.schema())


@app.command()
def doctor(
    format: Annotated[str, choice("text", "json")] = "text",
) -> None:
    """Versions, devices, memory and what is missing, to paste into a bug report."""
    raise typer.Exit(commands.doctor(format))


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    if version:
        from . import __version__

        typer.echo(f"cnncalc {__version__}")
        raise typer.Exit
