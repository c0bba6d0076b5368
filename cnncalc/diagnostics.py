"""Problems as data: a code, a place and a remedy; rendering happens in `report`."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]


class Span(NamedTuple):
    """A place in a source text: 1-based line and column, length in characters."""

    line: int
    column: int
    length: int = 1


class Diagnostic(NamedTuple):
    """One finding. `help` lines were re-checked: what they suggest does work.

    >>> Diagnostic("S001", "error", "stride 3 does not fit", Span(4, 5), "conv1").code
    'S001'
    """

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    layer: str | None = None
    help: tuple[str, ...] = ()


class Problem(Exception):
    """Carries one diagnostic up to the nearest place that collects them."""

    def __init__(
        self, code: str, message: str, span: Span | None = None, help: Iterable[str] = ()
    ) -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(code, "error", message, span, None, tuple(help))


class Collector:
    """Gathers diagnostics, so that every problem of a file is reported at once."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def add(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        help: Iterable[str] = (),
        severity: Severity = "error",
        layer: str | None = None,
    ) -> None:
        self.found.append(Diagnostic(code, severity, message, span, layer, tuple(help)))

    def catch(self, problem: Problem) -> None:
        self.found.append(problem.diagnostic)

    @property
    def failed(self) -> bool:
        return any(d.severity == "error" for d in self.found)


def exit_status(diagnostics: Iterable[Diagnostic], strict: bool = False) -> int:
    """0 all good; 1 something in the spec is wrong; 2 it could not be checked.

    >>> exit_status([Diagnostic("W001", "warning", "shrinks fast")])
    0
    >>> exit_status([Diagnostic("E003", "error", "unknown op")])
    2
    """
    status = 0
    for d in diagnostics:
        if d.severity == "error":
            status = max(status, 2 if d.code[0] == "E" or d.code in UNCHECKED else 1)
        elif d.severity == "warning" and strict:
            status = max(status, 1)
    return status


# R-codes that mean "could not be checked" rather than "checked and wrong":
# not enough memory, device absent, jax absent or broken, run interrupted by an error.
UNCHECKED = frozenset({"R004", "R005", "R007"})
