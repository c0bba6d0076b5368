"""PyTorch's own operators as the nodes that the ONNX importer reads: one walk serves both."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from ...source import shorten
from ..draft import refuse
from ..onnx.reading import Constant, Model, Node

MAX_NODES = 50_000
OPSET = 20  # whose meaning of attributes the nodes have


class Translator:
    """An exported program, node by node."""

    def __init__(self, exported: Any) -> None:
        self.exported = exported
        self.nodes: list[Node] = []
        self.constants: dict[str, Constant] = {}
        self.names: dict[str, str] = {}  # a value's name here by the name of PyTorch's node
        self.shapes: dict[str, tuple[Any, ...]] = {}
        self.module = ""

    def model(self) -> Model:
        graph = self.exported.graph
        inputs: dict[str, tuple[Any, ...] | None] = {}
        outputs: list[str] = []
        held = self._held()
        for count, node in enumerate(graph.nodes):
            if count > MAX_NODES:
                raise refuse(f"the model has more than {MAX_NODES:,} operators")
            value = node.meta.get("val")
            self.note(node.name, value)
            if node.op == "placeholder":
                if node.name in held:
                    self.names[node.name] = self._weight(held[node.name], value)
                elif hasattr(value, "shape"):
                    self.names[node.name] = node.name
                    inputs[node.name] = tuple(int(n) for n in value.shape)
            elif node.op == "call_function":
                self.module = _module(node)
                self._call(node)
            elif node.op == "output":
                outputs = [self.names[o.name] for o in _flat(node.args[0]) if o.name in self.names]
        return Model(
            "main", OPSET, tuple(self.nodes), self.constants, inputs, frozenset(inputs),
            tuple(dict.fromkeys(outputs)), None, self.shapes,
        )  # fmt: skip

    def _held(self) -> dict[str, tuple[str, bool]]:
        """Parameters, buffers and constants by placeholder, and whether they are trained."""
        signature = self.exported.graph_signature
        found = {k: (v, True) for k, v in signature.inputs_to_parameters.items()}
        found |= {k: (v, False) for k, v in signature.inputs_to_buffers.items()}
        lifted = getattr(signature, "inputs_to_lifted_tensor_constants", {})
        return found | {k: (v, False) for k, v in lifted.items()}

    def _weight(self, held: tuple[str, bool], value: Any) -> str:
        name, trained = held
        shape = tuple(int(n) for n in value.shape)
        self.constants[name] = Constant(shape, None, trained and value.dtype.is_floating_point)
        return name

    def note(self, name: str, value: Any) -> None:
        """Remembers a value's shape."""
        values = value if isinstance(value, list | tuple) else [value]
        for i, v in enumerate(values):
            if hasattr(v, "shape"):
                full = f"{name}.{i}" if isinstance(value, list | tuple) else name
                self.shapes[full] = tuple(int(n) for n in v.shape)

    # --- writing nodes -------------------------------------------------------------------

    def put(
        self, op: str, inputs: Sequence[Any], outputs: Sequence[str], **attributes: Any
    ) -> None:
        names = tuple(self.input(i) for i in inputs)
        self.nodes.append(Node(op, "", names, tuple(outputs), attributes, self.module))

    def input(self, value: Any) -> str:
        """The name of a value; numbers and lists of them become constants."""
        if value is None:
            return ""
        if hasattr(value, "op") and hasattr(value, "name"):
            return self.names.get(str(value.name), str(value.name))
        import numpy as np

        name = f"val_{len(self.constants)}"
        try:
            array = np.asarray(value)
        except ValueError:
            raise refuse(f"an argument cannot be read: {shorten(str(value))}") from None
        self.constants[name] = Constant(tuple(array.shape), array, False)
        return name

    def _call(self, node: Any) -> None:
        target = str(node.target)
        if "getitem" in target and not target.startswith("aten"):
            self.names[node.name] = f"{node.args[0].name}.{node.args[1]}"
            source = self.names.get(node.args[0].name)
            if source is not None and f"{node.args[0].name}.{node.args[1]}" not in self.shapes:
                self.names[node.name] = source
            return
        op = target.removeprefix("aten.").rpartition(".")[0] or target
        self.names[node.name] = node.name
        args = _Arguments(node)
        handler = TABLE.get(op.removesuffix("_")) or TABLE.get(op)
        if handler is None:
            read = [a for a in _flat([*node.args, *node.kwargs.values()]) if hasattr(a, "op")]
            value = node.meta.get("val")
            several = isinstance(value, list | tuple)
            outputs = [f"{node.name}.{i}" for i in range(len(value))] if several else [node.name]
            self.put(op, read, outputs)
            return
        handler(self, node.name, args)


