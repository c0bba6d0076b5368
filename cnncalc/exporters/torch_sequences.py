"""PyTorch's counterparts of attention and of recurrent layers."""

from typing import Any

from ..layers.base import axes
from ..rows import Row
from .code import Arg, Call
from .torch_layers import Piece, to
from .volumes import LAST, channels, rank, real, whole


@to("attention")
def _attention(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    keys, values, units = (whole(row, n, "the width") for n in layer._widths(row.input))
    fused = "qkv" in row.weights
    inputs = tuple(whole(row, s[-1], "the channels") for s in layer._three(row.input))
    width = keys // whole(row, layer.heads, "heads")
    scale = None if layer.scale_dim in (None, width) else float(layer.scale_dim) ** -0.5
    window = _window(row)
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
    helpers: tuple[str, ...] = ("Attention",)
    if layer.cosine:
        helpers = ("Attention", "WindowAttention", "CosineAttention")
        args = tuple(arg for arg in args if arg.name != "scale")
    elif window:
        helpers = ("Attention", "WindowAttention")
    call = Call(helpers[-1], args)
    if len(row.inputs) == 1:
        return Piece((call,), layout=LAST, helpers=helpers)
    inside = ", ".join(f"{{{i}}}" for i in range(len(row.inputs)))
    return Piece((), f"self.{{m}}({inside})", (call,), layout=LAST, helpers=helpers)


def _window(row: Row) -> tuple[Arg, ...]:
    """The arguments of WindowAttention; none where the plain one will do."""
    layer: Any = row.layer
    moved = layer.window is not None and any(axes(layer.shift, 1))
    if not (moved or layer.relative_bias is not None or layer.cosine):
        return ()
    sizes = None
    if layer.window is not None:
        sizes = tuple(whole(row, w, "the window") for w in layer.windows_of(row.input[0]))
    shift = None
    if moved and sizes is not None:
        shift = tuple(whole(row, s, "the shift") for s in axes(layer.shift, len(sizes)))
    continuous = layer.relative_bias == "continuous"
    return (
        Arg("window", sizes, default=None),
        Arg("shift", shift, default=None),
        Arg("relative", layer.relative_bias is not None, default=True),
        Arg("hidden", whole(row, layer.hidden, "hidden") if continuous else None, default=None),
    )


MERGED = {"sum": "sum(-2)", "average": "mean(-2)", "multiply": "prod(-2)"}


@to("lstm", "gru")
def _recurrent(row: Row, layout: str) -> Piece:
    layer: Any = row.layer
    args = [
        Arg("input_size", channels(row), False),
        Arg("hidden_size", whole(row, layer.units, "units"), False),
        Arg("bias", layer.bias, default=True),
        Arg("batch_first", True),
        Arg("bidirectional", layer.bidirectional, default=False),
    ]
    two = not layer.bias or "recurrent_bias" in row.weights
    own = not two
    if row.op == "gru":
        own = own or not layer.resets_after(row.dialect)
    if own and row.op == "gru":
        second = 3 if "recurrent_bias" in row.weights else int("candidate_bias" in row.weights)
        args += [Arg("reset_after", layer.resets_after(row.dialect), default=False),
                 Arg("second", second, default=0)]  # fmt: skip
    name = row.op.upper()
    call = Call(name if own else f"nn.{name}", tuple(args))
    return Piece((), _called(row), (call,), layout=LAST, helpers=(name,) if own else ())


def _called(row: Row) -> str:
    """The call of a recurrent module: what of its two results is read, and in what order."""
    layer: Any = row.layer
    lead = rank(row) - 1  # axes of windows, each a sequence of its own
    turned = layer.reverse and not layer.bidirectional
    x = f"{{0}}.flatten(0, {lead})" if lead else "{0}"
    called = f"self.{{m}}({x}.flip(1))" if turned else f"self.{{m}}({x})"
    if layer.return_sequences:
        expr = f"{called}[0]" + (".flip(1)" if turned else "")
    else:
        last = "[1][0]" if row.op == "lstm" else "[1]"
        expr = f"{called}{last}.transpose(0, 1).flatten(1)"
    if layer.bidirectional and layer.merge != "concat":
        expr += f".unflatten(-1, (2, -1)).{MERGED[layer.merge]}"
    if lead:
        sizes = (whole(row, n, "the size") for n in row.input[0][:lead])
        expr += f".unflatten(0, (-1, {', '.join(map(str, sizes))}))"
    return expr
