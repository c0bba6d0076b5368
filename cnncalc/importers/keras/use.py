"""One use of a Keras layer: its config, what it reads, its activation."""

from collections.abc import Sequence
from typing import Any

from ...formula import Number
from ...layers.base import Shape
from ...source import shorten
from ..draft import Draft, refuse


class Layer:
    """One use of a Keras layer: its config, what it reads, what it makes."""

    def __init__(
        self, draft: Draft, kind: str, name: str, config: dict[str, Any], refs: list[str],
        more: dict[str, Any], entry: dict[str, Any], earlier: str | None,
    ) -> None:  # fmt: skip
        self.draft, self.kind, self.name, self.config = draft, kind, name, config
        self.refs, self.more, self.entry, self.earlier = refs, more, entry, earlier
        self.first = ""

    @property
    def shape(self) -> Shape:
        return self.draft.shapes[self.refs[0]]

    @property
    def rank(self) -> int:
        return len(self.shape)

    def get(self, key: str, default: Any = None) -> Any:
        found = self.config.get(key, default)
        return default if found is None else found

    def number(self, key: str, default: int | None = None) -> Any:
        found = self.config.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise refuse(f"layer '{shorten(self.name)}': {key} must be a number")
        return found

    def add(self, op: str, fields: dict[str, Any], refs: Sequence[str] = (), note: str = "") -> str:
        """Appends the layer; used again, it shares its weights."""
        refs = tuple(refs) or tuple(self.refs)
        earlier = self.draft.items.get(self.earlier or "")
        share = earlier.name if earlier is not None and earlier.op == op else None
        ref = self.draft.add(op, fields, refs, self.name, note, share)
        if share and not self.draft.layers[ref].weights(
            [self.draft.shapes[r] for r in refs], self.draft.dialect
        ):
            self.draft.items[ref] = self.draft.items[ref]._replace(share=None)
        self.first = self.first or ref
        return ref

    def activated(self, ref: str) -> str:
        """The activation that a layer of Keras may carry, as a layer of its own."""
        word, fields = activation_of(self.config.get("activation"))
        if word == "linear":
            return ref
        if word not in ACTIVATIONS:
            return self.after("opaque", {"op": word, "output": list(self.draft.shapes[ref])}, ref)
        return self.after(ACTIVATIONS[word], fields, ref)

    def after(self, op: str, fields: dict[str, Any], ref: str) -> str:
        note = "an activation that is not covered" if op == "opaque" else ""
        return self.draft.add(op, fields, [ref], f"{self.name}_{op}", note)

    def channels_last(self) -> None:
        if self.get("data_format", "channels_last") == "channels_first":
            raise refuse(
                f"layer '{shorten(self.name)}' has channels_first data",
                "save the model with data_format='channels_last'",
            )

    def decimal(self, key: str, default: float) -> str:
        import numpy as np

        found = self.number(key, default)  # type: ignore[arg-type]
        return str(np.format_float_positional(float(found), trim="-"))


def activation_of(found: Any) -> tuple[str, dict[str, Any]]:
    """The name of an activation, written as a word or as an object."""
    if found is None:
        return "linear", {}
    if isinstance(found, dict):
        inner = found.get("config")
        word = inner if isinstance(inner, str) else found.get("class_name", "")
        return _snake(str(word)), {}
    word = str(found)
    return word, {"approximate": True} if word == "gelu_approximate" else {}


def _snake(word: str) -> str:
    return word if word.islower() else {"ReLU": "relu", "SiLU": "silu"}.get(word, word.lower())


ACTIVATIONS = {
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh", "softmax": "softmax",
    "elu": "elu", "selu": "selu", "gelu": "gelu", "swish": "silu", "silu": "silu",
    "softplus": "softplus", "softsign": "softsign", "hard_sigmoid": "hardsigmoid",
    "hard_swish": "hardswish", "hard_silu": "hardswish", "log_softmax": "log_softmax",
    "mish": "mish", "exponential": "exp", "leaky_relu": "leaky_relu", "celu": "celu",
    "log_sigmoid": "log_sigmoid", "hard_tanh": "hardtanh",
}  # fmt: skip

Made = str | list[str]


def opaque(layer: Layer) -> Made:
    """A layer of the user's own, or one that is not covered: its size, if the file says it."""
    output = _recorded(layer)
    note = f"{layer.kind} is not covered: only its size is kept"
    if output is None:
        output = layer.shape
        note = f"{layer.kind} is not covered: its size is taken to be its input's"
    return layer.add("opaque", {"op": layer.kind, "output": list(output)}, note=note)


def _recorded(layer: Layer) -> tuple[Number, ...] | None:
    """The output shape in a layer's own config, where Keras wrote one."""
    found = layer.entry.get("output_shape") or layer.config.get("output_shape")
    if isinstance(found, list) and len(found) > 1 and all(isinstance(n, int) for n in found[1:]):
        return tuple(found[1:])
    return None
