"""`cnncalc sweep`: options in, rows out, counts and progress on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..source import shorten
from ..writing import why
from .run import Interrupted, Progress, Runner, check_options
from .settings import SweepError, SweepOptions

OK, INTERRUPTED = 0, 130


def sweep(options: SweepOptions) -> int:
    """The exit status; raises `commands.Usage` for what makes no sense."""
    from ..console import Usage, complain, terminal, unprintable
    from ..network import unread
    from .family import Unreadable
    from .sweep import Sweep

    try:
        check_options(options)
        start = time.perf_counter()
        made = Sweep(options)
        color, width = terminal(options.output)
        with progress() as bar:
            runner = Runner(made, width, color, bar)
            counts = runner.run()
    except SweepError as error:
        raise Usage(str(error)) from None
    except Unreadable as error:
        return max(2, complain(unread(error.source, error.found)))
    except OSError as error:  # a disk that is full, a file taken away
        if isinstance(error, BrokenPipeError):
            raise
        if options.output is None:
            raise unprintable(error) from None
        raise Usage(f"cannot write '{shorten(options.output, 200)}': {why(error)}") from None
    except Interrupted as stop:
        more = "; the same command takes it up again" if stop.resumable else ""
        sys.stderr.write(f"interrupted after {stop.counts.points:,} points{more}\n")
        return INTERRUPTED
    if runner.resumed:
        sys.stderr.write(f"taken up at point {runner.resumed:,}\n")
    seconds = time.perf_counter() - start
    misfits = counts.points - counts.fit
    text = f"{counts.points:,} points"
    text += f", {misfits:,} do not fit" if misfits else ", all fit"
    text += f"; {counts.written:,} written" if counts.written != counts.points else ""
    sys.stderr.write(f"{text} ({seconds:.2g} s)\n")
    return OK


@contextmanager
def progress() -> Iterator[Progress | None]:
    """A bar on a terminal's standard error; nothing when piped."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("sweeping"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.description}"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def update(done: int, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=text)

        yield update
