"""cnncalc: sizes, parameters and costs of convolutional networks, derived and checked.

>>> import cnncalc
>>> report = cnncalc.load("alexnet").derive()
>>> report.row("CONV1").output, report.row("CONV1").params
((55, 55, 96), 34944)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import layers
    from .checker import check
    from .diagnostics import Diagnostic
    from .homework.grading import grade
    from .network import Network, Unreadable, load
    from .rows import Report, Row, Totals

__version__ = "0.1.0"
__all__ = [
    "Diagnostic", "Network", "Report", "Row", "Totals", "Unreadable", "check", "grade", "layers",
    "load",
]  # fmt: skip

_HOMES = {
    "check": "checker", "grade": "homework.grading", "load": "network", "Network": "network",
    "Unreadable": "network", "Report": "rows", "Row": "rows", "Totals": "rows",
    "Diagnostic": "diagnostics",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loads the public names when they are first used: importing cnncalc stays light."""
    import importlib

    if name == "layers":
        return importlib.import_module(".layers", __name__)
    if name in _HOMES:
        value = getattr(importlib.import_module("." + _HOMES[name], __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'cnncalc' has no attribute '{name}'")
