"""Shape arithmetic: operators on constants alone are computed, symbols and all.

Where values are not known (weights left out of the file) the shape alone is followed.
"""

from ...formula import Number
from . import elementwise, rearranging
from .core import Converter, Unknown
from .elementwise import of
from .reading import Constant, Node
from .values import Const, Tensor

SHAPED = {**elementwise.TABLE, **rearranging.TABLE}
MULTIPLIED = frozenset({"MatMul", "Gemm", "Linear"})
INTEGER = frozenset({"Shape", "Size", "ConstantOfShape", "Range"})


def fold(c: Converter, node: Node) -> None:
    """Computes a node whose inputs are all constants; raises `Unknown`."""
    inputs = [v for i in node.inputs if (v := c.values[i] if i else None) is None
              or isinstance(v, Const)]  # fmt: skip
    weights = frozenset(w for v in inputs if v is not None for w in v.weights)
    floating = any(v.floating for v in inputs if v is not None)
    if node.op == "Constant":
        c.set(node, _constant(node))
        return
    first = inputs[0] if inputs else None
    if node.op == "Identity" and first is not None and node.inputs[0] in first.weights:
        # equal weights written once: each keeps its name and its count
        c.set(node, c.weight(node.outputs[0], first.shape, first.values, first.floating))
        return
    table = SHAPED.get(node.op)
    if table is None:
        raise Unknown
    found = table(c, node, inputs)
    if not isinstance(found, list):
        found = [found]
    for i, value in enumerate(found):
        if value is first and first is not None:
            value = first._replace(macs=0)
        if not isinstance(value, Const):
            value = of(value)
        if node.op in MULTIPLIED and len(inputs) > 1 and inputs[1] is not None:
            # what a weight multiplies is data, unless products made it before
            data = inputs[0] if inputs[0] is not None and not inputs[0].macs else None
            others = [v for v in inputs if v is not None and v is not data]
            weights = frozenset(w for v in others for w in v.weights)
        kept = weights if floating and node.op not in INTEGER else frozenset()
        macs = sum(v.macs for v in inputs if v is not None) + (0 if i else value.macs)
        c.set(node, value._replace(weights=kept, floating=floating, macs=macs), i)


def shape_of(c: Converter, node: Node) -> None:
    """`Shape` and `Size` of a tensor of the network."""
    value = c.value(node, 0)
    assert value is not None
    sizes = value.sizes if isinstance(value, Tensor) else value.shape
    if node.op == "Size":
        total: Number = 1
        for n in sizes:
            total = total * n
        c.set(node, of([total], ()))
        return
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    c.set(node, of(list(sizes)[start:end]))


def _constant(node: Node) -> Const:
    import numpy as np

    for key, value in node.attributes.items():
        if isinstance(value, Constant):
            return Const(value.shape, value.values, frozenset(), value.floating)
        if key in ("value_int", "value_float") and value is not None:
            return of(np.array(value))
        if key in ("value_ints", "value_floats") and value is not None:
            return of(np.array(value))
    return Const((), None, frozenset(), False)
