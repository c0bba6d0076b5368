"""`cnncalc import`: a model of another format as spec text."""

import os
import sys

from ..console import OK, Usage, complain, write
from ..diagnostics import Problem
from ..network import unread
from ..source import Source
from . import convert


def run(file: str, inputs: list[str], output: str | None) -> int:
    """Writes the spec of a model file, or of a PyTorch model named package.module:factory."""
    try:
        if _is_factory(file):
            from .torch import convert as from_torch

            sys.stderr.write(f"note: this runs the code of {file}\n")
            text = from_torch(file, inputs)
        else:
            if inputs:
                raise Usage("--input is for package.module:factory; a model file states its own")
            text = convert(file)
    except Problem as problem:
        return complain(unread(Source("", file), [problem.diagnostic]))
    write(text, output)
    return OK


def _is_factory(file: str) -> bool:
    module, colon, name = file.rpartition(":")
    dotted = all(part.isidentifier() for part in [*module.split("."), *name.split(".")])
    return bool(colon) and dotted and not os.path.exists(file)
