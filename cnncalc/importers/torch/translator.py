"""PyTorch's own operators as the nodes that the ONNX importer reads: one walk serves both."""

from collections.abc import Callable, Sequence
from typing import Any

from ...source import shorten
from ..draft import refuse
from ..onnx.reading import SMALL, Constant, Model, Node

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
        floating = trained and value.dtype.is_floating_point
        self.constants[name] = Constant(shape, None if trained else self._known(name), floating)
        return name

    def _known(self, name: str) -> Any:
        """The values of a small array that is not trained, where they are real ones."""
        found = self.exported.constants.get(name, self.exported.state_dict.get(name))
        fake = found is None or type(found).__name__ == "FakeTensor"
        if fake or found.is_floating_point() or found.dim() > 1 or found.numel() > SMALL:
            return None
        return found.numpy()

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
        args = Arguments(node)
        handler = TABLE.get(op.removesuffix("_")) or TABLE.get(op)
        if handler is None:
            read = [a for a in _flat([*node.args, *node.kwargs.values()]) if hasattr(a, "op")]
            value = node.meta.get("val")
            several = isinstance(value, list | tuple)
            outputs = [f"{node.name}.{i}" for i in range(len(value))] if several else [node.name]
            self.put(op, read, outputs)
            return
        handler(self, node.name, args)


class Arguments:
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

Handler = Callable[[Translator, str, Arguments], None]
TABLE: dict[str, Handler] = {}


def aten(*ops: str) -> Callable[[Handler], Handler]:
    def declare(function: Handler) -> Handler:
        TABLE.update(dict.fromkeys(ops, function))
        return function

    return declare


def wide(value: Any, rank: int) -> list[Any]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * rank if len(values) == 1 else values
