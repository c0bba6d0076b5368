"""Operators that reduce axes: means, sums, extremes."""

from typing import Any

from .core import Converter, Unknown, handles
from .reading import Node
from .values import Tensor

Steps = tuple[tuple[str, dict[str, Any]], ...]


# what is done to every value before the reduction, the reduction, and what after it
REDUCTIONS: dict[str, tuple[Steps, str, Steps]] = {
    "ReduceMean": ((), "mean", ()),
    "ReduceSum": ((), "sum", ()),
    "ReduceMax": ((), "max", ()),
    "ReduceMin": ((("rescale", {"scale": -1}),), "max", (("rescale", {"scale": -1}),)),
    "ReduceL1": ((("abs", {}),), "sum", ()),
    "ReduceL2": ((("power", {"exponent": 2}),), "sum", (("power", {"exponent": "0.5"}),)),
    "ReduceSumSquare": ((("power", {"exponent": 2}),), "sum", ()),
}


@handles(*REDUCTIONS)
def reduce(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    axes = c.numbers(node, 1, "axes")
    keep = bool(node.attributes.get("keepdims", 1))
    if not axes and node.attributes.get("noop_with_empty_axes"):
        raise Unknown
    gone = sorted({int(a) % x.rank for a in axes} if axes else range(x.rank))
    before, op, after = REDUCTIONS[node.op]
    sizes = tuple(1 if i in gone else n for i, n in enumerate(x.sizes))
    over = [a for a in gone if a in x.order]
    left = tuple(a for a in x.order if a not in gone)
    if not over or not left:
        raise Unknown
    ref = _steps(c, x.ref, before)
    spatial = over == list(range(2, x.rank)) and left == (1,) and x.order == (*over, 1)
    if spatial and op in ("mean", "max") and x.rank > 3:
        whole = "global_avgpool" if op == "mean" else "global_maxpool"
        ref = c.emit(node, whole, {"keepdims": True} if keep else {}, [ref])
    else:
        fields: dict[str, Any] = {"axes": [x.order.index(a) for a in over]}
        if keep:
            fields["keepdims"] = True
        ref = c.emit(node, op, fields, [ref])
    ref = _steps(c, ref, after)
    if keep:
        c.set(node, Tensor(ref, x.order, sizes))
        return
    kept = [i for i in range(x.rank) if i not in gone]
    c.set(node, Tensor(ref, tuple(kept.index(a) for a in left), tuple(sizes[i] for i in kept)))


def _steps(c: Converter, ref: str, steps: Steps) -> str:
    for op, fields in steps:
        ref = c.draft.add(op, fields, [ref])
    return ref
