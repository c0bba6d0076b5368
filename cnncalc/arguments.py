"""Arguments and options that several commands take, as typer reads them."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from .options import DTYPES


def one_of(*options: str) -> Callable[[str | None], str | None]:
    """A callback that accepts only these values."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in options:
            raise typer.BadParameter(f"'{value}' is not one of {', '.join(options)}")
        return value

    return check


def choice(*options: str) -> Any:
    """An option that takes one of these values."""
    return typer.Option(help=" | ".join(options), callback=one_of(*options))


def folder(help: str, metavar: str) -> Any:
    """`--output` as a place for several files."""
    return typer.Option("--output", "-o", help=help, metavar=metavar)


Specs = Annotated[
    list[str], typer.Argument(help="spec files, bundled names, or -", metavar="SPEC...")
]
Sets = Annotated[list[str], typer.Option("--set", help="give a name a value: k=64", metavar="K=V")]
MeshText = Annotated[
    str | None,
    typer.Option(help="divide the batch and large weights: data=4,model=2", metavar="AXES"),
]
Coordinator = Annotated[
    str | None,
    typer.Option(help="where process 0 listens, for several processes", metavar="HOST:PORT"),
]
Processes = Annotated[int | None, typer.Option(help="how many processes", min=1)]
Process = Annotated[int | None, typer.Option(help="which of them this is, from 0", min=0)]
DeviceMemory = Annotated[
    str | None, typer.Option(help="what a device may hold: 16GiB", metavar="BYTES")
]
Dtype = Annotated[
    str, typer.Option(help=" | ".join(DTYPES), callback=one_of(*DTYPES), metavar="DTYPE")
]
Dialects = Annotated[
    list[str], typer.Option("--dialect", help="size windows as this framework does; may repeat")
]