class _Arguments:
    """An operator's arguments by name or place, with the schema's defaults."""

    def __init__(self, node: Any) -> None:
        self.node = node
        schema = getattr(node.target, "_schema", None)
        self.given: dict[str, Any] = dict(node.kwargs)
        self.order = [a.name for a in schema.arguments] if schema is not None else []
        for argument, value in zip(self.order, node.args, strict=False):
            self.given[argument] = value
        if schema is not None:
            for argument in schema.arguments:
                if argument.name not in self.given and argument.has_default_value():
                    self.given[argument.name] = argument.default_value

    def __getitem__(self, name: str) -> Any:
        return self.given.get(name)

    def first(self) -> Any:
        return self.given[self.order[0]]

    def rank(self, value: Any = None) -> int:
        return len((value or self.first()).meta["val"].shape)


def _module(node: Any) -> str:
    """The module that a node comes from, without what torch.export puts before it."""
    stack = node.meta.get("nn_module_stack") or {}
    path = list(stack.values())[-1][0] if stack else ""
    return str(path).removeprefix("L['self'].").removeprefix("L['self']")


def _flat(found: Any) -> list[Any]:
    if isinstance(found, list | tuple):
        return [x for f in found for x in _flat(f)]
    return [] if found is None else [found]


# --- one function an operator ------------------------------------------------------------

Handler = Callable[[Translator, str, _Arguments], None]
TABLE: dict[str, Handler] = {}


def aten(*ops: str) -> Callable[[Handler], Handler]:
    def declare(function: Handler) -> Handler:
        TABLE.update(dict.fromkeys(ops, function))
        return function

    return declare


def _wide(value: Any, rank: int) -> list[Any]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * rank if len(values) == 1 else values


@aten("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d",
      "conv_transpose3d")  # fmt: skip
def conv(t: Translator, name: str, a: _Arguments) -> None:
    rank = a.rank() - 2
    sides: dict[str, Any] = {"strides": _wide(a["stride"], rank), "group": a["groups"]}
    sides["dilations"] = _wide(a["dilation"], rank)
    if isinstance(a["padding"], str):
        sides["auto_pad"] = {"same": "SAME_UPPER", "valid": "VALID"}[a["padding"]]
    else:
        sides["pads"] = _wide(a["padding"], rank) * 2
    transposed = a["transposed"] or "transpose" in str(a.node.target)
    if transposed:
        sides["output_padding"] = _wide(a["output_padding"] or [0], rank)
    op = "ConvTranspose" if transposed else "Conv"
    t.put(op, [a["input"], a["weight"], a["bias"]], [name], **sides)


@aten("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm")
def batch_norm(t: Translator, name: str, a: _Arguments) -> None:
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
def layer_norm(t: Translator, name: str, a: _Arguments) -> None:
    several = isinstance(a.node.meta.get("val"), list | tuple)
    outputs = [f"{name}.0" if several else name]
    gamma = a["weight"] if a["weight"] is not None else [1.0]
    axis = a.rank() - len(a["normalized_shape"])
    t.put("LayerNormalization", [a.first(), gamma, a["bias"]], outputs, axis=axis, epsilon=a["eps"])


@aten("group_norm")
def group_norm(t: Translator, name: str, a: _Arguments) -> None:
    if a["weight"] is None:
        t.put("group_norm", [a.first()], [name])
        return
    inputs = [a.first(), a["weight"], a["bias"]]
    t.put("GroupNormalization", inputs, [name], num_groups=a["num_groups"], epsilon=a["eps"])


@aten("instance_norm")
def instance_norm(t: Translator, name: str, a: _Arguments) -> None:
    gamma = a["weight"] if a["weight"] is not None else [1.0]
    beta = a["bias"] if a["bias"] is not None else [0.0]
    t.put("InstanceNormalization", [a.first(), gamma, beta], [name], epsilon=a["eps"])


