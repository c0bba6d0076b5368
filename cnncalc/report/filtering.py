"""Filtered matrices as text, CSV and JSON; one output cell worked; the list of kernels."""

import json
import os
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from ..filter import GRAY_TEXT, KERNELS, Cell, Job, Term
from ..pixels import PICTURES, FilterError, Pixels
from .layout import clean

DIGITS = 17  # of a value that is no whole number, in CSV; text has at least 7
ONE_LINE = 9  # products that are written on one line
TURNS = {
    "same": "This kernel is unchanged by the turn: correlation and convolution agree.",
    "negative": "The turn changes every sign of this kernel, and so of the output.",
    "other": "The turn makes another kernel of this one, and another output.",
}


def number(top: int, divisor: int = 1, digits: int | None = None) -> str:
    """top / divisor: whole numbers exactly, others to `digits` places that count.

    >>> number(12, 4), number(1, 4), number(200, 3), number(10**9 + 1, 3), number(2, 3, 17)
    ('3', '0.25', '66.66667', '333333333.667', '0.66666666666666667')
    """
    if top % divisor == 0:
        return str(top // divisor)
    precision = digits or max(7, len(str(abs(top) // divisor)) + 3)
    found = Context(prec=precision).divide(Decimal(top), Decimal(divisor))
    found = found.normalize(Context(prec=precision))
    return f"{found:f}" if found.adjusted() >= -7 else str(found)


def exact(value: Fraction) -> str:
    """A number as it was written: 105, 0.5, 1/9.

    >>> exact(Fraction(105)), exact(Fraction(-1, 2)), exact(Fraction(1, 9))
    ('105', '-0.5', '1/9')
    """
    rest = value.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    short = rest == 1 and value.denominator <= 10**6
    return number(value.numerator, value.denominator, 40) if short else str(value)


def wanted_format(
    job: Job, output: str | None, format: str | None, working: bool
) -> tuple[str, str]:
    """The formats of the worked cell and of the matrix; raises `FilterError`."""
    extension = os.path.splitext(output or "")[1].lower()
    if working and job.kernel is None:
        raise FilterError("--explain works a kernel's cell: give --kernel too")
    if working and output is None and format == "csv":
        raise FilterError("--explain prints text or json, not csv")
    if job.source.picture and output is None and not working:
        raise FilterError("a picture is written to a file: give -o FILE, such as -o out.png")
    if not job.source.picture and extension in PICTURES:
        raise FilterError(
            f"a matrix is written as text, .csv or .json, not as a picture '{extension}'"
        )
    default = {".csv": "csv", ".json": "json"}.get(extension, "text")
    return ("json" if format == "json" else "text"), (format or default)


def matrix(output: Pixels, format: str) -> str:
    """A matrix as aligned text, `csv` or `json`."""
    rows = output.values[:, :, 0].tolist()
    if format == "json":
        found = {"schema": "cnncalc.filter/1", **_shape(output.size)}
        return json.dumps({**found, "output": _numbers(rows, output.divisor)}) + "\n"
    if format == "csv":
        return "".join(
            ",".join(number(v, output.divisor, DIGITS) for v in row) + "\n" for row in rows
        )
    return "".join(line + "\n" for line in aligned([number(v, output.divisor) for v in row]
                                                   for row in rows))  # fmt: skip


def _shape(size: tuple[int, int]) -> dict[str, Any]:
    return {"rows": size[0], "columns": size[1]}


def _numbers(rows: Sequence[Sequence[int]], divisor: int) -> list[list[int | float]]:
    return [[v // divisor if v % divisor == 0 else float(Fraction(v, divisor)) for v in row]
            for row in rows]  # fmt: skip


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns aligned at the decimal point.

    >>> aligned([["1", "-2"], ["30.5", "4"]])
    [' 1   -2', '30.5  4']
    """
    parts = [[cell.partition(".") for cell in row] for row in rows]
    before = [max(len(p[0]) for p in column) for column in zip(*parts, strict=True)]
    after = [max(len(p[1] + p[2]) for p in column) for column in zip(*parts, strict=True)]
    return [
        " ".join(
            f"{whole:>{b}}{point + rest:<{a}}"
            for (whole, point, rest), b, a in zip(row, before, after, strict=True)
        ).rstrip()
        for row in parts
    ]


def kernels() -> str:
    """The built-in kernels, each with its name, weights and use."""
    parts = []
    for kernel in KERNELS.values():
        grid = aligned([str(v) for v in row] for row in kernel.weights)
        if kernel.divisor != 1:
            middle = len(grid) // 2
            grid[middle] += f"  / {kernel.divisor}"
        parts.append("\n".join([kernel.name, f"  {kernel.title}", *("    " + g for g in grid)]))
    parts.append(
        "any other: a file of numbers or fractions such as 1/9, a row of the kernel a line"
    )
    return "\n\n".join(parts) + "\n"


# --- one output cell ---------------------------------------------------------------


def explain(job: Job, cells: Sequence[Cell], format: str) -> str:
    """An output cell, every product of it: text or json."""
    return _json(job, cells) if format == "json" else _text(job, cells)


def _text(job: Job, cells: Sequence[Cell]) -> str:
    used, first = job.used, cells[0]
    (h, w), (f, g), (p, q), size = job.source.size, used.size, job.pad, job.size
    name = job.kernel.name if job.kernel else ""
    lines = [
        f"Output cell ({first.row},{first.col}) of {clean(name)} on {clean(job.source.name)}, "
        "rows and columns counted from 1.",
        *(_extent("rows", h, f, p, size[0]), _extent("columns", w, g, q, size[1])),
    ]
    if job.gray:
        lines.append(f"Grey values: {GRAY_TEXT}.")
    for cell in cells:
        lines += ["", *([f"Channel {cell.channel}"] if cell.channel else [])]
        lines += _window(job, cell)
        lines += ["", *_sum(cell)]
        if job.source.picture:
            lines.append(f"as a picture's value, rounded and kept in 0..255: {_byte(cell.value)}")
    lines += ["", *_turn(job)]
    return "\n".join(lines) + "\n"


def _extent(what: str, n: int, f: int, p: int, out: int) -> str:
    return f"  {what}: ({n} - {f} + 2*{p})/1 + 1 = {out}"


def _window(job: Job, cell: Cell) -> list[str]:
    """The window beside the kernel."""
    left = aligned([exact(t.value) for t in row] for row in cell.terms)
    right = aligned([str(t.weight) for t in row] for row in cell.terms)
    if cell.divisor != 1:
        right[len(right) // 2] += f"  / {cell.divisor}"
    (f, g), (p, q) = job.used.size, job.pad
    top, first = cell.row - p, cell.col - q
    title = f"rows {top} to {top + f - 1}, columns {first} to {first + g - 1}"
    zeros = sum(t.padding for row in cell.terms for t in row)
    if zeros:
        title += f" ({zeros} of {f * g} cells are zero padding)"
    turned = ", turned by 180 degrees" if job.flip else ""
    width = max(map(len, left))
    return [
        f"The window, {title}, and the kernel{turned}:",
        *(f"  {a:{width}}     {b}" for a, b in zip(left, right, strict=True)),
    ]


def _sum(cell: Cell) -> list[str]:
    rows = [" + ".join(_product(t) for t in row) for row in cell.terms]
    values = [t.product for row in cell.terms for t in row]
    short = len(values) <= ONE_LINE
    total, divisor = exact(cell.sum), cell.divisor
    ends = total if divisor == 1 else f"{total} / {divisor} = {_value(cell)}"
    if short:
        products = " + ".join(rows)
        added = "".join(_signed(v, i) for i, v in enumerate(values))
        if divisor == 1:
            return [f"{products} = {total}", f"{added} = {total}"]
        return [f"({products}) / {divisor} = {_value(cell)}", f"({added}) / {divisor} = {ends}"]
    return [f"  {rows[0]}", *(f"+ {row}" for row in rows[1:]), f"= {total}"] + (
        [] if divisor == 1 else [ends]
    )


def _product(term: Term) -> str:
    value = exact(term.value)
    return f"{f'({value})' if '/' in value else value}*{term.weight}"


def _signed(value: Fraction, index: int) -> str:
    if index == 0:
        return exact(value)
    return f" - {exact(-value)}" if value < 0 else f" + {exact(value)}"


def _value(cell: Cell) -> str:
    return number(cell.value.numerator, cell.value.denominator)


def _byte(value: Fraction) -> int:
    return min(255, max(0, (value + Fraction(1, 2)).__floor__()))


def _turn(job: Job) -> list[str]:
    if job.kernel is None:
        return []
    if job.flip:
        what = ["This is true convolution: the kernel is turned by 180 degrees before it is laid "
                "over the image.", "Without --flip it is laid as written: correlation, which "
                "networks call convolution."]  # fmt: skip
    else:
        what = ["This is correlation, which networks call convolution: the kernel is laid over "
                "the image as written.", "True convolution (--flip) first turns it by 180 "
                "degrees."]  # fmt: skip
    return [*what, TURNS[job.kernel.turning()]]


def _json(job: Job, cells: Sequence[Cell]) -> str:
    found = {
        "schema": "cnncalc.filter/1",
        **_shape(job.size),
        "kernel": job.kernel.name if job.kernel else None,
        "flip": job.flip,
        "pad": list(job.pad),
        "cells": [
            {
                "row": cell.row,
                "column": cell.col,
                "channel": cell.channel or None,
                "terms": [
                    [{"value": _plain(t.value), "weight": t.weight, "product": _plain(t.product),
                      "padding": t.padding} for t in row]
                    for row in cell.terms
                ],
                "sum": _plain(cell.sum),
                "divisor": cell.divisor,
                "value": _plain(cell.value),
            }
            for cell in cells
        ],
    }  # fmt: skip
    return json.dumps(found) + "\n"


def _plain(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)
