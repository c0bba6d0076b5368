"""How each tool counts: one table of conventions over the same derived rows.

`CONVENTIONS` states for every tool what it counts of a layer, with the file and version its
rules were read from. cnncalc's multiply-adds are the base; what a tool counts besides (or
leaves out) are terms with names, so that the terms sum to the difference.
"""

from .core import (
    BASE,
    Bug,
    Convention,
    Counted,
    Line,
    Need,
    count,
    recount,
    recounted_total,
    totals,
)
from .table import CONVENTIONS, convention

__all__ = [
    "BASE",
    "CONVENTIONS",
    "Bug",
    "Convention",
    "Counted",
    "Line",
    "Need",
    "convention",
    "count",
    "recount",
    "recounted_total",
    "totals",
]
