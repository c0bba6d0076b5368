"""Files are written here: as a whole or not at all, and never through a symbolic link."""

import os
import stat
import sys
from contextlib import suppress
from typing import TextIO

PLAIN = ("/dev/stdout", "/dev/stderr")  # links that mean a stream of this process


def replace(path: str, data: bytes, mode: int | None = None) -> None:
    """Writes a file as a whole: the old one or the new one, never a part of it.

    The bytes go to a temporary name beside the file, are forced to disk, and are then renamed.
    A symbolic link at `path` is replaced, not followed; a device or pipe is written to as it
    is. A new file has the usual permissions or `mode`; an old one keeps its own. Raises
    `OSError`, or ValueError for a path with a NUL; the temporary file is gone in either case,
    and where the process is interrupted, too.
    """
    kept = _kind(path)
    if kept is None:
        _append(path, data)
        return
    temporary = beside(path)
    made = False
    try:
        handle = os.open(temporary, _FLAGS, 0o666 if mode is None else mode)
        made = True
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        wanted = mode if mode is not None else kept
        if wanted:
            os.chmod(temporary, wanted)
        os.replace(temporary, path)
        made = False
    finally:
        if made:
            os.unlink(temporary)
    sync_folder(path)


_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def beside(path: str) -> str:
    """A name in the folder of `path` that nobody has and that nobody can foresee."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:40]}.{os.urandom(6).hex()}.tmp")


def writable(path: str) -> None:
    """Finds out whether `replace` could write `path`; raises `OSError` or ValueError."""
    if _kind(path) is None:
        return
    temporary = beside(path)
    os.close(os.open(temporary, _FLAGS, 0o600))
    os.unlink(temporary)


def streams(path: str) -> bool:
    """Whether `path` is a device or pipe: it is written to as it is; raises `OSError`."""
    return _kind(path) is None


def partial(path: str, keep: bool) -> TextIO:
    """Opens the file that a result grows in: a new one, or with `keep` the one that is there.

    A symbolic link is never followed; raises `OSError`.
    """
    if not keep:
        with suppress(FileNotFoundError):
            os.unlink(path)
    flags = os.O_RDWR if keep else _FLAGS
    handle = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    return os.fdopen(handle, "r+" if keep else "w", encoding="utf-8", newline="")


def _kind(path: str) -> int | None:
    """The permissions of the file at `path`, 0 where there is none, None for a device or pipe."""
    if path in PLAIN:
        return None
    if not os.path.basename(path):
        raise IsADirectoryError(21, "Is a directory")
    try:
        found = os.lstat(path).st_mode
    except FileNotFoundError:
        return 0
    if os.path.isdir(path):
        raise IsADirectoryError(21, "Is a directory")
    if stat.S_ISLNK(found):
        return 0
    return stat.S_IMODE(found) if stat.S_ISREG(found) else None


def _append(path: str, data: bytes) -> None:
    stream = {"/dev/stdout": sys.stdout, "/dev/stderr": sys.stderr}.get(path)
    if stream is not None:
        stream.flush()
        stream.buffer.write(data)
        stream.flush()
        return
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def sync_folder(path: str) -> None:
    """Forces the renaming of `path` to disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return  # a folder that may be written to but not read
    try:
        os.fsync(folder)
    except OSError:
        pass  # some file systems cannot; the file itself is whole
    finally:
        os.close(folder)


PLAINER = {"─": "-", "✓": "+", "✗": "x", "·": ".", "…": "~", "–": "-", "→": ">", "×": "x",
           "−": "-", "\u00a0": " "}  # fmt: skip


def spelled(text: str, encoding: str) -> str:
    """Text for a stream that cannot take all of it: other signs of the same width.

    >>> spelled("✓ ✗ é", "ascii"), spelled("✗ é", "latin-1")
    ('+ x ?', 'x é')
    """
    for sign, plainer in PLAINER.items():
        if sign.encode(encoding, "ignore") == b"":
            text = text.replace(sign, plainer)
    return text.encode(encoding, "replace").decode(encoding)


def why(error: BaseException) -> str:
    """The reason in an error of writing or reading, in the system's words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
