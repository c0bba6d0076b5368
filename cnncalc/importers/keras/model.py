"""Keras's functional and sequential models as drafts: layers in order, calls, nested models."""

from collections.abc import Iterator, Sequence
from typing import Any

from ...dialects import dialect
from ...formula import Number, Symbol
from ...layers.base import Shape
from ...source import shorten
from ..draft import Draft, refuse
from ..moves import soak
from .layers import TABLE
from .use import Layer, opaque

MAX_NESTING = 8
MAX_LAYERS = 20_000
MODELS = ("Functional", "Model", "Sequential")
REFUSED = ("Lambda", "TFOpLambda", "SlicingOpLambda")


def draft_of(root: dict[str, Any], fallback: str) -> Draft:
    """The draft of a model's config; raises `Problem` E021."""
    config = _config(root)
    name = str(config.get("name") or fallback)
    reader = _Reader(Draft(shorten(name, 80), dialect("keras")))
    reader.top(root)
    made = reader.draft
    if not made.items or not made.outputs:
        raise refuse("the model has no layers")
    made.prune()
    soak(made)
    return made


def _config(entry: Any) -> dict[str, Any]:
    config = entry.get("config") if isinstance(entry, dict) else None
    if isinstance(config, list):  # Sequential of Keras 1 and 2.0
        return {"layers": config}
    if not isinstance(config, dict):
        raise refuse("a layer of the model has no config")
    return config


def kind_of(entry: dict[str, Any]) -> str:
    return str(entry.get("class_name", "")).rpartition(">")[2]


class _Reader:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.count = 0
        self.seen: dict[tuple[Any, ...], str] = {}

    # --- models ------------------------------------------------------------------------

    def top(self, root: dict[str, Any]) -> None:
        kind = kind_of(root)
        if kind in REFUSED:
            raise refuse(f"layer '{_name(root)}' is a {kind}: it holds code, which is never run")
        if kind == "Sequential":
            self.draft.outputs = [self.sequential(root, None, "", 0)]
        elif kind in MODELS or "layers" in _config(root):
            self.draft.outputs = self.functional(root, None, "", 0)
        else:
            raise refuse(f"the model is a '{shorten(kind)}': only Functional and Sequential "
                         "models say how their layers are joined")  # fmt: skip

    def sequential(self, root: dict[str, Any], ref: str | None, prefix: str, nesting: int) -> str:
        """A chain of layers; without a `ref` the first says what comes in."""
        config = _config(root)
        layers = _list(config, "layers")
        for i, entry in enumerate(layers):
            inner = _config(entry)
            if kind_of(entry) == "InputLayer":
                if ref is None:
                    ref = self.input(inner)
                continue
            if ref is None:
                shape = inner.get("batch_input_shape") or inner.get("batch_shape")
                shape = shape or _built(entry) or _built(root)
                if shape is None and kind_of(entry) in MODELS and not i:
                    shape = _first_shape(entry)
                if shape is None:
                    raise refuse("the model does not say its input's shape: build it first")
                ref = self.input({"batch_shape": shape, "name": "input"})
            ref = self.call(entry, [ref], {}, prefix, nesting)[0]
        if ref is None:
            raise refuse("the model has no layers")
        return ref

    def functional(
        self, root: dict[str, Any], given: Sequence[str] | None, prefix: str, nesting: int
    ) -> list[str]:
        """A graph of layers; `given` are what a nested model is called on."""
        config = _config(root)
        entries = {_name(e): e for e in _list(config, "layers")}
        values: dict[tuple[str, int, int], str] = {}
        heads = [_key(t) for t in _keys_of(config.get("input_layers"))]
        for i, head in enumerate(heads):
            if head[0] not in entries:
                raise refuse(f"the input '{shorten(head[0])}' is no layer of the model")
            if given is None:
                values[head] = self.input(_config(entries[head[0]]))
            elif i < len(given):
                values[head] = given[i]
        waiting = [
            (name, node, call)
            for name, entry in entries.items()
            for node, call in enumerate(_calls(entry))
            if (name, node, 0) not in values
        ]
        if len(waiting) > MAX_LAYERS:
            raise refuse(f"the model has more than {MAX_LAYERS:,} layers")
        while waiting:
            later = []
            for name, node, (tensors, more) in waiting:
                if any(t not in values for t in tensors):
                    later.append((name, node, (tensors, more)))
                    continue
                refs = [values[t] for t in tensors]
                entry = entries[name]
                if not refs:  # an input that the model does not list
                    raise refuse(f"layer '{shorten(name)}' reads nothing")
                for i, ref in enumerate(self.call(entry, refs, more, prefix, nesting)):
                    values[name, node, i] = ref
            if len(later) == len(waiting):
                stuck = later[0][0]
                raise refuse(f"layer '{shorten(stuck)}' reads what no layer makes, or a cycle")
            waiting = later
        tails = [_key(t) for t in _keys_of(config.get("output_layers"))]
        found = [values[t] for t in tails if t in values]
        if not found or len(found) < len(tails):
            raise refuse("the model's outputs are not made by its layers")
        return found

    def input(self, config: dict[str, Any]) -> str:
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        if not isinstance(shape, list) or len(shape) < 2:
            if isinstance(shape, list) and len(shape) == 1:
                shape = [None, 1]
            else:
                raise refuse("the model does not say its input's shape")
        sizes = self.sizes(shape)
        if len(sizes) > 4:
            raise refuse(f"the input has {len(sizes)} axes besides the batch, more than 4")
        name = str(config.get("name") or "input")
        return self.draft.input(name, sizes)

    def sizes(self, shape: Sequence[Any]) -> Shape:
        """A shape without its batch; None becomes a symbol."""
        usual = {3: "HWC", 4: "DHWC", 2: "TC", 1: "N"}[min(max(len(shape) - 1, 1), 4)]
        found: list[Number] = []
        for i, n in enumerate(shape[1:]):
            if n is None:
                name = usual[min(i, len(usual) - 1)]
                found.append(self.draft.symbols.setdefault(name, Symbol(name)))
            elif isinstance(n, int) and 0 < n <= 10**9:
                found.append(n)
            else:
                raise refuse(f"the input has an impossible size: {shorten(str(n))}")
        return tuple(found)

    # --- layers ------------------------------------------------------------------------

    def call(
        self, entry: dict[str, Any], refs: list[str], more: dict[str, Any], prefix: str,
        nesting: int,
    ) -> list[str]:  # fmt: skip
        """One use of a layer or of a nested model."""
        self.count += 1
        if self.count > MAX_LAYERS:
            raise refuse(f"the model has more than {MAX_LAYERS:,} layers")
        kind, name = kind_of(entry), _name(entry)
        if kind in REFUSED:
            raise refuse(
                f"layer '{shorten(name)}' is a {kind}: it holds code, which is never run",
                "replace it by layers, or import the model from ONNX",
            )
        path = f"{prefix}{name}"
        if kind in MODELS:
            if nesting >= MAX_NESTING:
                raise refuse(f"models are nested deeper than {MAX_NESTING} levels")
            if kind == "Sequential":
                return [self.sequential(entry, refs[0], path + "/", nesting + 1)]
            return self.functional(entry, refs, path + "/", nesting + 1)
        key = (prefix, name)
        layer = Layer(self.draft, kind, path, _config(entry), refs, more, entry, self.seen.get(key))
        handler = TABLE.get(kind, opaque)
        found = handler(layer)
        if layer.first:
            self.seen.setdefault(key, layer.first)
        return found if isinstance(found, list) else [found]


