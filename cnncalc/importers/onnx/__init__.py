"""ONNX models: opsets 7 to the newest, weights not needed."""

import os

from ..draft import Draft
from ..writing import write
from . import tables
from .core import Converter
from .patterns import recognised
from .reading import load

_TABLES = tables  # loaded: the operators are registered


def convert(path: str) -> str:
    """Spec text of an ONNX file; raises `Problem` E021."""
    return write(draft(path))


def draft(path: str) -> Draft:
    """The network of an ONNX file; raises `Problem` E021."""
    model = load(path)
    name = os.path.splitext(os.path.basename(path))[0]
    made = Converter(model, recognised(model), name).run()
    made.notes.insert(
        0, f"from {os.path.basename(path)}: ONNX opset {model.opset}, graph '{model.name}'"
    )
    made.prune()
    made.fold()
    return made
