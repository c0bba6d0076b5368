"""What `grad` and `train` do."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import (
    INTERRUPTED,
    OK,
    WRONG,
    Usage,
    complain,
    progress,
    read_sets,
    terminal,
    write,
)  # fmt: skip

if TYPE_CHECKING:
    from .gradients.results import Options as GradOptions
    from .scaling.plan import Plan
    from .training.settings import TrainOptions


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
