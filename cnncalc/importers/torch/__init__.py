"""PyTorch modules through `torch.export` on fake tensors: the user's code is run."""

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...diagnostics import Problem
from ...dialects import dialect
from ...source import shorten
from ..draft import Draft, refuse
from ..onnx import tables
from ..onnx.core import Converter
from ..onnx.patterns import recognised
from ..writing import write
from . import aten, aten_shapes
from .translator import Translator

_TABLES = (tables, aten, aten_shapes)  # loaded: the operators are registered


def convert(target: str, inputs: Sequence[str] = ()) -> str:
    """Spec text of the module that `package.module:factory` makes.

    `inputs` are volumes, channels last (224x224x3 unless given). Imports and calls the
    factory. Raises `Problem` E021.
    """
    return write(draft(target, inputs))


def draft(target: str, inputs: Sequence[str] = ()) -> Draft:
    """The network of a PyTorch factory; raises `Problem` E021."""
    try:
        import torch
    except ImportError:
        raise refuse("importing a PyTorch model needs torch", "pip install torch") from None
    shapes = [_shape(text) for text in inputs or ("224x224x3",)]
    try:
        exported = _exported(torch, target, shapes)
    except Problem:
        raise
    except Exception as error:
        if os.environ.get("CNNCALC_DEBUG"):
            raise
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        what = shorten(f"{type(error).__name__}: {first.strip()}", 200)
        raise refuse(f"torch.export of {shorten(target)} fails: {what}") from None
    name = target.rpartition(":")[2]
    try:
        model = Translator(exported).model()
        made = Converter(model, recognised(model), name, dialect("torch")).run()
    except Problem:
        raise
    except Exception as error:
        if os.environ.get("CNNCALC_DEBUG"):
            raise
        what = shorten(" ".join(f"{type(error).__name__}: {error}".split()), 160)
        raise refuse(f"{shorten(target)} cannot be imported: {what}") from None
    made.notes.insert(0, f"from {target}: torch.export of PyTorch {torch.__version__}")
    made.prune()
    made.fold()
    return made


def _shape(text: str) -> tuple[int, ...]:
    """A volume such as 224x224x3 as PyTorch has it: the batch first, channels second."""
    parts = text.lower().replace("×", "x").split("x")
    if not all(p.isascii() and p.isdigit() and 0 < len(p) < 10 for p in parts) or len(parts) > 4:
        raise refuse(f"--input takes a volume such as 224x224x3, not '{shorten(text)}'")
    sizes = [int(p) for p in parts]
    if len(sizes) > 2:
        sizes = [sizes[-1], *sizes[:-1]]
    return (1, *sizes)


def _exported(torch: Any, target: str, shapes: Sequence[tuple[int, ...]]) -> Any:
    """The exported program; fake tensors throughout, but where the factory reads values."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

    factory = _found(target)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), _no_initialising(torch):
            return _program(torch, factory, target, shapes)
    except DataDependentOutputException:
        with _no_initialising(torch):
            return _program(torch, factory, target, shapes)


def _program(torch: Any, factory: Any, target: str, shapes: Sequence[tuple[int, ...]]) -> Any:
    module = factory if isinstance(factory, torch.nn.Module) else factory()
    if not isinstance(module, torch.nn.Module):
        raise refuse(f"{shorten(target)} makes a {type(module).__name__}, not a torch.nn.Module")
    module.eval()
    images = tuple(torch.empty(shape) for shape in shapes)
    try:
        return torch.export.export(module, images, strict=False)
    except (RuntimeError, TypeError, ValueError, IndexError):
        # LxC is tokens to one module and a map of one axis, its channels second, to another.
        turned = [(1, *s[:0:-1]) if len(s) == 3 else s for s in shapes]
        if turned != list(shapes):
            try:
                maps = tuple(torch.empty(shape) for shape in turned)
                return torch.export.export(module, maps, strict=False)
            except (RuntimeError, TypeError, ValueError, IndexError):
                pass
        words = tuple(torch.zeros(shape, dtype=torch.long) for shape in shapes)
        try:
            return torch.export.export(module, words, strict=False)
        except Exception:  # not words either: the first reason counts
            pass
        raise


@contextmanager
def _no_initialising(torch: Any) -> Iterator[None]:
    """Weights need no values: PyTorch's initialisers do nothing meanwhile."""
    init = torch.nn.init
    names = [n for n in vars(init) if n.endswith("_") and not n.startswith("_")]
    kept = {n: getattr(init, n) for n in names if callable(getattr(init, n))}
    for name in kept:
        setattr(init, name, lambda tensor, *args, **more: tensor)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(init, name, function)


def _found(target: str) -> Any:
    module, _, path = target.rpartition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise refuse(
            f"module {shorten(module)} cannot be imported: {shorten(str(error), 120)}"
        ) from None
    for name in path.split("."):
        if not hasattr(found, name):
            raise refuse(f"module {shorten(module)} has no '{shorten(path)}'")
        found = getattr(found, name)
    if not callable(found):
        raise refuse(f"{shorten(target)} is not a factory: it cannot be called")
    return found
