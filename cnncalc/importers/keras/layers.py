"""What each class of Keras layer is in the spec language (keras.layers, channels last)."""

from collections.abc import Callable
from typing import Any

from ...formula import product
from ...source import shorten
from ..draft import decimal, padding, plain, refuse
from . import operators as ops
from .use import ACTIVATIONS, Layer, Made, activation_of, opaque

# --- windows --------------------------------------------------------------------------------------


def _per_axis(layer: Layer, key: str, default: Any) -> Any:
    found = layer.get(key, default)
    values = found if isinstance(found, list) else [found]
    if not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise refuse(f"layer '{shorten(layer.name)}': {key} must be whole numbers")
    return plain(values)


def _windows(layer: Layer) -> dict[str, Any]:
    layer.channels_last()
    pad = str(layer.get("padding", "valid"))
    given = (("kernel", "kernel_size"), ("stride", "strides"), ("dilation", "dilation_rate"))
    fields = {field: _per_axis(layer, key, 1) for field, key in given}
    if pad == "causal":
        kernel, dilation = (plain([fields[k]]) for k in ("kernel", "dilation"))
        fields["pad"] = [[dilation * (kernel - 1), 0]]
    elif pad != "valid":
        fields["pad"] = pad
    return fields


def conv(layer: Layer) -> Made:
    fields = {"filters": layer.number("filters"), **_windows(layer)}
    fields |= {"groups": layer.number("groups", 1), "bias": bool(layer.get("use_bias", True))}
    return layer.activated(layer.add("conv", fields))


def depthwise(layer: Layer) -> Made:
    fields = {**_windows(layer), "multiplier": layer.number("depth_multiplier", 1)}
    fields["bias"] = bool(layer.get("use_bias", True))
    return layer.activated(layer.add("depthwise_conv", fields))


def separable(layer: Layer) -> Made:
    fields = {"filters": layer.number("filters"), **_windows(layer)}
    fields |= {"multiplier": layer.number("depth_multiplier", 1)}
    fields["bias"] = bool(layer.get("use_bias", True))
    return layer.activated(layer.add("separable_conv", fields))


def transposed(layer: Layer) -> Made:
    fields = {"filters": layer.number("filters"), **_windows(layer)}
    fields["bias"] = bool(layer.get("use_bias", True))
    if "pad" not in fields:
        fields["pad"] = "valid"
    if layer.get("output_padding") is not None:
        fields["output_pad"] = _per_axis(layer, "output_padding", 0)
    return layer.activated(layer.add("conv_transpose", fields))


def _pool(op: str) -> Callable[[Layer], Made]:
    def handler(layer: Layer) -> Made:
        layer.channels_last()
        size = _per_axis(layer, "pool_size", 2)
        fields = {"kernel": size}
        if layer.get("strides") is not None:
            fields["stride"] = _per_axis(layer, "strides", size)
        if layer.get("padding", "valid") != "valid":
            fields["pad"] = str(layer.get("padding"))
        return layer.add(op, fields)

    return handler


def _global_pool(op: str) -> Callable[[Layer], Made]:
    def handler(layer: Layer) -> Made:
        layer.channels_last()
        return layer.add(op, {"keepdims": True} if layer.get("keepdims") else {})

    return handler


# --- products and normalisations ------------------------------------------------------------------


def dense(layer: Layer) -> Made:
    op = "dense" if layer.rank == 1 else "linear"
    fields = {"units": layer.number("units"), "bias": bool(layer.get("use_bias", True))}
    return layer.activated(layer.add(op, fields))


def batchnorm(layer: Layer) -> Made:
    axis = layer.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and axis else axis
    if axis not in (-1, layer.rank):
        return opaque(layer)
    fields: dict[str, Any] = {"eps": layer.decimal("epsilon", 1e-3)}
    fields |= {k: False for k, f in (("scale", "scale"), ("shift", "center"))
               if not layer.get(f, True)}  # fmt: skip
    return layer.add("batchnorm", fields)


def layernorm(layer: Layer) -> Made:
    axis = layer.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    both = {bool(layer.get("scale", True)), bool(layer.get("center", True))}
    if axis not in (-1, layer.rank) or len(both) > 1:
        return opaque(layer)
    return layer.add("layernorm", {"eps": layer.decimal("epsilon", 1e-3), "affine": both == {True}})


def groupnorm(layer: Layer) -> Made:
    groups = layer.number("groups", 32)
    fields = {"groups": layer.shape[-1] if groups == -1 else groups}
    fields["eps"] = layer.decimal("epsilon", 1e-3)
    both = {bool(layer.get("scale", True)), bool(layer.get("center", True))}
    if len(both) > 1 or layer.get("axis", -1) not in (-1, layer.rank):
        return opaque(layer)
    return layer.add("groupnorm", {**fields, "affine": both == {True}})


def normalization(layer: Layer) -> Made:
    """Keras's Normalization: fixed or adapted mean and variance, nothing trained."""
    if layer.get("mean") is not None:
        note = "the mean and variance are fixed"
        return layer.add("identity", {}, note=note)
    made = layer.add("batchnorm", {"affine": False, "eps": 0})
    shape = [1] * layer.rank
    count = layer.draft.add("parameter", {"shape": shape, "trainable": False}, [made])
    note = "Keras keeps a count beside the mean and variance; it changes no value"
    return layer.draft.add("add", {}, [made, count], note=note)


