"""Flax's counterparts of tokens, positions and attention."""

from collections.abc import Callable
from typing import Any

from ..layers.base import axes
from ..rows import Row
from .code import Arg, Call
from .compact import Applied, Step
from .errors import refused
from .volumes import channels, real, whole

Steps = Callable[[Row, tuple[Arg, ...]], list[Step]]  # of a row, and the name it may carry
TABLE: dict[str, Steps] = {}


def to(*ops: str) -> Callable[[Steps], Steps]:
    def put(f: Steps) -> Steps:
        TABLE.update(dict.fromkeys(ops, f))
        return f

    return put


@to("stochastic_depth")
def _stochastic_depth(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    layer: Any = row.layer
    return [Call("nn.Dropout", (
        Arg("rate", real(layer.rate), False),
        Arg("broadcast_dims", tuple(range(1, len(row.output) + 1))),
        Arg("deterministic", "not train"),
    ))]  # fmt: skip


@to("class_token")
def _class_token(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    layer: Any = row.layer
    count = Arg("count", whole(row, layer.count, "count"), default=1)
    last = Arg("last", layer.position == "last", default=False)
    return [Call("ClassToken", (count, last, *named))]


def _sizes(row: Row, sizes: Any) -> Arg:
    return Arg("sizes", tuple(whole(row, n, "the shape") for n in sizes), False)


@to("positional")
def _positional(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    layer: Any = row.layer
    if layer.kind != "learned":
        return ["{0} + waves({0})"]
    return [Call("Positional", (_sizes(row, row.weights["position"]), *named))]


@to("parameter")
def _parameter(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    layer: Any = row.layer
    if not layer.trainable:
        raise refused(row, "the flax export keeps no array that is not trained")
    return [Call("Array", (_sizes(row, row.output), *named))]


@to("constant")
def _constant(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    layer: Any = row.layer
    shape = ", ".join(str(whole(row, n, "the shape")) for n in row.output)
    return [f"jnp.full((len({{0}}), {shape}), {float(layer.value)!r})"]


@to("embedding")
def _embedding(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    layer: Any = row.layer
    call = Call("nn.Embed", (
        Arg("num_embeddings", whole(row, layer.vocab, "vocab"), False),
        Arg("features", whole(row, layer.dim, "dim"), False), *named,
    ))  # fmt: skip
    return [Applied(call, "{0}.astype(int)")]


@to("attention")
def _attention(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    """Flax's has a map each for queries, keys and values: of a fused one, its three parts."""
    layer: Any = row.layer
    moved = layer.window is not None and any(axes(layer.shift, 1))
    if layer.relative_bias is not None or layer.cosine or moved:
        raise refused(row, "Flax's attention has no relative bias, cosine or shifted windows")
    keys, values, units = (whole(row, n, "the width") for n in layer._widths(row.input))
    biased = layer.output_bias is None or layer.output_bias == layer.bias
    heads = whole(row, layer.heads, "heads")
    scaled = layer.scale_dim not in (None, keys // heads)
    if not layer.project or not biased or scaled or keys != values:
        raise refused(row, "Flax's attention has a projection, with a bias as the other maps, keys "
                           "as wide as values, and the root of that as scale")  # fmt: skip
    inputs = len(row.inputs)
    if layer.causal and inputs > 1:
        raise refused(row, "the flax export hides later tokens of one input only")
    call = Call("nn.MultiHeadDotProductAttention", (
        Arg("num_heads", heads),
        Arg("qkv_features", keys, default=channels(row)),
        Arg("out_features", units, default=channels(row)),
        Arg("use_bias", layer.bias, default=True),
        Arg("dropout_rate", real(layer.dropout), default=0),
        Arg("deterministic", "not train"), *named,
    ))  # fmt: skip
    names = ["{0}", f"{{{min(1, inputs - 1)}}}", f"{{{inputs - 1}}}"]
    if layer.causal:
        names.append("mask=nn.make_causal_mask({0}[..., 0])")
    return [Applied(call, ", ".join(names))]


@to("lstm", "gru")
def _recurrent(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    """Flax's cells have the biases of one dialect: a module that has those of all."""
    layer: Any = row.layer
    units = whole(row, layer.units, "units")
    second = sum(whole(row, n, "the bias") for name in ("recurrent_bias", "candidate_bias")
                 for n in row.weights.get(name, ()))  # fmt: skip
    call = Call("Recurrence", (
        Arg("gates", layer.gates), Arg("units", units),
        Arg("bias", layer.bias, default=True),
        Arg("second", second, default=0),
        Arg("after", row.op == "gru" and layer.resets_after(row.dialect), default=False),
        Arg("reverse", layer.reverse and not layer.bidirectional, default=False),
        Arg("merge", f'"{layer.merge}"' if layer.bidirectional else '""', default='""'),
        Arg("sequences", layer.return_sequences, default=False), *named,
    ))  # fmt: skip
    lead = len(row.input[0]) - 2
    if not lead:
        return [call]
    inner, outer = (", ".join(str(whole(row, n, "the size")) for n in shape)
                    for shape in (row.input[0][lead:], row.output))  # fmt: skip
    return [f"{{0}}.reshape(-1, {inner})", call, f"{{0}}.reshape(-1, {outer})"]


METHODS = {"bilinear": "linear", "nearest_exact": "nearest"}


@to("resize")
def _resize(row: Row, named: tuple[Arg, ...]) -> list[Step]:
    layer: Any = row.layer
    if layer.method == "nearest":  # floor(i·n/o), exactly
        pairs = zip(row.input[0][:-1], row.output[:-1], strict=True)
        sides = [(whole(row, n, "the size"), whole(row, o, "the size")) for n, o in pairs]
        cuts = (
            f"[{':, ' * (i + 1)}jnp.arange({o}) * {n} // {o}]" for i, (n, o) in enumerate(sides)
        )
        return ["{0}" + "".join(cuts)]
    method = METHODS.get(layer.method)
    if method is None or (method == "linear" and layer.coordinates != "half_pixel"):
        raise refused(row, "jax.image resizes by half pixels, bilinear or nearest_exact")
    sizes = ", ".join(str(whole(row, n, "the size")) for n in row.output)
    fields = f'(len({{0}}), {sizes}), "{method}", antialias=False'
    return [f"jax.image.resize({{0}}, {fields})"]
