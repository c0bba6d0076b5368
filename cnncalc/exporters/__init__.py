"""Networks written in other formats: `cnncalc export SPEC --to torch|flax|keras|onnx|caffe`.

Every exporter takes the derived network and gives source text, or the bytes of a file.
"""

from importlib import import_module
from typing import Any

from ..network import Network
from ..rows import Report, Row
from .errors import ExportError, refused

TARGETS = ("torch", "flax", "keras", "onnx", "caffe")


def export(network: Network, target: str) -> str | bytes:
    """The network in another format: text, or bytes for `onnx`.

    Raises `ExportError`, whose message names the layer that has no counterpart, its line, and
    the targets that have it.

    >>> import cnncalc
    >>> source = export(cnncalc.load("lecture/exercise-1"), "torch")
    >>> "nn.Conv2d(3, 10, kernel_size=5, padding=2)" in source
    True
    """
    report = network.derive()
    if report.totals is None or report.status() == 2:
        raise ExportError("the spec cannot be read")
    if target not in TARGETS:
        raise ExportError(f"unknown target '{target[:40]}': one of {', '.join(TARGETS)}")
    try:
        _known(report)
        source: str | bytes = _module(target).export(network, report)
    except ExportError as error:
        raise _located(error, report, target) from None
    return source


def _module(target: str) -> Any:
    return import_module(".torch_module" if target == "torch" else f".{target}", __name__)


def _known(report: Report) -> None:
    for row in report.layers:
        if row.op == "opaque":
            kind = str(row.layer.values()["op"])[:60]
            raise refused(row, f"the operator {kind} is known by its sizes alone")


def _located(error: ExportError, report: Report, target: str) -> ExportError:
    """The error with the layer's file and line, and what to do about it."""
    row, text = error.row, str(error)
    if row is None:
        return error
    if row.op == "opaque":
        text += "; write what it does with other ops"
    elif "--set" not in text:
        others = [t for t in TARGETS if t != target and _takes(row, t)]
        by = f"--to {' or '.join(others)} has it, or " if others else ""
        text += f"; {by}write the layer with other ops"
    if row.span is not None and report.source is not None:
        text = f"{report.source.path}:{row.span.line}: {text}"
    return ExportError(text)


def _takes(row: Row, target: str) -> bool:
    """Can another target write this layer, all by itself?"""
    names = [f"input{i}" for i in range(len(row.input))]
    inputs = dict(zip(names, row.input, strict=True))
    try:
        alone = Network(inputs, dialect=row.dialect.name)
        alone.add(row.layer, *names, name="layer")
        module = _module(target)
        options = {"weights": False} if target == "onnx" else {}
        module.export(alone, alone.derive(), **options)
    except (ExportError, ValueError):
        return False
    return True


__all__ = ["TARGETS", "ExportError", "export"]