@aten("linear")
def linear(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Linear", [a["input"], a["weight"], a["bias"]], [name])


@aten("addmm")
def addmm(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Gemm", [a["mat1"], a["mat2"], a["self"]], [name])


@aten("matmul", "mm", "bmm")
def matmul(t: Translator, name: str, a: _Arguments) -> None:
    t.put("MatMul", [a.given[n] for n in a.order[:2]], [name])


@aten("einsum")
def einsum(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Einsum", list(a["tensors"]), [name], equation=a["equation"])


@aten("scaled_dot_product_attention")
def attention(t: Translator, name: str, a: _Arguments) -> None:
    """Scores, softmax, weighted sum; the scaling changes no size and is left out."""
    rank = a.rank()
    turned, scores, weights = (f"{name}.{k}" for k in ("key", "scores", "weights"))
    t.put("Transpose", [a["key"]], [turned], perm=[*range(rank - 2), rank - 1, rank - 2])
    t.put("MatMul", [a["query"]], [scores])
    node = t.nodes[-1]
    t.nodes[-1] = node._replace(inputs=(*node.inputs, turned))
    at = scores
    if a["attn_mask"] is not None:
        at = f"{name}.masked"
        node = Node("Add", "", (scores, t.input(a["attn_mask"])), (at,), {}, t.module)
        t.nodes.append(node)
    t.nodes.append(Node("Softmax", "", (at,), (weights,), {"axis": -1}, t.module))
    t.nodes.append(Node("MatMul", "", (weights, t.input(a["value"])), (name,), {}, t.module))


def _simple(op: str) -> Handler:
    def handler(t: Translator, name: str, a: _Arguments) -> None:
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
def hardsigmoid(t: Translator, name: str, a: _Arguments) -> None:
    t.put("HardSigmoid", [a.first()], [name], alpha=1 / 6)


@aten("gelu")
def gelu(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Gelu", [a.first()], [name], approximate=a["approximate"])


@aten("leaky_relu")
def leaky_relu(t: Translator, name: str, a: _Arguments) -> None:
    t.put("LeakyRelu", [a.first()], [name], alpha=a["negative_slope"])


@aten("elu", "celu")
def elu(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Celu" if "celu" in str(a.node.target) else "Elu", [a.first()], [name], alpha=a["alpha"])


@aten("prelu")
def prelu(t: Translator, name: str, a: _Arguments) -> None:
    t.put("PRelu", [a.first(), a["weight"]], [name])


@aten("hardtanh", "clamp", "relu6", "clamp_min")
def clip(t: Translator, name: str, a: _Arguments) -> None:
    hard = "hardtanh" in str(a.node.target)
    keys = ("min_val", "max_val") if hard else ("min", "max")
    bounds = {k: float(a[key]) for k, key in zip(("min", "max"), keys, strict=True)
              if isinstance(a[key], int | float)}  # fmt: skip
    if "relu6" in str(a.node.target):
        bounds = {"min": 0.0, "max": 6.0}
    t.put("Clip", [a.first()], [name], **bounds)


@aten("softmax", "_softmax", "log_softmax", "_log_softmax")
def softmax(t: Translator, name: str, a: _Arguments) -> None:
    op = "LogSoftmax" if "log" in str(a.node.target) else "Softmax"
    t.put(op, [a.first()], [name], axis=a["dim"])


@aten("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "avg_pool1d",
      "avg_pool2d", "avg_pool3d")  # fmt: skip
def pool(t: Translator, name: str, a: _Arguments) -> None:
    rank = a.rank() - 2
    kernel = _wide(a["kernel_size"], rank)
    sides: dict[str, Any] = {"kernel_shape": kernel}
    sides["strides"] = _wide(a["stride"] or kernel, rank)
    sides["pads"] = _wide(a["padding"] or [0], rank) * 2
    sides["ceil_mode"] = int(bool(a["ceil_mode"]))
    several = isinstance(a.node.meta.get("val"), list | tuple)
    outputs = [f"{name}.0" if several else name]
    if "max" in str(a.node.target):
        dilations = _wide(a["dilation"] or [1], rank)
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
def adaptive(t: Translator, name: str, a: _Arguments) -> None:
    output = _wide(a["output_size"], a.rank() - 2)
    t.put("AdaptiveAveragePool", [a.first()], [name], output=output)


@aten("adaptive_max_pool1d", "adaptive_max_pool2d")
def adaptive_max(t: Translator, name: str, a: _Arguments) -> None:
    output = _wide(a["output_size"], a.rank() - 2)
    op = "GlobalMaxPool" if all(n == 1 for n in output) else "adaptive_max_pool"
    t.put(op, [a.first()], [f"{name}.0"])


def _binary(op: str) -> Handler:
    def handler(t: Translator, name: str, a: _Arguments) -> None:
        t.put(op, [a.given[n] for n in a.order[:2]], [name])

    return handler


for _name, _op in (("add", "Add"), ("sub", "Sub"), ("mul", "Mul"), ("div", "Div"),
                   ("pow", "Pow"), ("maximum", "Max"), ("minimum", "Min")):  # fmt: skip
    TABLE[_name] = _binary(_op)


@aten("rsub")
def rsub(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Sub", [a["other"], a.first()], [name])


@aten("mean", "sum", "amax")
def reduced(t: Translator, name: str, a: _Arguments) -> None:
    op = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax"}[
        str(a.node.target).split(".")[1]]  # fmt: skip
    dims = (
        a["dim"] if isinstance(a["dim"], list | tuple) else None if a["dim"] is None else [a["dim"]]
    )
    axes = {"axes": list(dims)} if dims else {}
    t.put(op, [a.first()], [name], keepdims=int(bool(a["keepdim"])), **axes)


# --- shapes ----------------------------------------------------------------------


@aten("view", "reshape", "_unsafe_view", "flatten", "unflatten", "view_as", "reshape_as")
def reshape(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Reshape", [a.first(), list(t.shapes[name])], [name])


@aten("squeeze", "unsqueeze")
def units(t: Translator, name: str, a: _Arguments) -> None:
    reshape(t, name, a)


@aten("permute")
def permute(t: Translator, name: str, a: _Arguments) -> None:
    rank = a.rank()
    t.put("Transpose", [a.first()], [name], perm=[d % rank for d in a["dims"]])


@aten("transpose", "t", "swapaxes")
def transpose(t: Translator, name: str, a: _Arguments) -> None:
    rank = a.rank()
    perm = list(range(rank))
    given = [a.given[n] for n in a.order[1:3]] or [0, rank - 1]
    i, j = (d % rank for d in given)
    perm[i], perm[j] = perm[j], perm[i]
    t.put("Transpose", [a.first()], [name], perm=perm)


@aten("movedim", "moveaxis")
def movedim(t: Translator, name: str, a: _Arguments) -> None:
    rank = a.rank()
    sources, targets = ([d % rank for d in (v if isinstance(v, list | tuple) else [v])]
                        for v in (a["source"], a["destination"]))  # fmt: skip
    rest = iter(d for d in range(rank) if d not in sources)
    moved = dict(zip(targets, sources, strict=True))
    perm = [moved[d] if d in moved else next(rest) for d in range(rank)]
    t.put("Transpose", [a.first()], [name], perm=perm)


@aten("expand", "expand_as", "broadcast_to")
def expand(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Expand", [a.first(), list(t.shapes[name])], [name])


@aten("cat", "concat")
def cat(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Concat", list(a["tensors"]), [name], axis=a["dim"] or 0)


@aten("stack")
def stack(t: Translator, name: str, a: _Arguments) -> None:
    parts = []
    for i, x in enumerate(a["tensors"]):
        parts.append(f"{name}.part{i}")
        t.put("Unsqueeze", [x, [a["dim"] or 0]], [parts[-1]])
    t.nodes.append(Node("Concat", "", tuple(parts), (name,), {"axis": a["dim"] or 0}, t.module))


@aten("split", "split_with_sizes", "chunk", "tensor_split")
def split(t: Translator, name: str, a: _Arguments) -> None:
    outputs = [f"{name}.{i}" for i in range(len(a.node.meta["val"]))]
    axis = a["dim"] or 0
    sizes = [t.shapes[o][axis] for o in outputs]
    t.put("Split", [a.first(), sizes], outputs, axis=axis)


@aten("unbind")
def unbind(t: Translator, name: str, a: _Arguments) -> None:
    for i in range(len(a.node.meta["val"])):
        t.put("Gather", [a.first(), i], [f"{name}.{i}"], axis=a["dim"] or 0)


@aten("select")
def select(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Gather", [a.first(), a["index"]], [name], axis=a["dim"])


@aten("slice")
def slice_(t: Translator, name: str, a: _Arguments) -> None:
    end = a["end"] if a["end"] is not None else 2**31
    cut = [[a["start"] or 0], [end], [a["dim"] or 0], [a["step"] or 1]]
    t.put("Slice", [a.first(), *cut], [name])


@aten("lstm", "gru")
def recurrent(t: Translator, name: str, a: _Arguments) -> None:
    """One layer of PyTorch's; several ones, or a state that comes in, are not covered."""
    op = "lstm" if "lstm" in str(a.node.target) else "gru"
    outputs = [f"{name}.{i}" for i in range(len(a.node.meta["val"]))]
    if a["num_layers"] != 1 or "data" in a.order:
        t.put(op, [a.first()], outputs)
        return
    fields = {"bidirectional": bool(a["bidirectional"]), "bias": bool(a["has_biases"])}
    t.put("TorchRecurrent", [a.first(), *a["params"]], outputs, kind=op,
          batch_first=bool(a["batch_first"]), **fields)  # fmt: skip


@aten("roll")
def roll(t: Translator, name: str, a: _Arguments) -> None:
    if not a["dims"]:
        t.put("roll", [a.first()], [name])
        return
    t.put("Roll", [a.first()], [name], shifts=list(a["shifts"]), dims=list(a["dims"]))


@aten("linalg_vector_norm", "norm")
def norm(t: Translator, name: str, a: _Arguments) -> None:
    dims = a["dim"] if isinstance(a["dim"], list | tuple) else [a["dim"]]
    order = a["ord"] if "ord" in a.order else a["p"]
    op = "ReduceL2" if order == 2 else "norm"
    t.put(op, [a.first()], [name], axes=list(dims), keepdims=int(bool(a["keepdim"])))


@aten("new_zeros", "new_ones", "new_full", "zeros", "ones", "full", "zeros_like", "ones_like",
      "full_like", "arange", "linspace", "empty", "new_empty", "scalar_tensor", "tensor",
      "eye")  # fmt: skip
def made(t: Translator, name: str, a: _Arguments) -> None:
    """An array that no value of the network goes into."""
    t.constants[name] = Constant(t.shapes.get(name, ()), None, False)


@aten("embedding")
def embedding(t: Translator, name: str, a: _Arguments) -> None:
    t.put("Gather", [a["weight"], a["indices"]], [name])


@aten("constant_pad_nd", "pad")
def pad(t: Translator, name: str, a: _Arguments) -> None:
    given = list(a["pad"])
    axes = [a.rank() - 1 - i for i in range(len(given) // 2)]
    ends = [given[2 * i] for i in range(len(axes))] + [given[2 * i + 1] for i in range(len(axes))]
    mode = a["mode"] or "constant"
    t.put("Pad", [a.first(), ends, None, axes], [name], mode=mode)


@aten("pixel_shuffle")
def pixel_shuffle(t: Translator, name: str, a: _Arguments) -> None:
    t.put("DepthToSpace", [a.first()], [name], blocksize=a["upscale_factor"], mode="CRD")


@aten("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_nearest1d",
      "upsample_linear1d", "upsample_nearest3d", "upsample_trilinear3d")  # fmt: skip
def upsample(t: Translator, name: str, a: _Arguments) -> None:
    target = str(a.node.target)
    mode = "nearest" if "nearest" in target else "cubic" if "cubic" in target else "linear"
    kind = "align_corners" if a["align_corners"] else "half_pixel"
    factors = a["scale_factors"]
    scales = [1.0, 1.0, *factors] if factors else None
    sizes = None if factors else list(t.shapes[name])
    t.put("Resize", [a.first(), None, scales, sizes], [name], mode=mode,
          coordinate_transformation_mode=kind)  # fmt: skip
