"""Keras's counterparts of units that are more than one of its layers, and helpers beside them."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ..layers.base import axes
from ..rows import Row
from .code import Arg, Call
from .compact import Applied, Step
from .errors import ExportError, refused
from .expressions import TABLE as EXPRESSIONS
from .expressions import even_steps
from .helpers_keras import HELPERS
from .volumes import channels, rank, real, whole

Steps = Callable[[Row], list[Step]]
TABLE: dict[str, Steps] = {}


def to(*ops: str) -> Callable[[Steps], Steps]:
    def put(f: Steps) -> Steps:
        TABLE.update(dict.fromkeys(ops, f))
        return f

    return put


def refuse(row: Row) -> ExportError:
    return refused(row, f"the op {row.op} has no counterpart in the keras export")


def dims(row: Row, name: str) -> str:
    """The layer for the volume's number of axes, such as layers.Conv2D."""
    if not 1 <= rank(row) <= 3:
        raise refuse(row)
    return f"layers.{name}{rank(row)}D"


def sides(row: Row, name: str) -> Any:
    """One field of the windows: a number where every axis has the same."""
    found = tuple(whole(row, getattr(w, name), "the window") for w in row.windows)
    return found[0] if len(set(found)) == 1 else found


def _pairs(found: list[tuple[int, int]]) -> Any:
    return found[0] if len(found) == 1 else tuple(found)


@to("conv_transpose")
def _transpose(row: Row) -> list[Step]:
    """Without padding, then cut to the size."""
    layer: Any = row.layer
    if layer.groups != 1:
        raise refused(row, "Keras's transposed convolutions have one group")
    cuts, extras = [], []
    for w in row.windows:
        before, out = whole(row, w.before, "the padding"), whole(row, w.out, "the size")
        total = whole(row, (w.n - 1) * w.s + w.extent, "the size")
        extra = max(0, before + out - total)
        if extra and extra >= whole(row, w.s, "the stride"):
            raise refused(row, f"Keras has no output padding of {extra} at stride {w.s}")
        extras.append(extra)
        cuts.append((before, total + extra - before - out))
    if any(extras) and any(w.d != 1 for w in row.windows):
        raise refused(row, "Keras has no output padding with dilation")
    if any(w.s != 1 for w in row.windows) and any(w.d != 1 for w in row.windows):
        raise refused(row, "Keras has no convolution with both a stride and dilation")
    # Where the stride is larger than the window, `valid` fills up to whole strides.
    wide = any(
        whole(row, w.s, "the stride") > whole(row, w.extent, "the window") for w in row.windows
    )
    padding: Any = None
    if any(extras) or wide:
        padding = extras[0] if len(set(extras)) == 1 else tuple(extras)
    call = Call(dims(row, "Conv") + "Transpose", (
        Arg("filters", whole(row, layer.filters, "filters"), False),
        Arg("kernel_size", sides(row, "k"), False),
        Arg("strides", sides(row, "s"), default=1),
        Arg("output_padding", padding, default=None),
        Arg("dilation_rate", sides(row, "d"), default=1),
        Arg("use_bias", layer.bias, default=True),
    ))  # fmt: skip
    if all(pair == (0, 0) for pair in cuts):
        return [call]
    return [call, Call(dims(row, "Cropping"), (Arg("cropping", _pairs(cuts), False),))]


@to("lrn")
def _lrn(row: Row) -> list[Step]:
    layer: Any = row.layer
    alpha = layer.alpha if row.dialect.lrn_divides else layer.alpha * layer.size
    fields = f"size={whole(row, layer.size, 'size')}, alpha={real(alpha)!r}, "
    return [f"lrn({{0}}, {fields}beta={real(layer.beta)!r}, k={real(layer.k)!r})"]


@to("groupnorm")
def _groupnorm(row: Row) -> list[Step]:
    layer: Any = row.layer
    return [Call("layers.GroupNormalization", (
        Arg("groups", whole(row, layer.groups, "groups"), False),
        Arg("epsilon", real(layer.eps), default=0.001),
        Arg("center", layer.affine, default=True), Arg("scale", layer.affine, default=True),
    ))]  # fmt: skip


@to("scale", "layer_scale")
def _scale(row: Row) -> list[Step]:
    return [Call("Scale", (Arg("bias", "bias" in row.weights, default=False),))]


@to("subsample")
def _subsample(row: Row) -> list[Step]:
    count = 1
    for w in row.windows:
        count *= whole(row, w.k, "the window")
    sizes = (Arg("pool_size", sides(row, "k"), False), Arg("strides", sides(row, "s")))
    pool = Call(dims(row, "AveragePooling"), sizes)
    return [pool, _rescaling(count, 0), Call("Scale", (Arg("bias", True, default=False),))]