def layer_scale(layer: Layer) -> Made:
    return layer.add("layer_scale", {})


# --- values alone ---------------------------------------------------------------------------------


def activation(layer: Layer) -> Made:
    word, fields = activation_of(layer.config.get("activation"))
    if word == "linear":
        return layer.add("identity", {})
    if word not in ACTIVATIONS:
        return opaque(layer)
    return layer.add(ACTIVATIONS[word], fields)


def relu(layer: Layer) -> Made:
    top, slope = layer.config.get("max_value"), layer.get("negative_slope", 0)
    if layer.get("threshold", 0):
        return opaque(layer)
    if slope:
        return layer.add("leaky_relu", {"slope": layer.decimal("negative_slope", 0)})
    if top is None:
        return layer.add("relu", {})
    return layer.add(*("relu6", {}) if top == 6 else ("clip", {"low": 0, "high": str(top)}))


def leaky_relu(layer: Layer) -> Made:
    key = "alpha" if "alpha" in layer.config else "negative_slope"
    return layer.add("leaky_relu", {"slope": layer.decimal(key, 0.3)})


def elu(layer: Layer) -> Made:
    return layer.add("elu", {"alpha": layer.decimal("alpha", 1.0)})


def prelu(layer: Layer) -> Made:
    shared = layer.get("shared_axes") or []
    wanted = list(range(1, layer.rank))
    if sorted(shared) == wanted:
        return layer.add("prelu", {})
    count = product([n for i, n in enumerate(layer.shape, 1) if i not in shared])
    fields = {"op": "PReLU", "output": list(layer.shape), "params": count}
    return layer.add("opaque", fields, note="a slope for every position")


def dropout(layer: Layer) -> Made:
    return layer.add("dropout", {"rate": layer.decimal("rate", 0.5)})


def stochastic_depth(layer: Layer) -> Made:
    rate = layer.decimal("drop_path_rate" if "drop_path_rate" in layer.config else "rate", 0.0)
    return layer.add("stochastic_depth", {"rate": rate})


def rescaling(layer: Layer) -> Made:
    scale, offset = layer.get("scale", 1), layer.get("offset", 0)
    if isinstance(scale, list) or isinstance(offset, list):
        return layer.add("identity", {}, note="a scale and offset for every channel")
    fields = {"scale": layer.decimal("scale", 1), "offset": layer.decimal("offset", 0)}
    return layer.add("rescale", fields)


def _plain(op: str) -> Callable[[Layer], Made]:
    def handler(layer: Layer) -> Made:
        return layer.add(op, {})

    return handler


def keep(layer: Layer) -> Made:
    """Only at work in training, or without effect on any size."""
    return layer.add("identity", {}, note=f"{layer.kind} in the source")


# --- joins and shapes -----------------------------------------------------------------------------


def _join(op: str) -> Callable[[Layer], Made]:
    def handler(layer: Layer) -> Made:
        if len(layer.refs) < 2:
            constant = _scalar(layer)
            if constant is None or op not in ("multiply", "add"):
                return opaque(layer)
            key = "scale" if op == "multiply" else "offset"
            return layer.add("rescale", {key: decimal(constant)})
        return layer.add(op, {})

    return handler


def _scalar(layer: Layer) -> float | None:
    """The number that an operator of Keras is called with beside a tensor."""
    found = layer.more.get("args")
    values = [v for v in (found if isinstance(found, list) else []) if isinstance(v, int | float)]
    values += [v for k, v in layer.more.items() if k != "args" and isinstance(v, int | float)]
    return float(values[0]) if values and not isinstance(values[0], bool) else None


def scaled_sum(layer: Layer) -> Made:
    """Keras's own layer in its Inception-ResNet: the first input plus the second, scaled."""
    if len(layer.refs) != 2:
        return opaque(layer)
    scaled = layer.draft.add("rescale", {"scale": layer.decimal("scale", 1)}, layer.refs[1:])
    return layer.add("add", {}, [layer.refs[0], scaled])


def concat(layer: Layer) -> Made:
    axis = layer.get("axis", -1)
    if len(layer.refs) == 1:
        return layer.refs
    place = axis - 1 if axis > 0 else axis
    return layer.add("concat", {} if place in (-1, layer.rank - 1) else {"axis": place})


def flatten(layer: Layer) -> Made:
    return layer.add("flatten", {}) if layer.rank > 1 else layer.refs


def reshape(layer: Layer) -> Made:
    to = layer.get("target_shape", [])
    given = layer.get("newshape", [])  # of keras.ops.reshape, the batch with it
    if isinstance(given, list) and len(given) > 1 and given[0] in (-1, None):
        to = given[1:]
    if not isinstance(to, list) or not to or not all(isinstance(n, int) for n in to):
        return opaque(layer)
    return layer.add("reshape", {"to": to})


