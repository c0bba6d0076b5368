"""The JSON of `check`, schema cnncalc.check/1."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..diagnostics import Diagnostic
from ..formula import Number
from ..rows import Expectation, Report, Row, RunReport, RunRow, Totals

SCHEMA = "cnncalc.check/1"


def to_json(report: Report, strict: bool = False) -> dict[str, Any]:
    """The object for one spec; `ok` follows `--strict` where that is given."""
    found = {
        "schema": SCHEMA,
        "ok": report.status(strict) == 0,
        "spec": {
            "path": report.source.path,
            "name": report.name,
            "dialect": report.dialect.label,
        },
        "symbols": {
            name: {"min": s.min, "max": s.max, "multiple_of": s.multiple_of}
            for name, s in report.symbols.items()
        },
        "layers": [_layer(row) for row in report.layers],
        "totals": _totals(report.totals),
        "expectations": [_expectation(e) for e in report.expectations],
        "diagnostics": [_diagnostic(d) for d in report.diagnostics],
        "run": _run(report.run),
    }
    if report.convention:
        found["convention"] = report.convention
    if report.placement is not None:
        from . import placement

        found["placement"] = placement.body(report.placement)
    if report.grad is not None:
        from .gradients import body

        found["grad"] = body(report.grad)
    return found


def render(reports: Sequence[Report], strict: bool = False) -> str:
    """One object for one report, a list for several."""
    found = [to_json(report, strict) for report in reports]
    return json.dumps(found[0] if len(found) == 1 else found, indent=2) + "\n"


def number(value: Number) -> int | str:
    """A plain integer, or the closed form as text.

    >>> from fractions import Fraction
    >>> number(55), number(Fraction(1, 2))
    (55, '1/2')
    """
    return value if isinstance(value, int) else str(value)


def dims(shape: Iterable[Number]) -> list[int | str]:
    """The entries of a shape.

    >>> dims((55, 55, 96))
    [55, 55, 96]
    """
    return [number(n) for n in shape]


def _shapes(shapes: Mapping[str, Sequence[Number]]) -> dict[str, list[int | str]]:
    return {name: dims(shape) for name, shape in shapes.items()}


def _layer(row: Row) -> dict[str, Any]:
    inputs = [dims(shape) for shape in row.input]
    return {
        "name": row.name,
        "op": row.op,
        "inputs": list(row.inputs),
        "input": inputs[0] if len(inputs) == 1 else inputs,
        "output": dims(row.output),
        "params": number(row.params),
        "trainable": number(row.params),
        "buffers": number(row.buffers),
        "weights": _shapes(row.weights),
        "macs": number(row.macs),
        "receptive_field": dims(row.receptive_field),
        "jump": dims(row.jump),
        "assumed": row.assumed,
        "line": row.span.line if row.span else None,
        "run": _run_row(row.run),
    }


def _run_row(run: RunRow | None) -> dict[str, Any] | None:
    if run is None:
        return None
    output = None if run.output is None else list(run.output)
    return {"output": output, "params": run.params, "agrees": run.agrees}


def _totals(totals: Totals | None) -> dict[str, Any] | None:
    if totals is None:
        return None
    names = ("params", "trainable", "buffers", "macs", "activations", "peak_memory")
    return {name: number(getattr(totals, name)) for name in names}


def _expectation(e: Expectation) -> dict[str, Any]:
    return {
        "layer": e.layer,
        "quantity": e.quantity,
        "given": e.given,
        "correct": e.correct,
        "verdict": e.verdict,
        "reasons": list(e.reasons),
    }


def _diagnostic(d: Diagnostic) -> dict[str, Any]:
    return {
        "code": d.code,
        "severity": d.severity,
        "message": d.message,
        "layer": d.layer,
        "line": d.span.line if d.span else None,
        "column": d.span.column if d.span else None,
        "help": list(d.help),
    }


def _run(run: RunReport) -> dict[str, Any]:
    return {
        "status": run.status,
        "platform": run.platform,
        "devices": run.devices,
        "dtype": run.dtype,
        "detail": run.detail,
        "all_sizes": run.all_sizes,
    }
