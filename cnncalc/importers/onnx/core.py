"""Walks an ONNX graph and writes a draft: values, layout, weights, and what is not covered."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...dialects import OPSETS, Dialect, dialect
from ...formula import DomainError, Expr, Number, Symbol, product
from ...layers import REGISTRY
from ...layers.base import Shape
from ...source import shorten
from ..draft import Draft, refuse
from .naming import Names
from .reading import Model, Node, domains
from .values import Const, Sizes, Tensor, Value, alike, natural, one

Handler = Callable[["Converter", Node], None]
HANDLERS: dict[str, Handler] = {}
RESERVED = frozenset({"floor", "ceil", "min", "max"})


MOST_BEFORE = 200  # nodes that are looked at for one that slides
SLIDING = frozenset({
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
    "BatchNormalization", "InstanceNormalization", "LRN",
})  # fmt: skip
ALIKE = frozenset({"Pad", "Relu", "Clip", "Tanh", "Sigmoid", "Identity", "Cast", "Sub", "Div",
                   "Mul", "Add", "Dropout"})  # fmt: skip


class Unknown(Exception):
    """An operator, or a way of using it, that no layer stands for: it becomes opaque."""


def handles(*ops: str) -> Callable[[Handler], Handler]:
    """Registers the conversion of operators."""

    def declare(function: Handler) -> Handler:
        for op in ops:
            HANDLERS[op] = function
        return function

    return declare


class Converter:
    """The state of one conversion."""

    def __init__(
        self, model: Model, nodes: Sequence[Node], name: str, own: Dialect | None = None
    ) -> None:
        self.model, self.nodes = model, nodes
        self.opset = model.opset
        known = min(max(model.opset, OPSETS[0]), OPSETS[-1])
        self.draft = Draft(name, own or dialect(f"onnx:{known}"))
        self.names = Names(nodes, model.constants)
        self.values: dict[str, Value] = {}
        self.readers: dict[str, int] = {}
        self.weights: dict[str, Sizes] = {}  # shapes of trained arrays by name
        self.sharing: dict[tuple[str, tuple[str, ...]], str] = {}
        self.counted: set[str] = set()
        self.sequences: dict[str, tuple[int, list[Number], bool]] = {}  # axis, sizes, axis kept
        self.domains = domains(model)
        self._inferred = model.shapes
        for n in nodes:
            for i in n.inputs:
                self.readers[i] = self.readers.get(i, 0) + 1
        for output in model.outputs:
            self.readers[output] = self.readers.get(output, 0) + 1

    def run(self) -> Draft:
        for name, found in self.model.constants.items():
            self.values[name] = self.weight(name, found.shape, found.values, found.floating)
        for name, dims in self.model.inputs.items():
            self._input(name, dims)
        if not self.draft.inputs:
            raise refuse("the model has no input")
        for node in self.nodes:
            self._node(node)
        for name in self.model.outputs:
            value = self.values.get(name)
            if isinstance(value, Tensor) and value.ref not in self.draft.outputs:
                self.draft.outputs.append(value.ref)
        if self.draft.outputs and not self.draft.items:  # views of the input alone
            note = "the model only rearranges axes of size 1"
            same = self.draft.add("identity", {}, self.draft.outputs[:1], "", note)
            self.draft.outputs[:] = [same]
        if not self.draft.outputs or not self.draft.items:
            raise refuse("no output of the model depends on its input")
        return self.draft

    def _input(self, name: str, dims: tuple[Any, ...] | None) -> None:
        if dims is None:
            raise refuse(f"the input '{shorten(name)}' of the model states no shape")
        if not dims:
            dims = (1,)
        sizes = tuple(self._dim(name, i, d, len(dims)) for i, d in enumerate(dims))
        bare = len(sizes) == 1 or self._gets_a_batch(name)
        if not bare:
            sizes = (1, *sizes[1:])
        order = natural(sizes)
        if len(sizes) in (3, 5) and one(sizes[0]) and self._is_map(name):
            order = (*range(2, len(sizes)), 1)
        shape = tuple(sizes[a] for a in order) or (1,)
        if len(shape) > 4:
            raise refuse(f"the input '{shorten(name)}' has {len(shape)} axes, more than 4")
        self.values[name] = Tensor(self.draft.input(name, shape), order, sizes)

    def _gets_a_batch(self, name: str) -> bool:
        """Whether a batch axis is put before the input first of all."""
        readers = [n for n in self.nodes if name in n.inputs]
        return bool(readers) and all(n.op == "Unsqueeze" for n in readers)

    def _is_map(self, name: str) -> bool:
        """Whether a layer that slides over channels-first maps reads the input."""
        names = {name}
        for node in self.nodes[:MOST_BEFORE]:
            if names.isdisjoint(node.inputs):
                continue
            if node.op in SLIDING:
                return True
            if node.op in ALIKE:
                names.update(node.outputs)
        return False

    def _dim(self, name: str, axis: int, given: Any, rank: int) -> Number:
        """A size of an input: a number, or a symbol for a dynamic axis (not the batch)."""
        if isinstance(given, int):
            return given
        if axis == 0 and rank > 1:
            return 1
        usual = {4: ("N", "C", "H", "W"), 5: ("N", "C", "D", "H", "W"), 3: ("N", "T", "C")}
        wanted = _identifier(given or "") or usual.get(rank, ("N", *"ABCDEFG"))[axis]
        if wanted not in self.draft.symbols:
            self.draft.symbols[wanted] = self._symbol(wanted)
        return self.draft.symbols[wanted]

    def _symbol(self, name: str) -> Symbol:
        try:
            return Symbol(name, **self.domains.get(name, {}))
        except DomainError:
            return Symbol(name)

    def _node(self, node: Node) -> None:
        handler = HANDLERS.get(node.op)
        try:
            inputs = [self.values[i] for i in node.inputs if i]
            if (inputs and all(isinstance(v, Const) for v in inputs)) or not node.inputs:
                from .folding import fold

                fold(self, node)
            elif handler is None:
                raise Unknown
            else:
                handler(self, node)
        except Unknown:
            self.opaque(node)
        except (TypeError, AttributeError, IndexError, OverflowError):
            # attributes of another type than the operator's: such a file is no valid model
            if os.environ.get("CNNCALC_DEBUG"):
                raise
            self.opaque(node)

    def weight(self, name: str, shape: Sizes, values: Any, floating: bool) -> Const:
        """A constant that counts as trained under its own name, if it holds real numbers."""
        if floating and not shape and values is not None and "." not in name:
            return Const(shape, values)  # a number that the exporter took out of the code
        if floating:
            self.weights[name] = shape
        return Const(shape, values, frozenset((name,)) if floating else frozenset(), floating)

    # --- values ----------------------------------------------------------------------

    def value(self, node: Node, i: int) -> Value | None:
        """Input `i`; None where it is left out."""
        name = node.inputs[i] if i < len(node.inputs) else ""
        return self.values[name] if name else None

    def tensor(self, node: Node, i: int = 0) -> Tensor:
        found = self.value(node, i)
        if not isinstance(found, Tensor):
            raise Unknown
        return found

    def const(self, node: Node, i: int) -> Const:
        found = self.value(node, i)
        if not isinstance(found, Const):
            raise Unknown
        return found

    def numbers(self, node: Node, i: int, attribute: str = "") -> list[Any] | None:
        """A list of numbers given as an input, or in older opsets as an attribute."""
        if attribute and attribute in node.attributes:
            found = node.attributes[attribute]
            return list(found) if isinstance(found, list) else [found]
        given = self.value(node, i)
        if given is None:
            return None
        if not isinstance(given, Const):
            raise Unknown
        numbers = given.numbers()
        if numbers is None:
            raise Unknown
        return numbers

    def set(self, node: Node, value: Value, i: int = 0) -> None:
        if i < len(node.outputs) and node.outputs[i]:
            self.values[node.outputs[i]] = value

    def private(self, name: str) -> bool:
        """Whether only one operator reads a value."""
        return self.readers.get(name, 0) == 1

    # --- layers ----------------------------------------------------------------------

    def emit(
        self,
        node: Node,
        op: str,
        fields: Mapping[str, Any],
        refs: Iterable[str],
        weights: Iterable[Const | None] = (),
        note: str = "",
        dialect: str = "",
    ) -> str:
        """Appends the layer of a node; weights used before make it share."""
        found = tuple(sorted({w for c in weights if c is not None for w in c.weights}))
        share = self.sharing.get((op, found)) if found else None
        name = self.names.of(node, found)
        ref = self.draft.add(op, fields, refs, name, note, share, dialect)
        if found and share is None:
            self.sharing[op, found] = ref
            self.counted.update(found)
        return ref

    def image(self, x: Tensor) -> str:
        """The volume with its channels, ONNX axis 1, last and all other axes in order."""
        if x.rank < 2:
            raise Unknown
        return self.arranged(x, (*range(2, x.rank), 1))

    def arranged(self, x: Tensor, order: tuple[int, ...]) -> str:
        """The volume with its axes in this order; a permutation or reshape where needed."""
        if x.order == order or not x.order:
            return x.ref
        ref = x.ref
        present = tuple(a for a in order if a in x.order)
        lost = [a for a in x.order if a not in order]
        if any(not one(x.sizes[a]) for a in lost):
            raise Unknown
        turned = (*present, *lost)
        if turned != x.order:
            axes = [x.order.index(a) for a in turned]
            ref = self.draft.add("permute", {"axes": axes}, [ref])
        if turned != order:
            ref = self.draft.add("reshape", {"to": [x.sizes[a] for a in order]}, [ref])
        return ref

    def flat(self, x: Tensor, order: tuple[int, ...]) -> Tensor:
        """The same tensor, held in this order."""
        return x._replace(ref=self.arranged(x, order), order=order)

    def made(self, ref: str, order: tuple[int, ...], rank: int) -> Tensor:
        """The tensor that a layer's volume is, each of its axes at its ONNX place."""
        sizes: list[Number] = [1] * rank
        for axis, n in zip(order, self.draft.shapes[ref], strict=True):
            sizes[axis] = n
        return Tensor(ref, order, tuple(sizes))

    def size_of(self, weights: Iterable[str]) -> int:
        """Parameters in the weights that no layer has counted yet."""
        total = 0
        for name in set(weights) - self.counted:
            self.counted.add(name)
            count = product(self.weights[name])
            total += count if isinstance(count, int) else 0
        return total

    def opaque(self, node: Node, cost: Number = 0) -> None:
        """Keeps an operator as it is: its outputs' shapes, the weights it reads."""
        refs = [v.ref for i in node.inputs if i and isinstance(v := self.values[i], Tensor)]
        if not refs:
            self._unknown_constants(node)
            return
        weights = {w for i in node.inputs if i and isinstance(c := self.values[i], Const)
                   for w in c.weights}  # fmt: skip
        params = self.size_of(weights)
        for i, output in enumerate(node.outputs):
            if not output:
                continue
            sizes = self.inferred(output)
            if sizes is None:
                first = next(
                    v for n in node.inputs if n and isinstance(v := self.values[n], Tensor)
                )
                sizes = first.sizes
                note = f"the size of {node.op}'s output is not known: taken to be its input's"
            else:
                note = f"{node.op} is not covered: only its size is kept"
            order = natural(sizes) or (len(sizes) - 1,)
            fields: dict[str, Any] = {"op": node.op, "output": [sizes[a] for a in order]}
            if params:
                fields["params"], params = params, 0
            if cost != 0:
                fields["macs"], cost = cost, 0
            ref = self.draft.add("opaque", fields, refs, self.names.of(node), note)
            self.set(node, Tensor(ref, order, sizes), i)

    def _unknown_constants(self, node: Node) -> None:
        """Constants made in a way that is not computed: only their shape is kept."""
        weights = frozenset(w for i in node.inputs if i and isinstance(c := self.values[i], Const)
                            for w in c.weights)  # fmt: skip
        for i, output in enumerate(node.outputs):
            if output:
                sizes = self.inferred(output)
                if sizes is None:
                    sizes = (1,)
                inputs = [c for n in node.inputs if n and isinstance(c := self.values[n], Const)]
                macs = sum(c.macs for c in inputs) if i == 0 else 0
                self.set(node, Const(sizes, None, weights, macs=macs), i)

    def inferred(self, name: str) -> Sizes | None:
        """The shape that ONNX's own inference gives an output, the batch as 1."""
        if self._inferred is None:
            from .inference import shapes

            self._inferred = shapes(self.model.proto)
        dims = self._inferred.get(name)
        if not dims:
            return None
        found: list[Number] = []
        for i, dim in enumerate(dims):
            if isinstance(dim, int):
                found.append(dim)
            elif i == 0:
                found.append(1)
            elif dim in self.draft.symbols:
                found.append(self.draft.symbols[dim])
            else:
                return None
        return tuple(found)

    def has(self, op: str) -> bool:
        return op in REGISTRY


def _identifier(text: str) -> str:
    """A dynamic axis's name as a symbol: letters, digits and _ are kept."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in text)[:40]
    kept = kept.strip("_")
    if not kept or kept in RESERVED:
        return ""
    return kept if kept[0].isalpha() else "d" + kept


def shape_text(shape: Shape) -> str:
    return "x".join(str(n) for n in shape)


__all__ = ["Const", "Converter", "Expr", "Tensor", "Unknown", "alike", "handles", "shape_text"]
