"""What `grad` found, as a table, as JSON, and as one line for `check --grad`."""

import json
from typing import Any

from ..gradients.results import Gradients, Param, Term, Units, Witness
from ..rows import Report
from .layout import WIDTH, Cell, Column, Grid, Paint, clean, hang
from .text import entry
from .words import AGREES, DISAGREES, NOT_RUN, grouped, plural, several, title, volume
from .words import verdict as counted

SCHEMA = "cnncalc.grad/1"
COLUMNS = (
    Column("layer", kind="path"),
    Column("array"),
    Column("shape"),
    Column("norm", right=True, kind="fixed"),
    Column("largest", right=True, kind="fixed"),
    Column("vs JAX", right=True, kind="fixed"),
    Column("vs diff.", right=True, kind="fixed"),
    Column("ok", kind="fixed"),
)
MARKS = {
    "agrees": (AGREES, "good"),
    "disagrees": (DISAGREES, "bad"),
    "none": ("0", "warning"),
    "unchecked": (NOT_RUN, "dim"),
}
NAMES = {"numpy": "NumPy", "jax": "JAX", "symbolic": "SymPy"}
LABEL = 14
FEW = 6


def render(
    report: Report, found: Gradients, format: str, *, width: int | None = None, color: bool = False
) -> str:
    """The gradients as `table`, `json`, or (formulas only) `latex`."""
    if format == "json":
        return json.dumps(to_json(report, found), indent=2) + "\n"
    if found.formulas is not None:
        from .formulas import render as formulas

        return formulas(report, found, format, width or WIDTH)
    return "\n".join(_lines(report, found, width or WIDTH, Paint(color))) + "\n"


