"""The specs that come with the package, by name; and reading of spec files."""

import os
import sys

from . import expr
from .diagnostics import Problem
from .source import MAX_BYTES, Source, shorten

HERE = os.path.dirname(os.path.abspath(__file__))


def folder() -> str:
    """Where the bundled specs lie: inside the installed package, or beside it in a checkout."""
    inside = os.path.join(HERE, "specs")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(HERE), "specs")


def names() -> list[str]:
    """Names of all bundled specs, such as `alexnet` and `lecture/exercise-1`."""
    root = folder()
    found = []
    for base, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f != "broken")
        inside = os.path.relpath(base, root).replace(os.sep, "/")
        prefix = "" if inside == "." else inside + "/"
        found += [prefix + f[:-5] for f in files if f.endswith(".yaml")]
    return sorted(found, key=lambda n: ("/" in n, n))


def _key(name: str) -> str:
    return name.lower().removesuffix(".yaml").replace("-", "").replace("_", "")


def find(name: str) -> str | None:
    """The path of the bundled spec `name`; case, - and _ do not matter."""
    if len(name) > 100 or "\\" in name or ".." in name:
        return None
    exact = os.path.join(folder(), name + ".yaml")
    if os.path.isfile(exact) and os.sep + "broken" not in exact:
        return exact
    key = _key(name)
    for known in names():
        if _key(known) == key or _key(known.rpartition("/")[2]) == key:
            return os.path.join(folder(), known + ".yaml")
    return None


def read(path: str) -> Source:
    """Reads a spec file, a bundled spec or `-` (standard input); raises `Problem` E002."""
    if path == "-":
        return Source(_decode(sys.stdin.buffer.read(MAX_BYTES + 1), "-"), "<stdin>")
    try:
        with open(path, "rb") as file:
            return Source(_decode(file.read(MAX_BYTES + 1), path), path)
    except FileNotFoundError:
        bundled = find(path)
        if bundled is not None:
            return read(os.path.relpath(bundled) if _near(bundled) else bundled)
        raise Problem(
            "E002", f"there is no file '{shorten(path, 200)}'", None, _help(path)
        ) from None
    except IsADirectoryError:
        bundled = find(path)
        if bundled is not None:
            return read(bundled)
        raise Problem("E002", f"'{shorten(path, 200)}' is a folder, not a spec file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Problem("E002", f"'{shorten(path, 200)}' cannot be read: {reason}") from None


def _near(path: str) -> bool:
    try:
        return not os.path.relpath(path).startswith("..")
    except (OSError, ValueError):
        return False


def _help(path: str) -> list[str]:
    near = expr.nearest(path, names())
    help_ = [f"did you mean the bundled spec '{near}'?"] if near else []
    return [*help_, "`cnncalc specs` lists the bundled specs"]


def _decode(data: bytes, path: str) -> str:
    if len(data) > MAX_BYTES:
        raise Problem("E013", f"'{shorten(path, 200)}' is larger than {MAX_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"'{shorten(path, 200)}' is not UTF-8 text (line {line})"
        raise Problem("E002", message, None, ["save the file as UTF-8"]) from None


def title(name: str) -> str:
    """What a bundled spec calls itself."""
    with open(os.path.join(folder(), name + ".yaml"), encoding="utf-8") as file:
        for line in file:
            if line.startswith("name:"):
                return line[5:].strip().strip("'\"")
    return name
