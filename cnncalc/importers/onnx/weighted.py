"""Operators with weights, and pools: convolutions, products, normalisations, windows."""

from collections.abc import Sequence
from typing import Any

from ...formula import Number, product
from ..draft import decimal, padding, plain
from .core import Converter, Unknown, handles
from .reading import Node
from .values import Const, Tensor, alike, one, same


def _pad(node: Node, rank: int) -> Any:
    """The `pad` field of a sliding operator."""
    auto = node.attributes.get("auto_pad", "NOTSET")
    words = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": 0}
    if auto in words:
        return words[auto]
    pads = node.attributes.get("pads") or [0] * 2 * rank
    if len(pads) != 2 * rank:
        raise Unknown
    return padding(pads[:rank], pads[rank:])


def _sliding(node: Node, kernel: Sequence[Number]) -> dict[str, Any]:
    rank = len(kernel)
    fields: dict[str, Any] = {"kernel": plain(kernel)}
    for field, attribute in (("stride", "strides"), ("dilation", "dilations")):
        given = node.attributes.get(attribute) or [1] * rank
        fields[field] = plain(given)
    fields["pad"] = _pad(node, rank)
    if any(isinstance(p, int) and p < 0 for p in node.attributes.get("pads") or ()):
        raise Unknown
    return fields


def trained(bias: Any) -> bool:
    """Whether a bias is there: not zeros that an exporter wrote in the place of none."""
    if not isinstance(bias, Const):
        return False
    return bool(bias.weights) or bias.values is None or any(bias.numbers() or ())


@handles("Conv")
def conv(c: Converter, node: Node) -> None:
    x, w, bias = c.tensor(node), c.const(node, 1), c.value(node, 2)
    if x.rank < 3 or w.rank != x.rank or isinstance(bias, Tensor):
        raise Unknown
    filters, *kernel = w.shape[0], *w.shape[2:]
    groups = node.attributes.get("group", 1)
    fields: dict[str, Any] = {"filters": filters, **_sliding(node, kernel), "groups": groups}
    fields["bias"] = trained(bias)
    channels = x.sizes[1]
    op = "conv"
    if not alike([channels], [w.shape[1] * groups]):
        raise Unknown
    if groups == channels and groups > 1 and isinstance(filters, int):
        op = "depthwise_conv"
        del fields["groups"], fields["filters"]
        fields["multiplier"] = filters // groups
    ref = c.emit(node, op, fields, [c.image(x)], [w, bias])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


@handles("ConvTranspose")
def conv_transpose(c: Converter, node: Node) -> None:
    x, w, bias = c.tensor(node), c.const(node, 1), c.value(node, 2)
    if x.rank < 3 or w.rank != x.rank or isinstance(bias, Tensor):
        raise Unknown
    groups = node.attributes.get("group", 1)
    fields: dict[str, Any] = {"filters": w.shape[1] * groups, **_sliding(node, w.shape[2:])}
    fields |= {"groups": groups, "bias": trained(bias)}
    added = node.attributes.get("output_padding") or [0] * (x.rank - 2)
    cut = _cut(node, x, w.shape[2:], added)
    if cut is not None:
        fields["pad"] = cut[0]
        added = [n + more for n, more in zip(added, cut[1], strict=True)]
    fields["output_pad"] = plain(added)
    ref = c.emit(node, "conv_transpose", fields, [c.image(x)], [w, bias])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


