"""ONNX models, opset 17: nodes with the layers' names, channels first, a batch axis `N`.

Weights are drawn as He (2015) draws them, from a fixed seed; `weights=False` leaves their
values out (shapes alone, as external data that is absent). A model of over 2 GiB does not
fit a protobuf message and is refused.
"""

import json
from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np

from ..layers.base import Shape
from ..network import Network
from ..rows import Report, Row
from .errors import ExportError, refused
from .volumes import ANY, FIRST, LAST, canonical, tensor, tokens

OPSET, IR = 17, 8
ASSUMED = "cnncalc.assume"  # the property of a model that holds the domains of its symbols
INT = np.int64
MOST = 2**31 - 2**20


class Value(NamedTuple):
    """A tensor: its name, the volume it holds, and how that lies in it."""

    name: str
    shape: Shape
    layout: str


Builder = Callable[["Graph", Row, list[Value], str], Value]
TABLE: dict[str, Builder] = {}


def to(*ops: str) -> Callable[[Builder], Builder]:
    def put(f: Builder) -> Builder:
        TABLE.update(dict.fromkeys(ops, f))
        return f

    return put


def export(network: Network, report: Report, weights: bool = True) -> bytes:
    """The model as a file's bytes. Raises `ExportError`."""
    data: bytes = model(network, report, weights).SerializeToString()
    return data


