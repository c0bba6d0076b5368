"""Writes what grading made: one file, or a folder with a page for each student.

A file is written as a whole and never through a symbolic link; names that come from students
are made safe by `files.safe_names`.
"""

import json
import os
import stat
from collections.abc import Iterator

from .. import writing
from ..report import feedback, grades, gradescope
from ..source import shorten
from .files import safe_names
from .results import Grades

ENDINGS = {
    "table": (".txt",), "json": (".json",), "csv": (".csv",), "markdown": (".md", ".markdown"),
    "gradescope": (".json",),
}  # fmt: skip


class OutputError(Exception):
    """What cannot be written, and why, in one sentence."""


def is_file(output: str, format: str) -> bool:
    """Whether `-o` names one file: it has the format's ending, and no folder is there.

    >>> is_file("class.csv", "csv"), is_file("pages", "table")
    (True, False)
    """
    return output.lower().endswith(ENDINGS[format]) and not os.path.isdir(output)


def write_folder(found: Grades, format: str, folder: str) -> None:
    """A file for each student and one for the class, in `folder`; raises `OutputError`."""
    make(folder)
    for name, text in files(found, format):
        directory, _, _ = name.rpartition("/")
        if directory:
            inside = os.path.join(folder, directory)
            if os.path.islink(inside):
                raise OutputError(
                    f"'{shorten(inside, 200)}' is a symbolic link: nothing is written there"
                )
            make(inside)
        replace(os.path.join(folder, *name.split("/")), text.encode("utf-8"))


def files(found: Grades, format: str) -> Iterator[tuple[str, str]]:
    """Relative names and texts of the files of a folder."""
    names = safe_names(["class", *(one.student for one in found.students)])[1:]
    pairs = list(zip(names, found.students, strict=True))
    if format == "gradescope":
        for name, one in pairs:
            yield f"{name}/results.json", _json(gradescope.results(found.key, one))
    elif format == "json":
        for name, one in pairs:
            yield f"{name}.json", _json(grades.student_json(one))
        yield "class.json", _json(found.to_json())
    elif format == "csv":
        yield "class.csv", grades.csv(found)
    else:
        for name, one in pairs:
            yield f"{name}.md", feedback.page(found.key, one)
        yield "class.md", grades.markdown(found)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def make(folder: str) -> None:
    """Makes a folder, with those above it."""
    try:
        os.makedirs(folder, exist_ok=True)
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise OutputError(f"'{shorten(folder, 200)}' is not a folder")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot make the folder '{shorten(folder, 200)}': {reason}") from None


def replace(path: str, data: bytes, mode: int | None = None) -> None:
    """Writes a file as a whole, as `writing.replace` does; raises `OutputError`."""
    try:
        writing.replace(path, data, mode)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write '{shorten(path, 200)}': {writing.why(error)}") from None
