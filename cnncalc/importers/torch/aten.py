"""PyTorch's operators with weights, on every value, and with windows."""

from math import prod
from typing import Any

from ..onnx.reading import Node
from .translator import TABLE, Arguments, Handler, Translator, aten, wide


@aten("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d",
      "conv_transpose3d")  # fmt: skip
def conv(t: Translator, name: str, a: Arguments) -> None:
    rank = a.rank() - 2
    sides: dict[str, Any] = {"strides": wide(a["stride"], rank), "group": a["groups"]}
    sides["dilations"] = wide(a["dilation"], rank)
    if isinstance(a["padding"], str):
        sides["auto_pad"] = {"same": "SAME_UPPER", "valid": "VALID"}[a["padding"]]
    else:
        sides["pads"] = wide(a["padding"], rank) * 2
    transposed = a["transposed"] or "transpose" in str(a.node.target)
    if transposed:
        sides["output_padding"] = wide(a["output_padding"] or [0], rank)
    op = "ConvTranspose" if transposed else "Conv"
    t.put(op, [a["input"], a["weight"], a["bias"]], [name], **sides)


@aten("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm")
def batch_norm(t: Translator, name: str, a: Arguments) -> None:
    x, eps = a.first(), a["eps"]
    several = isinstance(a.node.meta.get("val"), list | tuple)
    outputs = [f"{name}.0" if several else name]
    if a["running_mean"] is None:
        t.put("batch_norm", [x], outputs)
        return
    import numpy as np

    ones = np.ones(1)
    statistics = [a["running_mean"], a["running_var"]]
    gamma = a["weight"] if a["weight"] is not None else ones
    beta = a["bias"] if a["bias"] is not None else ones
    t.put("BatchNormalization", [x, gamma, beta, *statistics], outputs, epsilon=eps)


@aten("layer_norm", "native_layer_norm")
def layer_norm(t: Translator, name: str, a: Arguments) -> None:
    several = isinstance(a.node.meta.get("val"), list | tuple)
    outputs = [f"{name}.0" if several else name]
    gamma = a["weight"] if a["weight"] is not None else [1.0]
    axis = a.rank() - len(a["normalized_shape"])
    t.put("LayerNormalization", [a.first(), gamma, a["bias"]], outputs, axis=axis, epsilon=a["eps"])


@aten("group_norm")
def group_norm(t: Translator, name: str, a: Arguments) -> None:
    if a["weight"] is None:
        t.put("group_norm", [a.first()], [name])
        return
    inputs = [a.first(), a["weight"], a["bias"]]
    t.put("GroupNormalization", inputs, [name], num_groups=a["num_groups"], epsilon=a["eps"])


@aten("instance_norm")
def instance_norm(t: Translator, name: str, a: Arguments) -> None:
    gamma = a["weight"] if a["weight"] is not None else [1.0]
    beta = a["bias"] if a["bias"] is not None else [0.0]
    t.put("InstanceNormalization", [a.first(), gamma, beta], [name], epsilon=a["eps"])


@aten("linear")
def linear(t: Translator, name: str, a: Arguments) -> None:
    t.put("Linear", [a["input"], a["weight"], a["bias"]], [name])


@aten("addmm")
def addmm(t: Translator, name: str, a: Arguments) -> None:
    t.put("Gemm", [a["mat1"], a["mat2"], a["self"]], [name])


@aten("matmul", "mm", "bmm")
def matmul(t: Translator, name: str, a: Arguments) -> None:
    t.put("MatMul", [a.given[n] for n in a.order[:2]], [name])


@aten("einsum")
def einsum(t: Translator, name: str, a: Arguments) -> None:
    t.put("Einsum", list(a["tensors"]), [name], equation=a["equation"])


@aten("scaled_dot_product_attention")
def attention(t: Translator, name: str, a: Arguments) -> None:
    """Queries times 1/sqrt(E) or `scale`, scores, what is hidden, softmax, weighted sum."""
    rank = a.rank()
    scaled, turned, scores, weights = (
        f"{name}.{k}" for k in ("scaled", "key", "scores", "weights")
    )
    sizes = a.first().meta["val"].shape
    factor = a["scale"] if a["scale"] is not None else int(sizes[-1]) ** -0.5
    t.put("Mul", [a["query"], float(factor)], [scaled])
    t.put("Transpose", [a["key"]], [turned], perm=[*range(rank - 2), rank - 1, rank - 2])
    t.nodes.append(Node("MatMul", "", (scaled, turned), (scores,), {}, t.module))
    at = scores
    if a["attn_mask"] is not None or a["is_causal"]:
        mask = a["attn_mask"] if a["attn_mask"] is not None else _causal(sizes, a["key"])
        at = f"{name}.masked"
        node = Node("Add", "", (scores, t.input(mask)), (at,), {}, t.module)
        t.nodes.append(node)
    t.nodes.append(Node("Softmax", "", (at,), (weights,), {"axis": -1}, t.module))
    t.nodes.append(Node("MatMul", "", (weights, t.input(a["value"])), (name,), {}, t.module))


def _causal(sizes: Any, key: Any) -> Any:
    """What is_causal adds to the scores: every later key is hidden."""
    import numpy as np

    shape = int(sizes[-2]), int(key.meta["val"].shape[-2])
    return np.where(np.triu(np.ones(shape, bool), 1), -1e30, 0.0)


def _simple(op: str) -> Handler:
    def handler(t: Translator, name: str, a: Arguments) -> None:
        t.put(op, [a.first()], [name])

    return handler


