"""Networks written in other formats: `cnncalc export SPEC --to torch|flax|keras|onnx|caffe`.

Every exporter takes the derived network and gives source text, or the bytes of a file.
"""

from ..network import Network
from .errors import ExportError

TARGETS = ("torch", "flax", "keras", "onnx", "caffe")


def export(network: Network, target: str) -> str | bytes:
    """The network in another format: text, or bytes for `onnx`.

    Raises `ExportError`, whose message names the layer that has no counterpart.

    >>> import cnncalc
    >>> source = export(cnncalc.load("lecture/exercise-1"), "torch")
    >>> "nn.Conv2d(3, 10, kernel_size=5, padding=2)" in source
    True
    """
    from importlib import import_module

    report = network.derive()
    if report.totals is None or report.status() == 2:
        raise ExportError("the spec cannot be read")
    if target not in TARGETS:
        raise ExportError(f"unknown target '{target[:40]}': one of {', '.join(TARGETS)}")
    name = {"torch": "torch_module"}.get(target, target)
    module = import_module(f".{name}", __name__)
    source: str | bytes = module.export(network, report)
    return source


__all__ = ["TARGETS", "ExportError", "export"]
