"""How sizes, counts and verdicts read, for every format that people read."""

from collections.abc import Iterable, Sequence

from .. import units
from ..diagnostics import Diagnostic
from ..formula import Number, domain_text
from ..rows import Expectation, Report, Row, RunReport, Totals
from .layout import clean

AGREES, DISAGREES, NOT_RUN = "✓", "✗", "·"
MARKS = {"right": AGREES, "wrong": DISAGREES, "unreadable": "?"}
SEVERITIES = ("error", "warning", "note")
LEGEND = {"!": "does not fit", "~": "follows from a size that does not fit"}


def volume(shape: Iterable[Number]) -> str:
    """A volume as the lecture writes it; closed forms are set apart by spaces.

    >>> volume((55, 55, 96))
    '55x55x96'
    """
    dims = [str(n) for n in shape]
    if all(d.isalnum() for d in dims):
        return "x".join(dims)
    return " x ".join(f"({d})" if _is_sum(d) else d for d in dims)


def _is_sum(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == " " and depth == 0:
            return True
    return False


def count(n: Number) -> str:
    """A number with thousands set apart; a closed form as it is.

    >>> count(60965224)
    '60,965,224'
    """
    return f"{n:,}" if isinstance(n, int) else str(n)


def signed(n: Number) -> str:
    """A difference with its sign.

    >>> signed(1234), signed(-5), signed(0)
    ('+1,234', '-5', '0')
    """
    return f"{n:+,}" if isinstance(n, int) and n else str(n)


def memory(n: Number) -> str:
    """Bytes in a unit that reads well.

    >>> memory(67108864), memory(2**31)
    ('64.0 MiB', '2.0 GiB')
    """
    return units.binary(n) if isinstance(n, int) else f"{n} bytes"


def plural(n: int, noun: str) -> str:
    """A counted noun.

    >>> plural(1, "error"), plural(2, "error")
    ('1 error', '2 errors')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def several(names: Sequence[str], most: int = 4) -> str:
    """The first few names and how many more there are.

    >>> several(["a", "b", "c"]), several(["a", "b", "c"], 2)
    ('a, b, c', 'a, b and 1 more')
    """
    shown = ", ".join(clean(n) for n in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def run_mark(row: Row) -> str:
    if row.run is None:
        return NOT_RUN
    return AGREES if row.run.agrees else DISAGREES


def doubts(report: Report) -> dict[str, str]:
    """The sign before the output of each layer that does not fit, or follows from one."""
    found = {row.name: "~" for row in report.layers if row.assumed}
    wrong = {d.layer for d in report.diagnostics if d.severity == "error" and d.code[0] == "S"}
    return found | {row.name: "!" for row in report.layers if row.name in wrong}


def legend(report: Report) -> list[str]:
    """What the signs of `doubts` mean."""
    used = set(doubts(report).values())
    return [f"{sign} {text}" for sign, text in LEGEND.items() if sign in used]


def title(report: Report) -> str:
    """Name, dialect and file of a spec."""
    path = clean(report.source.path)
    name = clean(report.name) or path
    counted = f"; MACs as {report.convention} counts them" if report.convention else ""
    return f"{name} ({report.dialect.label}{counted})" + (f"  {path}" if name != path else "")


def symbol_lines(report: Report) -> list[str]:
    """The domain of each symbol."""
    return [f"{name}: {domain_text(symbol)}" for name, symbol in report.symbols.items()]


def total_lines(totals: Totals) -> list[tuple[str, str]]:
    """Label and text of each total."""
    lines = [("parameters", count(totals.trainable))]
    if totals.buffers != 0:
        lines.append(("buffers", f"{count(totals.buffers)} (kept, not trained)"))
    lines.append(("MACs", count(totals.macs)))
    lines.append(("activations", f"{count(totals.activations)} values"))
    lines.append(("peak memory", f"{memory(totals.peak_memory)} for inference"))
    lines.append(("", f"{memory(totals.training_memory)} for training (float32, one item)"))
    return lines


def answer_line(e: Expectation) -> str:
    """What was given and what is right, without the mark."""
    what = clean(f"{e.layer or 'network'} {e.quantity}")
    if e.verdict == "right":
        return f"{what}: {clean(e.given)}"
    if e.verdict == "unreadable":
        return f"{what}: '{clean(e.given)}' is not readable; right is {clean(e.correct)}"
    return f"{what}: {clean(e.given)}, but right is {clean(e.correct)}"


def answer_summary(found: Sequence[Expectation]) -> str:
    """How many answers are right, wrong and unreadable."""
    right = sum(e.verdict == "right" for e in found)
    if right == len(found):
        return f"{plural(right, 'answer')} right"
    wrong = sum(e.verdict == "wrong" for e in found)
    unread = len(found) - right - wrong
    parts = [(wrong, "wrong"), (unread, "unreadable"), (right, "right")]
    return f"{plural(len(found), 'answer')}: " + ", ".join(f"{n} {w}" for n, w in parts if n)


def run_line(run: RunReport) -> str:
    """The run on one line: status, detail, where it ran, and the proof for all sizes."""
    text = f"run: {run.status}"
    if run.detail:
        text += f": {clean(run.detail)}"
    if run.platform:
        where = [plural(run.devices, "device"), run.dtype]
        if f"on {run.platform}" not in run.detail:  # most details name it
            where.insert(0, run.platform)
        text += f" ({clean(', '.join(where))})"
    return text if run.all_sizes == "skipped" else f"{text}; all sizes: {run.all_sizes}"


def verdict(report: Report, strict: bool = False) -> str:
    """The last line: OK, or what stands in the way.

    Warnings fail under `--strict` only; notes never do.
    """
    counts = [(sum(d.severity == s for d in report.diagnostics), s) for s in SEVERITIES]
    found = ", ".join(plural(n, s) for n, s in counts[:2] if n)
    if report.status(strict) == 0:
        return f"OK, {found}" if found else "OK"
    return f"{found} (strict)" if counts[0][0] == 0 else found


def ordered(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Errors, warnings, notes; each by its place in the file."""

    def key(d: Diagnostic) -> tuple[int, int, int]:
        line, column = (d.span.line, d.span.column) if d.span else (0, 0)
        return SEVERITIES.index(d.severity), line, column

    return sorted(found, key=key)


def grouped(found: Iterable[Diagnostic]) -> list[list[Diagnostic]]:
    """In order, notes of one code together; warnings too where there are many."""
    groups: dict[object, list[Diagnostic]] = {}
    every = ordered(found)
    many = {c for c in {d.code for d in every} if sum(d.code == c for d in every) > 3}
    for i, d in enumerate(every):
        alike = d.severity == "note" or (d.severity == "warning" and d.code in many)
        groups.setdefault((d.severity, d.code) if alike else i, []).append(d)
    return list(groups.values())
