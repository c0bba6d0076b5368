"""PyTorch's counterparts of layers on tokens and windows, and of recurrent ones."""

from typing import Any

from ..layers.base import axes
from ..layers.reshape import position
from ..rows import Row
from .code import Arg, Call
from .errors import ExportError
from .torch_layers import ANY, LAST, Piece, channels, rank, real, to, whole
from .torch_shapes import tensor_axis


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


@to("embedding")
def _embedding(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if rank(row):
        raise ExportError(f"{row.name}: the torch export embeds a vector of words, not a volume")
    args = (
        Arg("num_embeddings", whole(row, layer.vocab, "vocab"), False),
        Arg("embedding_dim", whole(row, layer.dim, "dim"), False),
    )
    return Piece((), "self.{m}({0}.long())", (Call("nn.Embedding", args),), out=LAST)


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


# --- attention -----------------------------------------------------------------------------


@to("attention")
def _attention(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if layer.cosine or layer.relative_bias == "continuous":
        what = "cosine scores" if layer.cosine else "continuous relative bias"
        raise ExportError(f"{row.name}: the torch export has no attention with {what}")
    keys, values, units = (whole(row, n, "the width") for n in layer._widths(row.input))
    fused = "qkv" in row.weights
    inputs = tuple(whole(row, s[-1], "the channels") for s in layer._three(row.input))
    width = keys // whole(row, layer.heads, "heads")
    scale = None if layer.scale_dim in (None, width) else float(layer.scale_dim) ** -0.5
    windowed = layer.window is not None and (
        layer.relative_bias is not None or any(axes(layer.shift, 1))
    )
    window: tuple[Arg, ...] = ()
    if windowed:
        sizes = tuple(whole(row, w, "the window") for w in layer.windows_of(row.input[0]))
        shift = None
        if any(axes(layer.shift, 1)):
            shift = tuple(whole(row, s, "the shift") for s in axes(layer.shift, len(sizes)))
        relative = layer.relative_bias is not None
        window = (Arg("window", sizes), Arg("shift", shift, default=None),
                  Arg("relative", relative, default=True))  # fmt: skip
    args = (
        Arg("features", inputs[0] if fused else inputs, False),
        Arg("heads", layer.heads, False),
        Arg("widths", (keys, keys, values), False),
        *window,
        Arg("out_features", units if layer.project else None, default=None),
        Arg("bias", layer.bias, default=True),
        Arg("out_bias", "output_bias" in row.weights or not layer.project, default=True),
        Arg("causal", layer.causal, default=False),
        Arg("scale", scale, default=None),
        Arg("dropout", real(layer.dropout), default=0),
    )
    call = Call("WindowAttention" if windowed else "Attention", args)
    helpers = ("Attention", "WindowAttention") if windowed else ("Attention",)
    if len(row.inputs) == 1:
        return Piece((call,), layout=LAST, helpers=helpers)
    inside = ", ".join(f"{{{i}}}" for i in range(len(row.inputs)))
    return Piece((), f"self.{{m}}({inside})", (call,), layout=LAST, helpers=helpers)


# --- recurrence ----------------------------------------------------------------------------

MERGED = {"sum": "sum(-2)", "average": "mean(-2)", "multiply": "prod(-2)"}


@to("lstm", "gru")
def _recurrent(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    if rank(row) != 1:
        raise ExportError(f"{row.name}: torch's {row.op.upper()} reads one sequence an item")
    two = "recurrent_bias" in row.weights
    if row.op == "gru" and not layer.resets_after(row.dialect):
        raise ExportError(f"{row.name}: torch's GRU resets after the recurrent product only")
    if row.op == "gru" and layer.bias and not two:
        raise ExportError(f"{row.name}: torch's GRU has two biases a gate, not the "
                          f"{row.dialect.name} dialect's")  # fmt: skip
    single = row.op == "lstm" and layer.bias and not two
    args = (
        Arg("input_size", channels(row), False),
        Arg("hidden_size", whole(row, layer.units, "units"), False),
        Arg("bias", layer.bias, default=True),
        Arg("batch_first", True),
        Arg("bidirectional", layer.bidirectional, default=False),
    )
    call = Call("LSTM" if single else f"nn.{row.op.upper()}", args)
    turned = layer.reverse and not layer.bidirectional
    called = "self.{m}({0}.flip(1))" if turned else "self.{m}({0})"
    if layer.return_sequences:
        expr = f"{called}[0]" + (".flip(1)" if turned else "")
    else:
        last = "[1][0]" if row.op == "lstm" else "[1]"
        expr = f"{called}{last}.transpose(0, 1).flatten(1)"
    if layer.bidirectional and layer.merge != "concat":
        expr += f".unflatten(-1, (2, -1)).{MERGED[layer.merge]}"
    return Piece((), expr, (call,), layout=LAST, helpers=("LSTM",) if single else ())