def _lines(report: Report, found: Gradients, width: int, paint: Paint) -> list[str]:
    blocks = [
        _head(report, found, width, paint),
        grid(found).lines(width, paint) if found.params else [],
        _notes(found, width),
        *(entry(group, report.source, width, paint) for group in grouped(found.diagnostics)),
        [last(report, found, paint)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block).split("\n")


def _head(report: Report, found: Gradients, width: int, paint: Paint) -> list[str]:
    lines = [paint("bold", title(report))]
    if found.loss is None:
        return lines
    o = found.options
    how = f"gradients by cnncalc's engine on {NAMES[o.engine]}, float64, batch {o.batch}, "
    how += f"seed {o.seed}"
    if found.sizes:
        how += ", at " + ", ".join(f"{k} = {v}" for k, v in found.sizes.items())
    lines += hang(clean(how), width, "", "  ")
    lines += hang(clean(loss_text(found)), width, "", "  ")
    for remark in found.remarks:
        lines += hang(remark, width, "", "  ")
    return lines


def loss_text(found: Gradients) -> str:
    """The loss, and what it is made of.

    >>> term = Term("F", "F", "cross entropy", 10, 2.5)
    >>> from cnncalc.gradients.results import Options
    >>> loss_text(Gradients("agrees", Options(), loss=2.5, terms=(term,)))
    "loss 2.5: cross entropy of 'F' with random labels; ln(10) = 2.303"
    """
    if len(found.terms) == 1:
        return f"loss {found.loss:.4g}: {_term(found.terms[0])}"
    parts = [f"{t.value:.4g} {_term(t)}" for t in found.terms]
    return f"loss {found.loss:.4g}, the sum of " + " + ".join(parts)


def _term(term: Term) -> str:
    if term.expected is not None:
        text = f"cross entropy of '{term.layer}' with random labels"
        return f"{text}; ln({term.classes:,}) = {term.expected:.4g}"
    return f"mean of squares of '{term.layer}' less random targets"


def grid(found: Gradients) -> Grid:
    """One parameter array a row."""
    return Grid(COLUMNS, [_row(p) for p in found.params])


def _row(p: Param) -> list[Cell]:
    mark, style = MARKS[p.verdict]
    return [
        Cell(clean(p.layer)),
        Cell(p.name),
        Cell(volume(p.shape)),
        Cell(small(p.norm)),
        Cell(small(p.largest)),
        Cell(error(p.jax), "dim"),
        Cell(error(p.differences), "dim"),
        Cell(mark, style),
    ]


def small(value: float) -> str:
    """A number in few characters.

    >>> small(0.0), small(0.0123), small(3.5e-07), small(12.25)
    ('0', '0.0123', '3.5e-07', '12.2')
    """
    if value == 0:
        return "0"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def error(value: float | None) -> str:
    """A relative error, or that there is none."""
    if value is None:
        return NOT_RUN
    return "0" if value == 0 else f"{value:.0e}"


def _notes(found: Gradients, width: int) -> list[str]:
    if found.loss is None or not found.params:
        return []
    lines = [("jax.grad", witness(found.jax))]
    lines.append(("differences", witness(found.differences)))
    if found.depth is not None:
        d = found.depth
        text = f"gradient over weights {small(d.at_first)} at '{d.first}', "
        lines.append(("depth", f"{text}{small(d.at_last)} at '{d.last}'"))
    if found.units:
        lines.append(("dead units", dead_text(found.units)))
    if any(p.verdict == "none" for p in found.params):
        lines.append(("0", "no gradient"))
    shown = []
    for label, text in lines:
        shown += hang(clean(text), width, f"{label:<{LABEL}}", " " * LABEL)
    return shown


def witness(w: Witness) -> str:
    """One line about a comparison."""
    if not w.ran:
        return w.detail
    if w.worst is None:
        return f"{w.detail}: the changes are lost in rounding"
    return f"{w.detail}: largest relative error {error(w.worst)}"


def dead_text(units: tuple[Units, ...]) -> str:
    """Which rectifiers have channels that are zero on the whole batch."""
    dead = [f"{u.layer} {u.dead:,} of {u.channels:,}" for u in units if u.dead]
    return several(dead, FEW) if dead else "none on this batch"


def last(report: Report, found: Gradients, paint: Paint) -> str:
    """The last line: OK, or what stands in the way."""
    text = counted(report._replace(diagnostics=found.diagnostics))
    if found.status in ("skipped", "failed"):
        return paint("bad", f"not checked: {clean(found.detail)}" if found.detail else text)
    if found.status == "agrees":
        arrays = plural(len(found.params), "array")
        text += f": the gradients of {arrays} agree" if found.params else f": {found.detail}"
    return paint("good" if found.status == "agrees" else "bad", text)


def line(found: Gradients) -> str:
    """`check --grad` in one line."""
    if found.loss is None or not found.params:
        return f"grad: {found.status}: {clean(found.detail)}"
    parts = [f"{plural(len(found.params), 'array')}, {clean(loss_text(found))}"]
    for name, w in (("jax.grad", found.jax), ("differences", found.differences)):
        parts.append(f"{name} {error(w.worst)}" if w.ran else f"{name} not compared")
    return f"grad: {found.status}: " + "; ".join(parts)


# --- JSON -----------------------------------------------------------------------------


def to_json(report: Report, found: Gradients) -> dict[str, Any]:
    """The object that `grad --format json` prints (schema cnncalc.grad/1)."""
    from .json import _diagnostic

    head = {
        "schema": SCHEMA,
        "ok": found.status == "agrees",
        "spec": {
            "path": report.source.path,
            "name": report.name,
            "dialect": report.dialect.label,
        },
    }
    return head | body(found) | {"diagnostics": [_diagnostic(d) for d in found.diagnostics]}


def body(found: Gradients) -> dict[str, Any]:
    """What `check --grad` carries under "grad"; its diagnostics are among the check's."""
    o = found.options
    text: dict[str, Any] = {
        "status": found.status,
        "detail": found.detail,
        "engine": o.engine,
        "dtype": "float64",
        "batch": o.batch,
        "seed": o.seed,
        "at": o.at,
        "sizes": dict(found.sizes),
        "loss": number(found.loss),
        "terms": [
            {
                "output": t.output, "layer": t.layer, "kind": t.kind, "classes": t.classes,
                "value": number(t.value), "expected": t.expected,
            }
            for t in found.terms
        ],
        "parameters": [
            {
                "layer": p.layer, "name": p.name, "shape": list(p.shape), "norm": number(p.norm),
                "largest": number(p.largest), "relative": number(p.relative),
                "jax": number(p.jax), "differences": number(p.differences),
                "verdict": p.verdict, "detail": p.detail,
            }
            for p in found.params
        ],
        "jax": _witness(found.jax),
        "differences": _witness(found.differences),
        "depth": None,
        "dead_units": [
            {"layer": u.layer, "channels": u.channels, "dead": u.dead} for u in found.units
        ],
        "remarks": list(found.remarks),
    }  # fmt: skip
    if found.depth is not None:
        d = found.depth
        text["depth"] = {
            "first": d.first, "last": d.last, "at_first": d.at_first, "at_last": d.at_last,
            "ratio": d.ratio,
        }  # fmt: skip
    if found.formulas is not None:
        from .formulas import to_json as formulas

        text["formulas"] = formulas(found.formulas)
    return text


def _witness(w: Witness) -> dict[str, Any]:
    return {"ran": w.ran, "worst": number(w.worst), "detail": w.detail}


def number(value: float | None) -> float | None:
    """A finite number; JSON has no others.

    >>> number(0.5), number(float("inf"))
    (0.5, None)
    """
    return value if value is not None and abs(value) < float("inf") else None
