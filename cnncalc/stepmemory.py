"""Memory of a training step on the engine, derived before anything is allocated.

A layer knows what its `forward` keeps on the tape (`Layer.held`) and what the engine takes for
a while (`Layer.work`: a convolution's windows, whose sizes do not grow with the batch once it
fills the chunks). On the way back a volume goes when its layer is done, and the cotangents of one
layer's output and inputs come.
"""

from collections.abc import Mapping, Sequence
from math import ceil, prod

from .execute import whole
from .layers.base import Shape
from .rows import Row

WAITING = 2  # of the work: buffers that wait for their next user


def step_bytes(
    rows: Sequence[Row], inputs: Mapping[str, Shape], batch: int, itemsize: int = 4
) -> int:
    """Peak bytes of forward and backward of a concrete network, parameters left out.

    >>> import cnncalc
    >>> report = cnncalc.check("lenet5", run=False)
    >>> one, two = (step_bytes(report.layers, report.input_shapes, n) for n in (1, 2))
    >>> one < two < 2 * one + 1_000_000
    True
    """
    kept = float(sum(prod(whole(shape)) for shape in inputs.values()))
    widest, work = 0, 0
    for row in rows:
        read, output = [whole(shape) for shape in row.input], whole(row.output)
        kept += row.layer.held(read, output)
        widest = max(widest, prod(output) + sum(map(prod, read)))
        work = max(work, row.layer.work(read, row.dialect, batch, itemsize))
    return ceil(itemsize * batch * (kept + 2 * widest)) + WAITING * work
