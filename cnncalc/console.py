"""What all commands share: exit statuses, what is written where, and how mistakes are said."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .rows import Report
from .source import shorten

if TYPE_CHECKING:
    from .scaling.mesh import Scale

OK, WRONG, UNCHECKED, INTERRUPTED = 0, 1, 2, 130


class Usage(Exception):
    """A command line that makes no sense: one message, exit status 2."""


def complain(report: Report) -> int:
    """Prints a report's diagnostics as errors; its exit status."""
    from .report import text

    shown = text.diagnostics(report, width=80, color=False)
    sys.stderr.write(shown if shown.endswith("\n") else shown + "\n")
    return report.status()


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
