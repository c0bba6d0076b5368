"""What the commands do: call one function, render, write, and give the exit status."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .options import CheckOptions
from .rows import Report
from .source import shorten

if TYPE_CHECKING:
    from .gradients.results import Options as GradOptions
    from .scaling.mesh import Scale
    from .scaling.plan import Plan
    from .sweeping.settings import SweepOptions
    from .training.settings import TrainOptions

OK, WRONG, UNCHECKED, INTERRUPTED = 0, 1, 2, 130
CODE = re.compile(r"[A-Za-z][0-9]{3}")


class Usage(Exception):
    """A command line that makes no sense: one message, exit status 2."""


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


def complain(report: Report) -> int:
    """Prints a report's diagnostics as errors; its exit status."""
    from .report import text

    shown = text.diagnostics(report, width=80, color=False)
    sys.stderr.write(shown if shown.endswith("\n") else shown + "\n")
    return report.status()


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


def grad(
    spec: str, options: "GradOptions", sets: Sequence[str], dialect: str | None, format: str
) -> int:
    """`cnncalc grad`: gradients with their witnesses, or as formulas."""
    from .checker import check as check_spec
    from .gradients import Gradients, gradients
    from .gradients.run import refusal
    from .report import gradients as shown

    if format == "latex" and options.engine != "symbolic":
        raise Usage("--format latex prints formulas: it needs --engine symbolic")
    report = check_spec(spec, run=False, sets=read_sets(sets), dialect=dialect)
    why = refusal(report)
    if why:
        wrong = tuple(d for d in report.diagnostics if d.code[0] in "ES")
        report = report._replace(diagnostics=wrong)
        if format == "json":
            found = Gradients("skipped", options, why, diagnostics=wrong)
            write(shown.render(report, found, format), None)
        else:
            complain(report)
            sys.stderr.write(f"\nno gradients: {why}\n")
        return max(report.status(), WRONG)
    with progress(True) as bar:
        found = gradients(report, options, bar)
    if found.status == "skipped":
        raise Usage(f"no gradients: {found.detail}")
    color, width = terminal(None)
    write(shown.render(report, found, format, width=width, color=color), None)
    return report._replace(diagnostics=found.diagnostics).status()


def scale(
    mesh: str | None, coordinator: str | None, processes: int | None, process: int | None,
    device_memory: str | None, dtype: str | None,
) -> "Scale":  # fmt: skip
    """The options about devices, read; raises `Usage`."""
    from .scaling.mesh import ScaleError, read_scale

    try:
        return read_scale(mesh, coordinator, processes, process, device_memory, dtype)
    except ScaleError as error:
        raise Usage(str(error)) from None


def train(options: "TrainOptions") -> int:
    """`cnncalc train`: one random batch, or data, learned or not."""
    from .scaling.cluster import supervised

    return supervised(options.scale.cluster, lambda: _train(options))


def _train(options: "TrainOptions") -> int:
    from .checker import check as check_spec
    from .report import training as shown
    from .training.loop import train as run
    from .training.settings import TrainingError

    report = check_spec(
        options.spec, run=False, sets=read_sets(options.set), dialect=options.dialect
    )
    sizes = [d for d in report.diagnostics if d.code[0] in "ES"]
    grave = [d for d in sizes if d.severity == "error" or d.message.endswith("(as expected)")]
    if grave or report.totals is None:
        return complain(report) or WRONG
    if report.symbols:
        names = list(report.symbols)
        given = " ".join(f"--set {name}=..." for name in names)
        raise Usage(f"training needs numbers for {', '.join(names)}: give {given}")
    try:
        with shown.progress() as bar:
            result = run(report, options, bar, _show_plan if options.format == "text" else None)
    except TrainingError as error:
        raise Usage(str(error)) from None
    if result.verdict != "interrupted" or options.format == "json":
        write(shown.render(report, result, options.format), None)
    if result.verdict == "interrupted":
        sys.stderr.write(shown.interrupted(result))
        return INTERRUPTED
    if result.verdict == "not finite":
        sys.stderr.write(shown.not_finite(result))
    return OK if result.verdict == "learns" else WRONG


def _show_plan(plan: "Plan") -> None:
    """Prints a derived placement before the run."""
    from .report.placement import lines

    write("\n".join(lines(plan)), None)
    sys.stdout.flush()


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


# --- helpers -----------------------------------------------------------------------


def nearest(word: str, known: Sequence[str]) -> str:
    from . import expr

    near = expr.nearest(word, known)
    return f": did you mean '{near}'?" if near else ""


def read_sets(sets: Sequence[str]) -> dict[str, str]:
    """`k=64` pairs; raises `Usage`.

    >>> read_sets(["k=64", "H = 32"])
    {'k': '64', 'H': '32'}
    """
    found: dict[str, str] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise Usage(f"--set takes name=value, such as k=64, not '{shorten(text)}'")
        found[name.strip()] = value.strip()
    return found


def terminal(output: str | None) -> tuple[bool, int | None]:
    """Whether to colour, and the width to fill."""
    if output is not None or not sys.stdout.isatty():
        forced = os.environ.get("COLUMNS", "")
        return False, int(
            forced
        ) if forced.isascii() and forced.isdigit() and forced != "0" else None
    import shutil

    color = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return color, max(40, shutil.get_terminal_size((80, 24)).columns)


def write(text: str, path: str | None) -> None:
    """Writes to standard output, or to a file as a whole: the old file or the new one."""
    if text and not text.endswith("\n"):
        text += "\n"
    if path is None:
        put(text)
    else:
        replace(path, text.encode("utf-8", "replace"))


def put(text: str) -> None:
    """Text on the standard output, in its encoding; raises `Usage` where it takes no more."""
    from . import writing

    if sys.stdout is None:
        raise Usage("the standard output is closed")
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            sys.stdout.write(writing.spelled(text, encoding))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unprintable(error) from None


def unprintable(error: OSError) -> Usage:
    return Usage(f"cannot write to the standard output: {error.strerror or error}")


def flush() -> None:
    """Empties the standard output's buffer; raises `Usage` where it takes no more."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unprintable(error) from None


def replace(path: str, data: bytes) -> None:
    """Writes a file as a whole, as `writing.replace` does; raises `Usage`."""
    from . import writing

    try:
        writing.replace(path, data)
    except (OSError, ValueError) as error:
        raise Usage(f"cannot write '{shorten(path, 200)}': {writing.why(error)}") from None


@contextmanager
def progress(wanted: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """A progress bar on a terminal's standard error; nothing when piped."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("running"), BarColumn(), TextColumn("{task.description}"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting JAX", total=None)

        def update(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=shorten(name, 30))

        yield update