def permute(layer: Layer) -> Made:
    return layer.add("permute", {"axes": [d - 1 for d in layer.get("dims", [])]})


def _around(op: str, key: str) -> Callable[[Layer], Made]:
    def handler(layer: Layer) -> Made:
        layer.channels_last()
        found = layer.get(key, 1)
        pairs = found if isinstance(found, list) else [found] * (layer.rank - 1)
        if layer.rank == 2 and pairs and not isinstance(pairs[0], list):
            pairs = [pairs if len(pairs) == 2 else pairs * 2]
        ends = [p if isinstance(p, list) else [p, p] for p in pairs]
        if any(len(e) != 2 for e in ends):
            raise refuse(f"layer '{shorten(layer.name)}': {key} must be pairs")
        by = padding([e[0] for e in ends], [e[1] for e in ends])
        return layer.add(op, {"by": by})

    return handler


def upsample(layer: Layer) -> Made:
    layer.channels_last()
    method = str(layer.get("interpolation", "nearest"))
    note = "" if method in ("nearest", "bilinear") else f"{method} in the source"
    fields = {"scale": _per_axis(layer, "size", 2)}
    fields["method"] = method if not note else "bilinear"
    return layer.add("upsample", fields, note=note)


def resizing(layer: Layer) -> Made:
    fields = {"to": plain([layer.number("height"), layer.number("width")])}
    method = str(layer.get("interpolation", "bilinear"))
    fields["method"] = (
        method if method in ("nearest", "bilinear", "bicubic", "area") else "bilinear"
    )
    return layer.add("resize", fields)


def repeat_vector(layer: Layer) -> Made:
    row = layer.draft.add("reshape", {"to": [1, layer.shape[0]]}, layer.refs)
    return layer.add("expand", {"to": [layer.number("n"), -1]}, [row])


def embedding(layer: Layer) -> Made:
    fields = {"vocab": layer.number("input_dim"), "dim": layer.number("output_dim")}
    return layer.add("embedding", fields)


def _dims(handler: Callable[[Layer], Made], stem: str) -> dict[str, Callable[[Layer], Made]]:
    return {f"{stem}{d}D": handler for d in (1, 2, 3)}


TABLE: dict[str, Callable[[Layer], Made]] = {
    **_dims(conv, "Conv"), **_dims(depthwise, "DepthwiseConv"), **_dims(separable, "SeparableConv"),
    **{f"Conv{d}DTranspose": transposed for d in (1, 2, 3)},
    **_dims(_pool("maxpool"), "MaxPooling"), **_dims(_pool("avgpool"), "AveragePooling"),
    **_dims(_global_pool("global_avgpool"), "GlobalAveragePooling"),
    **_dims(_global_pool("global_maxpool"), "GlobalMaxPooling"),
    **_dims(_around("pad", "padding"), "ZeroPadding"),
    **_dims(_around("crop", "cropping"), "Cropping"),
    **_dims(upsample, "UpSampling"), **_dims(dropout, "SpatialDropout"),
    "Convolution2D": conv, "Dense": dense, "BatchNormalization": batchnorm,
    "LayerNormalization": layernorm, "GroupNormalization": groupnorm,
    "Normalization": normalization, "LayerScale": layer_scale, "Activation": activation,
    "ReLU": relu, "LeakyReLU": leaky_relu, "ELU": elu, "PReLU": prelu, "Softmax": _plain("softmax"),
    "Dropout": dropout, "AlphaDropout": dropout, "GaussianDropout": dropout,
    "StochasticDepth": stochastic_depth, "GaussianNoise": keep, "ActivityRegularization": keep,
    "Identity": _plain("identity"), "Masking": keep, "RandomFlip": keep, "RandomRotation": keep,
    "RandomZoom": keep, "RandomTranslation": keep, "RandomContrast": keep,
    "Rescaling": rescaling, "Resizing": resizing, "Add": _join("add"),
    "Subtract": _join("subtract"), "Multiply": _join("multiply"), "Average": _join("average"),
    "Maximum": _join("maximum"), "Minimum": _join("minimum"), "Concatenate": concat,
    "CustomScaleLayer": scaled_sum,
    "Flatten": flatten, "Reshape": reshape, "Permute": permute, "RepeatVector": repeat_vector,
    "Embedding": embedding, "LSTM": ops.recurrent, "GRU": ops.recurrent,
    "Bidirectional": ops.recurrent, "MultiHeadAttention": ops.attention, "Pad": ops.pad_operator,
    "Gelu": ops.gelu, "Clip": ops.clip, "GetItem": ops.item, "ClassToken": ops.token,
    "Scale": ops.scale,
    "Positional": ops.array("positional"), "Array": ops.array("parameter"),
    "LogSoftmax": _plain("log_softmax"), "Sigmoid": _plain("sigmoid"), "Tanh": _plain("tanh"),
    "Relu": _plain("relu"), "Relu6": _plain("relu6"), "Silu": _plain("silu"),
    "HardSilu": _plain("hardswish"), "HardSigmoid": _plain("hardsigmoid"),
    "Softplus": _plain("softplus"), "Softsign": _plain("softsign"),
}  # fmt: skip
