"""What `cnncalc grade` does: read the key and the sheets, mark, write, exit status."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..commands import UNCHECKED, Usage, complain, read_sets, terminal, write
from ..report import gradescope
from ..report.grades import render
from ..source import shorten
from .autograder import write_layout
from .grading import Grades, grade_sheets, read_all
from .key import Key, KeyRefusedError, read_key
from .output import OutputError, is_file, replace, write_folder


def grade(
    key: str, answers: Sequence[str], format: str, output: str | None, one: bool,
    sets: Sequence[str], dialect: str | None,
) -> int:  # fmt: skip
    """Marks every sheet; 0 where all were read, 2 where one was not or the key was not."""
    found = open_key(key, sets, dialect)
    if found is None:
        return UNCHECKED
    with progress() as bar:
        sheets, refused = read_all(answers, bar)
        if not sheets and not refused:
            places = ", ".join(shorten(a) for a in answers[:3])
            raise Usage(f"there are no answer sheets in {places} (.yaml, .yml, .json or .csv)")
        try:
            grades = grade_sheets(found, sheets, refused, bar)
        except KeyRefusedError as error:
            raise Usage(str(error)) from None
    try:
        _write(grades, format, output, one)
    except OutputError as error:
        raise Usage(str(error)) from None
    return grades.status()


def _write(grades: Grades, format: str, output: str | None, one: bool) -> None:
    if one and format == "gradescope" and len(grades.students) != 1:
        _write_refusal(grades, output)
        return
    color, width = terminal(output)
    if output is None:
        write(render(grades, format, width=width, color=color), None)
    elif is_file(output, format):
        replace(output, render(grades, format).encode("utf-8"))
    else:
        write_folder(grades, format, output)
        if format == "table":
            write(render(grades, format, width=width), None)
    if output is not None or format not in ("table", "markdown"):
        for refusal in grades.refused:
            sys.stderr.write(f"unreadable: {refusal.path}: {refusal.reason}\n")


def _write_refusal(grades: Grades, output: str | None) -> None:
    """Gradescope wants a result of a submission that cannot be graded, too."""
    several = [f"{len(grades.students)} sheets where one was expected"] if grades.students else []
    found = gradescope.refused(grades.key, grades.refused, several)
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        write(text, None)
    else:
        replace(output, text.encode("utf-8"))


def init_gradescope(
    key: str, folders: Sequence[str], sets: Sequence[str], dialect: str | None
) -> int:
    """Writes an autograder for Gradescope into the one folder given."""
    if len(folders) != 1:
        raise Usage("--init-gradescope takes KEY DIR: one key and one folder")
    if sets or dialect:
        raise Usage("--init-gradescope copies the key as it is: write values and dialect into it")
    found = open_key(key, sets, dialect)
    if found is None:
        return UNCHECKED
    try:
        names = write_layout(found, folders[0])
    except OutputError as error:
        raise Usage(str(error)) from None
    write(f"{folders[0]}: {', '.join(names)}\n", None)
    if not found.questions:
        sys.stderr.write("note: the key asks nothing yet: give its layers `expect:`\n")
    return 0


def open_key(key: str, sets: Sequence[str], dialect: str | None) -> Key | None:
    """The key, or None after its problems were printed; raises `Usage`."""
    from ..network import Unreadable, load

    try:
        return read_key(load(key, sets=read_sets(sets), dialect=dialect))
    except Unreadable as error:
        complain(error.report)
    except KeyRefusedError as error:
        if error.report is None:
            raise Usage(f"{os.path.basename(key)}: {error}") from None
        complain(error.report)
    return None


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar on a terminal's standard error; nothing when piped."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.description}"))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def update(done: int, total: int, name: str) -> None:
            safe = shorten(name, 30).replace("[", "\\[")
            bar.update(task, completed=done, total=total, description=safe)

        yield update
