"""What the commands do: call one function, render, write, and give the exit status."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .console import (
    OK,
    UNCHECKED,
    Usage,
    complain,
    flush,
    nearest,
    progress,
    read_sets,
    replace,
    scale,
    terminal,
    write,
)
from .options import CheckOptions
from .rows import Report
from .source import shorten

if TYPE_CHECKING:
    from .scaling.mesh import Scale
    from .sweeping.settings import SweepOptions

CODE = re.compile(r"[A-Za-z][0-9]{3}")


def check(options: CheckOptions) -> int:
    """`cnncalc check`: the highest exit status of all specs and dialects."""
    if options.convention is not None:
        from .conventions import convention

        try:
            convention(options.convention)
        except KeyError as unknown:
            raise Usage(str(unknown.args[0])) from None
    if options.mesh is None and options.coordinator is None and not options.device_memory:
        return _checked(options)
    from .scaling.cluster import supervised

    wanted = _scale(options)
    if wanted.cluster is not None and (len(options.specs) > 1 or len(options.dialect) > 1):
        raise Usage("several processes run one spec in one dialect")
    among = wanted.cluster if options.run and not options.run_only_shapes else None
    return supervised(among, lambda: _checked(options))


def _scale(options: CheckOptions) -> "Scale":
    if options.device_memory is not None and options.mesh is None:
        raise Usage("--device-memory needs --mesh: what is divided over which devices")
    o = options
    return scale(o.mesh, o.coordinator, o.processes, o.process, o.device_memory, o.dtype)


def _checked(options: CheckOptions) -> int:
    sets = read_sets(options.set)
    reports: list[Report] = []
    dialects: Sequence[str | None] = options.dialect or (None,)
    with progress(options.run or options.grad) as bar:
        for spec in options.specs:
            source = _stdin_once(spec)
            for name in dialects:
                reports.append(_check(source, name, sets, options, bar))
    text = _render_check(reports, options)
    write(text, options.output)
    return max(report.status(options.strict) for report in reports)


def _stdin_once(spec: str) -> Any:
    """Standard input can be read once, however many dialects look at it."""
    if spec != "-":
        return spec
    from .diagnostics import Problem
    from .network import open_source

    try:
        return open_source(spec)
    except Problem:
        return spec


def _check(
    spec: Any, dialect: str | None, sets: Mapping[str, str], options: CheckOptions, bar: Any
) -> Report:
    from .checker import check as check_spec

    wanted = None
    if options.mesh or options.coordinator or options.device_memory or options.dtype != "float32":
        wanted = _scale(options)
        if not options.run or options.run_only_shapes:
            wanted = wanted._replace(cluster=None)
    try:
        return check_spec(
        spec, run=options.run, only_shapes=options.run_only_shapes, sets=sets, dialect=dialect,
        device=options.device, batch=options.batch, seed=options.seed,
        select=_codes(options.select), ignore=_codes(options.ignore), progress=bar,
        grad=options.grad, convention=options.convention, scale=wanted,
    )  # fmt: skip
    except ValueError as error:
        from .scaling.mesh import ScaleError

        if isinstance(error, ScaleError):
            raise Usage(str(error)) from None
        raise


def _codes(words: Sequence[str]) -> list[str]:
    return [code.strip().upper() for word in words for code in word.split(",") if code.strip()]


def _render_check(reports: Sequence[Report], options: CheckOptions) -> str:
    from .report import render

    color, width = terminal(options.output)
    text = render(reports, options.format, width=width, color=color, strict=options.strict)
    if len(options.dialect) > 1 and options.format in ("table", "markdown"):
        from .report.diff import dialects

        step = len(options.dialect)
        for i in range(0, len(reports), step):
            group = reports[i : i + step]
            text += "\n" + dialects(group, width=width, color=color, format=options.format)
    return text


def layer(volume: str, op: str, fields: Sequence[str], dialect: str, run: bool, format: str) -> int:
    """`cnncalc layer`: one layer without a file, with its worked derivation."""
    source = layer_source(volume, op, fields, dialect)
    options = CheckOptions((), run=run, format=format)
    report = _check(source, None, {}, options, None)
    text = layer_text(report) if format == "text" else _render_check([report], options)
    write(text, None)
    return report.status()


def layer_source(volume: str, op: str, fields: Sequence[str], dialect: str) -> Any:
    """The one-layer spec that a `layer` call stands for."""
    from .source import Source

    pairs = []
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise Usage(f"'{shorten(field)}' is not of the form field=value, such as kernel=3")
        pairs.append(f"{name.strip()}: {value.strip()}")
    lines = [f"input: {volume}", f"dialect: {dialect}", "layers:"]
    lines.append(f"  - {op}: {{{', '.join(pairs)}}}" if pairs else f"  - {op}")
    return Source("\n".join(line.replace("\n", " ") for line in lines) + "\n", "<command line>")


def layer_text(report: Report) -> str:
    from .report import text
    from .report.derivation import render

    color, width = terminal(None)
    parts = []
    if report.layers and report.status() < UNCHECKED:
        parts.append(render(report, "text"))
    shown = text.diagnostics(report, width=width or 80, color=color)
    return "\n".join([*parts, *([shown] if shown else [])])


def explain(
    target: str, layer: str | None, format: str, sets: Sequence[str], dialect: str | None
) -> int:
    """`cnncalc explain`: a diagnostic code, or the worked derivation of a spec."""
    if CODE.fullmatch(target) and not os.path.exists(target):
        from .rules.codes import explain_code

        try:
            write(explain_code(target.upper()), None)
        except KeyError as unknown:
            raise Usage(str(unknown.args[0])) from None
        return OK
    from .checker import check as check_spec
    from .report.derivation import render

    report = check_spec(target, run=False, sets=read_sets(sets), dialect=dialect)
    if report.totals is None or report.status() == UNCHECKED:
        return complain(report)
    try:
        write(render(report, format, layer=layer), None)
    except ValueError as error:
        raise Usage(str(error)) from None
    return OK


def diff(a: str, b: str, format: str, sets: Sequence[str]) -> int:
    """`cnncalc diff A B`: sizes, parameters and MACs side by side."""
    from .checker import check as check_spec
    from .report import diff as report_diff

    reports = [check_spec(spec, run=False, sets=read_sets(sets)) for spec in (a, b)]
    status = OK
    for report in reports:
        if report.totals is None or report.status() == UNCHECKED:
            status = max(status, complain(report))
    if status == OK:
        color, width = terminal(None)
        write(report_diff.render(reports[0], reports[1], format, width=width, color=color), None)
    return status


def reconcile(
    spec: str, names: Sequence[str], format: str, functional: bool, sets: Sequence[str],
    dialect: str | None, output: str | None,
) -> int:  # fmt: skip
    """`cnncalc reconcile`: the totals as every tool prints them, and the bridges."""
    from .checker import check as check_spec
    from .conventions import CONVENTIONS, Need, convention, totals
    from .report import reconcile as shown

    report = check_spec(spec, run=False, sets=read_sets(sets), dialect=dialect)
    grave = [d for d in report.diagnostics if d.code[0] in "ES" and d.severity == "error"]
    if report.totals is None or grave:
        return complain(report._replace(diagnostics=tuple(grave) or report.diagnostics))
    entries = []
    for name in names or CONVENTIONS:
        try:
            counted = totals(report, name, functional)
            entries.append((counted.convention.name, counted))
        except Need as need:
            entries.append((convention(name).name, need))  # type: ignore[arg-type]
        except KeyError as unknown:
            raise Usage(str(unknown.args[0])) from None
    color, width = terminal(output)
    write(shown.render(report, entries, format, width=width, color=color), output)
    return OK


def export(
    spec: str, target: str, output: str | None, sets: Sequence[str], dialect: str | None
) -> int:
    """`cnncalc export`: the network in another format, to standard output or a file."""
    from .checker import read
    from .exporters import ExportError
    from .exporters import export as written

    network = read(spec, read_sets(sets), dialect)
    report = network if isinstance(network, Report) else network.derive()
    grave = [d for d in report.diagnostics if d.code[0] in "ES" and d.severity == "error"]
    if isinstance(network, Report) or grave:
        return complain(report._replace(diagnostics=tuple(grave) or report.diagnostics))
    try:
        found = written(network, target)
    except ExportError as error:
        raise Usage(str(error)) from None
    if isinstance(found, str):
        write(found, output)
    elif output is not None:
        replace(output, found)
    elif sys.stdout.isatty():
        raise Usage(f"{target} is a binary format: give -o FILE, or pipe the output")
    else:
        flush()
        sys.stdout.buffer.write(found)
    return OK


def specs(name: str | None, format: str) -> int:
    """`cnncalc specs`: the bundled specs, or the text of one of them."""
    from . import bundled

    if name is not None:
        path = bundled.find(name)
        if path is None:
            near = nearest(name, bundled.names())
            raise Usage(f"there is no bundled spec '{shorten(name)}'" + near)
        with open(path, encoding="utf-8") as file:
            write(file.read(), None)
        return OK
    rows = [(name, bundled.title(name)) for name in bundled.names()]
    if format == "json":
        import json

        write(json.dumps([{"name": n, "title": t} for n, t in rows], indent=2) + "\n", None)
    else:
        width = max(len(name) for name, _ in rows)
        write("".join(f"{name:{width}}  {title}\n" for name, title in rows), None)
    return OK


def schema() -> int:
    """`cnncalc schema`: the JSON Schema of the spec language."""
    import json

    from .schema import schema as build

    write(json.dumps(build(), indent=2) + "\n", None)
    return OK


def doctor(format: str) -> int:
    """`cnncalc doctor`: what a bug report needs to say of this installation."""
    import json

    from . import doctor as examiner

    found = examiner.examine()
    write(json.dumps(found, indent=2) + "\n" if format == "json" else examiner.text(found), None)
    return OK


def filter_image(
    image: str, kernel: str | None, gray: bool, pad: str, flip: bool, cell: str | None,
    output: str | None, format: str | None,
) -> int:  # fmt: skip
    """`cnncalc filter`: a kernel over a matrix or picture, or one output cell worked."""
    from . import filter, pixels
    from .report import filtering

    try:
        place = None if cell is None else filter.place(cell)
        job = filter.job(image, kernel, gray=gray, pad=pad, flip=flip)
        for note in job.source.notes:
            sys.stderr.write(f"note: {note}\n")
        wanted = filtering.wanted_format(job, output, format, place is not None)
        worked = None if place is None else filtering.explain(job, job.worked(*place), wanted[0])
        if job.source.picture and output is not None:
            replace(output, pixels.encode(job.picture(), output))
        elif not job.source.picture and (output is not None or worked is None):
            write(filtering.matrix(job.output(), wanted[1]), output)
    except pixels.FilterError as error:
        raise Usage(str(error)) from None
    if worked is not None:
        write(worked, None)
    return OK


def kernels() -> int:
    """`cnncalc filter --kernel list`: the built-in kernels."""
    from .report import filtering

    write(filtering.kernels(), None)
    return OK


def sweep(options: "SweepOptions") -> int:
    """`cnncalc sweep`: a family of designs from one derivation."""
    from .sweeping.command import sweep as run

    return run(options)
