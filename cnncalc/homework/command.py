"""What `grade`, `quiz` and `explain --question` do: read, work, write, exit status."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..console import UNCHECKED, Usage, complain, read_sets, terminal, write
from ..report import gradescope
from ..report.grades import render
from ..source import shorten
from .autograder import write_layout
from .grading import grade_sheets, read_all
from .key import Key, KeyRefusedError, read_key
from .output import OutputError, is_file, make, replace, write_folder
from .results import Grades

if TYPE_CHECKING:
    from .quiz import Exercise


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


def question(
    target: str, layer: str | None, format: str, sets: Sequence[str], dialect: str | None,
    folder: str | None,
) -> int:  # fmt: skip
    """`cnncalc explain SPEC --question`: the sheet with blanks, and the key after it."""
    from ..network import Unreadable, load
    from ..report import questions as shown
    from .questions import questions

    try:
        found = [questions(load(target, sets=read_sets(sets), dialect=dialect), layer)]
    except Unreadable as error:
        complain(error.report)
        return UNCHECKED
    except KeyRefusedError as error:
        if error.report is None:
            raise Usage(str(error)) from None
        complain(error.report)
        return UNCHECKED
    except ValueError as error:
        raise Usage(str(error)) from None
    if not found[0].asked:
        raise Usage("there is nothing to ask of this: no layer changes its volume or has weights")
    if folder is None:
        write(shown.render(found, format), None)
        return 0
    names = {"question": shown.sheet(found, format), "key": shown.key(found, format)}
    _folder(folder, {f"{name}{SUFFIX[format]}": text for name, text in names.items()})
    return 0


SUFFIX = {"text": ".txt", "markdown": ".md", "latex": ".tex", "json": ".json"}


def _folder(folder: str, files: Mapping[str, str]) -> None:
    """Writes texts into a folder; their names are ours."""
    try:
        make(folder)
        for name, text in files.items():
            replace(os.path.join(folder, name), text.encode("utf-8"))
    except OutputError as error:
        raise Usage(str(error)) from None


def quiz(seed: int, level: str, count: int, format: str, folder: str | None, run: bool) -> int:
    """`cnncalc quiz`: exercises, and the key after them; each confirmed on JAX."""
    from ..report import questions as shown
    from . import quiz as exercises

    levels = read_levels(level)
    made = []
    with progress("exercises") as bar:
        for one in exercises.quiz(seed, levels, count):
            if bar is not None:
                bar(one.number, count, one.questions.title)
            if run:
                try:
                    exercises.confirm(one)
                except exercises.QuizError as error:
                    sys.stderr.write(f"error: {error}\n  = help: please report it\n")
                    return 1
            made.append(one)
    found = [one.questions for one in made]
    title = f"seed {seed}, level {level}, {count} exercises"
    if format == "json":
        whole = shown.quiz_json(made, seed, run)
        if folder is None:
            write(whole, None)
        else:
            _folder(folder, {"quiz.json": whole, **_specs(made)})
        return 0
    sheet, key = shown.quiz_pages(found, format, title, run)
    if folder is None:
        write(shown.together(sheet, key, format), None)
    else:
        end = SUFFIX[format]
        _folder(folder, {f"quiz{end}": sheet, f"key{end}": key, **_specs(made)})
    return 0


def _specs(made: "Sequence[Exercise]") -> dict[str, str]:
    """A spec per exercise, which `cnncalc grade` takes as its key."""
    return {f"exercise-{one.number:02}.yaml": one.spec for one in made}


def read_levels(text: str) -> list[int]:
    """A level, or a range of them; raises `Usage`.

    >>> read_levels("3"), read_levels("2..4"), read_levels("1-5")
    ([3], [2, 3, 4], [1, 2, 3, 4, 5])
    """
    first, dots, last = text.replace("-", "..").partition("..")
    ends = [first.strip(), last.strip() if dots else first.strip()]
    if all(end in ("1", "2", "3", "4", "5") for end in ends) and ends[0] <= ends[1]:
        return list(range(int(ends[0]), int(ends[1]) + 1))
    raise Usage(f"--level is 1 to 5, or a range such as 2..4, not '{shorten(text)}'")


@contextmanager
def progress(what: str = "grading") -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar on a terminal's standard error; nothing when piped."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.description}"))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def update(done: int, total: int, name: str) -> None:
            safe = shorten(name, 30).replace("[", "\\[")
            bar.update(task, completed=done, total=total, description=safe)

        yield update