# --- the pieces of a config --------------------------------------------------------------------


def _list(config: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = config.get(key)
    if not isinstance(found, list) or not all(isinstance(e, dict) for e in found):
        raise refuse(f"the model has no list of {key}")
    return found


def _name(entry: dict[str, Any]) -> str:
    config = entry.get("config")
    inner = config.get("name") if isinstance(config, dict) else None
    return str(entry.get("name") or inner or "layer")


def _built(entry: dict[str, Any]) -> Any:
    """The input shape that a built layer of Keras 3 records."""
    config = entry.get("build_config")
    shape = config.get("input_shape") if isinstance(config, dict) else None
    return shape if isinstance(shape, list) else None


def _first_shape(entry: dict[str, Any]) -> Any:
    for inner in _list(_config(entry), "layers"):
        config = _config(inner)
        found = config.get("batch_shape") or config.get("batch_input_shape")
        if found:
            return found
    return None


Key = tuple[str, int, int]


def _key(found: Any) -> Key:
    """A tensor as Keras names it: layer, call, output."""
    if not isinstance(found, list | tuple) or not found or not isinstance(found[0], str):
        raise refuse("a layer of the model names its input in an unknown way")
    rest = [n if isinstance(n, int) else 0 for n in found[1:3]]
    return (found[0], *rest, *(0,) * (2 - len(rest)))  # type: ignore[return-value]


def _keys_of(found: Any) -> list[Any]:
    """One tensor, a list of them, or tensors by name."""
    if isinstance(found, dict):
        return [k for v in found.values() for k in _keys_of(v)]
    if not isinstance(found, list):
        return []
    if found and isinstance(found[0], str):
        return [found]
    return [k for f in found for k in _keys_of(f)]


def _calls(entry: dict[str, Any]) -> list[tuple[list[Key], dict[str, Any]]]:
    """What each use of a layer reads, and its further arguments; Keras 2 and 3."""
    nodes = entry.get("inbound_nodes")
    if not isinstance(nodes, list):
        return []
    found = []
    for node in nodes:
        if isinstance(node, dict):
            args, kwargs = node.get("args"), node.get("kwargs")
            tensors = [_key(t) for t in _histories([args, kwargs], 0)]
            more = dict(kwargs) if isinstance(kwargs, dict) else {}
            more["args"] = args
            found.append((tensors, more))
        elif isinstance(node, list):
            entries = [node] if node and isinstance(node[0], str) else node
            last = entries[0][3] if entries and len(entries[0]) > 3 else {}
            found.append(([_key(t) for t in entries], last if isinstance(last, dict) else {}))
    return found


def _histories(found: Any, depth: int) -> Iterator[Any]:
    """The tensors in a call's arguments, in order."""
    if depth > 20:
        return
    if isinstance(found, dict):
        if found.get("class_name") == "__keras_tensor__":
            yield found.get("config", {}).get("keras_history")
            return
        found = list(found.values())
    if isinstance(found, list):
        for item in found:
            yield from _histories(item, depth + 1)
