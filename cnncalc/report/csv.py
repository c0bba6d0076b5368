"""The layers as CSV, one a row, safe to open in a spreadsheet."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from ..rows import Report, Row
from .layout import clean
from .words import volume

HEADER = (
    "spec", "name", "dialect", "layer", "op", "inputs", "input", "output", "params", "buffers",
    "macs", "receptive_field", "jump", "assumed", "line", "run",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(reports: Sequence[Report]) -> str:
    """A header and one line a layer, for all specs together."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for report in reports:
        first = (report.source.path, report.name, report.dialect.label)
        writer.writerows([safe(value) for value in (*first, *_row(row))] for row in report.layers)
    return out.getvalue()


def safe(value: object) -> str:
    """A cell that no spreadsheet takes for a formula.

    >>> safe("=1+2"), safe(34944), safe("-k + 3")
    ("'=1+2", '34944', "'-k + 3")
    """
    text = str(value)
    return ("'" if text.startswith(FORMULA) else "") + clean(text)


def _row(row: Row) -> Iterable[object]:
    run = "" if row.run is None else "agrees" if row.run.agrees else "disagrees"
    return (
        row.name,
        row.op,
        "; ".join(row.inputs),
        "; ".join(map(volume, row.input)),
        volume(row.output),
        row.params,
        row.buffers,
        row.macs,
        volume(row.receptive_field),
        volume(row.jump),
        "yes" if row.assumed else "no",
        row.span.line if row.span else "",
        run,
    )
