"""PyTorch's counterparts of the layers that pick parts of a volume, or repeat it."""

from typing import Any

from ..layers.reshape import position
from ..rows import Row
from .code import Call
from .torch_layers import Piece, to
from .volumes import ANY, LAST, rank, tensor, tensor_axis, whole


@to("slice")
def _slice(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    key = [":"] * (len(row.input[0]) + 1)
    for axis, start, stop, step in layer._cuts(len(row.input[0])):
        first = whole(row, start, "start") if start else ""
        end = "" if stop is None else whole(row, stop, "stop")
        by = "" if step == 1 else f":{whole(row, step, 'step')}"
        key[tensor_axis(axis, len(row.input[0]), layout)] = f"{first}:{end}{by}"
    while len(key) > 1 and key[-1] == ":":
        key.pop()
    return Piece((), f"{{0}}[{', '.join(key)}]", layout=layout)


@to("gather")
def _gather(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    dim = tensor_axis(layer.axis, rank(row) + 1, LAST)
    chosen = list(layer.indices) if isinstance(layer.indices, tuple) else layer.indices
    return Piece((), "{0}[" + ":, " * dim + f"{chosen!r}]", layout=LAST)


@to("split", "chunk")
def _part(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    dim = tensor_axis(layer.axis, rank(row) + 1, layout)
    if row.op == "chunk":
        parts: Any = whole(row, layer.parts, "parts")
        return Piece((), f"{{0}}.chunk({parts}, dim={dim})[{layer.index}]", layout=layout)
    if isinstance(layer.parts, tuple):
        parts = [whole(row, n, "parts") for n in layer.parts]
    else:
        n = row.input[0][position(layer.axis, rank(row) + 1) or 0]
        parts = whole(row, n, "the size") // whole(row, layer.parts, "parts")
    return Piece((), f"{{0}}.split({parts!r}, dim={dim})[{layer.index}]", layout=layout)


@to("expand")
def _expand(row: Row, layout: str) -> Piece:
    sizes = [whole(row, n, "the shape") for n in row.output]
    new = len(sizes) - len(row.input[0])
    layout = layout if not new and rank(row) else LAST
    ones = f"[:{', None' * new}]" if new else ""
    inside = ", ".join(map(str, tensor(tuple(sizes), layout)))
    return Piece((), f"{{0}}{ones}.expand(-1, {inside})", layout=layout, out=layout)


@to("squeeze")
def _squeeze(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    ndim = len(row.input[0])
    gone = {position(a, ndim) for a in layer.axes}
    if len(row.output) == 1:
        return Piece((Call("nn.Flatten"),), "{0}.flatten(1)", layout=ANY)
    over = tuple(sorted(i + 1 for i in gone if i is not None))
    return Piece((), f"{{0}}.squeeze({over!r})", layout=LAST, out=LAST)


@to("unsqueeze")
def _unsqueeze(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    ndim = len(row.output)
    new = {position(a, ndim) for a in layer.axes}
    key = ", ".join("None" if i in new else ":" for i in range(max(n or 0 for n in new) + 1))
    return Piece((), f"{{0}}[:, {key}]", layout=LAST, out=LAST)
