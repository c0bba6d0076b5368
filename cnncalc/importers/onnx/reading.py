"""An ONNX file as plain nodes and constants: parsed without its weights, sorted, bounded."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...source import shorten
from ..draft import refuse

MAX_BYTES = 4 << 30
MAX_NODES = 50_000
MAX_TENSORS = 200_000
SMALL = 1 << 16  # values of a constant that are looked at; larger ones are weights
LARGE = 1 << 22  # values of a constant that is asked for
MAX_DIM = 10**9
MAX_TEXT = 4096  # of a model's own properties
FIRST_OPSET = 7
ORDINARY = ("", "ai.onnx")
COMPOSED = frozenset({"Attention"})


class Node(NamedTuple):
    """One operator. `op` carries its domain where that is not ONNX's own."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    module: str = ""  # the path of the source's module, where the exporter wrote it


class Constant(NamedTuple):
    """A tensor of the file: its shape, and its values where it is small and they are there."""

    shape: tuple[int, ...]
    values: Any = None  # a numpy array
    floating: bool = True


class Model(NamedTuple):
    """A model file, read."""

    name: str
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    inputs: Mapping[str, tuple[Any, ...] | None]  # dims: numbers, names, or None
    floats: frozenset[str]  # inputs that hold real numbers
    outputs: tuple[str, ...]
    proto: Any  # for shape inference
    shapes: Mapping[str, tuple[Any, ...]] | None = None  # of all values, where they are known


def load(path: str) -> Model:
    """Reads an ONNX file; external weights are not looked for. Raises `Problem` E021."""
    try:
        import onnx
    except ImportError:
        message = "reading ONNX files needs the onnx package"
        raise refuse(message, "pip install 'cnncalc[onnx]'") from None
    if os.path.getsize(path) > MAX_BYTES:
        raise refuse(f"'{shorten(path, 200)}' is larger than {MAX_BYTES >> 30} GiB")
    try:
        proto = onnx.load(path, load_external_data=False)
    except (OSError, MemoryError):
        raise
    except Exception:
        message = f"'{shorten(path, 200)}' is not a readable ONNX file: damaged or cut short"
        raise refuse(message) from None
    if not proto.graph.node:
        raise refuse(f"'{shorten(path, 200)}' holds no ONNX graph, or one without operators")
    if proto.functions:
        proto = _inlined(proto)
    if any(n.op_type in COMPOSED and n.domain in ORDINARY for n in proto.graph.node):
        proto = _taken_apart(proto)
    return _model(proto)


def _taken_apart(proto: Any) -> Any:
    """Operators that ONNX itself defines by others, and no layer stands for: by these."""
    from onnx import inliner

    chosen = [("", op) for op in COMPOSED]
    try:
        return inliner.inline_selected_functions(proto, chosen, inline_schema_functions=True)
    except Exception:  # an onnx that cannot, a model that it refuses: they stay opaque
        return proto


def _inlined(proto: Any) -> Any:
    from onnx import inliner

    try:
        return inliner.inline_local_functions(proto)
    except Exception as error:
        what = shorten(str(error).splitlines()[0], 120) if str(error) else "unknown"
        raise refuse(f"the model's functions cannot be expanded: {what}") from None


def _model(proto: Any) -> Model:
    graph = proto.graph
    if any(isinstance(text, bytes) for text in _texts(graph)):
        raise refuse("the model holds names that are not UTF-8 text: damaged")
    if len(graph.node) > MAX_NODES or len(graph.initializer) > MAX_TENSORS:
        raise refuse(f"the model has {len(graph.node):,} operators, more than {MAX_NODES:,}")
    opset = next((o.version for o in proto.opset_import if o.domain in ORDINARY), 0)
    if opset < FIRST_OPSET:
        raise refuse(f"the model uses ONNX opset {opset}; opsets from {FIRST_OPSET} are read")
    constants = {t.name: _constant(t) for t in graph.initializer}
    for sparse in graph.sparse_initializer:
        constants[sparse.values.name] = Constant(_dims(sparse.dims))
    inputs: dict[str, tuple[Any, ...] | None] = {}
    floats = set()
    for value in graph.input:
        if value.name not in constants:
            inputs[value.name] = _shape(value)
            if value.type.tensor_type.elem_type in (0, 1, 10, 11, 16):
                floats.add(value.name)
    nodes = tuple(_sorted([_node(n) for n in graph.node], {*constants, *inputs}))
    outputs = tuple(o.name for o in graph.output)
    return Model(
        shorten(graph.name, 80), opset, nodes, constants, inputs, frozenset(floats), outputs, proto
    )


def _texts(graph: Any) -> Iterator[Any]:
    """All names of a graph; protobuf gives those that are not UTF-8 as bytes."""
    yield graph.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (a.name for a in node.attribute)
    yield from (tensor.name for tensor in graph.initializer)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        yield from (d.dim_param for d in value.type.tensor_type.shape.dim)