for _ops, _op in (
    (("relu",), "Relu"), (("sigmoid",), "Sigmoid"), (("tanh",), "Tanh"), (("silu",), "Silu"),
    (("hardswish",), "HardSwish"), (("mish",), "Mish"), (("softplus",), "Softplus"),
    (("exp",), "Exp"), (("abs",), "Abs"), (("sqrt",), "Sqrt"), (("neg",), "Neg"),
    (("reciprocal",), "Reciprocal"), (("selu",), "Selu"),
    (("dropout", "alpha_dropout", "feature_dropout", "contiguous", "clone", "alias", "detach",
      "detach_", "to", "_to_copy", "lift_fresh_copy", "lift_fresh", "type_as",
      "_assert_tensor_metadata", "native_dropout"), "Identity"),
):  # fmt: skip
    TABLE.update(dict.fromkeys(_ops, _simple(_op)))


@aten("hardsigmoid")
def hardsigmoid(t: Translator, name: str, a: Arguments) -> None:
    t.put("HardSigmoid", [a.first()], [name], alpha=1 / 6)


@aten("gelu")
def gelu(t: Translator, name: str, a: Arguments) -> None:
    t.put("Gelu", [a.first()], [name], approximate=a["approximate"])


@aten("leaky_relu")
def leaky_relu(t: Translator, name: str, a: Arguments) -> None:
    t.put("LeakyRelu", [a.first()], [name], alpha=a["negative_slope"])


@aten("elu", "celu")
def elu(t: Translator, name: str, a: Arguments) -> None:
    t.put("Celu" if "celu" in str(a.node.target) else "Elu", [a.first()], [name], alpha=a["alpha"])


@aten("prelu")
def prelu(t: Translator, name: str, a: Arguments) -> None:
    t.put("PRelu", [a.first(), a["weight"]], [name])


@aten("hardtanh", "clamp", "relu6", "clamp_min")
def clip(t: Translator, name: str, a: Arguments) -> None:
    hard = "hardtanh" in str(a.node.target)
    keys = ("min_val", "max_val") if hard else ("min", "max")
    bounds = {k: float(a[key]) for k, key in zip(("min", "max"), keys, strict=True)
              if isinstance(a[key], int | float)}  # fmt: skip
    if "relu6" in str(a.node.target):
        bounds = {"min": 0.0, "max": 6.0}
    t.put("Clip", [a.first()], [name], **bounds)


@aten("softmax", "_softmax", "log_softmax", "_log_softmax")
def softmax(t: Translator, name: str, a: Arguments) -> None:
    op = "LogSoftmax" if "log" in str(a.node.target) else "Softmax"
    t.put(op, [a.first()], [name], axis=a["dim"])


@aten("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "avg_pool1d",
      "avg_pool2d", "avg_pool3d")  # fmt: skip
def pool(t: Translator, name: str, a: Arguments) -> None:
    rank = a.rank() - 2
    kernel = wide(a["kernel_size"], rank)
    sides: dict[str, Any] = {"kernel_shape": kernel}
    sides["strides"] = wide(a["stride"] or kernel, rank)
    sides["pads"] = wide(a["padding"] or [0], rank) * 2
    sides["ceil_mode"] = int(bool(a["ceil_mode"]))
    several = isinstance(a.node.meta.get("val"), list | tuple)
    outputs = [f"{name}.0" if several else name]
    if "max" in str(a.node.target):
        dilations = wide(a["dilation"] or [1], rank)
        t.put("MaxPool", [a.first()], outputs, dilations=dilations, **sides)
    else:
        counted = int(bool(a["count_include_pad"]))
        divisor = a["divisor_override"]
        means = f"{name}.means" if divisor else outputs[0]
        t.put("AveragePool", [a.first()], [means], count_include_pad=counted, **sides)
        if divisor:  # sums over another number: means, times the places of a window over it
            t.put("Mul", [a.first(), prod(kernel) / divisor], outputs)
            t.nodes[-1] = t.nodes[-1]._replace(inputs=(means, t.nodes[-1].inputs[1]))


@aten("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d")
def adaptive(t: Translator, name: str, a: Arguments) -> None:
    output = wide(a["output_size"], a.rank() - 2)
    t.put("AdaptiveAveragePool", [a.first()], [name], output=output)


@aten("adaptive_max_pool1d", "adaptive_max_pool2d")
def adaptive_max(t: Translator, name: str, a: Arguments) -> None:
    output = wide(a["output_size"], a.rank() - 2)
    op = "GlobalMaxPool" if all(n == 1 for n in output) else "adaptive_max_pool"
    t.put(op, [a.first()], [f"{name}.0"])


def _binary(op: str) -> Handler:
    def handler(t: Translator, name: str, a: Arguments) -> None:
        t.put(op, [a.given[n] for n in a.order[:2]], [name])

    return handler


for _name, _op in (("add", "Add"), ("sub", "Sub"), ("mul", "Mul"), ("div", "Div"),
                   ("pow", "Pow"), ("maximum", "Max"), ("minimum", "Min")):  # fmt: skip
    TABLE[_name] = _binary(_op)


@aten("rsub")
def rsub(t: Translator, name: str, a: Arguments) -> None:
    t.put("Sub", [a["other"], a.first()], [name])


@aten("mean", "sum", "amax")
def reduced(t: Translator, name: str, a: Arguments) -> None:
    op = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax"}[
        str(a.node.target).split(".")[1]]  # fmt: skip
    dims = (
        a["dim"] if isinstance(a["dim"], list | tuple) else None if a["dim"] is None else [a["dim"]]
    )
    axes = {"axes": list(dims)} if dims else {}
    t.put(op, [a.first()], [name], keepdims=int(bool(a["keepdim"])), **axes)
