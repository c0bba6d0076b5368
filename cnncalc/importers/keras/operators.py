"""Keras's recurrent layers and attention, keras.ops, and layers that exported source carries."""

from collections.abc import Callable
from typing import Any

from ..draft import LOWEST, decimal, padding
from .use import Layer, Made, opaque

MERGES = {"concat": "concat", "sum": "sum", "mul": "multiply", "ave": "average"}


def recurrent(layer: Layer) -> Made:
    """An LSTM or GRU, or two of them in both directions."""
    from ...layers import REGISTRY

    config: Any = layer.config
    kind, more = layer.kind, dict[str, Any]()
    if kind == "Bidirectional":
        inner = layer.get("layer", {})
        merge = MERGES.get(str(layer.config.get("merge_mode")))
        config = inner.get("config") if isinstance(inner, dict) else None
        if merge is None or not isinstance(config, dict):
            return opaque(layer)
        kind, more = str(inner.get("class_name", "")), {"bidirectional": True, "merge": merge}
    op = kind.lower()
    if op not in ("lstm", "gru") or op not in REGISTRY or config.get("return_state"):
        return opaque(layer)
    units, back = config.get("units"), bool(config.get("go_backwards"))
    sequences = bool(config.get("return_sequences"))
    if type(units) is not int or (back and (more or sequences)):
        return opaque(layer)
    fields = {"units": units, "return_sequences": sequences, **more}
    if not config.get("use_bias", True):
        fields["bias"] = False
    if back:
        fields["reverse"] = True
    if op == "gru" and config.get("reset_after") is False:
        fields["reset_after"] = False
    return layer.add(op, fields)


def attention(layer: Layer) -> Made:
    """MultiHeadAttention reads queries, values and keys; a map for each."""
    heads, keys = layer.number("num_heads"), layer.number("key_dim")
    values = layer.number("value_dim", keys)
    places = layer.get("attention_axes")
    refs = list(layer.refs)
    if len(refs) not in (2, 3) or places not in (None, [layer.rank - 1], layer.rank - 1):
        return opaque(layer)
    query, value, key = (*refs, refs[1])[:3]
    given = (
        [query] if query == value == key else [query, key] if key == value else [query, key, value]
    )
    fields: dict[str, Any] = {"heads": heads, "fused": False}
    if keys == values:
        fields["dim"] = heads * keys
    else:
        fields |= {"key_dim": keys, "value_dim": values}
    units = layer.get("output_shape")
    units = units[0] if isinstance(units, list) and len(units) == 1 else units
    if units is not None:
        if type(units) is not int:
            return opaque(layer)
        fields["units"] = units
    if not layer.get("use_bias", True):
        fields["bias"] = False
    if layer.more.get("use_causal_mask"):
        fields["causal"] = True
    return layer.add("attention", fields, given)


# --- keras.ops, and the layers that exported source carries along --------------------------------


def gelu(layer: Layer) -> Made:
    return layer.add("gelu", {"approximate": True} if layer.get("approximate") else {})


def clip(layer: Layer) -> Made:
    bounds = {"low": layer.get("x_min"), "high": layer.get("x_max")}
    if not all(type(v) in (int, float) for v in bounds.values()):
        return opaque(layer)
    return layer.add("clip", {k: decimal(float(v)) for k, v in bounds.items()})


def item(layer: Layer) -> Made:
    """x[:, 3] and x[:, 2:5]: one position of an axis, or a run of them."""
    args = layer.more.get("args")
    key = args[1] if isinstance(args, list) and len(args) == 2 else None
    if not isinstance(key, list) or len(key) < 2 or len(key) > layer.rank + 1:
        return opaque(layer)
    cuts = [(i, k) for i, k in enumerate(key) if not _everything(k)]
    if len(cuts) != 1 or not cuts[0][0] or not _everything(key[0]):
        return opaque(layer)
    ((axis, cut),) = cuts
    if type(cut) is int:
        return layer.add("gather", {"indices": cut, "axis": axis - 1})
    ends = cut.get("config") if isinstance(cut, dict) else None
    if not isinstance(ends, dict) or cut.get("class_name") != "__slice__":
        return opaque(layer)
    given = {k: v for k, v in ends.items() if k in ("start", "stop", "step") and v is not None}
    if not all(type(v) is int for v in given.values()):
        return opaque(layer)
    return layer.add("slice", {"axis": axis - 1, **given})


def _everything(key: Any) -> bool:
    whole = {"start": None, "stop": None, "step": None}
    return (
        isinstance(key, dict)
        and key.get("class_name") == "__slice__"
        and key.get("config") == whole
    )


def token(layer: Layer) -> Made:
    """What `cnncalc export` writes as ClassToken."""
    fields: dict[str, Any] = {"position": "last"} if layer.get("last") else {}
    count = layer.number("count", 1)
    return layer.add("class_token", fields if count == 1 else {**fields, "count": count})


def array(op: str) -> Callable[[Layer], Made]:
    def handler(layer: Layer) -> Made:
        shape = layer.get("shape", [])
        if not isinstance(shape, list) or not shape or not all(type(n) is int for n in shape):
            return opaque(layer)
        whole = op == "positional" and tuple(shape) == tuple(layer.shape)
        return layer.add(op, {} if whole else {"shape": shape})

    return handler


def scale(layer: Layer) -> Made:
    """What `cnncalc export` writes as Scale."""
    if not layer.get("scale", True):
        return opaque(layer)
    return layer.add("scale", {"bias": True} if layer.get("bias") else {})


def pad_operator(layer: Layer) -> Made:
    """keras.ops.pad: zeros, or what is lower than any value, around a map."""
    found = layer.get("pad_width", [])
    pairs = [p if isinstance(p, list) else [p, p] for p in found if isinstance(found, list)]
    known = all(len(p) == 2 and all(type(n) is int and n >= 0 for n in p) for p in pairs)
    if not known or len(pairs) != layer.rank + 1 or any(map(any, (pairs[0], pairs[-1]))):
        return opaque(layer)
    value, mode = layer.more.get("constant_values"), str(layer.get("mode", "constant"))
    number = float(value) if isinstance(value, int | float) else 0.0
    what = f"{number:g}" if mode == "constant" else f"{mode} values"
    note = "" if what == "0" else f"padded with {what} in the source, here zeros"
    ends = [p[0] for p in pairs[1:-1]], [p[1] for p in pairs[1:-1]]
    ref = layer.add("pad", {"by": padding(*ends)}, note=note)
    if mode == "constant" and number < LOWEST:
        layer.draft.lowest.add(ref)
    return ref