def _dims(dims: Any) -> tuple[int, ...]:
    found = tuple(int(d) for d in dims)
    if any(not 0 <= d <= MAX_DIM for d in found):
        raise refuse(f"a tensor of the model has an impossible size: {list(found)[:8]}")
    return found


def _shape(value: Any) -> tuple[Any, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    dims: list[Any] = []
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value") and dim.dim_value > 0:
            dims.append(_dims([dim.dim_value])[0])
        else:
            dims.append(dim.dim_param or None)
    return tuple(dims)


def _constant(tensor: Any) -> Constant:
    shape = _dims(tensor.dims)
    floating = tensor.data_type in (1, 10, 11, 16)
    return Constant(shape, _values(tensor, shape), floating)


def domains(model: "Model") -> dict[str, dict[str, int]]:
    """The domains of symbols that `cnncalc export` has written into a model; what is not one is
    left out."""
    props = model.proto.metadata_props if model.proto is not None else ()
    text = next((p.value for p in props if p.key == "cnncalc.assume"), "")
    try:
        given = json.loads(text) if 0 < len(text) <= MAX_TEXT else {}
    except (ValueError, RecursionError):
        return {}
    found = {}
    for name, domain in given.items() if isinstance(given, dict) else ():
        known = isinstance(domain, dict) and set(domain) <= {"min", "max", "multiple_of"}
        if known and all(type(n) is int and 1 <= n <= MAX_DIM for n in domain.values()):
            found[str(name)] = dict(domain)
    return found


def array(model: "Model", name: str) -> Any:
    """The numbers of a larger constant, a mask say, that lies in the file itself; else None."""
    if model.proto is None:
        return None
    graph = model.proto.graph
    found = next((t for t in graph.initializer if t.name == name), None)
    if found is None:
        made = next((n for n in graph.node if name in n.output and n.op_type == "Constant"), None)
        found = next((a.t for a in made.attribute if a.name == "value"), None) if made else None
    return None if found is None else _values(found, _dims(found.dims), LARGE)


def _values(tensor: Any, shape: tuple[int, ...], most: int = SMALL) -> Any:
    """The numbers of a small tensor that lies in the file itself, else None."""
    from onnx import numpy_helper

    count = 1
    for dim in shape:
        count *= dim
    if count > most or tensor.data_location == 1:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except Exception:  # values left out, or of a type that numpy does not know
        return None


def _node(node: Any) -> Node:
    ordinary = node.domain in ORDINARY
    op = node.op_type if ordinary else f"{node.domain}.{node.op_type}"
    attributes = {a.name: v for a in node.attribute if (v := _attribute(a)) is not None}
    return Node(shorten(op, 60), node.name, tuple(node.input), tuple(node.output), attributes,
                _module(node))  # fmt: skip


def _attribute(attribute: Any) -> Any:
    kind = attribute.type
    if kind == 1:
        return attribute.f
    if kind == 2:
        return attribute.i
    if kind == 3:
        return attribute.s.decode("utf-8", "replace")
    if kind == 4:
        return _constant(attribute.t)
    if kind == 6:
        return list(attribute.floats)
    if kind == 7:
        return list(attribute.ints)
    if kind == 8:
        return [s.decode("utf-8", "replace") for s in attribute.strings]
    return None  # a graph, a sparse tensor: operators that have one are opaque


def _module(node: Any) -> str:
    """The module path of an operator that torch.export names: the innermost scope but one."""
    for entry in getattr(node, "metadata_props", ()):
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = [s.strip(" '\"") for s in entry.value.strip("[] ").split(",")]
            return scopes[-2] if len(scopes) > 1 else ""
    return ""


def _sorted(nodes: list[Node], known: set[str]) -> list[Node]:
    """Operators in an order in which each reads only what is above it."""
    maker: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in maker or name in known:
                raise refuse(f"two operators of the model write '{shorten(name)}'")
            maker[name] = i
    waiting = [0] * len(nodes)
    readers: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        for name in filter(None, node.inputs):
            if name in maker:
                waiting[i] += 1
                readers.setdefault(maker[name], []).append(i)
            elif name not in known:
                what = f"operator '{shorten(node.name or node.op)}' reads '{shorten(name)}'"
                raise refuse(f"{what}, which nothing makes")
    import heapq

    ready = [i for i, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    found = []
    while ready:
        i = heapq.heappop(ready)
        found.append(nodes[i])
        for reader in readers.get(i, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(found) < len(nodes):
        stuck = next(nodes[i] for i, count in enumerate(waiting) if count)
        raise refuse(f"the model's graph has a cycle through '{shorten(stuck.name or stuck.op)}'")
    return found