def _cut(
    node: Node, x: Tensor, kernel: Sequence[Number], added: Sequence[int]
) -> tuple[Any, list[int]] | None:
    """What `output_shape` or SAME takes off a transposed convolution: `pad`, more `output_pad`.

    ONNX ConvTranspose: s(n - 1) + output_padding + K - output_shape in all, and n·s positions
    where the padding is SAME; the odd one at the end for SAME_UPPER, else at the start.
    """
    auto, wanted = node.attributes.get("auto_pad", "NOTSET"), node.attributes.get("output_shape")
    if not wanted and not auto.startswith("SAME"):
        return None
    if wanted and len(wanted) != len(kernel):
        raise Unknown
    ones = [1] * len(kernel)
    strides, dilations = (node.attributes.get(a) or ones for a in ("strides", "dilations"))
    before, after, more = [], [], []
    for i, k in enumerate(kernel):
        total = (k - 1) * dilations[i] + 1 + added[i] - strides[i]
        if wanted:
            total = total + strides[i] * x.sizes[i + 2] - wanted[i]
        if not isinstance(total, int):
            raise Unknown
        more.append(max(-total, 0) if wanted else 0)  # SAME adds none, in ONNX Runtime
        less, rest = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
        before.append(less if auto == "SAME_UPPER" else rest)
        after.append(rest if auto == "SAME_UPPER" else less)
    return padding(before, after), more


