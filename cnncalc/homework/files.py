"""Finds and opens the files that students hand in; everything about them is distrusted.

Only regular files are read, of bounded size; symbolic links that lead out of their folder are
refused, as are names that could play tricks on a terminal.
"""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..source import shorten

SHEETS = (".yaml", ".yml", ".json")
TABLES = (".csv",)
MOST_FILES = 50_000
MOST_DEPTH = 8
MOST_NAME = 200
SHEET_BYTES = 1_000_000
TABLE_BYTES = 20_000_000
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
IGNORED = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


class Refusal(NamedTuple):
    """A sheet, or a part of one, that could not be read: where, and why in one sentence."""

    path: str
    reason: str
    student: str = ""


class RefusedError(Exception):
    """Why a file is not read, in words that end without a full stop."""


def find(paths: Sequence[str]) -> Iterator[str | Refusal]:
    """The files under `paths`, folders walked in order of name; or why one is refused."""
    left = MOST_FILES
    for path in paths:
        for found in _walk(path) if _is_folder(path) else (_linked(path),):
            if left == 0:
                yield Refusal(shown(path), f"more than {MOST_FILES:,} files: the rest is not read")
                return
            left -= 1
            yield found


def _is_folder(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except ValueError:  # a NUL in it
        return False


def _linked(path: str) -> str | Refusal:
    """A file that was named: a link out of its folder is refused (`sheets/*` may match one)."""
    try:
        if os.path.islink(path) and not _inside(path, os.path.dirname(path) or "."):
            return Refusal(shown(path), OUTSIDE)
    except (OSError, ValueError):
        return Refusal(shown(path), "the path cannot be read")
    return path


OUTSIDE = "a symbolic link that leads out of its folder: it is not followed"


def _inside(path: str, folder: str) -> bool:
    root = os.path.realpath(folder)
    target = os.path.realpath(path)
    return os.path.commonpath([root, target]) == root


def _walk(root: str, folder: str | None = None, depth: int = 0) -> Iterator[str | Refusal]:
    folder = folder or root
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield Refusal(shown(folder), f"the folder cannot be read: {error.strerror}")
        return
    for entry in inside:
        if entry.name.startswith(".") or entry.name in IGNORED:
            continue
        if entry.is_symlink():
            yield from _link(root, entry)
        elif entry.is_dir(follow_symlinks=False):
            if depth >= MOST_DEPTH:
                yield Refusal(shown(entry.path), f"folders deeper than {MOST_DEPTH} are not read")
            else:
                yield from _walk(root, entry.path, depth + 1)
        else:
            yield entry.path


def _link(root: str, entry: "os.DirEntry[str]") -> Iterator[str | Refusal]:
    try:
        if not _inside(entry.path, root):
            yield Refusal(shown(entry.path), OUTSIDE)
        elif entry.is_dir():
            return  # what it leads to is read in its own place
        else:
            yield entry.path
    except OSError as error:
        yield Refusal(shown(entry.path), f"a symbolic link that leads nowhere: {error.strerror}")


def read(path: str, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; raises `RefusedError`.

    The size is looked at before anything is read, and the reading is bounded all the same.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        raise RefusedError("there is no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RefusedError(f"it cannot be opened: {reason}") from None
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise RefusedError("this is not a regular file")
        if facts.st_size > limit:
            raise RefusedError(
                f"the file has {facts.st_size:,} bytes; a sheet has at most {limit:,}"
            )
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise RefusedError(f"it cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise RefusedError(f"the file has more than {limit:,} bytes")
    return data


def decode(data: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 where it says so; raises `RefusedError`.

    >>> decode(b"\\xef\\xbb\\xbfstudent: Ann")
    'student: Ann'
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RefusedError(f"it is not UTF-8 text (line {line}): save it as UTF-8") from None


def bad_name(name: str) -> str:
    """What is wrong with the name of a student or file; empty where nothing is.

    >>> bad_name("Zoë Ångström"), bad_name("a\\x1b[2Jb")
    ('', 'holds a control character (U+001B)')
    """
    if len(name) > MOST_NAME:
        return f"is longer than {MOST_NAME} characters"
    for char in name:
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp"):
            return f"holds a control character (U+{ord(char):04X})"
        if char in DIRECTIONS:
            return f"holds a mark that turns the writing direction (U+{ord(char):04X})"
    return ""


def shown(path: str) -> str:
    """A path fit for a message: printable, bounded."""
    return shorten(path, 200)


def safe_names(names: Sequence[str]) -> list[str]:
    """A file name for each name: letters, digits, `-`, `_` and `.` only, none twice.

    Nothing in them can lead out of a folder, hide a file, or mean a device.

    >>> safe_names(["Ann Lee", "../etc/passwd", "ann lee", "CON", ""])
    ['Ann_Lee', 'etc_passwd', 'ann_lee-2', 'CON_', 'student']
    """
    taken: set[str] = set()
    found = []
    for name in names:
        base = _slug(name)
        slug, count = base, 1
        while slug.casefold() in taken:
            count += 1
            slug = f"{base}-{count}"
        taken.add(slug.casefold())
        found.append(slug)
    return found


DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"com{i}" for i in range(10)),
                     *(f"lpt{i}" for i in range(10))})  # fmt: skip


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFC", name)
    kept = "".join(c if c.isalnum() or c in "-." else "_" for c in plain)
    kept = "_".join(part for part in kept.split("_") if part).strip("._-")
    while len(kept.encode("utf-8", "replace")) > 120:
        kept = kept[:-1].rstrip("._-")
    if kept.partition(".")[0].casefold() in DEVICES:
        kept += "_"
    return kept or "student"