@to("adaptive_avgpool")
def _adaptive(row: Row) -> list[Step]:
    steps = even_steps(row)
    if not steps:
        return []
    size = steps[0] if len(set(steps)) == 1 else steps
    return [Call(dims(row, "AveragePooling"), (Arg("pool_size", size, False),))]


@to("upsample")
def _upsample(row: Row) -> list[Step]:
    layer: Any = row.layer
    scales = axes(layer.scale, rank(row))
    if rank(row) == 2 and all(isinstance(s, int) for s in scales):
        size = scales[0] if len(set(scales)) == 1 else scales
        method = f'"{layer.method}"'
        return [Call("layers.UpSampling2D", (
            Arg("size", size, False), Arg("interpolation", method, default='"nearest"'),
        ))]  # fmt: skip
    if layer.method == "nearest":
        return list(EXPRESSIONS["upsample"](row, "ops"))
    if any(s.denominator != 1 and (n * s).denominator != 1
           for n, s in zip(row.input[0], scales, strict=False)):  # fmt: skip
        raise refused(row, "Keras scales by whole sizes: this scale leaves part of a position")
    return _interpolated(row)


def _interpolated(row: Row) -> list[Step]:
    if rank(row) != 2:
        raise refused(row, f"Keras interpolates 2-D maps, not {rank(row)}-D ones")
    sizes = tuple(whole(row, n, "the size") for n in row.output[:-1])
    return [f'ops.image.resize({{0}}, {sizes!r}, interpolation="bilinear")']


