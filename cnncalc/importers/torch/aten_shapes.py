"""PyTorch's operators that move, join, part, make, pad and resize values; recurrence."""

from math import prod
from typing import Any

from ..onnx.reading import SMALL, Constant, Node
from .translator import Arguments, Translator, aten


@aten("view", "reshape", "_unsafe_view", "flatten", "unflatten", "view_as", "reshape_as")
def reshape(t: Translator, name: str, a: Arguments) -> None:
    t.put("Reshape", [a.first(), list(t.shapes[name])], [name])


@aten("squeeze", "unsqueeze")
def units(t: Translator, name: str, a: Arguments) -> None:
    reshape(t, name, a)


@aten("permute")
def permute(t: Translator, name: str, a: Arguments) -> None:
    rank = a.rank()
    t.put("Transpose", [a.first()], [name], perm=[d % rank for d in a["dims"]])


@aten("transpose", "t", "swapaxes")
def transpose(t: Translator, name: str, a: Arguments) -> None:
    rank = a.rank()
    perm = list(range(rank))
    given = [a.given[n] for n in a.order[1:3]] or [0, rank - 1]
    i, j = (d % rank for d in given)
    perm[i], perm[j] = perm[j], perm[i]
    t.put("Transpose", [a.first()], [name], perm=perm)


@aten("movedim", "moveaxis")
def movedim(t: Translator, name: str, a: Arguments) -> None:
    rank = a.rank()
    sources, targets = ([d % rank for d in (v if isinstance(v, list | tuple) else [v])]
                        for v in (a["source"], a["destination"]))  # fmt: skip
    rest = iter(d for d in range(rank) if d not in sources)
    moved = dict(zip(targets, sources, strict=True))
    perm = [moved[d] if d in moved else next(rest) for d in range(rank)]
    t.put("Transpose", [a.first()], [name], perm=perm)


@aten("expand", "expand_as", "broadcast_to")
def expand(t: Translator, name: str, a: Arguments) -> None:
    t.put("Expand", [a.first(), list(t.shapes[name])], [name])


@aten("cat", "concat")
def cat(t: Translator, name: str, a: Arguments) -> None:
    t.put("Concat", list(a["tensors"]), [name], axis=a["dim"] or 0)


@aten("stack")
def stack(t: Translator, name: str, a: Arguments) -> None:
    parts = []
    for i, x in enumerate(a["tensors"]):
        parts.append(f"{name}.part{i}")
        t.put("Unsqueeze", [x, [a["dim"] or 0]], [parts[-1]])
    t.nodes.append(Node("Concat", "", tuple(parts), (name,), {"axis": a["dim"] or 0}, t.module))


@aten("split", "split_with_sizes", "chunk", "tensor_split")
def split(t: Translator, name: str, a: Arguments) -> None:
    outputs = [f"{name}.{i}" for i in range(len(a.node.meta["val"]))]
    axis = a["dim"] or 0
    sizes = [t.shapes[o][axis] for o in outputs]
    t.put("Split", [a.first(), sizes], outputs, axis=axis)


@aten("unbind")
def unbind(t: Translator, name: str, a: Arguments) -> None:
    for i in range(len(a.node.meta["val"])):
        t.put("Gather", [a.first(), i], [f"{name}.{i}"], axis=a["dim"] or 0)


@aten("select")
def select(t: Translator, name: str, a: Arguments) -> None:
    t.put("Gather", [a.first(), a["index"]], [name], axis=a["dim"])


@aten("index")
def index(t: Translator, name: str, a: Arguments) -> None:
    """Positions of one axis, x[:, [0, 2]]; several arrays at once are not covered."""
    given = [(axis, i) for axis, i in enumerate(a["indices"]) if i is not None]
    ((axis, positions),) = given if len(given) == 1 else ((-1, None),)
    if positions is None or len(positions.meta["val"].shape) != 1:
        t.put("index", [a.first(), *(i for _, i in given)], [name])
        return
    t.put("Gather", [a.first(), positions], [name], axis=axis)


