"""`cnncalc solve`: reads the command line into a question, asks it, and renders the answer."""

import json
from collections.abc import Sequence
from typing import Any

from ..commands import layer_source
from ..console import OK, UNCHECKED, WRONG, Usage, complain, read_sets, write
from ..formula import Expr
from ..layers import REGISTRY
from ..network import read_network
from ..rows import Report
from ..rules.base import volume
from ..source import shorten
from .fits import Axis, Fits, describe, fits
from .solving import Solution, Solved, read_wanted, solve

UNKNOWN = "?"


def command(
    words: Sequence[str], output: str | None, params: str | None, macs: str | None,
    which_fit: bool, dialect: str | None, sets: Sequence[str], format: str,
) -> int:  # fmt: skip
    """`cnncalc solve`: 0 where there is a solution, 1 where there is none, 2 for no question."""
    if which_fit:
        return _fits(words, dialect, sets, format)
    if len(words) < 2:
        raise Usage(
            "solve takes a volume, an op and its fields, such as `solve 32x32x3 conv "
            "filters=10 kernel=5 pad=? --output 32x32x10`, or a spec with --fits"
        )
    shape, unknowns, layer, used = _question(words, dialect or "cs231n")
    if output is None and params is None and macs is None:
        raise Usage("solve needs a goal: --output 32x32x10, --params 34944 or --macs 105M")
    try:
        wanted = read_wanted(output, params, macs, shape)
    except ValueError as error:
        raise Usage(str(error)) from None
    known = {k: v for k, v in layer.values().items() if k not in unknowns}
    found = solve(shape, type(layer), known, unknowns, wanted, used)
    write(_json(found) if format == "json" else _text(found), None)
    return OK if found.solutions else WRONG


def _question(words: Sequence[str], dialect: str) -> Any:
    """Input shape, unknown fields, the layer with 1 (or 0) in their place, and the dialect."""
    text, op, *fields = words
    cls = REGISTRY.get(op)
    pairs = [(name.strip(), value.strip()) for name, _, value in (f.partition("=") for f in fields)]
    unknowns = [name for name, value in pairs if value == UNKNOWN]
    known = [f for f, (_, value) in zip(fields, pairs, strict=True) if value != UNKNOWN]
    if cls is not None:
        for name in unknowns:
            if name not in cls.fields:
                raise Usage(f"{op} has no field '{shorten(name)}'; it has {', '.join(cls.fields)}")
            if not hasattr(cls.fields[name], "minimum"):
                raise Usage(f"{name} is not a number to be solved for")
    if not unknowns:
        raise Usage("nothing is unknown: write ? for a field, such as pad=?, or ask --fits")
    if len(set(unknowns)) < len(unknowns):
        raise Usage("a field is given twice")
    stand_in = [f"{n}={0 if n in ('pad', 'output_pad', 'by') else 1}" for n in unknowns]
    network = read_network(layer_source(text, op, [*known, *stand_in], dialect))
    report = network if isinstance(network, Report) else network.derive()
    if isinstance(network, Report) or not report.layers or _unreadable(report):
        raise Usage("; ".join(d.message for d in report.diagnostics if d.severity == "error"))
    row = report.layers[0]
    shape = row.input[0]
    if any(isinstance(n, Expr) for n in shape):
        raise Usage(f"solve needs a volume of numbers, not {volume(shape)}")
    return shape, unknowns, row.layer, row.dialect


def _unreadable(report: Report) -> bool:
    return any(d.code[0] == "E" and d.severity == "error" for d in report.diagnostics)


def _text(found: Solved) -> str:
    if not found.solutions:
        return f"none: {found.reason}\n"
    lines = [_line(s) for s in found.solutions]
    return "\n".join([*lines, *([f"({found.note})"] if found.note else [])]) + "\n"


def _line(s: Solution) -> str:
    fields = ", ".join(f"{name}={_value(value)}" for name, value in s.fields.items())
    params = f", {s.params:,} parameters" if isinstance(s.params, int) and s.params else ""
    return f"{fields}: output {volume(s.output)}{params}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return str(value)


def _json(found: Solved) -> str:
    solutions = [
        {"fields": _plain(dict(s.fields)), "output": _plain(s.output), "params": _plain(s.params),
         "macs": _plain(s.macs)}
        for s in found.solutions
    ]  # fmt: skip
    data = {
        "schema": "cnncalc.solve/1", "unknowns": list(found.unknowns), "solutions": solutions,
        "reason": found.reason or None, "note": found.note or None,
    }  # fmt: skip
    return json.dumps(data, indent=2) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value if isinstance(value, int) or value is None else str(value)


# --- --fits ------------------------------------------------------------------------------


def _fits(words: Sequence[str], dialect: str | None, sets: Sequence[str], format: str) -> int:
    report = _network(words, dialect, sets)
    if report.totals is None or report.status() >= UNCHECKED:
        return complain(report) or UNCHECKED
    try:
        found = fits(report)
    except ValueError as error:
        raise Usage(str(error)) from None
    write(_fits_json(found) if format == "json" else _fits_text(found, report), None)
    return OK if found.any else WRONG


def _network(words: Sequence[str], dialect: str | None, sets: Sequence[str]) -> Report:
    from ..checker import check

    if not words:
        raise Usage("--fits takes a spec, or a volume with an op and its fields")
    if len(words) == 1:
        return check(words[0], run=False, sets=read_sets(sets), dialect=dialect)
    source = layer_source(words[0], words[1], words[2:], dialect or "cs231n")
    return check(source, run=False, sets=read_sets(sets))


def _fits_text(found: Fits, report: Report) -> str:
    lines = []
    for axis in found.axes:
        if not axis.classes:
            lines.append(f"{axis.name}: none fits: {axis.reason}")
            continue
        lines.append(f"{axis.name}: {_sizes(axis)}")
        lines.append(f"  smallest: {', '.join(map(str, axis.smallest))}")
        how = "proved from the closed form" if axis.proved else "found by trying each"
        lines.append(f"  {how}")
        if axis.whole is not None:
            rest = describe(axis.whole, axis.symbol) if axis.whole else "for no size"
            lines.append(f"  without any rounding: {rest}")
    if found.rounds and found.any:
        lines.append(f"the {found.dialect} dialect rounds where a stride does not fit")
    return "\n".join(lines) + "\n"


def _sizes(axis: Axis) -> str:
    if not axis.proved:
        sizes = [c.residue for c in axis.classes]
        return ", ".join(map(str, sizes[:40])) + (", ..." if len(sizes) > 40 else "")
    text = describe(axis.classes, axis.symbol)
    return f"{text}, up to {axis.largest}" if axis.largest is not None else text


def _fits_json(found: Fits) -> str:
    def classes(known: Any) -> Any:
        if known is None:
            return None
        return [{"modulus": c.modulus, "residue": c.residue, "smallest": c.smallest} for c in known]

    axes = [
        {
            "axis": axis.name, "symbol": axis.symbol, "classes": classes(axis.classes),
            "examples": list(axis.smallest), "max": axis.largest, "proved": axis.proved,
            "reason": axis.reason or None, "without_rounding": classes(axis.whole),
        }
        for axis in found.axes
    ]  # fmt: skip
    data = {
        "schema": "cnncalc.solve/1", "fits": found.any, "input": found.input,
        "dialect": found.dialect, "axes": axes,
    }  # fmt: skip
    return json.dumps(data, indent=2) + "\n"
