"""The worked line of an answer: the calculation, right or wrong, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import memory
from ..formula import is_whole
from ..rows import Row
from .quantities import Quantity, quantity
from .subjects import Subject

if TYPE_CHECKING:
    from ..tracing import Line
    from .mistakes import Suspect

SIZES = frozenset({"output", "height", "width", "pad", "stride", "kernel", "valid", "discarded"})
COUNTS = frozenset({"params", "trainable", "weights", "biases", "params_memory", "filters",
                    "weights_per_neuron", "weights_biases"})  # fmt: skip
COSTS = frozenset({"macs", "flops", "connections"})
LONGEST = 160


def worked(subject: Subject, asked: str) -> str:
    """The calculation that gives the right answer; empty where there is none to show.

    >>> import cnncalc
    >>> from cnncalc.homework import subject
    >>> conv1 = subject(cnncalc.load("alexnet").derive(), "CONV1")
    >>> worked(conv1, "output")
    '(227 - 11 + 2*0)/4 + 1 = 55, depth 96 = filters'
    >>> worked(conv1, "params")
    '(11*11*3 + 1) * 96 = 34,944'
    """
    what = quantity(asked)
    if what is None or subject.row is None:
        return ""
    if len(subject.rows) > 1 and what.name in COUNTS | COSTS:
        return _sum(subject, what)
    text = "; ".join(_lines(subject, what))
    return text if len(text) <= (LONGEST if subject.totals is None else 3 * LONGEST) else ""


def _lines(subject: Subject, what: Quantity) -> Iterator[str]:
    from ..tracing import Trace, attempt  # not needed where every answer is right

    row = subject.row
    assert row is not None
    if what.name in SIZES:
        sizes = [_text(line) for line in attempt(lambda: Trace(row).sizes()) or []]
        if what.name == "output" and sizes and "filters" in row.layer.values():
            sizes[-1] += f", depth {row.output[-1]} = filters"
        yield from sizes
    elif what.name in COUNTS:
        lines = attempt(lambda: Trace(row).parameters()) or []
        if lines:
            yield _text(lines[-1])
    elif what.name in COSTS:
        for line in attempt(lambda: Trace(row).macs()) or []:
            text = _text(line)
            yield f"2 * MACs, MACs = {text}" if what.name == "flops" else text
    elif what.name in ("neurons", "activations", "memory", "activations_memory"):
        yield _values(subject, what)
    elif what.name == "receptive_field":
        yield from _reach(subject, row)
    elif what.name == "effective_kernel":
        for w in row.windows[:1]:
            yield f"{w.d}*({w.k} - 1) + 1 = {w.extent}"


def _values(subject: Subject, what: Quantity) -> str:
    """The output's values; of a network those of every volume, the input's first."""
    each = "4 * " if what.kind == "bytes" else ""
    value = what.correct(subject)
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    if subject.totals is None:
        return f"{each}{'*'.join(map(str, subject.output))} = {shown}"
    sizes = memory.volumes(subject.network, subject.inputs, subject.outputs).size
    terms = [f"{n:,}" if isinstance(n, int) else str(n) for n in sizes.values()]
    total = " + ".join(terms)
    return f"{each}({total}) = {shown}" if each else f"{total} = {shown}"


def _reach(subject: Subject, row: Row) -> Iterator[str]:
    from ..tracing import Trace, attempt

    before = {r.name: r for r in subject.network}
    lines = attempt(lambda: Trace(row).reach(before.get(row.inputs[0]))) or []
    for line in lines:
        yield _text(line)


def _text(line: Line) -> str:
    note = f" ({line.note})" if line.note else ""
    return f"{line.numeric} = {line.result}{note}" if line.numeric else f"{line.result}{note}"


def _sum(subject: Subject, what: Quantity) -> str:
    parts = []
    for row in subject.rows:
        one = subject._replace(name=row.name, rows=(row,), output=row.output, totals=None, memo={})
        value = what.correct(one)
        if value != 0 and value is not None:
            parts.append(
                f"{row.name} {value:,}" if isinstance(value, int) else f"{row.name} {value}"
            )
    whole = what.correct(subject)
    text = " + ".join(parts) + f" = {whole:,}" if isinstance(whole, int) else f" = {whole}"
    return text if parts and len(text) <= 3 * LONGEST else ""


def reason(suspect: Suspect, what: Quantity) -> str:
    """A suspect in words, with the calculation that the mistake leads to where it can be shown."""
    from ..tracing import attempt

    if suspect.subject is None or len(suspect.subject.rows) > 1:
        return suspect.words
    if what.name in COUNTS and what.name not in ("params", "trainable"):
        return suspect.words
    lines = attempt(lambda: list(_lines(suspect.subject, what))) or []  # type: ignore[arg-type]
    value = suspect.value
    shown = f"= {value:,}" if isinstance(value, int) else None
    if shown and len(lines) == 1 and lines[0].endswith(shown) and len(lines[0]) < LONGEST:
        return f"{suspect.words}: {lines[0]}"
    return suspect.words


def fitting(subject: Subject) -> str:
    """Why it fits, or does not: the division of the first window that decides."""
    for row in reversed(subject.rows):
        for w in row.windows:
            if w.kind == "transpose":
                continue
            rest = w.remainder
            top = f"({w.n} - {w.extent} + {w.before + w.after})/{w.s}"
            if not subject.fits and isinstance(rest, int) and rest != 0:
                return f"{top} leaves a remainder of {rest}"
            if subject.fits and is_whole(rest) and rest == 0:
                return f"{top} + 1 = {w.out}"
    return ""
