"""The JSON Schema (2020-12) of the spec language, made from the parser's own declarations."""

from typing import Any

from .answers import BUDGETS, QUANTITIES
from .dialects import DIALECTS
from .formula import Expr
from .items import ITEM_KEYS, JOINS
from .layers import REGISTRY
from .layers.base import Layer
from .layers.fields import EXPRESSION, MISSING, Axes, Field, Table, Volume
from .marking import SCHEMA as MARKING
from .spec import DOMAIN_KEYS, TOP_KEYS

DIALECT = {"type": "string", "pattern": f"^({'|'.join(DIALECTS)}|onnx:[0-9]+)$"}
NAME = {"type": ["string", "integer"]}
LAYERS = {"$ref": "#/$defs/layers"}
VOLUME = {"$ref": "#/$defs/volume"}
ANSWER = {
    "anyOf": [
        {"type": ["string", "number", "boolean"]},
        {"type": "array", "items": {"type": ["string", "number", "array"]}},
    ]
}


def schema() -> dict[str, Any]:
    """The schema as a plain dict.

    >>> schema()["$schema"]
    'https://json-schema.org/draft/2020-12/schema'
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:cnncalc:spec",
        "title": "cnncalc spec",
        "description": "A convolutional network: its input, its layers, and what is expected.",
        "type": "object",
        "properties": _top(),
        "required": ["layers"],
        "anyOf": [{"required": ["input"]}, {"required": ["inputs"]}],
        "additionalProperties": False,
        "$defs": {
            "expression": EXPRESSION,
            "volume": Volume.schema,
            "expect": _expect(),
            "layers": {"type": "array", "items": {"$ref": "#/$defs/layer"}},
            "branch": {"anyOf": [LAYERS, {"$ref": "#/$defs/layer"}, {"type": "null"}]},
            "layer": _layer(),
            "block": _block(),
        },
    }


def _top() -> dict[str, Any]:
    limits = {"type": ["integer", "number", "string"]}
    found: dict[str, Any] = {
        "name": NAME,
        "description": {"type": "string"},
        "dialect": {**DIALECT, "description": "whose conventions size the windows"},
        "input": {**VOLUME, "description": "H x W x C, such as 227x227x3 or HxWx3"},
        "inputs": {"type": "object", "minProperties": 1, "additionalProperties": VOLUME},
        "let": {"type": "object", "additionalProperties": EXPRESSION},
        "assume": {"type": "object", "additionalProperties": _domain()},
        "blocks": {"type": "object", "additionalProperties": {"$ref": "#/$defs/block"}},
        "layers": {**LAYERS, "minItems": 1},
        "outputs": {"anyOf": [NAME, {"type": "array", "items": NAME}]},
        "expect": {"$ref": "#/$defs/expect"},
        "budget": {
            "type": "object",
            "properties": dict.fromkeys(BUDGETS, limits),
            "additionalProperties": False,
        },
        **MARKING,
    }
    assert tuple(found) == TOP_KEYS or set(found) == set(TOP_KEYS)
    return found


def _domain() -> dict[str, Any]:
    number = {"type": "integer", "minimum": 1}
    return {
        "type": ["object", "null"],
        "properties": dict.fromkeys(DOMAIN_KEYS, number),
        "additionalProperties": False,
    }


def _expect() -> dict[str, Any]:
    entries = {
        "type": "object",
        "properties": dict.fromkeys(QUANTITIES, ANSWER),
        "additionalProperties": False,
    }
    return {"anyOf": [entries, *ANSWER["anyOf"], {"type": "null"}]}


def _block() -> dict[str, Any]:
    names = {"type": "array", "items": {"type": ["string", "object"]}}
    body = {
        "type": "object",
        "properties": {
            "args": {"anyOf": [names, {"type": ["object", "string", "null"]}]},
            "layers": LAYERS,
        },
        "required": ["layers"],
        "additionalProperties": False,
    }
    return {"anyOf": [body, LAYERS]}


def _layer() -> dict[str, Any]:
    """An op's name, or a mapping with one op; other keys call a block."""
    properties: dict[str, Any] = {
        "name": NAME,
        "from": {"anyOf": [NAME, {"type": "array", "items": NAME, "minItems": 1}]},
        "expect": {"$ref": "#/$defs/expect"},
        "dialect": DIALECT,
        "share": NAME,
        **MARKING,
    }
    assert set(properties) == set(ITEM_KEYS)
    properties |= {op: _op(op, cls) for op, cls in REGISTRY.items()}
    properties["repeat"] = {
        "type": "object",
        "description": "The layers, several times over.",
        "properties": {"times": EXPRESSION, "layers": LAYERS},
        "required": ["times", "layers"],
        "additionalProperties": False,
    }
    item = {"type": "object", "properties": properties, "minProperties": 1}
    return {"anyOf": [{"type": "string"}, item]}


def _op(op: str, cls: type[Layer]) -> dict[str, Any]:
    fields = {name: _field(field) for name, field in cls.fields.items()}
    if op in JOINS:
        fields["branches"] = {"type": "array", "items": {"$ref": "#/$defs/branch"}}
    full: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": False}
    required = [name for name, field in cls.fields.items() if field.required]
    if required:
        full["required"] = required
    forms: list[dict[str, Any]] = [full]
    if op in JOINS:
        forms.append(fields["branches"])
    elif cls.fields:
        forms.append(_field(next(iter(cls.fields.values()))))
    if not required:
        forms.append({"type": "null"})
    return {"description": cls.summary, "anyOf": forms}


def _field(field: Field) -> dict[str, Any]:
    """A field's schema. In a block any field may be an argument's name, hence text."""
    found = dict(field.schema)
    if "type" in found and not isinstance(field, Axes | Table) and found["type"] == "boolean":
        found["type"] = ["boolean", "string"]
    elif "enum" in found:
        found = {"anyOf": [found, {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}]}
    default = field.default
    if default is not MISSING and default is not None and not isinstance(default, tuple | Expr):
        plain = default if isinstance(default, bool | int | str) else float(default)
        found["default"] = plain
    return found
