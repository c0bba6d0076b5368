"""What a rule is: a function with a code and a title, whose docstring explains it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from ..diagnostics import Severity
from ..dialects import Dialect, Window, floor_rule
from ..formula import compare
from ..layers.base import Layer, Misfit, Shape, divides

AXES = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}


class Entry(NamedTuple):
    """One code as `explain` shows it."""

    code: str
    title: str
    severity: Severity
    text: str
    remark: str = ""  # where the severity depends on more

    @property
    def example(self) -> str:
        """The spec in the explanation that sets the code off; empty where none does."""
        lines = [line[4:] for line in self.text.splitlines() if line.startswith("    ")]
        return "\n".join(lines) + "\n" if lines else ""


class Finding(NamedTuple):
    """What a rule says of one layer. `help` lines were re-checked before they are given."""

    code: str
    severity: Severity
    message: str
    field: str | None = None
    help: tuple[str, ...] = ()


class Case(NamedTuple):
    """One layer on its inputs, as the size rules see it."""

    layer: Layer
    inputs: tuple[Shape, ...]
    dialect: Dialect
    windows: tuple[Window, ...]
    misfits: tuple[Misfit, ...]

    @classmethod
    def of(cls, layer: Layer, inputs: Sequence[Shape], dialect: Dialect) -> "Case":
        misfits = tuple(layer.misfits(inputs, dialect))
        axes = tuple(m for m in misfits if m.code == "S008")
        if axes:  # nothing else can be said of a volume with other axes
            return cls(layer, tuple(inputs), dialect, (), axes)
        return cls(layer, tuple(inputs), dialect, layer.windows(inputs, dialect), misfits)

    @property
    def exact(self) -> bool:
        """Whether a stride that does not fit is an error: no rounding was asked for."""
        return self.dialect.exact and getattr(self.layer, "round", None) is None

    @property
    def sliding(self) -> bool:
        """Whether the windows can be laid out at all: each fits once, and none is refused."""
        return not any(w.flaw or too_large(w) for w in self.windows)

    @property
    def output(self) -> Shape:
        return self.layer.output(self.inputs, self.dialect)

    @property
    def axes(self) -> tuple[str, ...]:
        """What one step along each spatial axis is called."""
        rank = len(self.windows)
        return AXES.get(rank) or tuple(f"step of axis {i}" for i in range(rank))

    def stated(self, code: str) -> Iterator[Finding]:
        """The problems with this code that the layer itself states."""
        for misfit in self.misfits:
            if misfit.code == code:
                yield Finding(code, "error", misfit.message, misfit.field)


ENTRIES: dict[str, Entry] = {}
F = TypeVar("F", bound=Callable[..., Any])


def rule(code: str, title: str, severity: Severity = "error", remark: str = "") -> Callable[[F], F]:
    """Declares a function as the rule for `code`; its docstring explains the code."""

    def declare(function: F) -> F:
        ENTRIES[code] = Entry(code, title, severity, unindented(function.__doc__ or ""), remark)
        return function

    return declare


def entry(
    code: str, title: str, text: str, severity: Severity = "error", remark: str = ""
) -> Entry:
    """A code that no rule function stands for, such as those of the parser and the run."""
    return Entry(code, title, severity, unindented(text), remark)


def unindented(text: str) -> str:
    r"""A docstring without its margin, as `inspect.cleandoc`, whose import is costly, gives it.

    >>> unindented("One.\n\n    Two:\n        three\n    ")
    'One.\n\nTwo:\n    three'
    """
    first, *rest = text.expandtabs().splitlines() or [""]
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    lines = [first.strip(), *(line[margin:] for line in rest)]
    return "\n".join(lines).strip("\n")


def too_large(w: Window) -> bool:
    """Is the kernel surely larger than the padded input?"""
    return w.kind != "transpose" and compare(w.padded, w.extent) == -1


def fits(w: Window) -> bool | None:
    """Do the windows end exactly at the edge? None where the symbols leave it open.

    Only rounding down leaves a rest: `same` and rounding up pad until it fits.
    """
    if w.kind == "transpose" or w.rule is not floor_rule:
        return True
    return divides(w.padded - w.extent, w.s)


def whole(values: Iterable[object]) -> tuple[int, ...] | None:
    """The values as integers; None where one is a closed form."""
    found = tuple(v for v in values)
    return cast("tuple[int, ...]", found) if all(isinstance(v, int) for v in found) else None


def volume(shape: Iterable[object]) -> str:
    """A shape as the lecture writes it; closed forms are set apart.

    >>> volume((5, 5, 3))
    '5x5x3'
    """
    parts = [str(d) for d in shape]
    plain = all(p.isalnum() for p in parts)
    return ("x" if plain and all(p.isdigit() for p in parts) else " x ").join(parts)


def an(text: str) -> str:
    """The noun with its article.

    >>> an("3x3 filter"), an("11x11 filter"), an("8x8 pool"), an("H x W input")
    ('a 3x3 filter', 'an 11x11 filter', 'an 8x8 pool', 'an H x W input')
    """
    first = text.partition("x")[0].partition(" ")[0]
    spelled = len(first) == 1 and first in "AEFHILMNORSX"  # the name of a letter
    vowel = first in ("11", "18") or text[:1] in ("8", *"aeiou") or spelled
    return f"{'an' if vowel else 'a'} {text}"


def counted(n: object, noun: str) -> str:
    """
    >>> counted(1, "row"), counted(2, "row")
    ('1 row', '2 rows')
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"