@aten("slice")
def slice_(t: Translator, name: str, a: Arguments) -> None:
    end = a["end"] if a["end"] is not None else 2**31
    cut = [[a["start"] or 0], [end], [a["dim"] or 0], [a["step"] or 1]]
    t.put("Slice", [a.first(), *cut], [name])


@aten("lstm", "gru")
def recurrent(t: Translator, name: str, a: Arguments) -> None:
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
def roll(t: Translator, name: str, a: Arguments) -> None:
    if not a["dims"]:
        t.put("roll", [a.first()], [name])
        return
    t.put("Roll", [a.first()], [name], shifts=list(a["shifts"]), dims=list(a["dims"]))


@aten("linalg_vector_norm", "norm")
def norm(t: Translator, name: str, a: Arguments) -> None:
    dims = a["dim"] if isinstance(a["dim"], list | tuple) else [a["dim"]]
    order = a["ord"] if "ord" in a.order else a["p"]
    op = "ReduceL2" if order == 2 else "norm"
    t.put(op, [a.first()], [name], axes=list(dims), keepdims=int(bool(a["keepdim"])))


@aten("new_zeros", "new_ones", "new_full", "zeros", "ones", "full", "zeros_like", "ones_like",
      "full_like", "arange", "linspace", "empty", "new_empty", "scalar_tensor", "tensor",
      "eye")  # fmt: skip
def made(t: Translator, name: str, a: Arguments) -> None:
    """An array that no value of the network goes into."""
    shape = t.shapes.get(name, ())
    t.constants[name] = Constant(shape, _filled(a, shape), False)


FILLS = {"zeros": 0.0, "ones": 1.0}


def _filled(a: Arguments, shape: tuple[int, ...]) -> Any:
    """The values of a small array of one number; None for others."""
    import numpy as np

    kind = str(a.node.target).split(".")[1].removeprefix("new_").removesuffix("_like")
    fill = a["fill_value"] if kind == "full" else FILLS.get(kind)
    if not isinstance(fill, int | float) or prod(shape) > SMALL:
        return None
    return np.full(shape, float(fill))


@aten("triu", "tril")
def triangle(t: Translator, name: str, a: Arguments) -> None:
    upper = int("triu" in str(a.node.target))
    t.put("Trilu", [a.first(), a["diagonal"]], [name], upper=upper)


@aten("embedding")
def embedding(t: Translator, name: str, a: Arguments) -> None:
    t.put("Gather", [a["weight"], a["indices"]], [name])


@aten("constant_pad_nd", "pad")
def pad(t: Translator, name: str, a: Arguments) -> None:
    given = list(a["pad"])
    axes = [a.rank() - 1 - i for i in range(len(given) // 2)]
    ends = [given[2 * i] for i in range(len(axes))] + [given[2 * i + 1] for i in range(len(axes))]
    mode = a["mode"] or "constant"
    value = a["value"] if isinstance(a["value"], int | float) else None
    t.put("Pad", [a.first(), ends, value, axes], [name], mode=mode)


@aten("pixel_shuffle")
def pixel_shuffle(t: Translator, name: str, a: Arguments) -> None:
    t.put("DepthToSpace", [a.first()], [name], blocksize=a["upscale_factor"], mode="CRD")


@aten("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_nearest1d",
      "upsample_linear1d", "upsample_nearest3d", "upsample_trilinear3d")  # fmt: skip
def upsample(t: Translator, name: str, a: Arguments) -> None:
    target = str(a.node.target)
    mode = "nearest" if "nearest" in target else "cubic" if "cubic" in target else "linear"
    kind = "align_corners" if a["align_corners"] else "half_pixel"
    factors = a["scale_factors"]
    scales = [1.0, 1.0, *factors] if factors else None
    sizes = None if factors else list(t.shapes[name])
    t.put("Resize", [a.first(), None, scales, sizes], [name], mode=mode,
          coordinate_transformation_mode=kind)  # fmt: skip