@handles("MaxPool", "AveragePool")
def pool(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    if x.rank < 3 or any(c.readers.get(o, 0) for o in node.outputs[1:] if o):
        raise Unknown
    kernel = node.attributes.get("kernel_shape")
    if not kernel or len(kernel) != x.rank - 2:
        raise Unknown
    fields = _sliding(node, kernel)
    if node.attributes.get("ceil_mode"):
        fields["round"] = "ceil"
    op = "maxpool"
    if node.op == "AveragePool":
        op = "avgpool"
        counted = bool(node.attributes.get("count_include_pad"))
        if counted != c.draft.dialect.include_pad:
            fields["count_include_pad"] = counted
    ref = c.emit(node, op, fields, [c.image(x)])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


@handles("GlobalAveragePool", "GlobalMaxPool")
def global_pool(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    if x.rank < 3:
        raise Unknown
    op = "global_avgpool" if node.op == "GlobalAveragePool" else "global_maxpool"
    ref = c.emit(node, op, {"keepdims": True}, [c.image(x)])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


@handles("BatchNormalization")
def batchnorm(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    gamma, beta = c.const(node, 1), c.const(node, 2)
    if x.rank < 2:
        raise Unknown
    scale, shift = bool(gamma.weights), bool(beta.weights)
    statistics = [c.const(node, 3), c.const(node, 4)]
    fields = {"eps": decimal(node.attributes.get("epsilon", 1e-5)), "affine": scale or shift}
    if scale != shift:
        fields |= {"scale": scale, "shift": shift}
    kept = [v for v, on in ((gamma, scale), (beta, shift)) if on]
    ref = c.emit(node, "batchnorm", fields, [c.image(x)], [*kept, *statistics])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


@handles("InstanceNormalization")
def instancenorm(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    gamma, beta = c.const(node, 1), c.const(node, 2)
    fields = {"groups": x.sizes[1], "eps": decimal(node.attributes.get("epsilon", 1e-5))}
    fields["affine"] = bool(gamma.weights or beta.weights)
    ref = c.emit(node, "groupnorm", fields, [c.image(x)], [gamma, beta])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


@handles("GroupNormalization")
def groupnorm(c: Converter, node: Node) -> None:
    x = c.tensor(node)
    gamma, beta = c.const(node, 1), c.const(node, 2)
    if not alike([n for n in gamma.shape if n != 1], [x.sizes[1]]):
        raise Unknown  # opset 18 scaled whole groups
    fields = {"groups": node.attributes.get("num_groups", 1), "affine": bool(gamma.weights)}
    fields["eps"] = decimal(node.attributes.get("epsilon", 1e-5))
    ref = c.emit(node, "groupnorm", fields, [c.image(x)], [gamma, beta])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


@handles("LayerNormalization")
def layernorm(c: Converter, node: Node) -> None:
    x, gamma, beta = c.tensor(node), c.const(node, 1), c.value(node, 2)
    axis = node.attributes.get("axis", -1) % x.rank
    if any(not one(n) for n in x.sizes[axis : x.rank - 1]):
        raise Unknown  # over several axes
    held = last_at_end(c, x)
    if isinstance(beta, Tensor) or (beta is None and gamma.weights):
        raise Unknown
    fields = {"eps": decimal(node.attributes.get("epsilon", 1e-5)), "affine": bool(gamma.weights)}
    ref = c.emit(node, "layernorm", fields, [held.ref], [gamma, beta])
    c.set(node, held._replace(ref=ref))


def last_at_end(c: Converter, x: Tensor) -> Tensor:
    """The tensor held with its last ONNX axis as the volume's last."""
    if x.order and x.order[-1] == x.rank - 1:
        return x
    if x.rank - 1 in x.order:
        return c.flat(x, (*(a for a in x.order if a != x.rank - 1), x.rank - 1))
    return c.flat(x, (*x.order, x.rank - 1))


@handles("LRN")
def lrn(c: Converter, node: Node) -> None:
    x, a = c.tensor(node), node.attributes
    fields = {"size": a.get("size", 5), "alpha": decimal(a.get("alpha", 1e-4))}
    fields |= {"beta": decimal(a.get("beta", 0.75)), "k": decimal(a.get("bias", 1.0))}
    ref = c.emit(node, "lrn", fields, [c.image(x)])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


@handles("Gemm")
def gemm(c: Converter, node: Node) -> None:
    x, w, bias = c.tensor(node), c.const(node, 1), c.value(node, 2)
    if x.rank != 2 or w.rank != 2 or node.attributes.get("transA") or isinstance(bias, Tensor):
        raise Unknown
    units = w.shape[0] if node.attributes.get("transB") else w.shape[1]
    _linear(c, node, x, units, [w, bias])


@handles("Linear")
def linear(c: Converter, node: Node) -> None:
    """PyTorch's: the weight has one row a unit."""
    w, bias = c.const(node, 1), c.value(node, 2)
    if w.rank != 2 or isinstance(bias, Tensor):
        raise Unknown
    _linear(c, node, c.tensor(node), w.shape[0], [w, bias])


@handles("AdaptiveAveragePool")
def adaptive_pool(c: Converter, node: Node) -> None:
    x, to = c.tensor(node), node.attributes["output"]
    if all(n == 1 for n in to):
        global_pool(c, node._replace(op="GlobalAveragePool"))
        return
    sizes = [x.sizes[i + 2] if n is None else n for i, n in enumerate(to)]
    ref = c.emit(node, "adaptive_avgpool", {"output": plain(sizes)}, [c.image(x)])
    c.set(node, c.made(ref, (*range(2, x.rank), 1), x.rank))


@handles("MatMul")
def matmul(c: Converter, node: Node) -> None:
    a, b = c.value(node, 0), c.value(node, 1)
    if isinstance(a, Tensor) and isinstance(b, Const) and b.rank == 2 and a.rank >= 2:
        _linear(c, node, a, b.shape[1], [b])
        return
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or min(a.rank, b.rank) < 2:
        raise Unknown
    from .joins import product_of

    product_of(c, node, a, b)


def _linear(c: Converter, node: Node, x: Tensor, units: Number, weights: list[Any]) -> None:
    """A matrix applied to the last axis: `dense` on a vector, else `linear`."""
    held = last_at_end(c, x)
    if c.model.shapes is not None and not weights[0].weights:  # PyTorch says what is trained
        kept = {"shape": [x.sizes[-1], units], "trainable": False}
        matrix = c.draft.add("parameter", kept, [held.ref])
        rows = held.ref
        if len(held.order) == 1:
            rows = c.draft.add("reshape", {"to": [1, x.sizes[-1]]}, [rows])
        ref = c.emit(node, "matmul", {}, [rows, matrix])
        if len(held.order) == 1:
            ref = c.draft.add("flatten", {}, [ref])
        c.set(node, Tensor(ref, held.order, (*x.sizes[:-1], units)))
        return
    bias = len(weights) > 1 and trained(weights[1])
    op = "dense" if len(held.order) == 1 else "linear"
    ref = c.emit(node, op, {"units": units, "bias": bias}, [held.ref], weights)
    sizes = (*x.sizes[:-1], units)
    c.set(node, Tensor(ref, held.order, sizes))


@handles("LSTM", "GRU")
def recurrent(c: Converter, node: Node) -> None:
    """One or both directions over the whole sequence: (time, batch, features).

    Where a constant takes the place of the second biases, or of some of them, the layer is of a
    dialect that has as few.
    """
    x, w = c.tensor(node), c.const(node, 1)
    a = node.attributes
    op, direction = node.op.lower(), a.get("direction", "forward")
    bias = c.value(node, 3)
    if not c.has(op) or a.get("layout") or a.get("clip") or isinstance(bias, Tensor):
        raise Unknown
    if a.get("activations") or any(
        c.value(node, i) is not None for i in range(4, len(node.inputs))
    ):
        raise Unknown
    units = a.get("hidden_size", w.shape[1])
    held = c.flat(x, (0, 2))
    whole = bool(node.outputs and node.outputs[0])
    last = any(node.outputs[1:])
    if whole and last and not all(c.readers.get(o, 0) == 0 for o in node.outputs[1:] if o):
        raise Unknown
    two = 2 if direction == "bidirectional" else 1
    fields: dict[str, Any] = {"units": units, "return_sequences": whole}
    fields |= {"bidirectional": two == 2, "reverse": direction == "reverse"}
    fields["bias"] = bias is not None
    if op == "gru":
        fields["reset_after"] = bool(a.get("linear_before_reset", 0))
    own = _fewer_biases(c, op, [bias], two * units)
    ref = c.emit(node, op, fields, [held.ref], [w, c.const(node, 2), bias], dialect=own)
    steps = x.sizes[0]
    # Directions stand before the batch in ONNX: (time, directions, batch, units).
    if whole:
        order, sizes = (0, 1, 3) if two == 2 else (0, 3), (steps, two, 1, units)
        if two == 2:
            ref = c.draft.add("reshape", {"to": [steps, two, units]}, [ref])
        c.set(node, Tensor(ref, order, sizes))
        return
    if two == 2:
        ref = c.draft.add("reshape", {"to": [two, units]}, [ref])
    c.set(node, Tensor(ref, (0, 2) if two == 2 else (2,), (two, 1, units)), 1)


def _fewer_biases(c: Converter, op: str, biases: Sequence[Const | None], units: Number) -> str:
    """The dialect of a recurrent layer whose trained biases are not two a gate; else ''."""
    names = {n for bias in biases if bias is not None for n in bias.weights}
    trained: Number = 0
    for name in names & c.model.constants.keys():
        trained = trained + product(c.weights[name])
    gates = 4 if op == "lstm" else 3
    if not names or same(trained, 2 * gates * units):
        return ""
    return "jax" if same(trained, (gates + 1) * units) else "cs231n"


@handles("TorchRecurrent")
def torch_recurrent(c: Converter, node: Node) -> None:
    """PyTorch's LSTM and GRU: (batch, time, features), with the weights of every direction."""
    x, a = c.tensor(node), node.attributes
    op, two = a["kind"], 2 if a["bidirectional"] else 1
    weights = [c.const(node, i) for i in range(1, len(node.inputs))]
    whole, last = (any(c.readers.get(o, 0) for o in part)
                   for part in (node.outputs[:1], node.outputs[1:]))  # fmt: skip
    if (whole and last) or len(weights) != two * (4 if a["bias"] else 2) or x.rank != 3:
        raise Unknown
    time = 1 if a["batch_first"] else 0
    held = c.flat(x, (time, 2))
    units = weights[1].shape[-1]
    fields: dict[str, Any] = {"units": units, "return_sequences": whole}
    fields |= {"bidirectional": two == 2, "bias": a["bias"]}
    biases = [w for w in weights if w.rank == 1]
    own = _fewer_biases(c, op, biases, two * units)
    if own and op == "gru":
        fields["reset_after"] = True
    ref = c.emit(node, op, fields, [held.ref], weights, dialect=own)
    if whole:
        sizes = [1, 1, two * units]
        sizes[time] = x.sizes[time]
        c.set(node, Tensor(ref, (time, 2), tuple(sizes)))
        return
    if two == 2:
        ref = c.draft.add("reshape", {"to": [two, units]}, [ref])
    c.set(node, Tensor(ref, (0, 2) if two == 2 else (2,), (two, 1, units)), 1)
