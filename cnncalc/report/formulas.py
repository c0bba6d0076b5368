"""Gradients as formulas: in text, in LaTeX, and in JSON."""

from typing import Any

from ..gradients.results import Gradients
from ..gradients.symbolic import Formula, Formulas
from ..rows import Report
from .layout import clean, hang
from .words import title, volume


def render(report: Report, found: Gradients, format: str, width: int) -> str:
    """All formulas, as text or as one LaTeX display a part."""
    assert found.formulas is not None
    if format == "latex":
        return _latex(found.formulas)
    return _text(report, found, found.formulas, width)


def _text(report: Report, found: Gradients, made: Formulas, width: int) -> str:
    head = [title(report), "gradients as formulas, one item"]
    if found.sizes:
        head[-1] += ", at " + ", ".join(f"{k} = {v}" for k, v in found.sizes.items())
    head += found.remarks
    legend = [
        f"{s.letter}: {s.meaning}" + (f", {volume(s.shape)}" if s.shape else "")
        for s in made.symbols
    ]
    parts = [head, legend]
    for formulas in (made.outputs, made.loss, made.upstream, made.gradients):
        parts.append([line for f in formulas for line in _equation(f, width)])
    shown = found.differences
    parts.append([f"{'OK' if found.status == 'agrees' else 'R011'}: {shown.detail}, "
                  f"relative error {shown.worst or 0:.0e}"])  # fmt: skip
    return "\n\n".join("\n".join(clean(line) for line in part) for part in parts) + "\n"


def _equation(f: Formula, width: int) -> list[str]:
    return hang(f.right, width, f"{f.left} = ", "    ")


def _latex(made: Formulas) -> str:
    blocks = []
    for formulas in (made.outputs, made.loss, made.upstream, made.gradients):
        lines = " \\\\\n".join(f"{f.left_latex} &= {f.right_latex}" for f in formulas)
        blocks.append(f"\\begin{{align*}}\n{lines}\n\\end{{align*}}")
    return "\n".join(blocks) + "\n"


def to_json(made: Formulas) -> dict[str, Any]:
    """The formulas as objects with both spellings."""
    found: dict[str, Any] = {
        "symbols": [
            {"letter": s.letter, "meaning": s.meaning, "shape": list(s.shape)} for s in made.symbols
        ]
    }
    for name in ("outputs", "loss", "upstream", "gradients"):
        found[name] = [
            {"left": f.left, "right": f.right, "latex": f"{f.left_latex} = {f.right_latex}"}
            for f in getattr(made, name)
        ]
    return found