def model(network: Network, report: Report, weights: bool = True) -> Any:
    """The `onnx.ModelProto`; needs the onnx package."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ExportError("export to ONNX needs onnx: pip install 'cnncalc[onnx]'") from None
    from . import (  # noqa: F401  (they state their layers)
        onnx_activations,
        onnx_layers,
        onnx_select,
        onnx_sequences,
        onnx_shapes,
        onnx_tokens,
        onnx_units,
    )

    return Graph(network, report, weights).build()


class Graph:
    """A model that grows node by node."""

    def __init__(self, network: Network, report: Report, weights: bool) -> None:
        self.network, self.report, self.weights = network, report, weights
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self.taken: set[str] = {row.name for row in report.layers} | set(report.input_shapes)
        self.values: dict[str, Value] = {}
        self.params: dict[tuple[str, str], str] = {}
        self.moved: dict[tuple[str, str], Value] = {}
        self.bytes = 0
        self.random = np.random.default_rng(0)
        self.loss: Row | None = None  # the layer that reads labels
        self.tokens = tokens(report)

    # --- pieces ----------------------------------------------------------------------

    def canonical(self, shape: Shape) -> str:
        return canonical(shape, self.tokens)

    def fresh(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.taken:
            count += 1
            name = f"{wanted}_{count}"
        self.taken.add(name)
        return name

    def node(
        self, op: str, inputs: Sequence[str], row: Row, last: bool = True, **attributes: Any
    ) -> str:
        """Adds a node of a layer; the `last` one's output carries the layer's name."""
        from onnx import helper

        name = row.name if last else self.fresh(f"{row.name}/{op}")
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def several(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], row: Row, **attributes: Any
    ) -> None:
        """Adds a node of several outputs."""
        from onnx import helper

        name = self.fresh(f"{row.name}/{op}")
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name=name, **attributes))

    def constant(self, row: Row, values: Any, dtype: Any = np.float32) -> str:
        """A constant that is no parameter: the output of a Constant node."""
        from onnx import helper, numpy_helper

        name = self.fresh(f"{row.name}/Constant")
        tensor = numpy_helper.from_array(np.asarray(values, dtype), name)
        self.nodes.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name

    def param(self, row: Row, key: str, shape: Sequence[int], value: float | None = None) -> str:
        """A parameter or running statistic; shared layers share it. `value` fills it."""
        owner = row.shared or row.name
        if (owner, key) in self.params:
            return self.params[owner, key]
        name = self.params[owner, key] = self.fresh(f"{owner}.{key}")
        self.initialisers.append(self._tensor(name, tuple(shape), value))
        return name

    def _tensor(self, name: str, shape: tuple[int, ...], value: float | None) -> Any:
        from onnx import TensorProto, numpy_helper

        self.bytes += 4 * prod(shape)
        if not self.weights:
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="weights.bin")
            return tensor
        if self.bytes > MOST:
            raise ExportError("the weights take over 2 GiB, which one ONNX file cannot hold")
        if value is not None:
            array = np.full(shape, value, np.float32)
        else:
            array = self.random.standard_normal(shape, np.float32)
            array *= np.float32(sqrt(2 / max(1, prod(shape[1:]))))
        return numpy_helper.from_array(array, name)

    def read(self, value: Value, layout: str, row: Row) -> Value:
        """The value in a layout; the node that moves the axes is kept for others."""
        if len(value.shape) == 1 or ANY in (layout, value.layout) or layout == value.layout:
            return value
        key = (value.name, layout)
        if key not in self.moved:
            rank = len(value.shape) - 1
            order = [0, *range(2, rank + 2), 1] if layout == LAST else [0, rank + 1, *range(1, rank + 1)]  # noqa: E501  # fmt: skip
            name = self.node("Transpose", [value.name], row, last=False, perm=order)
            self.moved[key] = Value(name, value.shape, layout)
        return self.moved[key]

    # --- the whole -------------------------------------------------------------------

    def build(self) -> Any:
        from onnx import TensorProto, helper

        shapes = self.report.input_shapes
        inputs = []
        for name, shape in shapes.items():
            value = Value(name, shape, self.canonical(shape))
            self.values[name] = value
            inputs.append(self._info(value))
        self.values.setdefault("input", self.values[next(iter(shapes))])
        for row in self.report.layers:
            if row.op not in TABLE:
                raise refused(row, f"the op {row.op} has no counterpart in ONNX")
            known = [self.values[name] for name in row.inputs]
            volumes = [v for v in known if len(v.shape) > 1]
            layouts = {v.layout for v in volumes}
            at = layouts.pop() if len(layouts) == 1 else FIRST
            if layouts:
                at = self.canonical(volumes[0].shape)
            self.values[row.name] = TABLE[row.op](self, row, known, at)
        outputs = [self._output(name) for name in self.network.graph().outputs]
        if self.loss is not None:
            dims = _dims(self.loss.input[0][:-1])
            inputs.append(helper.make_tensor_value_info("target", TensorProto.INT64, ["N", *dims]))
        graph = helper.make_graph(
            self.nodes, _plain(self.report.name) or "network", inputs, outputs, self.initialisers
        )
        opset = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, producer_name="cnncalc", ir_version=IR, opset_imports=opset)
        domains = assumed(self.report)
        if domains:
            helper.set_model_props(made, {ASSUMED: json.dumps(domains)})
        return made

    def _output(self, name: str) -> Any:
        value = self.values[name]
        row = next((r for r in self.report.layers if r.name == name), self.report.layers[-1])
        value = self.read(value, self.canonical(value.shape), row)
        if value.name in self.report.input_shapes:
            value = value._replace(name=self.node("Identity", [value.name], row, last=False))
        return self._info(value)

    def _info(self, value: Value) -> Any:
        from onnx import TensorProto, helper

        if self.loss is not None and value.name == self.loss.name:
            return helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [1])
        dims = _dims(tensor(value.shape, value.layout))
        return helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["N", *dims])


def assumed(report: Report) -> dict[str, dict[str, int]]:
    """The domains of symbols, which ONNX has no place for, as a spec's `assume` says them."""
    found = {}
    for name, symbol in report.symbols.items():
        given = {"min": symbol.min, "max": symbol.max, "multiple_of": symbol.multiple_of}
        kept = {k: v for k, v in given.items() if v is not None and v != 1}
        if kept:
            found[name] = kept
    return found


def _dims(sizes: Shape) -> list[int | str]:
    return [n if isinstance(n, int) else _plain(str(n)) for n in sizes]


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:200]


def unary(
    graph: Graph, row: Row, sources: list[Value], at: str, op: str, *more: str, **attributes: Any
) -> Value:
    """A node that keeps the layout; `more` are further inputs."""
    name = graph.node(op, [sources[0].name, *more], row, **attributes)
    return Value(name, row.output, at if len(row.output) > 1 else ANY)


def kept(row: Row, layout: str) -> str:
    """The layout of a layer's output that is a volume still."""
    return layout if len(row.output) > 1 else ANY