@to("resize")
def _resize(row: Row) -> list[Step]:
    layer: Any = row.layer
    if layer.method == "bilinear" and layer.coordinates == "half_pixel":
        return _interpolated(row)
    if layer.method not in ("nearest", "nearest_exact"):
        what = f"{layer.method} resizing"
        if layer.coordinates != "half_pixel":
            what += f" with {layer.coordinates} coordinates"
        raise refused(row, f"Keras has no {what} as this one")
    steps: list[Step] = []
    for axis, (n, o) in enumerate(zip(row.input[0][:-1], row.output, strict=False), 1):
        old, new = whole(row, n, "the size"), whole(row, o, "the size")
        twice = 1 if layer.method == "nearest_exact" else 0
        chosen = [(2 * i + twice) * old // (2 * new) for i in range(new)]
        if len(chosen) > 512:
            raise refused(row, f"positions of {len(chosen)} outputs are too many to list")
        steps.append(f"ops.take({{0}}, ops.array({chosen!r}), axis={axis})")
    return steps


# --- activations: a number times a tensor counts as sparse in keras.ops, so its own are used ---


def _rescaling(scale: Any, offset: Any) -> Call:
    return Call("layers.Rescaling", (Arg("scale", real(scale), False),
                                     Arg("offset", real(offset), default=0)))  # fmt: skip


@to("rescale")
def _rescale(row: Row) -> list[Step]:
    layer: Any = row.layer
    return [_rescaling(layer.scale, layer.offset)]


@to("leaky_relu", "elu", "celu", "selu", "softshrink")
def _activation(row: Row) -> list[Step]:
    name = {"softshrink": "soft_shrink"}.get(row.op, row.op)
    values = "".join(f", {real(v)!r}" for v in row.layer.values().values())
    return [f"ops.{name}({{0}}{values})"]


@to("hardsigmoid")
def _hardsigmoid(row: Row) -> list[Step]:
    layer: Any = row.layer
    if (layer.alpha, layer.beta) == (Fraction(1, 6), Fraction(1, 2)):
        return [Call("layers.Activation", (Arg("activation", '"hard_sigmoid"', False),))]
    return [_rescaling(layer.alpha, layer.beta), "ops.clip({0}, 0, 1)"]


# --- tokens --------------------------------------------------------------------------------


@to("stochastic_depth")
def _stochastic_depth(row: Row) -> list[Step]:
    layer: Any = row.layer
    shape = "(" + ", ".join(["None", *["1"] * len(row.output)]) + ")"
    return [Call("layers.Dropout", (Arg("rate", real(layer.rate), False),
                                    Arg("noise_shape", shape)))]  # fmt: skip


@to("class_token")
def _class_token(row: Row) -> list[Step]:
    layer: Any = row.layer
    return [Call("ClassToken", (Arg("count", whole(row, layer.count, "count"), default=1),
                                Arg("last", layer.position == "last", default=False)))]  # fmt: skip


def _shape(row: Row, sizes: Any) -> Arg:
    found = tuple(whole(row, n, "the shape") for n in sizes)
    return Arg("shape", found, False)


@to("positional")
def _positional(row: Row) -> list[Step]:
    layer: Any = row.layer
    if layer.kind != "learned":
        return ["{0} + waves({0})"]
    return [Call("Positional", (_shape(row, row.weights["position"]),))]


@to("parameter")
def _parameter(row: Row) -> list[Step]:
    layer: Any = row.layer
    return [Call("Array", (_shape(row, row.output), Arg("trainable", layer.trainable,
                                                        default=True)))]  # fmt: skip


@to("constant")
def _constant(row: Row) -> list[Step]:
    layer: Any = row.layer
    shape = tuple(whole(row, n, "the shape") for n in row.output)
    of_items = f"ops.zeros_like({{0}}[:{', 0' * len(row.input[0])}])"
    ones = ", ".join(["-1", *["1"] * len(shape)])
    return [
        f"ops.reshape({of_items}, ({ones}))",
        f"{{0}} + ops.full({shape!r}, {float(layer.value)!r})",
    ]


@to("embedding")
def _embedding(row: Row) -> list[Step]:
    layer: Any = row.layer
    return [Call("layers.Embedding", (
        Arg("input_dim", whole(row, layer.vocab, "vocab"), False),
        Arg("output_dim", whole(row, layer.dim, "dim"), False),
    ))]  # fmt: skip


# --- sequences ------------------------------------------------------------------------------

MERGES = {"concat": "concat", "sum": "sum", "multiply": "mul", "average": "ave"}


@to("lstm", "gru")
def _recurrent(row: Row) -> list[Step]:
    layer: Any = row.layer
    two = "recurrent_bias" in row.weights
    if row.op == "lstm" and two:
        raise refused(row, f"Keras's LSTM has one bias a gate, the {row.dialect.name} dialect two")
    after = row.op == "gru" and layer.resets_after(row.dialect)
    if layer.bias and row.op == "gru" and two != after:
        raise refused(row, f"Keras's GRU has other biases than the {row.dialect.name} dialect's")
    if "candidate_bias" in row.weights:
        raise refused(row, "Keras's GRU has no bias of the candidate alone")
    backwards = layer.reverse and not layer.bidirectional
    name = row.op.upper()
    own = Call(f"layers.{name}", (
        Arg("units", whole(row, layer.units, "units"), False),
        Arg("return_sequences", layer.return_sequences, default=False),
        Arg("go_backwards", backwards, default=False),
        Arg("use_bias", layer.bias, default=True),
        *([Arg("reset_after", after, default=True)] if row.op == "gru" else []),
    ))  # fmt: skip
    call = own
    if layer.bidirectional:
        merge = Arg("merge_mode", f'"{MERGES[layer.merge]}"', default='"concat"')
        call = Call("layers.Bidirectional", (merge,), (own,))
    steps: list[Step] = [call]
    if backwards and layer.return_sequences:
        steps.append("ops.flip({0}, axis=1)")
    return _apart(row, steps)


def _apart(row: Row, steps: list[Step]) -> list[Step]:
    """Axes before the last two join the batch, and leave it."""
    lead = rank(row) - 1
    if not lead:
        return steps
    inner = ", ".join(str(whole(row, n, "the size")) for n in row.input[0][lead:])
    outer = ", ".join(str(whole(row, n, "the size")) for n in row.output)
    return [f"ops.reshape({{0}}, (-1, {inner}))", *steps, f"ops.reshape({{0}}, (-1, {outer}))"]


@to("attention")
def _attention(row: Row) -> list[Step]:
    """Keras's has a map each for queries, keys and values: of a fused one, its three parts."""
    layer: Any = row.layer
    moved = layer.window is not None and any(axes(layer.shift, 1))
    if layer.relative_bias is not None or layer.cosine or moved:
        raise refused(row, "Keras's attention has no relative bias, cosine or shifted windows")
    keys, values, units = (whole(row, n, "the width") for n in layer._widths(row.input))
    heads = whole(row, layer.heads, "heads")
    biased = layer.output_bias is None or layer.output_bias == layer.bias
    if not layer.project or not biased or layer.scale_dim not in (None, keys // heads):
        raise refused(row, "Keras's attention has a projection, with a bias as the other maps, and "
                           "divides by the root of one head's width")  # fmt: skip
    if len(row.inputs) > 1 and rank(row) > 1:
        raise refused(row, "Keras's attention of several inputs is exported for TxC only")
    c = channels(row)
    args = (
        Arg("num_heads", heads, False),
        Arg("key_dim", keys // heads, False),
        Arg("value_dim", values // heads, default=keys // heads),
        Arg("dropout", real(layer.dropout), default=0),
        Arg("use_bias", layer.bias, default=True),
        Arg("output_shape", units, default=c),
    )
    # The module reads queries, values, keys.
    names = ("{0}", f"{{{len(row.inputs) - 1}}}", f"{{{min(1, len(row.inputs) - 1)}}}")
    causal = ", use_causal_mask=True" if layer.causal else ""
    call = Call("layers.MultiHeadAttention", args)
    return _apart(row, [Applied(call, ", ".join(names) + causal)])


__all__ = ["HELPERS", "TABLE", "dims", "refuse", "sides"]
