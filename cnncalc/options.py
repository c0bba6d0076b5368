"""The options of `check` as data, and a quick reader of the commonest command lines.

`cnncalc check ...` with plain options is read here, so that it need not wait for typer to
load; anything else (help, completion, abbreviations, mistakes) goes to typer.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

FORMATS = ("table", "json", "markdown", "csv", "sarif", "junit", "github")
DEVICES = ("cpu", "gpu", "tpu")
DTYPES = ("float32", "bfloat16", "float16")


class CheckOptions(NamedTuple):
    """What `check` was asked to do; field names are the option names with _ for -."""

    specs: tuple[str, ...]
    run: bool = True
    run_only_shapes: bool = False
    set: tuple[str, ...] = ()
    dialect: tuple[str, ...] = ()
    device: str | None = None
    batch: int = 1
    seed: int = 0
    format: str = "table"
    output: str | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    strict: bool = False
    grad: bool = False
    convention: str | None = None
    dtype: str = "float32"
    mesh: str | None = None
    device_memory: str | None = None
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


FLAGS: dict[str, tuple[str, bool]] = {
    "--run": ("run", True),
    "--no-run": ("run", False),
    "--run-only-shapes": ("run_only_shapes", True),
    "--strict": ("strict", True),
    "--grad": ("grad", True),
}
VALUES = ("device", "batch", "seed", "format", "output", "convention", "dtype")
LISTS = ("set", "dialect", "select", "ignore")
CHOICES = {"format": FORMATS, "device": DEVICES, "dtype": DTYPES}


def quick(argv: Sequence[str]) -> CheckOptions | None:
    """Options of a plain `check` call, or None where typer should read it.

    >>> quick(["check", "alexnet", "--no-run", "--set", "k=3"]).set
    ('k=3',)
    >>> quick(["check", "--help"]) is None
    True
    """
    if len(argv) < 2 or argv[0] != "check":
        return None
    found: dict[str, Any] = {}
    lists: dict[str, list[str]] = {"specs": []}
    rest = iter(argv[1:])
    for word in rest:
        if word in FLAGS:
            name, value = FLAGS[word]
            found[name] = value
        elif word == "-" or not word.startswith("-"):
            lists["specs"].append(word)
        else:
            flag, equals, text = word.partition("=")
            name = flag.removeprefix("--")
            if not flag.startswith("--") or name not in (*VALUES, *LISTS):
                return None
            entry = text if equals else next(rest, None)
            if entry is None or (not equals and entry.startswith("-")):
                return None
            if name in LISTS:
                lists.setdefault(name, []).append(entry)
            elif not _plain(name, entry):
                return None
            else:
                found[name] = int(entry) if name in ("batch", "seed") else entry
    if not lists["specs"]:
        return None
    found |= {name: tuple(words) for name, words in lists.items()}
    return CheckOptions(**found)


def _plain(name: str, text: str) -> bool:
    if name in CHOICES:
        return text in CHOICES[name]
    if name in ("batch", "seed"):
        whole = text.isascii() and text.isdigit() and len(text) < 10
        return whole and (name == "seed" or int(text) > 0)
    return True
