"""What training came to: one line, or JSON; and a progress bar while it lasts."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..rows import Report
from ..source import shorten
from .layout import clean

if TYPE_CHECKING:
    from ..training.engines import Outcome
    from ..training.loop import Progress, Result

SCHEMA = "cnncalc.train/1"


def render(report: Report, result: "Result", format: str) -> str:
    """The verdict and what led to it, as text or as a JSON object."""
    if format == "json":
        return json.dumps(to_json(report, result), indent=2) + "\n"
    text = f"{clean(report.name)}: {line(result)}\n"
    if result.plan is not None:
        from .placement import measured

        text += "".join(f"{found}\n" for found in measured(result.plan))
    return text


def line(result: "Result") -> str:
    """Loss, accuracy and verdict in one line."""
    s = result.settings
    parts = [f"{result.parameters:,} parameters on {s.engine}"]
    if s.scale.dtype != "float32":
        parts[0] += f" in {s.scale.dtype}"
    if s.scale.mesh is not None:
        parts[0] += f" over {s.scale.mesh}"
    if s.data is None:
        parts.append(f"one random batch of {s.batch}")
    else:
        parts.append(f"{result.items:,} items in batches of {s.batch}")
    parts.append(f"{s.optimizer} at {s.lr:g}")
    if result.note:
        parts.append(clean(result.note))
    text = ", ".join(parts) + ": "
    if result.losses:
        text += f"loss from {result.losses[0]:.4g} (guessing: {result.guess:.4g}) to "
        text += f"{result.losses[-1]:.4g} in {_count(result.steps, 'step')}"
        text += f" ({result.seconds:.1f} s)"
    if result.accuracy is not None:
        text += f", accuracy {result.accuracy:.1%}"
    if result.test_accuracy is not None:
        text += f", test accuracy {result.test_accuracy:.2%}"
    return text + f": {verdict(result)}" if result.losses else text + verdict(result)


def verdict(result: "Result") -> str:
    """The last words of the line."""
    if result.verdict == "learns":
        return "it learns"
    if result.verdict == "interrupted":
        return "interrupted"
    if result.verdict == "not finite":
        return f"stopped at step {result.steps + 1}, not finite"
    return f"it does not learn: {_reason(result)}"


def _reason(result: "Result") -> str:
    from ..training.loop import falling

    if not result.losses:
        return "no step was made"
    if result.steps == 1:
        return "one step shows nothing yet"
    first, last = result.losses[0], result.losses[-1]
    if last == first or max(result.losses) - min(result.losses) < 1e-6 * abs(first):
        return "the loss does not move at all, as where no gradient reaches the parameters"
    if last > 1.5 * max(first, result.guess):
        return f"the loss grows; a smaller --lr than {result.settings.lr:g} may help"
    if falling(result.losses):
        more = "--steps" if result.settings.epochs is None else "--epochs"
        return f"not yet; the loss still falls, more {more} may do"
    return "it is no better than guessing"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def not_finite(result: "Result") -> str:
    """The message for a loss that is infinite or no number."""
    return (
        f"error[R003]: at step {result.steps + 1} the loss or the parameters are not finite\n"
        f"  = help: a smaller --lr than {result.settings.lr:g} may help\n"
    )


def interrupted(result: "Result") -> str:
    """What Ctrl-C left behind."""
    where = "not saved (--save FILE saves)"
    if result.saved:
        name = shorten(result.saved, 200)
        where = f"saved to {name}; --resume {name} goes on"
    return f"interrupted after {_count(result.steps, 'step')}: {where}\n"


def to_json(report: Report, result: "Result") -> dict[str, Any]:
    """The object that `train --format json` prints."""
    s = result.settings
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "ok": result.verdict == "learns",
        "spec": {
            "path": report.source.path, "name": report.name, "dialect": report.dialect.name,
        },
        "engine": s.engine, "optimizer": s.optimizer, "lr": s.lr, "batch": s.batch,
        "seed": s.seed, "data": s.data, "items": result.items, "classes": result.classes,
        "params": result.parameters, "guessing": result.guess,
        "losses": result.losses, "accuracies": result.hits, "accuracy": result.accuracy,
        "test_accuracy": result.test_accuracy, "steps": result.steps,
        "resumed_at": result.first_step, "seconds": result.seconds, "saved": result.saved,
        "verdict": result.verdict, "detail": verdict(result), "dtype": s.scale.dtype,
    }  # fmt: skip
    if result.plan is not None:
        from .placement import body

        found["placement"] = body(result.plan)
    return found


@contextmanager
def progress() -> Iterator["Progress | None"]:
    """A bar with loss and accuracy on a terminal's standard error; nothing when piped."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.description}"), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("the first step", total=None)

        def update(done: int, total: int, outcome: "Outcome | None") -> None:
            text = "the first step"
            if outcome is not None:
                text = f"loss {outcome.loss:.4f}  accuracy {outcome.accuracy:6.1%}"
            bar.update(task, completed=done, total=total, description=text)

        shown: Callable[[int, int, Outcome | None], None] = update
        yield shown
