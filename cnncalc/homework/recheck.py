"""A key's answers, once more, from what JAX itself does: shapes, weights, what is never read.

Nothing here reads the derivation's formulas: sizes come from tracing the layers' references,
written in `lax`, and counts from the arrays that these ask for.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

from ..jaxrun.layer import Bound, Traced, trace
from ..rows import Report, Row
from .marking import MISFIT
from .questions import Questions

SLIDING = ("conv", "depthwise_conv", "maxpool", "avgpool")


def recheck(report: Report, asked: Questions) -> list[str]:
    """What JAX says otherwise: one sentence for each answer that it does not confirm."""
    traced = {row.name: trace(row.layer, row.dialect, _shapes(row)) for row in report.layers}
    return list(_disagreements(report, asked, traced))


def _shapes(row: Row) -> list[tuple[Any, ...]]:
    return [(1, *shape) for shape in row.input]


def _disagreements(report: Report, asked: Questions, traced: dict[str, Traced]) -> Iterator[str]:
    rows = {row.name: row for row in report.layers}
    for part in asked.parts:
        for blank in part.blanks:
            found = _answer(part.layer, blank.quantity, rows, traced)
            if found is not None and found != blank.answer:
                where = f"{part.layer or 'network'} {blank.quantity}"
                yield f"{where}: {blank.answer}, JAX says {found}"
    for row in report.layers:
        if row.op in SLIDING and not row.assumed:
            bad = any(
                b.answer == MISFIT for p in asked.parts if p.layer == row.name for b in p.blanks
            )
            if slides_evenly(row) == bad:
                yield f"{row.name}: on JAX it {'fits' if bad else 'does not fit'}"


def _answer(
    layer: str | None, what: str, rows: dict[str, Row], traced: dict[str, Traced]
) -> str | None:
    """The answer as JAX gives it; None where it says nothing of this."""
    if layer is None:
        return str(sum(map(_params, traced.values()))) if what == "params" else None
    row, one = rows[layer], traced[layer]
    output = one.output[1:]
    if what == "output":
        return "x".join(map(str, output)) if _fits(row) else MISFIT
    if what == "params":
        return str(_params(one))
    if what == "neurons":
        return str(prod(output))
    if what == "macs":
        return str(_macs(row, one))
    if what == "receptive_field":
        return _receptive_field(row, rows)
    return None


def _params(one: Traced) -> int:
    return sum(prod(weight.shape) for weight in one.weights.values())


def _macs(row: Row, one: Traced) -> int:
    """Every output value is a sum over the weights of its filter or unit."""
    kernel = one.weights["kernel"].shape if "kernel" in one.weights else ()
    return prod(one.output[1:]) * prod(kernel[:-1]) if kernel else 0


def _fits(row: Row) -> bool:
    return row.op not in SLIDING or slides_evenly(row)


def slides_evenly(row: Row) -> bool:
    """Whether the last window ends where the padded input ends.

    It does just where an input one shorter has one window less.

    >>> import cnncalc
    >>> spec = "input: 7x7x1\\nlayers:\\n  - conv: {filters: 1, kernel: 3, stride: %d}\\n"
    >>> [slides_evenly(cnncalc.load(spec % s).derive().layers[0]) for s in (1, 2, 3)]
    [True, True, False]
    """
    shape = row.input[0]
    whole = trace(row.layer, row.dialect, [(1, *shape)]).output
    for axis, n in enumerate(shape[:-1]):
        if not isinstance(n, int) or n < 2:
            continue
        shorter = (*shape[:axis], n - 1, *shape[axis + 1 :])
        try:
            less = trace(row.layer, row.dialect, [(1, *shorter)]).output[axis + 1]
        except Exception:  # JAX refuses a window larger than its input
            continue
        if less == whole[axis + 1] and row.windows[axis].s != 1:
            return False
    return True


def _receptive_field(row: Row, rows: dict[str, Row]) -> str | None:
    """The extent of the input that moves one output value, through all layers up to `row`.

    Weights of one and one channel; the gradient of the middle output value.
    """
    import jax
    import numpy as np

    chain = list(rows.values())
    chain = chain[: chain.index(row) + 1]
    if any(r.op not in ("conv", "relu", "avgpool") for r in chain):
        return None
    size = 2 * max(n for n in row.receptive_field if isinstance(n, int)) + 8
    layers = [(r, r.layer.replace(**_single(r))) for r in chain]

    def middle(x: Any) -> Any:
        for r, layer in layers:
            shape = tuple(x.shape)
            weights = trace(layer, r.dialect, [shape]).weights
            ones = {name: np.ones(w.shape, np.float32) for name, w in weights.items()}
            x = layer.reference(Bound(r.dialect, ones), x)
        return x[0, x.shape[1] // 2, x.shape[2] // 2, 0]

    gradient = np.asarray(jax.grad(middle)(np.ones((1, size, size, 1), np.float32)))[0, :, :, 0]
    extents = [int(np.ptp(np.nonzero(gradient)[axis])) + 1 for axis in (0, 1)]
    return "x".join(map(str, extents))


def _single(row: Row) -> dict[str, Any]:
    return {k: v for k, v in (("filters", 1), ("groups", 1)) if k in row.layer.fields}
