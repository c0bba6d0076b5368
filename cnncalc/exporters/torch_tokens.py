"""PyTorch's counterparts of layers on tokens and windows, and of recurrent ones."""

from typing import Any

from ..layers.base import axes
from ..rows import Row
from .code import Arg, Call
from .torch_layers import Piece, to
from .volumes import ANY, LAST, channels, rank, real, tensor_axis, whole


@to("stochastic_depth")
def _stochastic_depth(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    call = Call("StochasticDepth", (Arg("p", real(layer.rate), False),))
    return Piece((call,), layout=ANY, light=True, helpers=("StochasticDepth",))


@to("class_token")
def _class_token(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    args = (
        Arg("features", channels(row), False),
        Arg("count", whole(row, layer.count, "count"), default=1),
        Arg("last", layer.position == "last", default=False),
    )
    return Piece((Call("ClassToken", args),), layout=LAST, helpers=("ClassToken",))


def _sizes(row: Row, shape: Any) -> tuple[Arg, ...]:
    return tuple(Arg("size", whole(row, n, "the shape"), False) for n in shape)


@to("positional")
def _positional(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if layer.kind == "sinusoidal":
        return Piece((Call("Sinusoidal"),), layout=LAST, helpers=("Sinusoidal",))
    sizes = _sizes(row, row.weights["position"])
    return Piece((Call("Positional", sizes),), layout=LAST, helpers=("Positional",))


@to("parameter")
def _parameter(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    args = (*_sizes(row, row.output), Arg("trainable", layer.trainable, default=True))
    call = Call("Array", args)
    return Piece((), "self.{m}({0})", (call,), layout=LAST, out=LAST, helpers=("Array",))


@to("constant")
def _constant(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    shape = tuple(whole(row, n, "the shape") for n in row.output)
    expr = f"constant({{0}}, {shape!r}, {real(layer.value)!r})"
    return Piece((), expr, layout=ANY, out=LAST, helpers=("constant",))


@to("embedding")
def _embedding(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    args = (
        Arg("num_embeddings", whole(row, layer.vocab, "vocab"), False),
        Arg("embedding_dim", whole(row, layer.dim, "dim"), False),
    )
    call = Call("nn.Embedding", args)
    return Piece((), "self.{m}({0}.long())", (call,), layout=LAST, out=LAST)


@to("roll")
def _roll(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    found: dict[int, int] = {}
    for axis, by in layer._shifts(rank(row) + 1):
        dim = tensor_axis(axis, rank(row) + 1, layout)
        found[dim] = found.get(dim, 0) + whole(row, by, "the shift")
    found = {dim: by for dim, by in sorted(found.items()) if by}
    if not found:
        return Piece((), "{0}", layout=layout)
    expr = f"torch.roll({{0}}, {tuple(found.values())!r}, dims={tuple(found)!r})"
    return Piece((), expr, layout=layout)


@to("window_partition", "window_reverse")
def _windows(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    count = rank(row) if row.op == "window_partition" else rank(row) - 1
    window = tuple(whole(row, w, "the window") for w in axes(layer.window, count))
    grid = ", grid=True" if layer.grid else ""
    return Piece((), f"{row.op}({{0}}, {window!r}{grid})", layout=LAST, helpers=(row.op,))
